from __future__ import annotations

import os
import signal
import time
import typing as t

import pytest
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, NODE, Exchange, Wire, get, guest, post, upid, wire

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import commands as commands_module
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import verify
from ansible_collections.resilient.platform.plugins.modules import proxmox_restore

__all__ = ["wire"]
NOW = int(time.time())
WEB = guest(101, "web", "running")
LOCAL = {"id": "storage/pve1/local", "type": "storage", "storage": "local", "node": "pve1", "content": "backup", "status": "available"}
VOLID = "local:backup/vzdump-qemu-101-2026_11_21-02_30_00.vma.zst"
TEXT = """#notes%3A one
#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:
agent: 1
hookscript: local:snippets/x.sh
memory: 512
name: web
net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=5
net1: virtio=BC:24:11:00:00:02,bridge=vmbr0,link_down=1
scsi0: local-lvm:vm-101-disk-0,size=8G
tags: b;a
"""
LIVE = {"description": "notes: one\n", "agent": 1, "hookscript": "local:snippets/x.sh", "memory": "1024", "name": "web", "digest": "0" * 40}
LIVE |= {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5,firewall=1", "net1": "virtio=BC:24:11:00:00:02,bridge=vmbr0,link_down=1"}
LIVE |= {"scsi0": "local-lvm:vm-101-disk-0,size=8G", "tags": "a;b", "vmgenid": "x", "cipassword": "**********"}
NEW = "nodes/pve1/qemu/900"
RESTORE, START, STOP, GONE = (upid(kind, 900, number) for number, kind in enumerate(("qmrestore", "qmstart", "qmstop", "qmdestroy"), 1))
DOWN = {"net0": "virtio,bridge=vmbr0,firewall=1,tag=5,link_down=1", "net1": "virtio,bridge=vmbr0,link_down=1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_module, "INTERVAL", 0.0)
    monkeypatch.setattr(proxmox_restore.uuid, "uuid4", lambda: "the-mark")


def cluster(*lines: dict[str, t.Any], storage: dict[str, t.Any] | None = None) -> Exchange:
    return get("cluster/resources", [NODE, storage or LOCAL, *lines])


def archives(*lines: dict[str, t.Any], sid: str = "local", vmid: int | None = 101) -> Exchange:
    params = {"content": "backup", **({"vmid": vmid} if vmid else {})}
    return get(f"nodes/pve1/storage/{sid}/content", list(lines), params=params)


def archive(volid: str = VOLID, age: int = 60, **more: t.Any) -> dict[str, t.Any]:
    return {"volid": volid, "content": "backup", "format": "vma.zst", "size": 1000, "ctime": NOW - age, "vmid": 101, **more}


def planning(live: Exchange | None = None, *, lines: tuple[dict[str, t.Any], ...] = (WEB,)) -> list[Exchange]:
    config = live or get("nodes/pve1/qemu/101/config", LIVE)
    return [cluster(*lines), archives(archive(age=90), archive()), get("nodes/pve1/vzdump/extractconfig", TEXT, params={"volume": VOLID}), config]


def ended(one: str, status: str = "OK") -> Exchange:
    return get(f"nodes/pve1/tasks/{one}/status", {"status": "stopped", "exitstatus": status, "upid": one})


def restored(**more: t.Any) -> dict[str, t.Any]:
    return {"description": "resilient-restore-test the-mark", "digest": "1" * 40, **DOWN, **more}


def removal(config: dict[str, t.Any] | None = None, status: str = "running") -> list[Exchange]:
    stop = [post(f"{NEW}/status/stop", STOP), ended(STOP)] if status != "stopped" else []
    delete = Exchange("DELETE", NEW, params={"purge": 1, "destroy-unreferenced-disks": 1}, data=GONE)
    return [get(f"{NEW}/config", config or restored()), get(f"{NEW}/status/current", {"status": status}), *stop, delete, ended(GONE)]


def boot() -> list[Exchange]:
    return [post(f"{NEW}/status/start", START), ended(START), get(f"{NEW}/status/current", {"status": "running", "qmpstatus": "running"})]


def command(argv: list[str], pid: int, **answer: t.Any) -> list[Exchange]:
    value: t.Any = argv if len(argv) > 1 else argv[0]
    done = {"exited": 1, "exitcode": 0, **answer}
    return [post(f"{NEW}/agent/exec", {"pid": pid}, params={"command": value}), get(f"{NEW}/agent/exec-status", done, params={"pid": pid})]


def run(check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    full = {**CONNECTION, "guest": "web", "storage": "local", "wait_sleep": 0.0, "wait_timeout": 5, **args}
    return run_module(proxmox_restore.main, full, check=check, diff=True)


def outcomes(found: dict[str, t.Any]) -> list[tuple[str, str]]:
    return [(one["check"], one["outcome"]) for one in found["checks"]]


def test_newest_archive_is_restored_cut_off_looked_at_and_removed(wire: Wire) -> None:
    wire.expect(*planning(), get("cluster/nextid", "900"))
    predicted = run(check=True)
    assert (predicted["restore"]["verdict"], predicted["restore"]["vmid"], predicted["changed"]) == ("could_not_verify", None, False)
    wire.expect(*planning(), get("cluster/nextid", "900"))
    request = {"vmid": 900, "archive": VOLID, "unique": 1, "name": "restore-test-101", "tags": "restore-test", "onboot": 0, "protection": 0, "memory": 256}
    wire.expect(post("nodes/pve1/qemu", RESTORE, params={**request, "description": "resilient-restore-test the-mark", **DOWN}), ended(RESTORE))
    wire.expect(get(f"{NEW}/config", restored(hookscript="local:snippets/x.sh", hostpci0="01:00")))
    wire.expect(Exchange("PUT", f"{NEW}/config", params={"delete": "hookscript,hostpci0", "digest": "1" * 40}))
    wire.expect(*boot(), post(f"{NEW}/agent/ping", status=500, reason="QEMU guest agent is not running"), post(f"{NEW}/agent/ping", {}))
    wire.expect(*command(["cat", "/canary"], 7, **{"out-data": "first\n"}))
    wire.expect(*removal())
    made = run(overrides={"memory": 256}, commands=[{"name": "canary", "argv": ["cat", "/canary"], "stdout": "^first$"}], rto_seconds=60)
    found = made["restore"]
    assert made["diff"] == predicted["diff"] and not made["changed"]
    assert found["drift"] == {"memory": {"backup": "512", "live": "1024"}} == predicted["restore"]["drift"]
    assert outcomes(found) == [("restored", "passed"), ("agent", "passed"), ("canary", "passed"), ("rto", "passed")]
    assert (found["verdict"], found["taken_away"], found["kept"], found["vmid"]) == ("verified", ["hookscript", "hostpci0"], False, 900)
    assert found["rto_seconds"] >= found["seconds"]["restore"]


def test_isolated_bridge_without_tag(wire: Wire) -> None:
    isolated = {"net0": "virtio,bridge=vmbr9,firewall=1", "net1": "virtio,bridge=vmbr9"}
    config = {**restored(), **isolated}
    wire.expect(*planning()[:3], get("cluster/nextid", "900"), post("nodes/pve1/qemu", RESTORE), ended(RESTORE), get(f"{NEW}/config", config))
    wire.expect(*removal(config, "stopped"))
    found = run(network="isolated", isolated_bridge="vmbr9", probe="none", compare_config=False)["restore"]
    assert isolated.items() <= wire.writes[0][2].items() and found["verdict"] == "verified"


def test_a_guest_that_is_not_cut_off_is_not_started(wire: Wire) -> None:
    config = restored(net0="virtio=BC:24:11:00:00:01,bridge=vmbr0")
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", RESTORE), ended(RESTORE), get(f"{NEW}/config", config))
    wire.expect(*removal(config, "stopped"))
    with pytest.raises(ModuleFailed, match="net0 of the restored guest 900 is not isolated"):
        run()


def test_findings_fail_the_task_unless_never_and_the_guest_is_removed(wire: Wire) -> None:
    def script() -> None:
        wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", RESTORE), ended(RESTORE), get(f"{NEW}/config", restored()))
        wire.expect(*boot(), post(f"{NEW}/agent/ping", {}))
        wire.expect(*command(["false"], 7, exitcode=1, **{"err-data": "no"}), *command(["x"], 8, signal=9))
        wire.expect(post(f"{NEW}/agent/exec", status=500, reason="Agent error: Guest agent command failed, no such file"), *removal())

    commands = [{"name": name, "argv": argv} for name, argv in (("one", ["false"]), ("two", ["x"]), ("three", ["nope"]))]
    script()
    with pytest.raises(ModuleFailed, match="one: expected status 0, saw status 1: no; two: .* status 137; three: .*no such file") as caught:
        run(commands=commands)
    found = caught.value.result["restore"]
    assert (found["verdict"], found["kept"], found["rto_seconds"]) == ("failed", False, None)
    script()
    assert run(commands=commands, fail_on="never")["restore"]["verdict"] == "failed"


@pytest.mark.parametrize(("reason", "timeout", "said"), [
    ("No QEMU guest agent configured", 5, "No QEMU guest agent configured"), ("QEMU guest agent is not running", 0, "not within 0 s")])  # fmt: skip
def test_agent_that_never_answers_is_a_finding(wire: Wire, reason: str, timeout: int, said: str) -> None:
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", RESTORE), get(f"{NEW}/config", restored()))
    # With no time left nothing but one look is made.
    wire.expect(*([ended(RESTORE), *boot()] if timeout else []))
    if timeout:
        wire.expect(post(f"{NEW}/agent/ping", status=500, reason=reason), *removal())
        with pytest.raises(ModuleFailed, match=said):
            run(wait_timeout=timeout)
        return
    wire.left.pop(("GET", f"{NEW}/config"))
    running = get(f"nodes/pve1/tasks/{RESTORE}/status", {"status": "running"})
    wire.expect(running, Exchange("DELETE", f"nodes/pve1/tasks/{RESTORE}"), *removal(status="stopped"))
    with pytest.raises(ModuleFailed, match="still running after the time given"):
        run(wait_timeout=timeout)


def test_id_that_is_taken_meanwhile_is_not_touched(wire: Wire) -> None:
    taken = {"status": 500, "reason": "unable to restore VM 900 - VM 900 already exists on node 'pve1'"}
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", **taken))
    wire.expect(post("nodes/pve1/qemu", upid("qmrestore", 901)), ended(upid("qmrestore", 901)), get("nodes/pve1/qemu/901/config", restored()))
    wire.expect(get("nodes/pve1/qemu/901/config", restored()), get("nodes/pve1/qemu/901/status/current", {"status": "stopped"}))
    wire.expect(Exchange("DELETE", "nodes/pve1/qemu/901", data=GONE), ended(GONE))
    assert run(probe="none")["restore"]["vmid"] == 901
    wire.expect(*planning(), post("nodes/pve1/qemu", **taken))
    with pytest.raises(ModuleFailed, match="already exists"):
        run(vmid=900)


def test_request_without_an_answer_may_have_made_the_guest(wire: Wire) -> None:
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", status=596, reason="Connection timed out"))
    wire.expect(*removal(status="stopped"))
    with pytest.raises(ModuleFailed, match="failed with 596"):
        run()
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", status=596, reason="Connection timed out"))
    wire.expect(get(f"{NEW}/config", {"description": "somebody else's"}))
    with pytest.raises(ModuleFailed, match="is not the guest that was restored here") as caught:
        run()
    assert caught.value.result["error"]["type"] == "LeftBehind"


def test_archive_that_cannot_be_restored_fails_with_its_log(wire: Wire) -> None:
    log = get(f"nodes/pve1/tasks/{RESTORE}/log", [{"n": 1, "t": "zstd: decoding error"}])
    broken = "unable to restore VM 900 - command 'zstd' failed"
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", RESTORE), ended(RESTORE, broken), log)
    wire.expect(ended(RESTORE, broken), get(f"{NEW}/config", status=500, reason="Configuration file 'nodes/pve1/qemu-server/900.conf' does not exist"))
    with pytest.raises(ModuleFailed, match="command 'zstd' failed") as caught:
        run()
    assert caught.value.result["error"]["log"] == ["zstd: decoding error"] and caught.value.result["restore"]["archive"]["volid"] == VOLID


def test_lock_of_a_restore_that_was_stopped_is_waited_for(wire: Wire) -> None:
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", status=596, reason="Connection timed out"))
    wire.expect(get(f"{NEW}/config", restored(lock="create")), *removal(status="stopped"))
    with pytest.raises(ModuleFailed, match="failed with 596"):
        run()


def test_sigterm_removes_the_guest_before_the_process_ends(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_args: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(verify, "untie", terminated)
    before = signal.getsignal(signal.SIGTERM)
    wire.expect(*planning(), get("cluster/nextid", "900"), post("nodes/pve1/qemu", RESTORE), ended(RESTORE), *removal(status="stopped"))
    with pytest.raises(verify.Stopped):
        run()
    assert signal.getsignal(signal.SIGTERM) == before


def test_lost_guest_comes_back_as_it_was(wire: Wire) -> None:
    wire.expect(cluster(), archives(archive()), get("nodes/pve1/vzdump/extractconfig", TEXT))
    wire.expect(post("nodes/pve1/qemu", RESTORE, params={"vmid": 101, "archive": VOLID, "name": "web", "storage": "fast", "pool": "prod"}), ended(RESTORE))
    found = run(guest="101", vmid=101, keep=True, network="keep", probe="none", target_storage="fast", pool="prod")
    assert found["changed"] and found["restore"]["kept"] and found["restore"]["guest"] is None
    assert found["diff"]["after"] == {"guest 101": f"web from {VOLID}"}


def test_overwriting_needs_its_name_and_a_guest_that_is_off(wire: Wire) -> None:
    base = {"vmid": 101, "keep": True, "network": "keep", "probe": "none", "compare_config": False}
    off = guest(101, "web")
    wrong = [(off, {}, "not overwritten"), (off, {"force": True}, "confirm is None"), (WEB, {"force": True, "confirm": "web"}, "runs, and would be")]
    wrong += [(guest(101, "web", lock="backup"), {"force": True, "confirm": "web"}, r"locked \(backup\)")]
    for line, args, message in wrong:
        wire.expect(*planning(lines=(line,))[:3])
        with pytest.raises(ModuleFailed, match=message):
            run(**base, **args)
    over = {"vmid": 101, "archive": VOLID, "name": "web", "force": 1}
    wire.expect(*planning(lines=(off,))[:3], post("nodes/pve1/qemu", RESTORE, params=over), ended(RESTORE))
    assert run(**base, force=True, confirm="web")["diff"]["before"] == {"guest 101": "web as it was"}


def test_containers_have_no_agent(wire: Wire) -> None:
    volid = "pbs:backup/ct/200/2026-11-21T02:30:00Z"
    pbs = {**LOCAL, "id": "storage/pve1/pbs", "storage": "pbs", "plugintype": "pbs", "shared": 1}
    ct = {**guest(200, "ct"), "type": "lxc"}
    wire.expect(cluster(ct, storage=pbs), archives({**archive(volid, verification={"state": "ok", "upid": "x"}), "vmid": 200}, sid="pbs", vmid=None))
    text = "hostname: ct\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:03,ip=dhcp,type=veth\nrootfs: local-lvm:vm-200-disk-0,size=4G\n"
    wire.expect(get("nodes/pve1/vzdump/extractconfig", text), get("nodes/pve1/lxc/200/config", {"hostname": "ct"}), get("cluster/nextid", "900"))
    net = "name=eth0,bridge=vmbr0,ip=dhcp,type=veth,link_down=1"
    request = {"vmid": 900, "ostemplate": volid, "restore": 1, "unique": 1, "hostname": "restore-test-200", "tags": "restore-test", "onboot": 0}
    request |= {"protection": 0, "description": "resilient-restore-test the-mark", "net0": net}
    wire.expect(post("nodes/pve1/lxc", RESTORE, params=request), ended(RESTORE))
    path = "nodes/pve1/lxc/900"
    config = {"description": "resilient-restore-test the-mark\n", "net0": net}
    wire.expect(get(f"{path}/config", config), post(f"{path}/status/start", START), ended(START), get(f"{path}/status/current", {"status": "running"}))
    wire.expect(get(f"{path}/config", config), get(f"{path}/status/current", {"status": "running"}), post(f"{path}/status/stop", STOP), ended(STOP))
    wire.expect(Exchange("DELETE", path, data=GONE), ended(GONE))
    made = {**CONNECTION, "archive": volid, "require_verified": True, "commands": [{"name": "one", "argv": ["true"]}], "wait_sleep": 0.0}
    found = run_module(proxmox_restore.main, made)["restore"]
    assert outcomes(found) == [("restored", "passed"), ("running", "passed"), ("one", "skipped")] and found["verdict"] == "could_not_verify"
    assert set(found["drift"]) == {"net0", "rootfs"}


@pytest.mark.parametrize(
    ("lines", "args", "message"),
    [
        ([], {}, "There is no backup of guest web on local"),
        ([archive(age=500)], {"max_age": 100}, "at most 100 s are allowed"),
        ([archive()], {"require_verified": True}, "has not been verified by a backup server"),
        ([archive(verification={"state": "failed", "upid": "x"}), archive(age=900)], {}, "is damaged"),
    ],
)
def test_an_older_archive_is_never_taken_instead(wire: Wire, lines: list[dict[str, t.Any]], args: dict[str, t.Any], message: str) -> None:
    wire.expect(cluster(WEB), archives(*lines))
    with pytest.raises(ModuleFailed, match=message):
        run(**args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"network": "keep"}, "must not be on the original's network"),
        ({"force": True}, "force overwrites a guest for good"),
        ({"storage": None}, "Neither storage nor archive"),
        ({"commands": [{"name": "a", "argv": []}]}, "one without a program"),
        ({"commands": [{"name": "a", "argv": ["x"], "stdout": "("}]}, "is no regular expression"),
        ({"overrides": {"net0": "x", "scsi0": "y", "name": "z"}}, "overrides cannot have name, net0, scsi0"),
        ({"network": "isolated"}, "isolated_bridge"),
    ],
)
def test_options_that_contradict_each_other(wire: Wire, args: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ModuleFailed, match=message):
        run(**args)


def test_archive_or_node_that_is_not_there(wire: Wire) -> None:
    wire.expect(cluster(WEB), archives(vmid=None))
    with pytest.raises(ModuleFailed, match="There is no archive local:backup/nope"):
        run(archive="local:backup/nope")
    wire.expect(cluster(WEB), archives(archive()), get("nodes/pve1/vzdump/extractconfig", ""))
    with pytest.raises(ModuleFailed, match="has no configuration"):
        run()
    wire.expect(*planning())
    with pytest.raises(ModuleFailed, match="Node pve7 cannot read"):
        run(node="pve7")
    wire.expect(cluster(WEB))
    with pytest.raises(ModuleFailed, match="no guest nobody"):
        run(guest="nobody")
    broken = get("nodes/pve1/qemu/101/config", status=500, reason="unable to open file")
    wire.expect(*planning(broken), get("cluster/nextid", "900"))
    assert outcomes(run(check=True)["restore"])[0] == ("config", "skipped")
