"""Autopilot's settings, audit devices and raft members on real servers."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t

import pytest
from helpers.modules import ModuleFailed
from openbao import QUICK, Kms, Node, wait_for
from openbao_runner import Fleet, Vault
from test_objects import make_tls

pytestmark = pytest.mark.server


@dataclasses.dataclass
class Configured(Node):
    """A node with more in its configuration."""

    more: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    listener: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def config(self) -> dict[str, t.Any]:
        result = {**super().config(), **self.more}
        result["listener"]["tcp"] |= self.listener
        result["storage"]["raft"] |= QUICK
        return result


def start(fleet: Fleet, name: str, **fields: t.Any) -> Node:
    """Start a node of its own, which tries to join nobody."""
    node = Configured(name, fleet.directory / f"{name}-{len(fleet.nodes)}", **fields)
    fleet.nodes.append(node)
    return node.start()


def both(vault: Vault, module: str, **options: t.Any) -> dict[str, t.Any]:
    """Run in check mode, for real, and again; the first two have to say the same, and the third nothing."""
    predicted = vault.run(module, check=True, **options)
    done = vault.run(module, **options)
    assert predicted["changed"] and done["changed"] and predicted["diff"] == done["diff"]
    assert not vault.run(module, **options)["changed"]
    return done


@pytest.mark.long
def test_members_join_are_refused_replaced_and_removed(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    tls = make_tls(tmp_path)
    one = start(fleet, "n1", kms=kms, tls=tls)
    vault = fleet.vault(one).initialise()
    settings: dict[str, t.Any] = {"server_stabilization_time": "1s", "last_contact_threshold": "7s"}
    settings |= {"dead_server_last_contact_threshold": "48h", "min_quorum": 3, "cleanup_dead_servers": True}
    assert both(vault, "vault_raft_autopilot", **settings)["autopilot"]["dead_server_last_contact_threshold"] == "48h0m0s"
    assert not vault.run("vault_raft_autopilot", server_stabilization_time=1, dead_server_last_contact_threshold="2880m")["changed"]
    for bad, text in (({"min_quorum": 2}, "at least 3"), ({"dead_server_last_contact_threshold": "30s"}, "at least 1m")):
        with pytest.raises(ModuleFailed, match=text):
            vault.run("vault_raft_autopilot", **bad)

    two, three = (start(fleet, name, kms=kms, tls=tls) for name in ("n2", "n3"))
    peer = both(vault, "vault_raft_peer", node_id="n2", node_url=two.url)["peer"]
    assert peer["node_id"] == "n2" and peer["address"] == f"127.0.0.1:{two.cluster_port}"
    both(vault, "vault_raft_peer", node_id="n3", node_url=three.url)

    def pilot() -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", vault.run("vault_raft_autopilot_info")["state"])

    wait_for(lambda: len(pilot()["voters"]) == 3 and pilot()["failure_tolerance"] == 1, "three voters")
    with pytest.raises(ModuleFailed, match="is the leader"):
        vault.run("vault_raft_peer", check=True, node_id="n1", state="absent", confirm="n1")
    with pytest.raises(ModuleFailed, match="fewer than minimum_voters"):
        vault.run("vault_raft_peer", node_id="n3", state="absent", confirm="n3")
    with pytest.raises(ModuleFailed, match="Set confirm to 'n3'"):
        vault.run("vault_raft_peer", node_id="n3", state="absent")

    # The machine of n3 is gone; a new one with the same name and no data comes.
    three.stop(kill=True)
    with pytest.raises(ModuleFailed, match="does not answer"):
        vault.run("vault_raft_peer", node_id="n3", node_url=three.url, state="replaced", confirm="n3")
    fresh = start(fleet, "n3", kms=kms, tls=tls)
    wait_for(lambda: not pilot()["servers"]["n3"]["healthy"], "autopilot to miss n3")
    with pytest.raises(ModuleFailed, match="the machine was replaced"):
        vault.run("vault_raft_peer", node_id="n3", node_url=fresh.url)
    with pytest.raises(ModuleFailed, match="2 voters, of which 1 live"):
        vault.run("vault_raft_peer", node_id="n2", state="absent", confirm="n2", minimum_voters=1)
    both(vault, "vault_raft_peer", node_id="n3", node_url=fresh.url, state="replaced", confirm="n3")
    # The old machine comes back with its data: the server would say that it joined.
    three.start()
    wait_for(lambda: three.health() is not None, "the old machine")
    with pytest.raises(ModuleFailed, match="was removed, or is of another cluster|belongs to another cluster"):
        vault.run("vault_raft_peer", node_id="n3-old", node_url=three.url)
    three.stop(kill=True)
    wait_for(lambda: len(pilot()["voters"]) == 3 and pilot()["healthy"], "three voters again")
    vault.enable_kv()
    assert vault.run("vault_raft_prove", node_urls=[one.url, two.url, fresh.url], wait_timeout=30)["proof"]["nodes"]
    both(vault, "vault_raft_peer", node_id="n3", state="absent", confirm="n3", minimum_voters=2)


def test_a_shamir_node_joins_by_the_keys(fleet: Fleet) -> None:
    one, two = start(fleet, "s1"), start(fleet, "s2")
    vault = fleet.vault(one).initialise(secret_shares=3, secret_threshold=2)
    keys = str(fleet.directory / "init.json")
    options = {"node_id": "s2", "node_url": two.url, "keys_file": keys, "wait_timeout": 60}
    assert vault.run("vault_raft_peer", **options)["peer"]["node_id"] == "s2"
    assert not vault.run("vault_raft_peer", **options)["changed"]
    vault.run("vault_raft_peer", node_id="s2", state="absent", confirm="s2", minimum_voters=1)
    with pytest.raises(ModuleFailed, match="was removed"):
        vault.run("vault_raft_peer", **options)
    three = start(fleet, "s3")
    with pytest.raises(ModuleFailed, match="joined as s3, not as other"):
        vault.run("vault_raft_peer", node_id="other", node_url=three.url, keys_file=keys, wait_timeout=30)


def test_audit_devices_by_api_and_by_stanza(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    log = tmp_path / "audit.log"
    node = start(fleet, "audited", kms=kms)
    vault = fleet.vault(node).initialise()
    options = {"path": "main", "type": "file", "description": "All", "options": {"file_path": str(log), "mode": "0600"}}
    for check in (True, False):
        with pytest.raises(ModuleFailed, match="from its configuration only") as failed:
            vault.run("vault_audit", check=check, **options)
    assert failed.value.result["error"]["type"] == "ConfigurationOnly"
    stanza = failed.value.result["error"]["stanza"]
    # What it says to write does it: the very same text in a second file of the configuration.
    node.stop()
    config = node.directory / "conf"
    config.mkdir()
    (config / "audit.hcl").write_text(stanza)
    assert node.server is not None
    node.server.argv.append(f"-config={config}")
    node.server.start()
    wait_for(lambda: node.health() == 200, "the node to be active")
    done = vault.run("vault_audit", **options)
    assert not done["changed"] and done["managed_by"] == "configuration"
    assert log.stat().st_size > 0
    with pytest.raises(ModuleFailed, match="from its configuration only"):
        vault.run("vault_audit", **{**options, "description": "Other"})
    with pytest.raises(ModuleFailed, match="Take its stanza out"):
        vault.run("vault_audit", path="main", type="file", state="absent", confirm="main")

    api = fleet.vault(start(fleet, "api", kms=kms, more={"unsafe_allow_api_audit_creation": True})).initialise("api.json")
    assert both(api, "vault_audit", **options)["managed_by"] == "api"
    with pytest.raises(ModuleFailed, match="which no server can change"):
        api.run("vault_audit", **{**options, "description": "Other"})
    both(api, "vault_audit", **{**options, "description": "Other", "recreate": True, "confirm": "main"})
    assert [device["description"] for device in api.run("vault_audit_info")["audits"]] == ["Other"]
    with pytest.raises(ModuleFailed, match="Set confirm"):
        api.run("vault_audit", path="main", type="file", state="absent")
    both(api, "vault_audit", path="main", type="file", state="absent", confirm="main")
    token = api.node.call("POST", "auth/token/create", {"policies": ["auditor"]}, token=api.token).json()["auth"]["client_token"]
    api.run("vault_policy", name="auditor", policy='path "sys/audit" { capabilities = ["read", "sudo"] }')
    assert api.run("vault_audit", check=True, **options, token=token)["managed_by"] == "unknown"
