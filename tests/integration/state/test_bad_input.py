"""Input that cannot work is refused before anything is written, and the message says what was tried, on what, what came back and what to do."""

from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

import pytest
from held import held, proxmox, untouched
from runs import Run, play
from tls import front

from lab import kms
from lab.state import LabState

pytestmark = pytest.mark.lab
HERE = pathlib.Path(__file__).parent
# Each is one run of a playbook: `make test` has one of each kind.
more = pytest.mark.skipif(not os.environ.get("RESILIENT_LONG_TESTS"), reason="another one of a kind that is tested: RESILIENT_LONG_TESTS=1")


def refused(state: LabState, playbook: str, values: dict[str, Any], *args: str) -> Run:
    """Run a playbook with other variables; it has to fail and to leave all servers as they were."""
    with untouched(state):
        run = play(playbook, *args, "-e", json.dumps(values), on=state.name, timeout=300)
    assert run.status != 0, run.document["stats"]
    # Preflight makes the probe that it sends in a temporary file of the controller.
    assert [key for key in run.changes if key[0] != "localhost"] == []
    return run


def message(run: Run) -> str:
    """Return what the failed tasks said."""
    said = " ".join(run.failures().values())
    assert said, run.errors
    return said


def says(run: Run, *fragments: str) -> None:
    """Check that the failure says all of it."""
    said = message(run)
    for fragment in fragments:
        assert fragment in said, said


def guest(state: LabState, tmp_path: pathlib.Path, **change: Any) -> tuple[str, str]:
    """Return arguments that declare vault-2 otherwise."""
    one = state.connection["proxmox"]
    wanted = {"node": one["node"], "clone_from": one["template"], "full_clone": False, "cores": 1, "memory": 512} | change
    file = tmp_path / "other.yml"
    file.write_text(json.dumps({"platform_guests": {"hosts": {"vault-2": {"vm_provision_guest": wanted}}}}))
    return "-i", str(file)


def where(state: LabState, service: str) -> tuple[str, int]:
    """Return the address and port of a server of the lab."""
    c = state.connection
    if service == "proxmox":
        return c["proxmox"]["host"], int(c["proxmox"]["port"])
    if service == "truenas":
        return c["truenas"]["primary"]["host"], int(c["truenas"]["primary"]["port"])
    url = c["s3"]["endpoint"] if service == "s3" else c["kms"]["address"]
    host, _colon, port = url.removeprefix("https://").partition(":")
    return host, int(port)


def destination(state: LabState, **change: Any) -> dict[str, Any]:
    """Return variables whose only destination is the S3 server, otherwise."""
    s3 = state.connection["s3"]
    one = {"name": "offsite", "type": "s3", "offsite": True, "prefix": "", "ca_path": state.connection["ca_file"]} | {
        key: s3[key] for key in ("endpoint", "bucket", "region", "access_key", "secret_key")
    }
    return {"platform_backup_destinations": [one | change]}


def through(state: LabState, service: str, port: int) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return playbook, variables and arguments that reach a server through another port."""
    host = where(state, service)[0]
    if service == "proxmox":
        return "provision", {"platform_proxmox_api_port": port}, ()
    if service == "truenas":
        return "storage", {"platform_truenas_port": port}, ("--limit", "nas-a")
    if service == "s3":
        return "preflight", destination(state, endpoint=f"https://{host}:{port}"), ("--limit", "localhost")
    connection = {"url": f"https://{host}:{port}", "ca_path": state.connection["ca_file"], "token": kms._root(state)}
    return str(HERE / "plays/vault_policy.yml"), {"connection": connection}, ()


@pytest.mark.parametrize(
    ("kind", "service", "words"),
    [
        ("expired", "proxmox", ("has expired", "Renew it")),
        ("foreign", "truenas", ("certificate", "ca_path")),
        ("expired", "s3", ("certificate has expired",)),
        ("foreign", "vault", ("certificate", "ca_path")),
        pytest.param("foreign", "proxmox", ("certificate", "ca_path"), marks=more),
        pytest.param("expired", "truenas", ("certificate has expired",), marks=more),
        pytest.param("foreign", "s3", ("certificate", "ca_path"), marks=more),
        pytest.param("expired", "vault", ("certificate has expired",), marks=more),
    ],
)
def test_certificate(empty_lab: LabState, tmp_path: pathlib.Path, kind: str, service: str, words: tuple[str, ...]) -> None:
    host, port = where(empty_lab, service)
    with front(kind, tmp_path, host, (host, port), empty_lab.dir / "pki") as door:
        playbook, values, args = through(empty_lab, service, door.port)
        run = refused(empty_lab, playbook, values, *args)
        assert door.handshakes > 0 and door.sent == 0
    says(run, f"{host}:{door.port}", *words)


@more
def test_same_way_works_with_a_good_certificate(empty_lab: LabState, tmp_path: pathlib.Path) -> None:
    """Otherwise the refusals above might have another reason."""
    host, port = where(empty_lab, "proxmox")
    with front("good", tmp_path, host, (host, port), empty_lab.dir / "pki") as door:
        run = play("provision", "-e", json.dumps({"platform_proxmox_api_port": door.port}), on=empty_lab.name, check=True)
    assert run.status == 0 and door.sent > 0, run.explain()


def test_wrong_token_of_proxmox(empty_lab: LabState) -> None:
    run = refused(empty_lab, "provision", {"platform_proxmox_api_token_secret": "00000000-0000-0000-0000-000000000000"})
    says(run, empty_lab.connection["proxmox"]["host"], "does not accept the credentials", "automation@pve!lab", "api_token_secret")


@more
def test_wrong_password_of_proxmox(empty_lab: LabState) -> None:
    values = {"platform_proxmox_api_token_id": "", "platform_proxmox_api_token_secret": "", "platform_proxmox_api_password": "not-the-password"}
    run = refused(empty_lab, "provision", values)
    says(run, empty_lab.connection["proxmox"]["host"], "does not accept the credentials", "automation@pve", "api_password")
    assert "not-the-password" not in json.dumps(run.document)


def test_wrong_key_of_truenas(empty_lab: LabState) -> None:
    """One of the two systems is enough: the other one is not written to either."""
    run = refused(empty_lab, "storage", {"platform_truenas_api_key": "1-not-the-key"})
    says(run, empty_lab.connection["truenas"]["primary"]["host"], "automation", "api_key")
    assert "1-not-the-key" not in json.dumps(run.document)


def test_wrong_secret_of_s3(empty_lab: LabState) -> None:
    run = refused(empty_lab, "preflight", destination(empty_lab, secret_key="not-the-secret"), "--limit", "localhost")
    says(run, "offsite", empty_lab.connection["s3"]["endpoint"], "SignatureDoesNotMatch", "secret_key")
    assert "not-the-secret" not in json.dumps(run.document)


@pytest.mark.parametrize(
    ("login", "words"),
    [
        pytest.param({"token": "s.not-the-token"}, ("403", "token"), marks=more),
        ({"auth_method": "approle", "role_id": "not-the-role", "secret_id": "not-the-secret"}, ("approle", "role_id")),
    ],
)
def test_wrong_login_of_vault(empty_lab: LabState, login: dict[str, str], words: tuple[str, ...]) -> None:
    url = empty_lab.connection["kms"]["address"]
    run = refused(empty_lab, str(HERE / "plays/vault_policy.yml"), {"connection": {"url": url, "ca_path": empty_lab.connection["ca_file"], **login}})
    says(run, url, *words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"node": "pve9"}, ("vault-2", "pve9", "pve1")),
        pytest.param({"clone_from": "debian99"}, ("vault-2", "debian99", "debian12"), marks=more),
        ({"full_clone": True, "disks": {"scsi0": {"storage": "tape", "size_gib": 8}}}, ("vault-2", "tape", "local-lvm")),
        ({"coress": 2}, ("coress", "cores")),
        pytest.param({"name": "vault-1"}, ("vault-1",), marks=more),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_guest_that_cannot_be_made(empty_lab: LabState, tmp_path: pathlib.Path, change: dict[str, Any], words: tuple[str, ...]) -> None:
    says(refused(empty_lab, "provision", {}, *guest(empty_lab, tmp_path, **change)), *words)


def finished(node: Any, upid: str) -> None:
    """Wait for a task of the node: what it changes would look like a write of the play."""
    end = time.monotonic() + 60
    while (status := node.tasks(upid).status.get())["status"] != "stopped":
        assert time.monotonic() < end, status
        time.sleep(0.1)
    assert status["exitstatus"] == "OK", status


def test_name_that_two_guests_have(empty_lab: LabState) -> None:
    access = empty_lab.connection["proxmox"]
    node = proxmox(empty_lab).nodes(access["node"])
    for vmid in (901, 902):
        finished(node, node.qemu(9000).clone.post(newid=vmid, name="vault-3"))
    try:
        says(refused(empty_lab, "provision", {}), "vault-3", "901", "902", "vmid")
    finally:
        for vmid in (901, 902):
            finished(node, node.qemu(vmid).delete(purge=1))
    assert [name for name in held(empty_lab)["guests"] if "vault" in name] == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"storage_datasets": [{"name": "tank/platform", "quota": "512M"}]}, ("tank/platform", "quota", "1 GiB")),
        ({"storage_datasets": [{"name": "tank/platform", "qouta": "5G"}]}, ("qouta", "quota")),
        pytest.param({"storage_snapshot_tasks": [{"dataset": "tank/platform", "recursiv": True}]}, ("recursiv",), marks=more),
        pytest.param({"storage_replication_pairs": [{"name": "nas-b", "hots": "x"}]}, ("hots", "host"), marks=more),
        ({"storage_pools": [{"name": "tank", "topolgy": {}}]}, ("topolgy", "topology")),
    ],
    ids=["quota", "dataset", "snapshot_task", "pair", "pool"],
)
def test_storage_that_cannot_be_made(empty_lab: LabState, values: dict[str, Any], words: tuple[str, ...]) -> None:
    """The pools come first and are fine: they are not made either."""
    says(refused(empty_lab, "storage", values), *words)


def test_site_writes_nowhere_if_one_endpoint_refuses(empty_lab: LabState) -> None:
    """Guests come before storage; what is wrong with the storage is found before the first guest is made."""
    run = refused(empty_lab, "site", {"storage_datasets": [{"name": "tank/platform", "quota": "512M"}]})
    says(run, "Nothing was changed", "tank/platform", "quota")
