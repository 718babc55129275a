"""Damage to canaries in the stores themselves."""

from __future__ import annotations

import contextlib
import json
import pathlib
import typing as t

from harness import looks

from lab.state import LabState

# In the middle of what every backup of a drill holds: never the newest, which could be lost without being missed.
MIDDLE = 2


def files_path(state: LabState, series: str) -> pathlib.Path:
    """Return the file of a series on the dataset."""
    return pathlib.Path(state.connection["truenas"]["primary"]["mount"], "tank/platform/files/canary", f"{series}.jsonl")


@contextlib.contextmanager
def file_without(state: LabState, series: str) -> t.Iterator[None]:
    """The record in the middle is gone from the file."""
    path = files_path(state, series)
    good = path.read_bytes()
    path.write_bytes(b"".join(line for line in good.splitlines(True) if json.loads(line)["sequence"] != MIDDLE))
    yield
    path.write_bytes(good)


@contextlib.contextmanager
def file_forged(state: LabState, series: str) -> t.Iterator[None]:
    """The record in the middle of the file says another time, under the MAC that it had."""
    path = files_path(state, series)
    good = path.read_bytes()
    lines = [json.loads(line) for line in good.splitlines()]
    for line in lines:
        if line["sequence"] == MIDDLE:
            line["time"] = "2026-01-01T00:00:00.000000Z"
    path.write_bytes(b"".join(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n" for line in lines))
    yield
    path.write_bytes(good)


@contextlib.contextmanager
def _vault_record(state: LabState, series: str) -> t.Iterator[tuple[t.Any, str, dict[str, t.Any]]]:
    """A client that may do anything to the canaries, the path of the record in the middle, and the record; put back afterwards."""
    admin = looks.vault(state)
    policy = 'path "kv/*" { capabilities = ["create", "read", "update", "delete", "list"] }'
    admin.adapter.put("/v1/sys/policies/acl/fault", json={"policy": policy})
    admin.auth.approle.create_or_update_approle("fault", token_policies=["fault"])
    role = admin.auth.approle.read_role_id("fault")["data"]["role_id"]
    secret = admin.auth.approle.generate_secret_id("fault")["data"]["secret_id"]
    client = looks.vault(state, "canary")
    client.auth.approle.login(role, secret)
    path = f"canary/{series}/{MIDDLE:08d}"
    kv = client.secrets.kv.v2
    good = kv.read_secret_version(path=path, mount_point="kv", raise_on_deleted_version=True)["data"]["data"]
    try:
        yield client, path, dict(good)
    finally:
        kv.create_or_update_secret(path=path, secret=good, mount_point="kv")
        admin.auth.approle.delete_role("fault")
        admin.adapter.delete("/v1/sys/policies/acl/fault")


@contextlib.contextmanager
def vault_without(state: LabState, series: str) -> t.Iterator[None]:
    """The record in the middle is gone from Vault."""
    with _vault_record(state, series) as (client, path, _good):
        client.secrets.kv.v2.delete_metadata_and_all_versions(path=path, mount_point="kv")
        yield


@contextlib.contextmanager
def vault_forged(state: LabState, series: str) -> t.Iterator[None]:
    """The record in the middle of Vault says another time, under the MAC that it had."""
    with _vault_record(state, series) as (client, path, good):
        client.secrets.kv.v2.create_or_update_secret(path=path, secret={**good, "time": "2026-01-01T00:00:00.000000Z"}, mount_point="kv")
        yield


DAMAGES: dict[str, tuple[t.Callable[[LabState, str], t.ContextManager[None]], str]] = {
    "files-missing": (file_without, f"files: record {MIDDLE} missing below the newest recovered one"),
    "files-forged": (file_forged, f"files: record {MIDDLE} forged: the MAC is wrong"),
    "vault-missing": (vault_without, f"vault: record {MIDDLE} missing below the newest recovered one"),
    "vault-forged": (vault_forged, f"vault: record {MIDDLE} forged: the MAC is wrong"),
}
