"""Snapshots, verification, restore and the replication proof on real raft clusters."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import typing as t

import pytest
from helpers.modules import ModuleFailed
from helpers.vault import write_manifest
from openbao import Kms, Node, wait_for
from openbao_runner import Fleet, Vault

pytestmark = pytest.mark.server

SNAPSHOT_POLICY = 'path "sys/storage/raft/snapshot" { capabilities = ["read"] }'


def members(path: pathlib.Path) -> dict[str, bytes]:
    with tarfile.open(path, "r:gz") as archive:
        return {member.name: t.cast(t.IO[bytes], archive.extractfile(member)).read() for member in archive}


def rebuild(path: pathlib.Path, content: dict[str, bytes]) -> pathlib.Path:
    """Write an archive with *content*, as somebody who tampers would."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.write_bytes(gzip.compress(raw.getvalue(), 0))
    return path


def tampered(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
    """Flip one bit of the data and rewrite the checksums so that they fit."""
    content = members(source)
    state = bytearray(content["state.bin"])
    state[-1] ^= 1
    content["state.bin"] = bytes(state)
    sums = [f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in ("state.bin", "meta.json")]
    content["SHA256SUMS"] = "".join(sums).encode()
    return rebuild(target, content)


def verify(vault: Vault, path: pathlib.Path, **options: t.Any) -> dict[str, t.Any]:
    return vault.run("vault_raft_snapshot_verify", path=str(path), fail_on="never", **options)


def outcome(result: dict[str, t.Any], name: str) -> str:
    return str(next(check["outcome"] for check in result["checks"] if check["name"] == name))


def active_cluster(fleet: Fleet, kms: Kms, prefix: str) -> tuple[list[Node], Vault]:
    """Return three nodes that replicate, and a runner on the leader."""
    nodes = fleet.make(kms=kms, size=3, prefix=prefix, start=False)
    nodes[0].start()
    vault = fleet.vault(nodes[0]).initialise(f"{prefix}.json")
    for node in nodes[1:]:
        node.start()
    for node in nodes:
        vault.run("vault_unseal", at=node, wait_timeout=60)
    vault.enable_kv()
    return nodes, vault


def test_disaster_recovery_from_a_snapshot_alone(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    """Take from the leader through a standby, verify, lose everything, restore on one node, restart, join two, prove."""
    nodes, vault = active_cluster(fleet, kms, "old")
    vault.put("canary", "alive")
    vault.run("vault_policy", name="backup", policy=SNAPSHOT_POLICY)
    vault.run("vault_auth_method", type="approle", roles={"backup": {"token_policies": ["backup"], "token_ttl": "10m"}})
    credentials = tmp_path / "backup.json"
    vault.run("vault_approle_credentials", role="backup", credentials_file=str(credentials))
    login = json.loads(credentials.read_text(encoding="utf-8"))
    backup = {"token": "", "auth_method": "approle", "role_id": login["role_id"], "secret_id": login["secret_id"]}
    path = tmp_path / "cluster.snap"
    # A standby answers a login from its own copy: it has to have what came before this.
    vault.put("after-the-role", "written")
    wait_for(lambda: vault.value("after-the-role", at=nodes[1]) == "written", "the standby to have the role")
    predicted = vault.run("vault_raft_snapshot", check=True, at=nodes[1], dest=str(path), **backup)
    assert not path.exists()
    done = vault.run("vault_raft_snapshot", at=nodes[1], dest=str(path), **backup)
    snapshot = done["snapshot"]
    assert predicted["diff"] == done["diff"]
    assert set(predicted["snapshot"]) == set(snapshot)
    assert snapshot["leader_address"] == nodes[0].url
    assert snapshot["index"] >= snapshot["minimum_index"]
    assert snapshot["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert snapshot["seal"]["type"] == "transit" and snapshot["seal"]["key_id"] == "v1"
    assert [entry.name for entry in tmp_path.glob(".*")] == []
    result = vault.run("vault_raft_snapshot_verify", path=str(path), expected_sha256=snapshot["sha256"], minimum_index=snapshot["index"])
    assert result["verdict"] == "verified"
    urls = [node.url for node in nodes]
    assert vault.run("vault_raft_prove", node_urls=urls, wait_timeout=30)["proof"]["index"] > snapshot["index"]
    for node in nodes:
        node.stop(kill=True)

    fresh = fleet.make(kms=kms, size=3, prefix="new", start=False)
    fresh[0].start()
    throw_away = fleet.vault(fresh[0]).initialise("throw-away.json")
    options = {"path": str(path), "expected_sha256": snapshot["sha256"], "wait_timeout": 60}
    predicted = throw_away.run("vault_raft_restore", check=True, **options)
    assert throw_away.node.call("GET", "sys/mounts/kv", token=throw_away.token).status_code == 400, "check mode restored"
    done = throw_away.run("vault_raft_restore", **options)
    restore = done["restore"]
    assert predicted["diff"] == done["diff"]
    assert restore["state"] == "active" and restore["evidence"] == "cluster_id changed" and restore["forced"] is False
    assert restore["cluster_id_before"] != restore["cluster_id_after"]
    assert restore["restart_required"] is True
    fresh[0].restart()
    wait_for(lambda: fresh[0].health() == 200, "the restored node to be active again")
    for node in fresh[1:]:
        node.start()
    restored = fleet.vault(fresh[0], token=vault.token)
    for node in fresh:
        restored.run("vault_unseal", at=node, wait_timeout=60)
    assert restored.value("canary") == "alive"
    proof = restored.run("vault_raft_prove", node_urls=[node.url for node in fresh], wait_timeout=60)["proof"]
    assert [entry["applied_index"] >= proof["index"] for entry in proof["nodes"]] == [True, True, True]
    raft = restored.run("vault_raft_info", node_urls=[node.url for node in fresh])["raft"]
    assert sorted(server["node_id"] for server in raft["servers"]) == ["new-1", "new-2", "new-3"]
    assert raft["leader_address"] == fresh[0].url

    fresh[2].stop(kill=True)
    with pytest.raises(ModuleFailed, match="did not reach every node") as failed:
        restored.run("vault_raft_prove", node_urls=[node.url for node in fresh], wait_timeout=2)
    assert fresh[2].url in failed.value.result["msg"]
    assert failed.value.result["error"]["type"] == "NotReplicated"


def test_the_same_cluster_gets_its_own_snapshot_back(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    vault = fleet.vault(fleet.make(kms=kms, prefix="same")[0]).initialise()
    vault.enable_kv()
    vault.put("before", "1")
    path = tmp_path / "own.snap"
    vault.run("vault_raft_snapshot", dest=str(path))
    vault.put("after", "2")
    restore = vault.run("vault_raft_restore", path=str(path), wait_timeout=60)["restore"]
    assert restore["evidence"] == "active_time changed and the applied index went on"
    assert restore["cluster_id_before"] == restore["cluster_id_after"]
    assert vault.value("before") == "1" and vault.value("after") is None


def test_a_standby_is_refused_and_stays_unsealed(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    nodes, vault = active_cluster(fleet, kms, "standby")
    path = tmp_path / "x.snap"
    vault.run("vault_raft_snapshot", dest=str(path))
    for check in (True, False):
        with pytest.raises(ModuleFailed, match="is a standby of") as failed:
            vault.run("vault_raft_restore", check=check, at=nodes[1], path=str(path))
        assert failed.value.result["error"]["leader_address"] == nodes[0].url
    assert [node.health() for node in nodes] == [200, 429, 429]


def test_damaged_snapshots_are_found_and_never_sent(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    vault = fleet.vault(fleet.make(kms=kms, prefix="damage")[0]).initialise()
    path = tmp_path / "good.snap"
    digest = vault.run("vault_raft_snapshot", dest=str(path))["snapshot"]["sha256"]
    data = path.read_bytes()
    (tmp_path / "cut.snap").write_bytes(data[:-200])
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 4
    (tmp_path / "flip.snap").write_bytes(flipped)
    forged = tampered(path, tmp_path / "forged.snap")
    unsealed_sums = rebuild(tmp_path / "unfinished.snap", {key: value for key, value in members(path).items() if key != "SHA256SUMS.sealed"})
    assert outcome(verify(vault, tmp_path / "cut.snap"), "archive") == "failed"
    assert outcome(verify(vault, tmp_path / "flip.snap"), "sums") == "failed"
    assert outcome(verify(vault, unsealed_sums), "sealed_sums") == "failed"
    assert verify(vault, forged)["verdict"] == "could_not_verify", "only a digest from outside can tell"
    assert outcome(verify(vault, forged, expected_sha256=digest), "digest") == "failed"
    applied = vault.run("vault_raft_info")["raft"]["nodes"][0]["active_time"]
    for bad in ("cut", "flip", "unfinished"):
        with pytest.raises(ModuleFailed, match="Will not restore"):
            vault.run("vault_raft_restore", path=str(tmp_path / f"{bad}.snap"))
    with pytest.raises(ModuleFailed, match="Will not restore.*digest"):
        vault.run("vault_raft_restore", path=str(forged), expected_sha256=digest, **write_manifest(tmp_path, digest), force=True)
    with pytest.raises(ModuleFailed, match="vouches for no snapshot with its digest"):
        vault.run("vault_raft_restore", path=str(forged), **write_manifest(tmp_path, digest), force=True)
    with pytest.raises(ModuleFailed, match="hash check failed"):
        vault.run("vault_raft_restore", path=str(forged))  # the plain way: the server's own check finds it
    assert vault.run("vault_raft_info")["raft"]["nodes"][0]["active_time"] == applied


def test_shamir_snapshot_on_a_foreign_shamir_node_needs_force_and_the_old_keys(fleet: Fleet, tmp_path: pathlib.Path) -> None:
    shares = {"secret_shares": 3, "secret_threshold": 2}
    old = fleet.vault(fleet.make(prefix="shamir")[0]).initialise("old.json", **shares)
    old.enable_kv()
    old.put("canary", "alive")
    path = tmp_path / "shamir.snap"
    digest = old.run("vault_raft_snapshot", dest=str(path))["snapshot"]["sha256"]
    old.node.stop(kill=True)
    new = fleet.vault(fleet.make(prefix="foreign")[0]).initialise("new.json", secret_shares=1, secret_threshold=1)
    with pytest.raises(ModuleFailed, match="force needs manifest and public_key"):
        new.run("vault_raft_restore", path=str(path), force=True)
    with pytest.raises(ModuleFailed, match="set force with manifest"):
        new.run("vault_raft_restore", path=str(path))
    restore = new.run("vault_raft_restore", path=str(path), **write_manifest(tmp_path, digest), force=True, wait_timeout=60)["restore"]
    assert restore["forced"] and restore["state"] == "sealed" and restore["unseal_required"] and restore["restart_required"]
    with pytest.raises(ModuleFailed, match="the server refused the keys"):
        new.run("vault_unseal", keys_file=str(tmp_path / "new.json"), wait_timeout=10)
    new.node.restart()
    fleet.vault(new.node).run("vault_unseal", keys_file=str(tmp_path / "old.json"), wait_timeout=60)
    wait_for(lambda: new.node.health() == 200, "the restored node to be active")
    assert fleet.vault(new.node, token=old.token).value("canary") == "alive"


def test_a_snapshot_of_another_transit_key_ends_in_a_named_failure(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    source = fleet.vault(fleet.make(kms=kms, prefix="source")[0]).initialise("source.json")
    path = tmp_path / "s.snap"
    digest = source.run("vault_raft_snapshot", dest=str(path))["snapshot"]["sha256"]
    other = Kms(kms.directory, port=kms.port, key="other-key")
    other.write("transit/keys/other-key", {})
    target = fleet.vault(fleet.make(kms=other, prefix="target")[0]).initialise("target.json")
    with pytest.raises(ModuleFailed, match="400"):
        target.run("vault_raft_restore", path=str(path), expected_sha256=digest)
    with pytest.raises(ModuleFailed, match="cannot decrypt the snapshot's keys"):
        target.run("vault_raft_restore", path=str(path), **write_manifest(tmp_path, digest), force=True, wait_timeout=60)
    shamir = fleet.vault(fleet.make(prefix="plain")[0]).initialise("plain.json", secret_shares=1, secret_threshold=1)
    with pytest.raises(ModuleFailed, match="it could never be unsealed"):
        shamir.run("vault_raft_restore", check=True, path=str(path), **write_manifest(tmp_path, digest), force=True)


def test_the_proof_names_the_node_that_autopilot_calls_healthy(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    """A foreign restore onto a running cluster, then one follower restarted: health and autopilot stay green, replication stops."""
    source = fleet.vault(fleet.make(kms=kms, prefix="origin")[0]).initialise("origin.json")
    source.enable_kv()
    path = tmp_path / "s.snap"
    digest = source.run("vault_raft_snapshot", dest=str(path))["snapshot"]["sha256"]
    nodes, running = active_cluster(fleet, kms, "running")
    running.run("vault_raft_restore", path=str(path), expected_sha256=digest, wait_timeout=60)
    urls = [node.url for node in nodes]
    after = fleet.vault(nodes[0], token=source.token)
    after.run("vault_raft_prove", node_urls=urls, wait_timeout=30)
    nodes[2].restart()
    wait_for(lambda: nodes[2].health() == 429, "the follower to call itself a standby")
    with pytest.raises(ModuleFailed, match="did not reach every node") as failed:
        after.run("vault_raft_prove", node_urls=urls, wait_timeout=6)
    late = [node["url"] for node in failed.value.result["error"]["nodes"] if node["applied_index"] < failed.value.result["error"]["index"]]
    assert late == [nodes[2].url]
    raft = after.run("vault_raft_info", node_urls=urls)["raft"]
    assert [node["state"] for node in raft["nodes"]] == ["active", "standby", "standby"]
    assert raft["autopilot"]["healthy"] is True, "if autopilot sees it one day, say so in the documentation"
    for node in nodes:
        node.stop()
    for node in nodes:
        node.start()
    for node in nodes:
        after.run("vault_unseal", at=node, wait_timeout=60)
    wait_for(lambda: 200 in [node.health() for node in nodes], "a leader")
    assert after.run("vault_raft_prove", node_urls=urls, wait_timeout=60)["proof"]["nodes"]
