"""A drill's evidence from its beginning to its proof, against a real S3 server and a real KV engine; and its faults."""

from __future__ import annotations

import base64
import copy
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t

import hvac
import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import records, verify
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_file
from ansible_collections.resilient.platform.plugins.modules import (
    backup_copy,
    backup_manifest,
    backup_manifest_info,
    canary,
    evidence_record,
    evidence_run,
    evidence_verify,
)

from helpers.evidence import HMAC_KEY, make_keys
from helpers.modules import ModuleFailed, run_module

pytestmark = pytest.mark.server
Args = dict[str, t.Any]


class Drill:
    """One platform: keys, two destinations, two stores, and the calls of a drill."""

    def __init__(self, directory: pathlib.Path, bucket: Args, store: Args, environment: str) -> None:
        self.dir = directory
        for name in ("keys", "nas", "files", "work"):
            (directory / name).mkdir()
        self.private, self.public = make_keys(directory / "keys")
        (directory / "keys/canary.key").write_bytes(HMAC_KEY)
        self.destinations = [bucket, {"name": "nas", "type": "directory", "path": str(directory / "nas")}]
        self.stores = [store, {"name": "files", "type": "file", "path": str(directory / "files")}]
        self.base = {"evidence_dir": str(directory / "evidence"), "environment": environment, "operation": "dr_drill", "signing_key": self.private}
        self.environment = environment
        self.run: Args = {}

    def begin(self, **options: t.Any) -> Args:
        plan = [{"check": "canary", "asset": name, "data": True} for name in ("vault", "files")]
        self.run = run_module(evidence_run.main, {**self.base, "destinations": self.destinations, "required_checks": plan, **options})["run"]
        return self.run

    def record(self, step: str, check: str, outcome: str = "passed", **options: t.Any) -> None:
        run_module(evidence_record.main, {"run_dir": self.run["dir"], "step": step, "check": check, "outcome": outcome, **options})

    def canary(self, mode: str, **options: t.Any) -> Args:
        base = {"run_dir": self.run["dir"], "series": self.run["id"], "stores": self.stores, "hmac_key_file": str(self.dir / "keys/canary.key")}
        return run_module(canary.main, {**base, "mode": mode, **options})

    def finish(self, **objectives: t.Any) -> Args:
        options = {"state": "finished", "run_id": self.run["id"], "objectives": objectives, "destinations": self.destinations}
        return run_module(evidence_run.main, {**self.base, **options})

    def copy(self, destination: Args, **options: t.Any) -> Args:
        found: Args = run_module(backup_copy.main, {"destination": destination, **options})["copy"]
        return found

    def back_up(self) -> Args:
        snapshot = self.dir / "work/vault.snap"
        snapshot.write_bytes(os.urandom(6_000_000))  # larger than a part of a multipart upload
        key = f"{self.environment}/vault/main/1.snap"
        copies = [self.copy(destination, src=str(snapshot), key=key) for destination in self.destinations]
        point = {
            "asset": "vault", "kind": "vault_raft_snapshot", "id": "1", "taken_at": records.utc_now(), "size_bytes": snapshot.stat().st_size,
            "sha256": sha256_file(str(snapshot))[0], "details": {"index": 42}, "newest_canary": self.canary("status")["canary"]["stores"]["vault"]["newest"],
            "copies": [{name: found[name] for name in ("destination", "key", "sha256", "read_back_sha256", "size_bytes")} for found in copies],
        }  # fmt: skip
        self.record("backup", "read_back", asset="vault", data=True, expected=point["sha256"], actual=copies[0]["read_back_sha256"])
        options = {"environment": self.environment, "recovery_points": [point], "destinations": self.destinations, "signing_key": self.private}
        written: Args = run_module(backup_manifest.main, {**options, "run_id": self.run["id"]})["manifest"]
        self.record("backup", "manifest", "info", facts={"recovery_points": [point]})
        return written

    def newest(self) -> Args:
        options = {"environment": self.environment, "destinations": self.destinations, "public_key": self.public}
        return run_module(backup_manifest_info.main, options)


@pytest.fixture
def drill(tmp_path: pathlib.Path, bucket: Args, vault: tuple[t.Any, Args], request: pytest.FixtureRequest) -> Drill:
    return Drill(tmp_path, bucket, vault[1], f"e{abs(hash(request.node.name)) % 10**8}")


def lose_newest_file_records(drill: Drill, count: int) -> None:
    path = drill.dir / "files/canary" / f"{drill.run['id']}.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"\n".join(lines[:-count]) + b"\n")


def test_drill_is_proven_and_every_kind_of_change_is_noticed(drill: Drill) -> None:
    drill.begin()
    drill.record("backup", "step_started", "info")
    writer = threading.Thread(target=lambda: drill.canary("run", interval_seconds=0.05, max_seconds=60))
    writer.start()
    while min(item["acknowledged"] for item in drill.canary("status")["canary"]["stores"].values()) < 5:
        time.sleep(0.1)
    written = drill.back_up()
    assert written["sequence"] == 1 and drill.newest()["found_at"] == ["offsite", "nas"]
    drill.record("backup", "step_finished", destinations=drill.destinations)

    # Killed here: the same command goes on with the same run, on a controller that lost everything as well.
    assert drill.begin()["resumed"] and drill.run["steps_done"] == ["backup"]
    (pathlib.Path(drill.run["dir"]) / "canary.stop").touch()
    writer.join(30)
    drill.record("disaster", "declared", "info", facts={"disaster": {}})
    declared = run_module(evidence_run.main, drill.base)["run"]["facts"]["disaster"]["declared_at"]
    lose_newest_file_records(drill, 3)

    fetched = drill.copy(drill.destinations[0], direction="fetch", dest=str(drill.dir / "work/back.snap"), key=f"{drill.environment}/vault/main/1.snap",
                         expected_sha256=drill.newest()["manifest"]["recovery_points"][0]["sha256"])  # fmt: skip
    assert fetched["size_bytes"] == 6_000_000
    found = drill.canary("read", step="prove", disaster_at=declared, minimum_sequences={"vault": written["recovery_points"][0]["newest_canary"]["sequence"]})
    assert found["canary"]["verdict"] == "verified", found
    assert (found["canary"]["stores"]["vault"]["lost"], found["canary"]["stores"]["files"]["lost"]) == (0, 3)

    done = drill.finish(platform={"rto_seconds": 120, "rpo_seconds": 120}, vault={"rto_seconds": 120})
    assert done["report"]["verdict"] == "verified" and done["report"]["rpo_seconds"] > 0, done["report"]
    valid = {"run_dir": drill.run["dir"], "public_key": drill.public}
    assert run_module(evidence_verify.main, valid)["verdict"] == "valid"
    assert [item["destination"] for item in done["pushed"]] == ["offsite", "nas"]

    # What lies at the destinations is the same, and verifies there too.
    for destination in drill.destinations:
        target = drill.dir / f"from-{destination['name']}"
        target.mkdir()
        for key in next(item["keys"] for item in done["pushed"] if item["destination"] == destination["name"]):
            drill.copy(destination, direction="fetch", dest=str(target / key.rsplit("/", 1)[-1]), key=key)
        assert verify.verify(str(target), drill.public)[0] == "valid"

    every_byte_counts(pathlib.Path(drill.run["dir"]), drill.public)
    openssl_agrees(pathlib.Path(drill.run["dir"]), drill.public, drill.dir)


def every_byte_counts(run_dir: pathlib.Path, public: str) -> None:
    script = pathlib.Path(verify.__file__)
    chance = random.Random(20261121)
    for name in ("evidence.jsonl", "report.json", "report.html", "junit.xml", "metrics.prom", "evidence.dsse.json"):
        path = run_dir / name
        whole = path.read_bytes()
        for offset in {0, len(whole) - 1, *(chance.randrange(len(whole)) for _number in range(40))}:
            path.write_bytes(whole[:offset] + bytes([whole[offset] ^ (1 << chance.randrange(7))]) + whole[offset + 1 :])
            verdict = verify.verify(str(run_dir), public)[0]
            space = name == "evidence.dsse.json" and path.read_bytes().strip() == whole.strip()  # around the envelope, and not part of it
            assert verdict == "invalid" or space, (name, offset)
        done = subprocess.run([sys.executable, str(script), str(run_dir), "--public-key", public], check=False, capture_output=True, text=True)
        assert done.returncode == 1, (name, done.stdout)
        path.write_bytes(whole)
    assert verify.verify(str(run_dir), public)[0] == "valid"


def openssl_agrees(run_dir: pathlib.Path, public: str, work: pathlib.Path) -> None:
    envelope = json.loads((run_dir / "evidence.dsse.json").read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    (work / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (work / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", "signed", "-sigfile", "signature"]
    assert subprocess.run(command, check=False, capture_output=True, cwd=work).returncode == 0


def test_run_survives_the_loss_of_the_controller(drill: Drill) -> None:
    drill.begin()
    drill.canary("write", count=3)
    drill.record("backup", "step_finished", destinations=drill.destinations[:1])
    first = drill.run["id"]
    shutil.rmtree(drill.base["evidence_dir"])
    begun = drill.begin(destinations=drill.destinations[:1])
    assert (begun["id"], begun["resumed"], begun["source"], begun["steps_done"]) == (first, True, "offsite", ["backup"])
    assert drill.canary("read", disaster_at=records.utc_now())["canary"]["verdict"] == "verified"


def test_canaries_that_were_deleted_forged_or_moved_in_vault_are_named(drill: Drill, vault: tuple[t.Any, Args]) -> None:
    drill.begin()
    drill.canary("write", count=6)
    store = vault[1]
    client = hvac.Client(url=store["urls"][0], token="root-of-the-test", verify=store["ca_path"])
    folder = f"canary/{drill.run['id']}"

    def judge() -> tuple[str, str]:
        found = drill.canary("read", disaster_at=records.utc_now())["canary"]["stores"]["vault"]
        return found["verdict"], found["reason"]

    assert judge() == ("verified", "")
    second = client.secrets.kv.v2.read_secret_version(f"{folder}/00000002", mount_point="kv", raise_on_deleted_version=True)["data"]["data"]
    client.secrets.kv.v2.create_or_update_secret(f"{folder}/00000002", {**second, "time": "2020-01-01T00:00:00.000000Z"}, mount_point="kv")
    assert judge() == ("failed", "record 2 forged: the MAC is wrong; record 2 missing below the newest recovered one (6)")
    client.secrets.kv.v2.create_or_update_secret(f"{folder}/00000002", second, mount_point="kv")
    assert judge()[0] == "verified"
    client.secrets.kv.v2.delete_latest_version_of_secret(f"{folder}/00000004", mount_point="kv")
    assert "record 4 missing" in judge()[1]
    client.secrets.kv.v2.delete_metadata_and_all_versions(f"{folder}/00000004", mount_point="kv")
    assert "record 4 missing" in judge()[1]
    for number in (4, 5, 6):
        client.secrets.kv.v2.delete_metadata_and_all_versions(f"{folder}/{number:08d}", mount_point="kv")
    assert judge() == ("verified", "")  # a prefix again: three records are lost, and that is said


def test_writer_goes_on_while_vault_is_down_and_after_it(drill: Drill, vault: tuple[t.Any, Args]) -> None:
    drill.begin()
    writer = threading.Thread(target=lambda: drill.canary("run", interval_seconds=0.1, max_seconds=60))
    writer.start()

    def count(name: str) -> int:
        return int(drill.canary("status")["canary"]["stores"][name]["acknowledged"])

    def wait(good: t.Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not good():
            assert time.monotonic() < end
            time.sleep(0.1)

    wait(lambda: count("vault") >= 3)
    server = vault[0]
    os.kill(server.process.pid, signal.SIGSTOP)  # hangs: no answer, no error
    try:
        files = count("files")
        wait(lambda: count("files") >= files + 10)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    before = count("vault")
    wait(lambda: count("vault") >= before + 3)
    (pathlib.Path(drill.run["dir"]) / "canary.stop").touch()
    writer.join(30)
    assert drill.canary("read", disaster_at=records.utc_now())["canary"]["verdict"] == "verified"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"access_key": "NOBODY"}, "AuthenticationError"),
        ({"secret_key": "wrong"}, "AuthenticationError"),
        ({"access_key": "READERKEY", "secret_key": "reader-secret-of-the-test"}, "PermissionDenied"),
        ({"bucket": "no-such-bucket"}, "NotFound"),
        ({"ca_path": None}, "ConnectionFailed"),
        ({"endpoint": "https://127.0.0.1:1"}, "ConnectionFailed"),
    ],
)
def test_bad_destination_is_refused_by_its_kind_and_without_its_secret(drill: Drill, change: Args, kind: str) -> None:
    destination = {**drill.destinations[0], **change}
    (drill.dir / "work/x").write_bytes(b"x")
    with pytest.raises(ModuleFailed) as caught:
        drill.copy(destination, src=str(drill.dir / "work/x"), key="a/x")
    said = json.dumps(caught.value.result)
    assert caught.value.result["error"]["type"] == kind and destination["secret_key"] not in said and caught.value.result["error"]["hint"]


def test_bit_rot_in_the_bucket_is_noticed_on_the_way_back(drill: Drill) -> None:
    drill.begin()
    drill.back_up()
    key, point = f"{drill.environment}/vault/main/1.snap", drill.newest()["manifest"]["recovery_points"][0]
    damaged = bytearray((drill.dir / "work/vault.snap").read_bytes())
    damaged[3_000_000] ^= 0x10
    (drill.dir / "work/damaged").write_bytes(damaged)
    drill.copy(drill.destinations[0], src=str(drill.dir / "work/damaged"), key=key)
    with pytest.raises(ModuleFailed, match="is not what was backed up"):
        drill.copy(drill.destinations[0], direction="fetch", dest=str(drill.dir / "work/back"), key=key, expected_sha256=point["sha256"])
    assert not (drill.dir / "work/back").exists()


def test_manifest_with_a_wrong_signature_in_the_bucket_is_named(drill: Drill) -> None:
    drill.begin()
    drill.back_up()
    other = copy.copy(drill)
    other.private, _public = make_keys(drill.dir / "keys", "other")
    mixed = {**drill.destinations[0], "prefix": "elsewhere"}
    other.destinations = [mixed]
    other.back_up()
    key = f"{drill.environment}/manifests/00000001.dsse.json"
    forged = drill.copy(mixed, direction="fetch", dest=str(drill.dir / "work/forged"), key=key)
    drill.copy(drill.destinations[0], src=forged["dest"], key=key)
    wrong = r"signature of The manifest https://.*offsite.* is wrong"

    found = drill.newest()  # The NAS has it intact.
    assert found["found_at"] == ["nas"] and list(found["untrusted"]) == ["offsite"]
    assert re.search(wrong, found["untrusted"]["offsite"])

    del drill.destinations[1]
    with pytest.raises(ModuleFailed, match=wrong):
        drill.newest()


@pytest.mark.parametrize("seed", range(4))
def test_killed_writers_leave_a_valid_prefix(drill: Drill, seed: int) -> None:
    """SIGKILL while records and canaries are written; the next call goes on, and nothing is doubled or lost."""
    drill.begin()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder\n"
        "_AnsibleCollectionFinder(paths=[sys.argv[1]])._install()\n"
        "from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary, canary_write, records, stores\n"
        "store = stores.FileStore('files', 'files', sys.argv[3])\n"
        "writer = canary_write.Writer(store, canary.AckLog(sys.argv[2], 'files', sys.argv[4]), open(sys.argv[5], 'rb').read())\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    writer.write_one()\n"
        "    print(number, writer.known.last, flush=True)\n"
        "    records.append(sys.argv[2], sys.argv[4], [records.Entry('s', 'c', 'info', facts={'n': number})])\n"
    )
    chance = random.Random(seed)
    collections = os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0]
    arguments = [collections, drill.run["dir"], str(drill.dir / "files"), drill.run["id"], str(drill.dir / "keys/canary.key")]
    acknowledged = 0
    for _attempt in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stdout.readline().strip() == "ready"
        time.sleep(chance.uniform(0.05, 0.4))
        process.kill()
        lines = process.stdout.read().splitlines()
        process.wait()
        acknowledged = max(acknowledged, *(int(line.split()[1]) for line in lines if len(line.split()) == 2))
    drill.stores = drill.stores[1:]
    drill.record("after", "kill", "info")
    records.read_log(drill.run["dir"])
    found = drill.canary("read", disaster_at=records.utc_now())["canary"]["stores"]["files"]
    assert found["verdict"] == "verified" and found["acknowledged"] >= acknowledged and found["lost"] == 0, found
