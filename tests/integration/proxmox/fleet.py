"""What the tests against an unmodified fakepve share: a server that keeps state, made by others, with the API's own schema and texts."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unit"))
from helpers.modules import run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet  # noqa: E402

KEYS = ["ssh-ed25519 AAAA+/= admin"]


@pytest.fixture
def pve(fakepve: t.Any, monkeypatch: pytest.MonkeyPatch, fakepve_cafile: str) -> t.Any:
    """A cluster with a template; the modules find it by the environment."""
    fakepve.apitokens["root@pam!ci"] = "s3cret"
    volumes = fakepve.storages["local-lvm"].setdefault("volumes", {})
    volumes["base-9000-disk-0"] = {"content": "images", "format": "raw", "size": 8 * 2**30, "vmid": 9000}
    config = {
        "scsi0": "local-lvm:base-9000-disk-0,size=8G",
        "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom,size=4M",
        "net0": "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0",
        "memory": "512",
    }
    fakepve.add_vm(9000, "debian12", template=True, config=config)
    values = {"HOST": "127.0.0.1", "PORT": fakepve.port, "USER": "root@pam", "TOKEN_ID": "ci", "TOKEN_SECRET": "s3cret", "CA_PATH": fakepve_cafile}
    for name, value in values.items():
        monkeypatch.setenv(f"PROXMOX_{name}", str(value))
    return fakepve


def guest(number: int, **more: t.Any) -> dict[str, t.Any]:
    cloud_init = {"user": "platform", "ssh_keys": KEYS, "ipconfig": {"0": {"ip": f"192.0.2.{number}/24", "gw": "192.0.2.1"}}}
    return {"name": f"web-{number}", "state": "started", "clone_from": "debian12", "cores": 2, "tags": ["Web"], "cloud_init": cloud_init, **more}


def fleet(guests: list[dict[str, t.Any]], check: bool = False, **more: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_fleet.main, {"guests": guests, "wait_sleep": 0.05, **more}, check=check, diff=True)
