"""The part of host_hardening that looks at a host: what it makes of what it sees."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import pathlib
import subprocess
import types
import typing as t

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/host_hardening"


@pytest.fixture
def host() -> types.ModuleType:
    """A fresh copy of the script, so that a test can replace its eyes."""
    spec = importlib.util.spec_from_file_location("inspect_host", ROLE / "files/inspect_host.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files(monkeypatch: pytest.MonkeyPatch, host: types.ModuleType, **texts: str) -> None:
    known = {"/" + name.replace("__", "/"): text for name, text in texts.items()}
    monkeypatch.setattr(host, "text", lambda path: known.get(path, ""))


MOUNTINFO = """\
22 1 0:5 / /tmp rw,nosuid,nodev,relatime shared:1 - tmpfs tmpfs rw,size=1g
23 1 0:6 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw,gid=4,hidepid=invisible
24 1 0:7 / /srv rw,relatime - ext4 /dev/vdb rw
"""


def test_mount_names_what_is_missing_and_keeps_device_and_size(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, host, proc__self__mountinfo=MOUNTINFO)
    seen = host.mount("/tmp", ["nosuid", "nodev", "noexec"], {}, False)
    assert seen["missing"] == ["noexec"] and seen["fstab"]["line"] == "tmpfs /tmp tmpfs rw,relatime,size=1g,nosuid,nodev,noexec 0 0"


def test_mount_reads_both_spellings_of_hidepid(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, host, proc__self__mountinfo=MOUNTINFO)
    assert host.mount("/proc", ["noexec", "hidepid=2", "gid=4"], {}, False)["missing"] == []


def test_directory_that_is_no_mount_point_is_bound_onto_itself(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, host, proc__self__mountinfo=MOUNTINFO)
    seen = host.mount("/var/tmp", ["nosuid"], {}, False)
    assert not seen["mounted"] and seen["fstab"]["line"] == "/var/tmp /var/tmp none bind,nosuid 0 0"


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        (["noexec"], ["mount", "-o", "remount,bind,nosuid,nodev,relatime,noexec", "/tmp"]),
        (["size=2g"], ["mount", "-o", "remount,size=2g", "/tmp"]),
    ],
)
def test_flags_of_a_mount_are_set_without_touching_the_file_system_below(
    host: types.ModuleType, monkeypatch: pytest.MonkeyPatch, missing: list[str], command: list[str]
) -> None:
    files(monkeypatch, host, proc__self__mountinfo=MOUNTINFO)
    assert host.mount("/tmp", missing, {}, False)["command"] == command


def test_container_leaves_right_mounts_of_others_out_of_fstab(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, host, proc__self__mountinfo=MOUNTINFO)
    assert host.mount("/tmp", ["nosuid"], {}, True)["fstab"] is None
    assert host.mount("/tmp", ["nosuid"], {}, False)["fstab"] is not None
    assert host.mount("/tmp", ["noexec"], {}, True)["fstab"] is not None


def test_owners_of_a_mount_are_named_as_they_are_inside(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, host, proc__self__gid_map="         0 1900000000      65536\n")
    assert host.same_option("gid=1900000004") == "gid=4"
    assert host.same_option("gid=4") == "gid=4"


def test_line_of_fstab_is_stable_and_loses_opposites(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    files(monkeypatch, host, etc__fstab="# comment\nUUID=1 /srv ext4 defaults,exec,noatime 0 2\n", proc__self__mountinfo=MOUNTINFO)
    line = host.mount("/srv", ["noexec"], host.fstab(), False)["fstab"]["line"]
    assert line == "UUID=1 /srv ext4 defaults,noatime,noexec 0 2"
    files(monkeypatch, host, etc__fstab=line + "\n", proc__self__mountinfo=MOUNTINFO)
    assert host.mount("/srv", ["noexec"], host.fstab(), False)["fstab"]["line"] == line


@pytest.mark.parametrize(
    ("unit", "state", "action"),
    [
        ({}, "active", ""),
        ({}, "inactive", "started"),
        ({"skip": "no clock"}, "inactive", ""),
        ({"optional": True}, "not-found", ""),
        ({"files": ["/new"]}, "active", "restarted"),
        ({"files": ["/old"]}, "active", ""),
        ({"rules": ["/new"]}, "active", "rules"),
        ({"boot_only": True}, "active", "enabled"),
    ],
)
def test_unit_needs(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch, unit: dict[str, t.Any], state: str, action: str) -> None:
    load, active = ("not-found", "inactive") if state == "not-found" else ("loaded", state)
    shown = f"LoadState={load}\nActiveState={active}\nUnitFileState=disabled\nActiveEnterTimestamp=@1000\n"
    monkeypatch.setattr(host, "run", lambda *_argv: (0, shown))
    monkeypatch.setattr(host, "newest", lambda paths: max([2000.0 if path == "/new" else 0.0 for path in paths] or [0.0]))
    assert host.units([{"name": "x.service", **unit}])[0]["action"] == action


def test_stamp_of_a_reload_counts_as_a_start(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    conf, stamp = tmp_path / "conf", tmp_path / "x.service"
    conf.touch()
    stamp.touch()
    os.utime(conf, (2000, 2000))
    os.utime(stamp, (3000, 3000))
    monkeypatch.setattr(host, "STAMPS", str(tmp_path))
    monkeypatch.setattr(host, "run", lambda *_argv: (0, "LoadState=loaded\nActiveState=active\nActiveEnterTimestamp=@1000\n"))
    assert host.units([{"name": "x.service", "files": [str(conf)]}])[0]["action"] == ""


def test_kernel_setting_that_is_missing_or_not_ours_is_skipped_with_a_reason(host: types.ModuleType) -> None:
    missing, foreign, wrong, right = (
        host.setting_check({"key": "k", "wanted": "1", "value": value, "writable": writable, "right": value == "1"})
        for value, writable in ((None, False), ("0", False), ("0", True), ("1", False))
    )
    assert [entry["outcome"] for entry in (missing, foreign, wrong, right)] == ["skipped", "skipped", "failed", "passed"]
    assert "no such key" in missing["reason"] and "read-only" in foreign["reason"] and wrong["reason"] == ""


def test_star_in_a_key_is_every_interface(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.glob, "glob", lambda _pattern: ["/proc/sys/net/ipv4/conf/eth0.5/log_martians"])
    assert host.settings({"net.ipv4.conf.*.log_martians": 1})[0]["assignment"] == "net/ipv4/conf/eth0.5/log_martians=1"


@pytest.mark.parametrize(("same", "in_sync"), [(True, True), (False, False)])
def test_firewall_is_compared_with_what_its_file_would_load(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch, same: bool, in_sync: bool) -> None:
    live = "table inet host_hardening {\n chain input {\n  type filter hook input priority filter; policy drop;\n }\n}\n"

    def run(*argv: str) -> tuple[int, str]:
        return (0, live if argv[0] == "nft" or same else live.replace("drop", "accept"))

    monkeypatch.setattr(host, "run", run)
    monkeypatch.setattr(host.os.path, "exists", lambda _path: True)
    seen = host.firewall()
    assert (seen["input"], seen["in_sync"]) == ("drop", in_sync)


def test_firewall_that_is_not_loaded_fails_its_checks(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "run", lambda *_argv: (1, "no such table"))
    seen = {"sysctl": [], "mounts": {}, "units": [], "sshd": {}, "firewall": host.firewall()}
    found = host.checks({"firewall": {"input": "drop", "in_sync": True}}, seen)
    assert [(one["check"], one["outcome"]) for one in found] == [("firewall input", "failed"), ("firewall in_sync", "failed")]


def test_each_kind_of_check_can_fail_and_pass(host: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("A=1\nA=2\n")
    secret.chmod(0o640)
    request = {
        "sshd": {"PermitRootLogin": "no", "Port": 22},
        "mounts": {"/tmp": ["noexec"], "/srv": ["nodev"]},
        "modes": {str(secret): "0600", str(tmp_path / "none"): "0600"},
        "lines": [
            {"check": "last wins", "path": str(secret), "pattern": r"^A=(\d)", "expected": 2},
            {"check": "none", "path": str(secret), "pattern": "^(B)", "expected": "B"},
        ],
    }
    seen = {
        "sysctl": [],
        "sshd": {"permitrootlogin": "yes", "port": "22"},
        "mounts": {"/tmp": {"mounted": True, "options": ["noexec"], "missing": []}, "/srv": {"mounted": False, "options": [], "missing": ["nodev"]}},
        "units": [
            {"name": "a", "active": "active", "enabled": "", "load": "loaded", "skip": "", "optional": False, "boot_only": False},
            {"name": "b", "active": "inactive", "enabled": "", "load": "loaded", "skip": "no clock", "optional": False, "boot_only": False},
            {"name": "c", "active": "failed", "enabled": "disabled", "load": "loaded", "skip": "", "optional": False, "boot_only": True},
            {"name": "d", "active": "", "enabled": "", "load": "not-found", "skip": "", "optional": True, "boot_only": False},
        ],
        "firewall": {},
    }
    found = {one["check"]: one["outcome"] for one in host.checks(request, seen)}
    assert found == {
        "sshd PermitRootLogin": "failed",
        "sshd Port": "passed",
        "mount /tmp": "passed",
        "mount /srv": "failed",
        "unit a": "passed",
        "unit b": "skipped",
        "unit c": "failed",
        f"mode {secret}": "failed",
        f"mode {tmp_path / 'none'}": "passed",
        "last wins": "passed",
        "none": "failed",
    }


def test_script_answers_on_this_machine_and_changes_nothing(
    host: types.ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = [{"control": "c", "reason": "r"}, {"control": "d", "reason": ""}]
    request = {"sysctl": {"kernel.ostype": "Linux"}, "mounts": {"/proc": ["rw"]}, "verify": True, "limits": limits}
    monkeypatch.setattr(host.sys, "stdin", io.StringIO(json.dumps(request)))
    monkeypatch.setattr(host, "firewall", dict)
    host.main()
    answer = json.loads(capsys.readouterr().out)
    assert {"check": "sysctl kernel.ostype", "outcome": "passed", "expected": "Linux", "actual": "Linux", "reason": ""} in answer["checks"]
    assert answer["not_applicable"] == [{"control": "c", "reason": "r"}]


def test_commands_that_are_missing_are_no_error(host: types.ModuleType) -> None:
    assert host.run("no-such-command-here")[0] == 127


def test_each_theme_has_a_switch_and_a_table() -> None:
    themes = {path.stem for path in (ROLE / "vars/main").glob("*.yml")} - {"common"}
    defaults = (ROLE / "defaults/main.yml").read_text(encoding="utf-8")
    for theme in themes:
        assert f"host_hardening_{theme}_enabled:" in defaults
        assert f"__host_hardening_theme_{theme}:" in (ROLE / f"vars/main/{theme}.yml").read_text(encoding="utf-8")
    assert defaults.count("_enabled:") == len(themes)


def test_scripts_of_the_role_are_sound_shell() -> None:
    done = subprocess.run(["sh", "-n", str(ROLE / "files/audit.sh")], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
