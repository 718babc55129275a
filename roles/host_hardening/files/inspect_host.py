# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the security state of this host and prints it as JSON. It reads only.

The request comes on standard input; it says what should be, by tables: ``sysctl`` {key: value}, ``mounts`` {path: [option]},
``units`` [{name, files, skip, optional}], ``sshd`` {keyword: value}, ``firewall`` {property: value}, ``modes`` {path: most},
``lines`` [{check, path, pattern, expected}], ``limits`` [{control, reason}]. With ``verify`` the answer has
``checks``: {check, outcome, expected, actual, reason}, and ``not_applicable`` lists what cannot hold here, with the reason.
Standard library only: it runs on hosts where nothing is installed yet.
"""

from __future__ import annotations

import glob
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import typing as t

Table = t.Dict[str, t.Any]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES = {"CAP_SYS_MODULE": 16, "CAP_SYS_PACCT": 20, "CAP_SYS_TIME": 25, "CAP_AUDIT_CONTROL": 30}
TABLE = "host_hardening"
RULES = "/etc/nftables.d/host_hardening.nft"
FLAGS = {"nosuid", "nodev", "noexec"}
STAMPS = "/run/host-hardening"


def run(*argv: str) -> tuple[int, str]:
    """Return (exit code, output) of a command; 127 if there is no such command."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={"PATH": PATH, "LC_ALL": "C"}, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 127, ""
    return done.returncode, done.stdout.decode("utf-8", "replace")


def text(path: str) -> str:
    """Return the text of a file, empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def capabilities() -> dict[str, bool]:
    """Return which of the capabilities that hardening needs the first process may use."""
    match = re.search(r"^CapBnd:\s*([0-9a-f]+)", text("/proc/1/status"), re.MULTILINE)
    bits = int(match.group(1), 16) if match else 0
    # These reach the kernel only from the machine's own user namespace (user_namespaces(7)); elsewhere the bits are set in vain.
    if text("/proc/1/uid_map").split() != ["0", "0", "4294967295"]:
        bits = 0
    return {name: bool(bits >> number & 1) for name, number in CAPABILITIES.items()}


def virtualization() -> tuple[str, bool]:
    """Return what kind of machine this is: (name such as kvm, podman, none; whether it is a container)."""
    kind = run("systemd-detect-virt")[1].strip() or "unknown"
    return kind, run("systemd-detect-virt", "--container", "--quiet")[0] == 0


def settings(wanted: Table) -> list[Table]:
    """Return one entry for each kernel setting: {key, wanted, value, writable, right, assignment}; value None if this kernel has no such key.

    A ``*`` in a key stands for every interface that there is.
    """
    found = []
    for key, value in wanted.items():
        pattern = "/proc/sys/" + key.replace(".", "/")
        paths = sorted(glob.glob(pattern)) if "*" in key else [pattern]
        for path in paths:
            # Names of interfaces may have dots in them: sysctl takes the slashes too.
            name = path[len("/proc/sys/"):] if "*" in key else key
            exists = os.path.exists(path)
            found.append({
                "key": name,
                "wanted": " ".join(str(value).split()),
                "value": " ".join(text(path).split()) if exists else None,
                "writable": exists and os.access(path, os.W_OK),
            })
            found[-1]["right"] = found[-1]["value"] == found[-1]["wanted"]
            found[-1]["assignment"] = f"{name}={found[-1]['wanted']}"
    return found


def fstab() -> dict[str, tuple[str, str, list[str], str]]:
    """Return mount point -> (device, type, options, dump and pass) of /etc/fstab."""
    entries = {}
    for line in text("/etc/fstab").splitlines():
        fields = line.split("#")[0].split()
        if len(fields) >= 4:
            entries[fields[1]] = (fields[0], fields[2], fields[3].split(","), " ".join((fields[4:6] + ["0", "0"])[:2]))
    return entries


def mounted(path: str) -> tuple[str, str, list[str]] | None:
    """Return (device, type, options) of the newest mount on *path*, or None."""
    found = None
    for line in text("/proc/self/mountinfo").splitlines():
        left, _sep, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if len(fields) > 5 and fields[4] == path and len(tail) >= 2:
            options = fields[5].split(",")
            options += [option for option in (tail[2].split(",") if len(tail) > 2 else []) if option not in options]
            found = (tail[1], tail[0], options)
    return found


def same_option(option: str) -> str:
    """Return an option in the one spelling that is compared: the kernel says invisible where older ones say 2.

    In a user namespace the kernel names a mount's owners by their numbers outside of it, so those are mapped back.
    """
    name, _equals, number = option.partition("=")
    if name in ("uid", "gid") and number.isdigit():
        return f"{name}={inside(name, int(number))}"
    return {"hidepid=invisible": "hidepid=2"}.get(option, option)


def inside(kind: str, number: int) -> int:
    """Return the number in this user namespace of the user or group (*kind*: uid, gid) that is *number* outside."""
    for line in text(f"/proc/self/{kind}_map").splitlines():
        first, outer, count = (int(field) for field in line.split())
        if first != outer and outer <= number < outer + count:
            return first + number - outer
    return number


def mount(path: str, options: list[str], table: dict[str, tuple[str, str, list[str], str]], container: bool) -> Table:
    """Return the state of one mount point, and what /etc/fstab should have for it: an edit, or None for no line.

    Args:
        path: The mount point.
        options: The options that it has to have.
        table: What `fstab` returned.
        container: Whether this host is one.
    """
    live = mounted(path)
    have = [same_option(option) for option in (live[2] if live else [])]
    missing = [option for option in options if same_option(option) not in have]
    tail = "0 0"
    if path in table:
        device, kind, kept, tail = table[path]
    elif live and live[1] in ("proc", "tmpfs"):
        kept = [option for option in live[2] if option.startswith(("size=", "mode="))]
        device, kind, kept = live[1], live[1], ["rw", "relatime"] + kept
    elif live:
        device, kind, kept = live[0], live[1], ["defaults"]
    else:
        # Onto itself: what is there stays there, and nothing has to be partitioned.
        device, kind, kept = path, "none", ["bind"]
    names = {option.partition("=")[0] for option in options}
    opposites = {name[2:] for name in names if name.startswith("no")}
    kept = [option for option in kept if option.partition("=")[0] not in names | opposites]
    line = f"{device} {path} {kind} {','.join(kept + options)} {tail}"
    if live is None:
        command = ["mount", path]
    elif set(missing) <= FLAGS:
        # Flags of the mount itself: the file system below, which may not be this host's to change, is left alone.
        flags = [option for option in have if option in FLAGS | {"ro", "relatime", "noatime"}]
        command = ["mount", "-o", ",".join(["remount", "bind"] + flags + missing), path]
    else:
        command = ["mount", "-o", ",".join(["remount"] + missing), path]
    edit: Table | None = {"match": rf"^\s*[^#\s]\S*\s+{re.escape(path)}\s", "line": line}
    if container and live and not missing and path not in table:
        # Made right by whoever made the container, and maybe not this host's to remount: init would fail on a line for it.
        edit = None
    return {"mounted": live is not None, "options": have, "missing": missing, "command": command, "fstab": edit}


def newest(paths: list[str]) -> float:
    """Return the time of the newest of these files, 0 if there is none."""
    times = [0.0]
    for path in paths:
        try:
            times.append(os.stat(path).st_mtime)
        except OSError:
            pass
    return max(times)


def units(wanted: list[Table]) -> list[Table]:
    """Return one entry for each unit: {name, active, enabled, skip, action}.

    The action is what it needs now: nothing (empty), enabled (it only has to run at boot), started (not running), restarted (one of its ``files`` is newer than
    its last start and than the stamp that the role leaves after a reload), or rules (the same for its ``rules``, which it
    takes without a restart). A unit to skip needs nothing.
    """
    names = [unit["name"] for unit in wanted]
    if not names:
        return []
    properties = "--property=LoadState,ActiveState,UnitFileState,ActiveEnterTimestamp"
    blocks = run("systemctl", "show", "--timestamp=unix", properties, *names)[1].strip().split("\n\n")
    found = []
    for unit, block in zip(wanted, blocks):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        stamp = values.get("ActiveEnterTimestamp", "").lstrip("@")
        loaded = max(float(stamp) if stamp.isdigit() else 0.0, newest([os.path.join(STAMPS, unit["name"])]))
        state = {"name": unit["name"], "load": values.get("LoadState", ""), "active": values.get("ActiveState", ""),
                 "enabled": values.get("UnitFileState", ""), "skip": unit.get("skip", ""),
                 "optional": bool(unit.get("optional")), "boot_only": bool(unit.get("boot_only")), "action": ""}
        if not state["skip"] and not (state["optional"] and state["load"] != "loaded"):
            if state["boot_only"]:
                state["action"] = "" if state["enabled"] == "enabled" else "enabled"
            elif state["active"] not in ("active", "activating"):
                state["action"] = "started"
            elif newest(unit.get("files", [])) > loaded:
                state["action"] = "restarted"
            elif newest(unit.get("rules", [])) > loaded:
                state["action"] = "rules"
        found.append(state)
    return found


def sshd() -> dict[str, str]:
    """Return keyword -> value of the SSH daemon's effective configuration, empty if it has none."""
    values: dict[str, str] = {}
    code, out = run("sshd", "-T", "-C", "user=root,host=localhost,addr=127.0.0.1")
    for line in out.splitlines() if code == 0 else []:
        key, _sep, value = line.partition(" ")
        values[key] = f"{values[key]} {value}" if key in values else value
    return values


def firewall() -> Table:
    """Return what the kernel's own table of this role says, and whether it is what the rules on disk would make of it."""
    code, live = run("nft", "-s", "list", "table", "inet", TABLE)
    policies = dict(re.findall(r"hook (\w+) priority [^;]+; policy (\w+);", live)) if code == 0 else {}
    state = {"loaded": code == 0, "input": policies.get("input", ""), "forward": policies.get("forward", ""), "in_sync": False}
    if code == 0 and os.path.exists(RULES):
        # An empty network namespace shows what the file would load, without touching this one.
        code, wanted = run("unshare", "--net", "sh", "-c", f"nft -f {RULES} && nft -s list table inet {TABLE}")
        state["in_sync"] = code == 0 and wanted == live
    return state


def users() -> list[Table]:
    """Return the people's accounts: those with a number from 1000 on, and root."""
    found = []
    for entry in pwd.getpwall():
        if (entry.pw_uid == 0 or 1000 <= entry.pw_uid < 60000) and not entry.pw_shell.endswith(("nologin", "false")):
            keys = os.path.join(entry.pw_dir, ".ssh", "authorized_keys")
            found.append({"name": entry.pw_name, "uid": entry.pw_uid, "home": entry.pw_dir, "keys": bool(text(keys).strip())})
    return found


def mode(path: str) -> str | None:
    """Return the octal mode of a path, None if it is not there."""
    try:
        return f"{stat.S_IMODE(os.stat(path).st_mode):04o}"
    except OSError:
        return None


def check(name: str, expected: t.Any, actual: t.Any, passed: bool, skip: str = "") -> Table:
    """Return one check in the form that goes into the evidence."""
    outcome = "skipped" if skip and not passed else ("passed" if passed else "failed")
    return {"check": name, "outcome": outcome, "expected": expected, "actual": actual, "reason": skip if outcome == "skipped" else ""}


def setting_check(entry: Table) -> Table:
    """Return the check of one kernel setting."""
    skip = ""
    if entry["value"] is None:
        skip = "this kernel has no such key"
    elif not entry["writable"]:
        skip = "read-only here: it belongs to the machine that hosts this guest"
    return check("sysctl " + entry["key"], entry["wanted"], entry["value"], entry["right"], skip)


def checks(request: Table, seen: Table) -> list[Table]:
    """Return what holds and what does not, for everything that was asked for."""
    found = [setting_check(entry) for entry in seen["sysctl"]]
    for key, value in request.get("sshd", {}).items():
        have = seen["sshd"].get(key.lower())
        found.append(check("sshd " + key, str(value), have, have is not None and have.lower() == str(value).lower()))
    for path, state in seen["mounts"].items():
        wanted = request["mounts"][path]
        found.append(check("mount " + path, ",".join(wanted), ",".join(state["options"]), state["mounted"] and not state["missing"]))
    for unit in seen["units"]:
        wanted, have = ("enabled", unit["enabled"]) if unit["boot_only"] else ("active", unit["active"])
        if not unit["optional"] or (unit["load"] == "loaded" and not unit["skip"]):
            found.append(check("unit " + unit["name"], wanted, have, have == wanted, unit["skip"]))
    for key, value in request.get("firewall", {}).items():
        found.append(check("firewall " + key, value, seen["firewall"][key], seen["firewall"][key] == value))
    for path, most in request.get("modes", {}).items():
        have = mode(path)
        found.append(check("mode " + path, "at most " + most, have, have is None or int(have, 8) & ~int(most, 8) == 0))
    for line in request.get("lines", []):
        # The last match counts, as it does for what reads such files.
        hits = re.findall(line["pattern"], text(line["path"]), re.MULTILINE)
        have = hits[-1] if hits else None
        found.append(check(line["check"], str(line["expected"]), have, have == str(line["expected"])))
    return found


def main() -> None:
    """Read the request, print the answer."""
    request = json.load(sys.stdin)
    kind, container = virtualization()
    table = fstab()
    people = users()
    seen: Table = {
        "virtualization": kind,
        "container": container,
        "capabilities": capabilities(),
        "modules": os.path.isdir(f"/lib/modules/{os.uname().release}"),
        "apparmor": text("/sys/module/apparmor/parameters/enabled").strip() == "Y" and os.path.isdir("/sys/kernel/security/apparmor"),
        "login_user": os.environ.get("SUDO_USER") or "root",
        "users": people,
        "homes": [{"path": home} for home in sorted({user["home"] for user in people if user["uid"] != 0})],
        "sysctl": settings(request.get("sysctl", {})),
        "mounts": {path: mount(path, options, table, container) for path, options in request.get("mounts", {}).items()},
        "units": units(request.get("units", [])),
        "sshd": sshd(),
        "sshd_include": bool(re.search(r"^\s*Include\s+/etc/ssh/sshd_config\.d/\*\.conf", text("/etc/ssh/sshd_config"), re.MULTILINE)),
        "firewall": firewall(),
        "rollback_armed": run("systemctl", "is-active", "--quiet", "host-hardening-rollback.timer")[0] == 0,
        "faillock": "pam_faillock.so" in text("/etc/pam.d/common-auth"),
        "dictionary": os.path.exists("/var/cache/cracklib/cracklib_dict.pwd"),
        # What the apt module leaves when it is killed: no package could ever start its service again.
        "policy_left": text("/usr/sbin/policy-rc.d") == "#!/bin/sh\nexit 101\n",
        "integrity_database": os.path.exists("/var/lib/aide/aide.db"),
    }
    seen["checks"] = checks(request, seen) if request.get("verify") else []
    # What is configured but cannot take effect here: never silently left out.
    seen["not_applicable"] = [limit for limit in request.get("limits", []) if limit["reason"]]
    seen["not_applicable"] += [{"control": one["check"], "reason": one["reason"]} for one in seen["checks"] if one["outcome"] == "skipped"]
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
