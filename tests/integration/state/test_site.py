"""``site`` from nothing: the check tells the truth, the second run changes nothing, drift is named and repaired, what exists is adopted."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator

import hvac
import pytest
from held import nas, proxmox
from predicted import differences
from runs import Run, lab, play

from lab.state import LabState

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not os.environ.get("RESILIENT_LONG_TESTS"), reason="builds a whole platform and runs about 25 playbooks on it, 15 minutes: RESILIENT_LONG_TESTS=1"
    ),
]


class Platform:
    """A lab on which ``site`` ran, and what each run on the way said."""

    def __init__(self, state: LabState) -> None:
        self.state = state
        self.runs: dict[str, Run] = {}

    def play(self, name: str, *args: str, check: bool = False, fails: bool = False) -> Run:
        run = play(name, *args, on=self.state.name, check=check)
        assert (run.status != 0) == fails, run.explain()
        return run

    def ssh(self, host: str, command: str) -> str:
        """Run a command on a guest."""
        ssh = self.state.connection["ssh"]
        options = (f"UserKnownHostsFile={self.state.dir}/known_hosts", "LogLevel=ERROR", "BatchMode=yes")
        address = f"{ssh['user']}@{self.state.connection['guests'][host]}"
        argv = ["ssh", "-i", ssh["private_key_file"], *(word for option in options for word in ("-o", option)), address, command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout

    def vault(self) -> hvac.Client:
        """Return a client with the administrator's rights."""
        credentials = json.loads((self.state.dir / "credentials/admin.json").read_text())
        client = hvac.Client(f"https://{self.state.connection['guests']['vault-1']}:8200", verify=str(self.state.dir / "credentials/tls/ca.crt"))
        client.auth.approle.login(credentials["role_id"], credentials["secret_id"])
        return client


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    name = os.environ.get("RESILIENT_LAB", "test") + "-sl"
    lab(name, "up")
    state = LabState.open(name, create=False)
    state.load()
    made = Platform(state)
    made.runs["check of nothing"] = made.play("site", check=True)
    made.runs["provision"] = made.play("provision")
    made.runs["check of bare guests"] = made.play("site", check=True)
    made.runs["site"] = made.play("site")
    yield made
    lab(name, "down")


def changed(run: Run) -> dict[str, int]:
    return {host: numbers["changed"] for host, numbers in run.stats.items() if numbers["changed"]}


def test_check_of_an_empty_platform_said_what_provisioning_did(platform: Platform) -> None:
    only = Run(0, {"plays": platform.runs["check of nothing"].document["plays"]}, "")
    there = {key: diff for key, diff in only.changes.items() if key[0] == "pve1"}
    assert set(there) == set(platform.runs["provision"].changes)
    assert [line for line in differences(only, platform.runs["provision"]) if not line.startswith("in vain: ('nas-")] == []


def test_check_of_an_empty_platform_said_what_became_of_the_storage(platform: Platform) -> None:
    def storage(run: Run) -> dict[object, object]:
        return {key: diff for key, diff in run.changes.items() if key[0].startswith("nas-")}

    assert len(storage(platform.runs["site"])) == 6
    assert storage(platform.runs["check of nothing"]) == storage(platform.runs["site"])


def test_check_of_bare_guests_said_what_site_did(platform: Platform) -> None:
    assert differences(platform.runs["check of bare guests"], platform.runs["site"]) == []
    assert {"vault-1", "vault-2", "vault-3", "nas-a", "nas-b"} <= set(changed(platform.runs["site"]))


@pytest.mark.parametrize("playbook", ["site", "provision", "harden", "storage", "vault"])
def test_second_run_changes_nothing(platform: Platform, playbook: str) -> None:
    assert changed(platform.play(playbook)) == {}


def test_check_of_what_is_as_declared_announces_nothing(platform: Platform) -> None:
    assert changed(platform.play("site", check=True)) == {}


def test_drift_is_named_and_exactly_it_is_repaired(platform: Platform) -> None:
    node = proxmox(platform.state).nodes(platform.state.connection["proxmox"]["node"])
    vmid = next(one["vmid"] for one in node.qemu.get() if one["name"] == "vault-3")
    node.qemu(vmid).config.put(cores=2)
    file = platform.ssh("vault-2", "ls /etc/sysctl.d/*hardening*").split()[0]
    platform.ssh("vault-2", f"echo 'kernel.kptr_restrict = 0' | sudo tee -a {file}")
    with nas(platform.state, "primary") as client:
        client.call("pool.dataset.update", ["tank/platform", {"quota": 2 * 1024**3}])
    platform.vault().sys.create_or_update_acl_policy("backup", 'path "kv/*" { capabilities = ["read"] }')

    check = platform.play("site", check=True)
    shown = {(host, task.split(" | ")[0], label): json.dumps(diff) for (host, task, label), diff in check.changes.items()}
    assert "vault-3.cores" in shown["pve1", "present", ""]
    assert file in shown["vault-2", "files", ""] and "kptr_restrict = 0" in shown["vault-2", "files", ""]
    assert '"tank/platform.quota": 2147483648' in shown["nas-a", "datasets", ""]
    assert "kv/*" in shown["vault-1", "bootstrap", "backup"]
    assert set(shown) == {("pve1", "present", ""), ("vault-2", "files", ""), ("nas-a", "datasets", ""), ("vault-1", "bootstrap", "backup")}

    real = platform.play("site")
    assert real.changes == check.changes
    assert node.qemu(vmid).config.get()["cores"] == 1
    assert "kptr_restrict = 0" not in platform.ssh("vault-2", f"cat {file}")
    assert "kv/*" not in platform.vault().sys.read_acl_policy("backup")["data"]["policy"]
    assert changed(platform.play("site")) == {}


def test_controller_without_local_state_adopts_the_platform(platform: Platform) -> None:
    """Only the custody moved to the new controller. It has to learn the guests' host keys; on the platform nothing changes."""
    known_hosts = platform.state.dir / "known_hosts"
    before = sorted(known_hosts.read_text().splitlines())
    known_hosts.unlink()
    shutil.rmtree(platform.state.dir / "work", ignore_errors=True)
    run = platform.play("site")
    assert {(host, task.split(" | ")[0]) for host, task, _label in run.changes} == {("pve1", "known_hosts")}
    assert sorted(known_hosts.read_text().splitlines()) == before
    assert changed(platform.play("site")) == {}


@pytest.mark.parametrize(
    ("playbook", "values", "words"),
    [
        ("vault", {"vault_cluster_policies": [{"name": "app", "polcy": "x"}]}, "polcy"),
        ("vault", {"vault_cluster_nodes": [{"name": "vault-1", "addres": "x"}]}, "addres"),
        ("vault", {"vault_cluster_recovery_threshold": 9}, "vault_cluster_recovery_threshold"),
        ("harden", {"host_hardening_firewall_allowed": [{"prot": 80}]}, "prot"),
        ("harden", {"host_hardening_ssh_port": 70000}, "host_hardening_ssh_port"),
    ],
    ids=["policy", "node", "threshold", "firewall", "ssh_port"],
)
def test_role_variables_that_make_no_sense_are_refused(platform: Platform, playbook: str, values: dict[str, object], words: str) -> None:
    run = platform.play(playbook, "-e", json.dumps(values), fails=True)
    assert run.changes == {}
    assert set(run.failures()) & {"vault-1", "vault-2", "vault-3"}
    assert all(words in text for text in run.failures().values()), run.explain()


def test_wrong_approle_is_refused(platform: Platform, tmp_path: pathlib.Path) -> None:
    custody = platform.state.dir / "credentials"
    kept = (custody / "admin.json").read_text()
    (custody / "admin.json").write_text(json.dumps(json.loads(kept) | {"secret_id": "00000000-0000-0000-0000-000000000000"}))
    try:
        run = platform.play("vault", fails=True)
    finally:
        (custody / "admin.json").write_text(kept)
    assert run.changes == {}
    said = " ".join(run.failures().values())
    assert "approle" in said and "https://" in said and "secret_id" in said, said
    assert changed(platform.play("vault")) == {}


def test_guests_made_by_hand_as_declared_are_adopted(platform: Platform) -> None:
    """Whoever cloned, configured and started the guests: the first run over them changes none."""
    name = f"{platform.state.name}-a"
    lab(name, "up")
    try:
        state = LabState.open(name, create=False)
        state.load()
        api, access = proxmox(state), state.connection["proxmox"]
        node = api.nodes(access["node"])
        for vmid, (host, address) in enumerate(state.connection["guests"].items(), 501):
            upid = node.qemu(9000).clone.post(newid=vmid, name=host)
            while node.tasks(upid).status.get()["status"] == "running":
                time.sleep(0.1)
            network = state.connection["network"]
            node.qemu(vmid).config.put(
                memory=768, ciuser=state.connection["ssh"]["user"], sshkeys=urllib.parse.quote(state.connection["ssh"]["public_key"], safe=""),
                ipconfig0=f"ip={address}/{network['prefix']},gw={network['gateway']}", tags="resilient;vault",
            )
            node.qemu(vmid).status.start.post()
        with nas(state, "primary") as client:
            disks = state.connection["truenas"]["primary"]["disks"]
            client.job("pool.create", [{"name": "tank", "topology": {"data": [{"type": "MIRROR", "disks": disks}]}}])
            comment = "Everything of the platform that is not in a guest"
            client.call("pool.dataset.create", [{"name": "tank/platform", "quota": 1024**3, "comments": comment}])
            for child in ("files", "backups"):
                client.call("pool.dataset.create", [{"name": f"tank/platform/{child}"}])
            client.call("pool.snapshottask.create", [{
                "dataset": "tank/platform", "recursive": True, "naming_schema": "auto-%Y-%m-%d_%H-%M", "schedule": {"minute": "*/15"},
            }])
        run = play("provision", on=name)
        assert run.status == 0, run.explain()
        assert {task.split(" | ")[0] for _host, task, _label in run.changes} == {"known_hosts"}
        nothing = json.dumps({"storage_replication_pairs": [], "storage_replications": []})
        run = play("storage", "-e", nothing, "--limit", "nas-a", on=name)
        assert run.status == 0 and run.changes == {}, run.explain()
    finally:
        lab(name, "down")
