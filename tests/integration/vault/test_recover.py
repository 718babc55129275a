"""A lost quorum, and a seal that would not unseal any more, on real servers."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from helpers.modules import ModuleFailed
from openbao import QUICK, Kms, Node, session, wait_for
from openbao_runner import Fleet, Vault

pytestmark = pytest.mark.server


def options_for(survivors: t.Sequence[Node], nodes: t.Sequence[Node], node: Node) -> dict[str, t.Any]:
    peers = [{"id": each.name, "address": f"127.0.0.1:{each.cluster_port}"} for each in survivors]
    return {
        "data_dir": str(node.directory / "data"),
        "node_id": node.name,
        "peers": peers,
        "node_urls": [each.url for each in nodes],
        "confirm": ",".join(each.name for each in survivors),
    }


def voters(fleet: Fleet, kms: Kms, prefix: str) -> tuple[list[Node], Vault]:
    """Return three nodes that vote, and a runner on the leader: one that has just joined has no vote, and its loss costs no quorum."""
    nodes = fleet.make(kms=kms, size=3, prefix=prefix, start=False)
    for node in nodes:
        node.raft = QUICK
    vault = fleet.vault(nodes[0].start()).initialise()
    vault.run("vault_raft_autopilot", server_stabilization_time="500ms")
    for node in nodes[1:]:
        node.start()
    vault.enable_kv()
    wait_for(lambda: len(vault.run("vault_raft_autopilot_info")["state"]["voters"]) == 3, "three voters")
    return nodes, vault


@pytest.mark.long
def test_one_of_three_goes_on_alone_when_two_are_gone(fleet: Fleet, kms: Kms) -> None:
    nodes, vault = voters(fleet, kms, "lost")
    vault.put("canary", "alive")
    left = nodes[0]
    options = options_for([left], nodes, left)
    with pytest.raises(ModuleFailed, match="A quorum of the 3 nodes lives .*leads"):
        vault.run("vault_raft_recover", **options)
    for node in nodes[1:]:
        node.stop(kill=True)
    wait_for(lambda: left.health() != 200, "the last node to lose its office")
    with pytest.raises(ModuleFailed, match="still runs"):
        vault.run("vault_raft_recover", **options)
    left.stop()
    with pytest.raises(ModuleFailed, match="Set confirm to 'lost-1'"):
        vault.run("vault_raft_recover", **{**options, "confirm": "yes"})
    predicted = vault.run("vault_raft_recover", check=True, **options)
    written = left.directory / "data" / "raft" / "peers.json"
    assert not written.exists()
    done = vault.run("vault_raft_recover", **options)
    assert predicted["diff"] == done["diff"] and done["changed"] and written.stat().st_mode & 0o777 == 0o600
    assert not vault.run("vault_raft_recover", **options)["changed"]
    left.start()
    wait_for(lambda: left.health() == 200, "the last node to lead")
    assert not written.exists() and vault.value("canary") == "alive"
    assert [server["node_id"] for server in vault.run("vault_raft_info")["raft"]["servers"]] == ["lost-1"]
    vault.put("canary", "on")
    with pytest.raises(ModuleFailed, match="lives"):
        vault.run("vault_raft_recover", **options)


def test_custody_of_the_seal_warns_before_the_disaster(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    own = Kms(kms.directory, port=kms.port, key="custody")
    own.write("transit/keys/custody", {})
    vault = fleet.vault(fleet.make(kms=own, prefix="custody")[0]).initialise()
    path = tmp_path / "newest.snap"
    vault.run("vault_raft_snapshot", dest=str(path))

    def call(where: str, body: dict[str, t.Any]) -> dict[str, t.Any]:
        answer = session().post(f"{kms.url}/v1/{where}", json=body, headers={"X-Vault-Token": kms.token}, timeout=30)
        answer.raise_for_status()
        return t.cast("dict[str, t.Any]", answer.json() if answer.content else {})

    policy = "".join(f'path "transit/{verb}/custody" {{ capabilities = ["update"] }}\n' for verb in ("encrypt", "decrypt"))
    call("sys/policies/acl/seal", {"policy": policy})
    token = call("auth/token/create-orphan", {"policies": ["seal"], "period": "720h"})["auth"]
    wanted = {"url": kms.url, "token": kms.token, "path": str(path), "key_name": "custody"}

    def custody(**options: t.Any) -> dict[str, t.Any]:
        found = vault.run("vault_seal_custody_info", **{**wanted, "fail_on": "never", **options})["custody"]
        return {check["name"]: check["outcome"] for check in found["checks"]} | {"verdict": found["verdict"], "days": (found["token"] or {}).get("days_left")}

    seal = {"seal_token": token["client_token"]}
    assert custody(**seal) == {"key": "good", "token": "good", "token_rights": "good", "verdict": "good", "days": None}
    assert custody(seal_token_accessor=token["accessor"])["verdict"] == "good"
    # The seal's own token may not read the key: then it is not known, which is not good.
    assert custody(token=token["client_token"])["key"] == "unknown"
    short = call("auth/token/create", {"policies": ["default"], "explicit_max_ttl": "72h"})["auth"]["client_token"]
    assert custody(seal_token=short) == {
        "key": "good", "token": "warning", "token_parent": "warning", "token_rights": "critical", "verdict": "critical", "days": pytest.approx(3, abs=0.1),
    }  # fmt: skip
    call("transit/keys/custody/rotate", {})
    assert custody(**seal)["verdict"] == "good"
    call("transit/keys/custody/config", {"min_decryption_version": 2})
    assert custody(**seal)["key"] == "critical"
    with pytest.raises(ModuleFailed, match="min_decryption_version is 2, the snapshot needs 1"):
        vault.run("vault_seal_custody_info", **wanted, **seal)
    call("transit/keys/custody/config", {"min_decryption_version": 1, "deletion_allowed": True})
    assert custody(**seal)["key_deletion"] == "warning"
    call("auth/token/revoke", {"token": token["client_token"]})
    assert custody(**seal)["token"] == "critical"
    assert custody(seal_token_accessor=token["accessor"])["token"] == "critical"
    assert custody(key_name="none")["key"] == "critical"
