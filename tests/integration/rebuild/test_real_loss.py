"""The stand-alone rebuild after losses that no drill has declared: the platform is destroyed by hand, behind the playbooks' back.

Needs a running lab of its own, whose platform it builds and destroys, and about an hour on two cores:
``RESILIENT_LONG_TESTS=1 RESILIENT_LAB=NAME pytest -m lab tests/integration/rebuild``.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import time
import typing as t

import hvac
import pytest
from proxmoxer import ProxmoxAPI

from lab.state import LabState

ROOT = pathlib.Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not os.environ.get("RESILIENT_LONG_TESTS"), reason="builds and rebuilds a platform six times; RESILIENT_LONG_TESTS=1 runs it"),
]
PLAY = ["ansible-playbook", "-i", str(ROOT / "inventories" / "lab")]
# Without objectives: the newest backup gets old while one loss follows the other, and a missed target would say nothing about the rebuild.
REBUILD = ["resilient.platform.dr_rebuild", "-e", '{"dr_rebuild_confirm": "lab", "platform_recovery_objectives": {}}']


class Platform:
    """The lab's platform, seen from outside: over its own APIs and the files of the controller."""

    def __init__(self, state: LabState) -> None:
        self.state = state
        os.environ.pop("REQUESTS_CA_BUNDLE", None)  # would override the CA given below
        os.environ.pop("CURL_CA_BUNDLE", None)
        self.evidence = state.dir / "evidence"
        self.mount = pathlib.Path(state.connection["truenas"]["primary"]["mount"], "tank", "platform")

    def start(self, *argv: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "RESILIENT_LAB": self.state.name, "ANSIBLE_CONFIG": str(ROOT / "inventories" / "lab" / "ansible.cfg")}
        return subprocess.Popen(
            [*PLAY, *argv], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )

    def play(self, *argv: str) -> str:
        process = self.start(*argv)
        output = process.communicate(timeout=3600)[0]
        assert process.returncode == 0, output[-6000:]
        return output

    def report(self, operation: str) -> dict[str, t.Any]:
        newest = sorted(self.evidence.glob(f"lab-{operation}-*/report.json"))[-1]
        found: dict[str, t.Any] = json.loads(newest.read_text())
        return found

    def check(self, report: dict[str, t.Any], name: str, asset: str) -> dict[str, t.Any]:
        found: dict[str, t.Any] = next(item for item in report["checks"] if item["check"] == name and item["asset"] == asset)
        return found

    def destroy(self, *names: str) -> None:
        access = self.state.connection["proxmox"]
        api = ProxmoxAPI(
            access["host"], port=access["port"], user=access["user"], token_name=access["token_id"], token_value=access["token_secret"],
            verify_ssl=self.state.connection["ca_file"],
        )  # fmt: skip
        node = api.nodes(access["node"])
        for guest in node.qemu.get():
            if guest["name"] not in names:
                continue
            vm = node.qemu(guest["vmid"])
            for step in (vm.status.stop.post, vm.delete):
                upid = step()
                while node.tasks(upid).status.get()["status"] == "running":
                    time.sleep(0.2)

    def lose_the_pool(self) -> None:
        subprocess.run(["python", "-m", "lab", "--name", self.state.name, "fault", "pool-destroy", "nas=nas-a"], cwd=ROOT, check=True)

    def vault(self, node: int = 0) -> hvac.Client:
        credentials = json.loads((self.state.dir / "credentials" / "canary.json").read_text())
        address = self.state.connection["guests"][GUESTS[node]]
        client = hvac.Client(url=f"https://{address}:8200", verify=str(self.state.dir / "credentials" / "tls" / "ca.crt"))
        client.auth.approle.login(role_id=credentials["role_id"], secret_id=credentials["secret_id"])
        return client


GUESTS = ("vault-1", "vault-2", "vault-3")


@pytest.fixture(scope="module")
def platform() -> Platform:
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in state.connection, "start the lab first: python -m lab up"
    platform = Platform(state)
    platform.play("resilient.platform.site")
    platform.play("resilient.platform.backup")
    return platform


def changed_hosts(output: str) -> dict[str, int]:
    """Return by host what the recap of a play says of changes."""
    recap = output.rpartition("PLAY RECAP")[2]
    return {line.split()[0]: int(line.split("changed=")[1].split()[0]) for line in recap.splitlines() if "changed=" in line}


def test_everything_is_lost_with_the_controller_s_evidence(platform: Platform) -> None:
    manifest = platform.report("backup")["recovery_points"]
    assert all(point["newest_canary"]["series"] == "lab" and point["newest_canary"]["sequence"] >= 1 for point in manifest)
    platform.play("resilient.platform.canaries")  # in no backup: these are lost
    platform.destroy(*GUESTS)
    platform.lose_the_pool()
    shutil.rmtree(platform.evidence)

    rebuild = platform.start(*REBUILD)
    while rebuild.poll() is None and not list(platform.evidence.glob("lab-dr_rebuild-*/evidence.jsonl")):
        time.sleep(1)
    refused = platform.start("resilient.platform.backup")
    said = refused.communicate(timeout=600)[0]
    assert refused.returncode != 0 and "backup of lab cannot run beside dr_rebuild" in " ".join(said.split())
    output = rebuild.communicate(timeout=3600)[0]
    assert rebuild.returncode == 0, output[-6000:]

    report = platform.report("dr_rebuild")
    assert report["verdict"] == "verified", report["reasons"]
    assert report["rto_seconds"] > 10 and report["rpo_seconds"] > 0
    newest = {point["newest_canary"]["store"]: point["newest_canary"]["sequence"] for point in manifest}
    assert {row["store"]: (row["recovered"], row["lost"]) for row in report["canaries"]} == {store: (held, 1) for store, held in newest.items()}
    points = {point["asset"]: point for point in manifest}
    files, vault = platform.check(report, "guid", "files"), platform.check(report, "restored", "vault")
    assert files["actual"]["guids"] == sorted(points["files"]["details"]["guids"]) and files["actual"]["brought_back"] is True
    assert vault["actual"]["sha256"] == points["vault"]["sha256"] and vault["actual"]["raft_index"] >= points["vault"]["details"]["index"]
    assert vault["actual"]["found"] == "no cluster, which was restored"


def test_second_rebuild_of_a_whole_platform_leaves_it_alone(platform: Platform) -> None:
    platform.play("resilient.platform.backup")  # the series goes on behind what was lost
    changed = changed_hosts(platform.play(*REBUILD))
    assert {host: count for host, count in changed.items() if host != "localhost"} == dict.fromkeys([*GUESTS, "nas-a", "pve1"], 0)
    report = platform.report("dr_rebuild")
    assert report["verdict"] == "verified", report["reasons"]
    assert platform.check(report, "guid", "files")["actual"]["brought_back"] is False
    assert platform.check(report, "restored", "vault")["actual"]["found"] == "a whole cluster, which was left alone"
    assert {row["lost"] for row in report["canaries"]} == {0}


def test_one_guest_is_lost_and_the_others_keep_newer_data(platform: Platform) -> None:
    newer = {"written": str(time.time())}
    platform.vault(1).secrets.kv.v2.create_or_update_secret(path="canary/newer", secret=newer, mount_point="kv")
    platform.destroy("vault-1")  # the first node, which a restore would begin with
    platform.play(*REBUILD)
    report = platform.report("dr_rebuild")
    assert report["verdict"] == "verified", report["reasons"]
    assert platform.check(report, "restored", "vault")["actual"]["found"] == "a cluster with a node missing, which joined"
    for node in range(len(GUESTS)):
        assert platform.vault(node).secrets.kv.v2.read_secret_version(path="canary/newer", mount_point="kv")["data"]["data"] == newer


def test_only_the_guests_are_lost_and_the_dataset_keeps_newer_data(platform: Platform) -> None:
    newer = platform.mount / "files" / "newer"
    newer.write_text("written after the backup")
    platform.destroy(*GUESTS)
    platform.play(*REBUILD)
    report = platform.report("dr_rebuild")
    assert report["verdict"] == "verified", report["reasons"]
    assert newer.read_text() == "written after the backup"
    assert platform.check(report, "guid", "files")["actual"]["brought_back"] is False
    assert platform.check(report, "restored", "vault")["actual"]["found"] == "no cluster, which was restored"


def test_only_the_pool_is_lost_and_the_cluster_keeps_newer_data(platform: Platform) -> None:
    newer = {"written": str(time.time())}
    platform.vault().secrets.kv.v2.create_or_update_secret(path="canary/newer", secret=newer, mount_point="kv")
    platform.lose_the_pool()
    platform.play(*REBUILD)
    report = platform.report("dr_rebuild")
    assert report["verdict"] == "verified", report["reasons"]
    assert platform.vault().secrets.kv.v2.read_secret_version(path="canary/newer", mount_point="kv")["data"]["data"] == newer
    assert platform.check(report, "guid", "files")["actual"]["brought_back"] is True
    assert platform.check(report, "restored", "vault")["actual"]["found"] == "a whole cluster, which was left alone"
    platform.play("resilient.platform.backup")  # protected again: the NAS had disabled the tasks of the pool that was lost
