"""Modules that may take longer than ten seconds have an action plugin that says what they wait for."""

from __future__ import annotations

import importlib
import pathlib
import threading
import types
import typing as t

import pytest
import yaml
from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display

from ansible_collections.resilient.platform.plugins.plugin_utils import _progress

PLUGINS = pathlib.Path(__file__).parents[4] / "plugins"
ACTION = "ansible_collections.resilient.platform.plugins.action"
NAS, VAULT = {"api_host": "nas-a", "api_key": "SECRET"}, {"url": "https://v1:8200", "token": "SECRET"}
DESTINATIONS = {"destinations": [{"name": "offsite", "secret_key": "SECRET"}, {"name": "nas"}]}

WAITS: list[tuple[str, dict[str, t.Any], str]] = [
    ("backup_copy", {"key": "lab/a.snap", "destination": {"name": "offsite", "secret_key": "SECRET"}}, "lab/a.snap to arrive and be read back at offsite"),
    ("backup_copy", {"key": "lab/a.snap", "destination": "{{ x }}", "direction": "fetch"}, "lab/a.snap to come from its destination"),
    ("backup_manifest", DESTINATIONS, "the manifest at offsite, nas"),
    ("backup_manifest_info", DESTINATIONS, "the newest manifest at offsite, nas"),
    ("canary", {"mode": "read", "stores": [{"name": "vault", "token": "SECRET"}]}, "canaries of vault (mode read)"),
    ("evidence_record", {"step": "backup", "check": "read_back", "actual": "SECRET"}, "the record backup/read_back to be kept"),
    ("evidence_run", {"operation": "dr_drill", "environment": "lab"}, "the run of dr_drill in lab to be started"),
    ("proxmox_backup", {"guests": ["web", "db"], "storage": "pbs", "api_password": "SECRET"}, "web, db to be backed up to pbs"),
    ("proxmox_restore", {"guest": "web", "storage": "pbs"}, "the newest backup of web to be restored and looked at"),
    ("proxmox_template", {"name": "debian12", "api_password": "SECRET"}, "template debian12"),
    ("proxmox_vm_snapshot", {"guest": "web", "snapshot": "old", "state": "rollback"}, "snapshot old of web to be rolled back to"),
    ("truenas_dataset", {**NAS, "datasets": [{"name": "tank/a"}, {"name": "tank/b"}]}, "datasets tank/a, tank/b at nas-a"),
    ("truenas_call", {**NAS, "method": "pool.scrub.scrub", "params": ["SECRET"]}, "pool.scrub.scrub at nas-a"),
    ("truenas_dataset_lock", {**NAS, "datasets": [{"name": "tank/a", "passphrase": "SECRET"}]}, "datasets tank/a to be locked or unlocked at nas-a"),
    ("truenas_pool", {**NAS, "name": "tank"}, "pool tank to be present at nas-a"),
    ("truenas_replication", {**NAS, "tasks": [{"name": "a to b"}], "run": True}, "a to b to be run at nas-a"),
    ("truenas_replication", {"tasks": [{"name": "a to b"}]}, "a to b to be as declared"),
    ("truenas_replication", {**NAS, "one_time": {"target_dataset": "tank/a"}}, "replication to tank/a to be run at nas-a"),
    ("truenas_replication_pair", {**NAS, "name": "nas-b", "peer": {"api_key": "SECRET"}}, "SSH connection nas-b at nas-a"),
    ("truenas_snapshot", {"snapshots": [{"dataset": "tank/a"}]}, "snapshots of tank/a"),
    ("truenas_snapshot_task", {**NAS, "tasks": [{"dataset": "tank/a"}]}, "snapshot tasks of tank/a at nas-a"),
    ("vault_init", VAULT, "the initialisation of the server at https://v1:8200"),
    ("vault_raft_peer", {**VAULT, "node_id": "n3", "state": "replaced"}, "the raft configuration to have n3 replaced"),
    ("vault_raft_prove", {**VAULT, "node_urls": ["https://v1:8200", "https://v2:8200"]}, "a write to arrive on https://v1:8200, https://v2:8200"),
    ("vault_raft_restore", {**VAULT, "path": "/w/a.snap"}, "snapshot /w/a.snap to be restored at https://v1:8200"),
    ("vault_raft_snapshot", {**VAULT, "dest": "/w/a.snap"}, "a snapshot in /w/a.snap at https://v1:8200"),
    ("vault_raft_snapshot_verify", {"path": "/w/a.snap"}, "the verification of /w/a.snap"),
    ("vault_secrets_engine", {**VAULT, "path": "kv"}, "engine kv to be present at https://v1:8200"),
    ("vault_unseal", {**VAULT, "keys": ["SECRET"]}, "the server at https://v1:8200 to be unsealed and usable"),
]


def action(name: str, args: dict[str, t.Any]) -> t.Any:
    plugin = object.__new__(importlib.import_module(f"{ACTION}.{name}").ActionModule)
    plugin._task = types.SimpleNamespace(args=args)
    return plugin


@pytest.mark.parametrize(("name", "args", "text"), WAITS)
def test_says_what_is_waited_for_and_no_secret(name: str, args: dict[str, t.Any], text: str) -> None:
    assert action(name, args).awaited(args) == text


def test_every_module_that_waits_has_one() -> None:
    waiting = {
        path.stem for path in (PLUGINS / "modules").glob("*.py")
        if "_wait" in str(yaml.safe_load(path.read_text().split('DOCUMENTATION = r"""')[1].split('"""')[0]).get("extends_documentation_fragment"))
        or "wait_timeout:" in path.read_text()
    }
    # _info modules take the option along with the connection but wait for nothing.
    assert {"vault_unseal", "truenas_replication"} <= waiting
    assert waiting - {path.stem for path in (PLUGINS / "action").glob("*.py")} == set()


def test_each_plugin_is_covered_here() -> None:
    mine = {name for name, _args, _text in WAITS} | {"proxmox_fleet", "proxmox_vm"}
    assert mine == {path.stem for path in (PLUGINS / "action").glob("*.py")}


def test_module_runs_and_a_long_one_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    heard = threading.Event()

    def say(_display: Display, line: str) -> None:
        lines.append(line)
        heard.set()

    def module(_self: t.Any, _tmp: t.Any, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        assert heard.wait(10)
        return {"changed": True, "host": task_vars["inventory_hostname"]}

    monkeypatch.setattr(Display, "display", say)
    monkeypatch.setattr(NormalAction, "run", module)
    monkeypatch.setattr(_progress.Heartbeat.__init__, "__kwdefaults__", {**_progress.Heartbeat.__init__.__kwdefaults__, "interval": 0.01})
    assert action("truenas_pool", {"name": "tank"}).run(None, {"inventory_hostname": "nas-a"}) == {"changed": True, "host": "nas-a"}
    assert lines[0].startswith("[nas-a] waiting for pool tank to be present (")
