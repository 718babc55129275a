"""Shares, volumes and locks of the role ``storage`` and its modules on real ZFS."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from lab.nas.server.client import Client

from .conftest import POOL, Pair

pytestmark = pytest.mark.lab
GIB = 1024**3
DECLARED: dict[str, Any] = {
    "storage_pools": [{"name": "tank", "topology": POOL["topology"]}],
    "storage_datasets": [{"name": "tank/files"}],
    "storage_nfs_shares": [{"path": "/mnt/tank/files", "networks": ["192.0.2.0/24"], "maproot_user": "root"}],
    "storage_smb_shares": [{"name": "files", "path": "/mnt/tank/files", "options": {"hostsallow": ["192.0.2.1"]}}],
    "storage_iscsi_volumes": [{"dataset": "tank/disk", "volsize": "256M", "sparse": True, "portal": ["127.0.0.1"], "initiators": ["iqn.client"]}],
}


@pytest.fixture(scope="module")
def api(pair: Pair) -> Iterator[Client]:
    with pair.client() as client:
        yield client


def play(pair: Pair, tmp_path: pathlib.Path, *options: str) -> tuple[int, str]:
    """Run the role against the primary; returns the number of changes and the output."""
    one = pair.details("primary")
    variables = {
        **DECLARED, "ansible_python_interpreter": sys.executable,
        "storage_api_host": one["host"], "storage_api_port": one["port"], "storage_api_username": one["username"],
        "storage_api_key": one["api_key"], "storage_api_ca_path": pair.state.connection["ca_file"],
    }  # fmt: skip
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    book = tmp_path / "play.yml"
    role = "    - ansible.builtin.include_role:\n        name: resilient.platform.storage\n"
    book.write_text(f"- hosts: localhost\n  gather_facts: false\n  tasks:\n{role}")
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", str(book), "-e", f"@{tmp_path / 'vars.json'}", *options],
        capture_output=True, text=True, check=False, timeout=180, env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert one["api_key"] not in done.stdout
    return int(done.stdout.rpartition("changed=")[2].split()[0]), done.stdout


def test_role_makes_shares_and_volumes_once(pair: Pair, api: Client, tmp_path: pathlib.Path) -> None:
    foretold, output = play(pair, tmp_path, "--check", "--diff")
    assert "192.0.2.0/24" in output and api.call("sharing.nfs.query") == []
    changed, _output = play(pair, tmp_path)
    assert changed == foretold == 5
    assert play(pair, tmp_path)[0] == 0
    assert api.call("sharing.nfs.query")[0]["networks"] == ["192.0.2.0/24"]
    assert api.call("sharing.smb.query")[0]["options"]["hostsallow"] == ["192.0.2.1"]
    assert api.call("iscsi.targetextent.query")[0]["lunid"] == 0
    assert pair.mount("primary", "tank/disk/vol.img").stat().st_size == GIB // 4


def test_a_locked_dataset_is_out_of_reach_and_comes_back_with_its_data(pair: Pair, api: Client) -> None:
    options = {"passphrase": "correct horse"}
    api.call("pool.dataset.create", [{"name": "tank/safe", "encryption": True, "inherit_encryption": False, "encryption_options": options}])
    api.call("pool.dataset.create", [{"name": "tank/safe/in"}])
    file = pair.mount("primary", "tank/safe/in/file")
    file.write_bytes(b"precious")
    with open(file, "rb"), pytest.raises(Exception, match="EBUSY"):
        api.job("pool.dataset.lock", ["tank/safe"])
    assert file.read_bytes() == b"precious"
    api.job("pool.dataset.lock", ["tank/safe"])
    assert not file.exists()
    assert api.job("pool.dataset.unlock", ["tank/safe", {"datasets": [{"name": "tank/safe", "passphrase": "wrong"}]}])["failed"]
    assert not file.exists()
    found = api.job("pool.dataset.unlock", ["tank/safe", {"datasets": [{"name": "tank/safe", "passphrase": "correct horse"}]}])
    assert found == {"unlocked": ["tank/safe", "tank/safe/in"], "failed": {}}
    assert file.read_bytes() == b"precious"
