"""Which snapshot on which server ends how, and what a fault in the middle leaves behind. On real servers.

The table is the one of the restore's documentation: source seal, target, plain or by force. What is damaged, a standby and another
transit key are in test_raft.py.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import threading
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._vault import client as client_module
from ansible_collections.resilient.platform.plugins.module_utils._vault import restore as restore_module
from helpers.modules import ModuleFailed
from helpers.vault import write_manifest
from openbao import Kms, wait_for
from openbao_runner import Fleet, Vault

pytestmark = [pytest.mark.server]
SHARES = {"secret_shares": 3, "secret_threshold": 2}


@dataclasses.dataclass(frozen=True)
class Case:
    """Source and target seal, what the target is, how it is asked, and how it ends."""

    source: str
    target: str
    force: bool
    ends: str
    error: str = ""


MATRIX = {
    "its own, Shamir": Case("shamir", "itself", False, "active"),
    "its own, transit": Case("transit", "itself", False, "active"),
    "Shamir on foreign Shamir": Case("shamir", "shamir", False, "unharmed", "set force with manifest"),
    "Shamir on foreign Shamir of other shares, by force": Case("shamir", "shamir", True, "old keys"),
    "transit on fresh transit of the same key": Case("transit", "transit", False, "active"),
    "transit on transit of another key": Case("transit", "other", False, "unharmed", "400"),
    "transit on transit of another key, by force": Case("transit", "other", True, "old seal", "cannot decrypt the snapshot's keys"),
    "transit on Shamir": Case("transit", "shamir", True, "unharmed", "could never be unsealed"),
    "Shamir on transit": Case("shamir", "transit", False, "unharmed", "sealed by shamir, the server by transit"),
    "Shamir on transit, by force": Case("shamir", "transit", True, "migration"),
}


def server(fleet: Fleet, kms: Kms, seal: str, name: str, **shares: int) -> Vault:
    """Return an initialised server of its own."""
    used = None
    if seal != "shamir":
        used = kms if seal == "transit" else Kms(kms.directory, port=kms.port, key="other-key")
        used.write(f"transit/keys/{used.key}", {})
    wanted = shares or (SHARES if used is None else {})
    return fleet.vault(fleet.make(kms=used, prefix=name)[0]).initialise(f"{name}.json", **wanted)


def filled(vault: Vault, *, megabytes: int = 0) -> Vault:
    """Put something in, so that there is something to lose."""
    vault.enable_kv()
    vault.put("canary", "alive")
    for number in range(megabytes):
        vault.put(f"filler/{number}", os.urandom(384 * 1024).hex())
    return vault


def snapshot(vault: Vault, path: pathlib.Path) -> str:
    return str(vault.run("vault_raft_snapshot", dest=str(path))["snapshot"]["sha256"])


@pytest.mark.long
@pytest.mark.parametrize("name", MATRIX)
def test_a_restore_ends_as_it_is_written(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path, name: str) -> None:
    case, path = MATRIX[name], tmp_path / "x.snap"
    source = filled(server(fleet, kms, case.source, "source"))
    digest = snapshot(source, path)
    if case.target == "itself":
        source.put("canary", "changed since")
        target = source
    else:
        source.node.stop(kill=True)
        target = server(fleet, kms, case.target, "target", **({"secret_shares": 1, "secret_threshold": 1} if case.target == "shamir" else {}))
    options: dict[str, t.Any] = {"path": str(path), "expected_sha256": digest, "wait_timeout": 60, "force": case.force}
    if case.force:
        options |= write_manifest(tmp_path, digest)
    old = Vault(target.node, token=source.token, directory=tmp_path)
    if case.error:
        with pytest.raises(ModuleFailed, match=case.error):
            target.run("vault_raft_restore", **options)
    else:
        restored = target.run("vault_raft_restore", **options)["restore"]
        assert restored["forced"] is case.force
        assert restored["state"] == ("active" if case.ends == "active" else "sealed")
    if case.ends == "unharmed":
        assert target.node.health() == 200 and target.node.call("GET", "auth/token/lookup-self", token=target.token).status_code == 200
        return
    if case.ends == "old seal":
        # The right key beside it and a restart bring it back: nothing is lost, but nobody is served meanwhile.
        target.node.stop()
        target.node.kms = kms
        target.node.start()
    elif case.ends != "active":
        target.node.restart()
        keys = {"keys_file": str(tmp_path / "source.json"), "migrate": case.ends == "migration"}
        assert Vault(target.node, directory=tmp_path).run("vault_unseal", **keys, wait_timeout=60)["changed"]
    wait_for(lambda: target.node.health() == 200, "the target to be active")
    assert old.value("canary") == "alive"


@pytest.mark.long
def test_a_raised_minimum_of_the_key_service_is_survived_by_the_cluster_and_not_by_its_backup(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    own = Kms(kms.directory, port=kms.port, key="rotating")
    own.write("transit/keys/rotating", {})
    source = filled(fleet.vault(fleet.make(kms=own, prefix="source")[0]).initialise())
    path = tmp_path / "x.snap"
    digest = snapshot(source, path)
    own.write("transit/keys/rotating/rotate", {})
    source.node.restart()
    wait_for(lambda: source.node.health() == 200, "the source to wrap its keys anew")
    own.write("transit/keys/rotating/config", {"min_decryption_version": 2})
    source.node.restart()
    wait_for(lambda: source.node.health() == 200, "the source, which does not notice")
    source.node.stop()
    target = fleet.vault(fleet.make(kms=own, prefix="target")[0]).initialise("target.json")
    wanted = {"path": str(path), "expected_sha256": digest, "wait_timeout": 60}
    with pytest.raises(ModuleFailed, match="400"):
        target.run("vault_raft_restore", **wanted)
    assert target.node.health() == 200
    with pytest.raises(ModuleFailed, match="min_decryption_version is 2, the snapshot needs 1"):
        target.run("vault_seal_custody_info", url=own.url, token=own.token, path=str(path), key_name="rotating")
    with pytest.raises(ModuleFailed, match="min_decryption_version above it"):
        target.run("vault_raft_restore", **wanted, force=True, **write_manifest(tmp_path, digest))
    own.write("transit/keys/rotating/config", {"min_decryption_version": 1})
    target.node.restart()
    wait_for(lambda: target.node.health() == 200, "the target, whose key can be used again")
    assert Vault(target.node, token=source.token, directory=tmp_path).value("canary") == "alive"


@pytest.mark.long
def test_a_server_waits_for_its_key_service_and_ends_with_its_token(fleet: Fleet, tmp_path: pathlib.Path) -> None:
    own = Kms(tmp_path / "own-kms").start()
    try:
        vault = fleet.vault(fleet.make(kms=own)[0]).initialise()
        node, process = vault.node, own.server
        assert process is not None and process.process is not None
        node.stop()
        # Not the service itself: its keys would be gone with it. It only does not answer.
        process.process.send_signal(19)
        config = node.directory / "config.json"
        node.server.start() if node.server else None
        with pytest.raises(ModuleFailed, match="no answer|does not answer|Cannot read the seal status"):
            vault.run("vault_unseal", wait_timeout=2, request_timeout=2)
        process.process.send_signal(18)
        wait_for(lambda: node.health() == 200, "the node, when its key service answers again", seconds=60)
        assert vault.run("vault_unseal", wait_timeout=30)["node"]["state"] == "active"
        node.stop()
        text = config.read_text().replace(own.token, "revoked-token")
        config.write_text(text)
        assert node.server is not None
        node.server.start()
        ended = node.server.process
        assert ended is not None
        wait_for(lambda: ended.poll() is not None, "the server to end: its token is not known")
        with pytest.raises(ModuleFailed, match="no answer"):
            vault.run("vault_unseal", wait_timeout=2)
    finally:
        own.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="fills a small file system, which only root can mount")
def test_a_full_disk_leaves_no_half_snapshot(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    vault = filled(server(fleet, kms, "transit", "full"), megabytes=2)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "resilient-test", str(small)], check=True)
    try:
        before = small / "newest.snap"
        before.write_bytes(b"the one from yesterday")
        with pytest.raises(ModuleFailed, match="No space left on device.*nothing is left behind"):
            vault.run("vault_raft_snapshot", dest=str(before))
        assert os.listdir(small) == ["newest.snap"] and before.read_bytes() == b"the one from yesterday"
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert vault.value("canary") == "alive"


def test_a_leader_killed_in_the_middle_of_a_snapshot_leaves_none(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = filled(server(fleet, kms, "transit", "killed"), megabytes=24)
    path = tmp_path / "x.snap"
    honest = vars(client_module.VaultClient)["download"]
    seen: list[int] = []

    def interrupted(client: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Iterator[bytes]:
        for piece in t.cast(t.Callable[..., t.Iterator[bytes]], honest)(client, *args, **kwargs):
            yield piece
            seen.append(len(piece))
            if len(seen) == 1:
                vault.node.stop(kill=True)

    monkeypatch.setattr(client_module.VaultClient, "download", interrupted)
    with pytest.raises(ModuleFailed, match="the stream broke off|is not complete"):
        vault.run("vault_raft_snapshot", dest=str(path))
    assert seen and sum(seen) < 24 * 768 * 1024, "the server had sent all of it before it was killed"
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.suffix == ".snap" or entry.name.startswith(".")) == []
    monkeypatch.undo()
    vault.node.start()
    wait_for(lambda: vault.node.health() == 200, "the node to be active again")
    assert snapshot(vault, path) and path.exists()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["while it is sent", "after it is accepted"])
def test_a_leader_killed_in_the_middle_of_a_restore_is_told_truthfully(
    fleet: Fleet, kms: Kms, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    vault = filled(server(fleet, kms, "transit", "target"), megabytes=24)
    path = tmp_path / "x.snap"
    digest = snapshot(vault, path)
    vault.put("canary", "changed since")
    if moment == "while it is sent":
        # A third of it is on its way when the server dies.
        killer = threading.Event()

        class Slow:
            def __init__(self, file: t.BinaryIO) -> None:
                self.file, self.size, self.sent = file, os.fstat(file.fileno()).st_size, 0

            def __len__(self) -> int:
                return self.size

            def read(self, size: int = -1) -> bytes:
                if self.sent > self.size // 3 and not killer.is_set():
                    killer.set()
                    vault.node.stop(kill=True)
                piece = self.file.read(size)
                self.sent += len(piece)
                return piece

        honest = vars(client_module.VaultClient)["upload"]

        def upload(client: t.Any, api: str, file: t.BinaryIO, *, what: str, timeout: float | None = None) -> t.Any:
            return honest(client, api, t.cast(t.BinaryIO, Slow(file)), what=what, timeout=timeout)

        monkeypatch.setattr(client_module.VaultClient, "upload", upload)
        expected = "Cannot restore the snapshot at .*no answer"
    else:
        send = restore_module._send

        def accepted(*args: t.Any, **kwargs: t.Any) -> t.Any:
            answer = send(*args, **kwargs)
            vault.node.stop(kill=True)
            return answer

        monkeypatch.setattr(restore_module, "_send", accepted)
        expected = "accepted the snapshot, but within 4 s it was not seen to be applied: .*unreachable"
    with pytest.raises(ModuleFailed, match=expected):
        vault.run("vault_raft_restore", path=str(path), expected_sha256=digest, wait_timeout=4)
    monkeypatch.undo()
    vault.node.start()
    wait_for(lambda: vault.node.health() == 200, "the node to be active again")
    # Before or after, never a mixture; and the same snapshot can be restored again.
    assert vault.value("canary") in ("alive", "changed since")
    assert all(vault.value(f"filler/{number}") for number in range(24))
    vault.run("vault_raft_restore", path=str(path), expected_sha256=digest, wait_timeout=60)
    assert vault.value("canary") == "alive"
