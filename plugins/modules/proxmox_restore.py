#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_restore
short_description: Restore a Proxmox VE guest from its backup, to prove the backup or to keep the guest
version_added: 0.1.0
description:
  - Takes the newest backup of a guest, compares its configuration with that of the guest today, restores it under another id beside the
    original, boots it, asks its agent, runs commands in it, says how long all that took, and removes it again, whatever happened.
  - The restored guest has its network down, or is on an isolated bridge, from the request on that makes it. Before it starts, this is
    looked at once more, and what ties it to its node (hook script, passed-through devices) is taken from it.
  - Only a guest that this module made is removed. It is known by a mark in its notes.
  - With O(keep=true) the restored guest stays. An existing guest is overwritten only with O(force=true) and its name in O(confirm).
  - A newest backup that is too old, damaged, or not verified although that is asked for, is refused. An older one is never taken instead.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_proxmox
attributes:
  check_mode:
    support: full
    details: Chooses the archive and compares the configurations; restores nothing, so the verdict is V(could_not_verify) at best.
  diff_mode:
    support: full
    details: The guest that is kept. A guest restored for a test is gone afterwards, so nothing has changed.
  idempotent:
    support: partial
    details: A test leaves nothing. With O(keep=true) a second run is refused because the guest is there.
options:
  guest:
    description: Name or id of the guest whose backup is restored. A guest that does not exist any more is given by its id.
    type: str
  storage:
    description: Storage with the backups. Not needed with O(archive).
    type: str
  archive:
    description: Volume id of an archive, instead of the newest one of O(guest).
    type: str
  max_age:
    description: Seconds that the archive may be old.
    type: int
  require_verified:
    description: Refuse an archive that no Proxmox Backup Server has verified. One whose verification failed is refused in any case.
    type: bool
    default: false
  node:
    description: Where to restore. Default is the original's node if it sees the archive, else one that does.
    type: str
  vmid:
    description: Id of the restored guest. Default is the next free one.
    type: int
  name:
    description: Name of the restored guest. Default is C(restore-test-) and the original's id, or with O(keep=true) what the backup says.
    type: str
  target_storage:
    description: Storage for its disks. Default are those of the backup.
    type: str
  tags:
    description: Its tags. Default is V(restore-test), or with O(keep=true) what the backup says.
    type: list
    elements: str
  pool:
    description: Pool for it.
    type: str
  network:
    description:
      - V(down) cuts every link. V(isolated) puts every device on O(isolated_bridge), without VLAN tag.
      - V(keep) leaves them alone, for a guest that takes the place of the original; it needs O(keep=true).
    type: str
    choices: [down, isolated, keep]
    default: down
  isolated_bridge:
    description: A bridge without an uplink.
    type: str
  unique:
    description: Whether the restored guest gets hardware addresses of its own. Default is not with O(keep=true) and O(network=keep).
    type: bool
  overrides:
    description: Other keys of its configuration, such as V(memory) or V(ipconfig0), as C(qm.conf) has them. No drives and no network devices.
    type: dict
    default: {}
  live_restore:
    description: Start it while its disks are still being restored. Needs a Proxmox Backup Server.
    type: bool
    default: false
  bwlimit:
    description: Limit in KiB/s.
    type: int
  probe:
    description:
      - What shows that it boots. V(agent) waits for the guest agent, V(running) for QEMU or the container, V(none) does not start it.
      - A container has no agent; it is looked at as with V(running).
    type: str
    choices: [agent, running, none]
    default: agent
  commands:
    description: Commands to run in it as root through the agent, one after the other; all are run.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the check.
        type: str
        required: true
      argv:
        description: Program and arguments. There is no shell.
        type: list
        elements: str
        required: true
      status:
        description: Exit status expected.
        type: int
        default: 0
      stdout:
        description: Regular expression that its output has to match somewhere.
        type: str
  compare_config:
    description: Compare the backup's configuration with that of the guest today. Differences are listed; they are no failure.
    type: bool
    default: true
  ignore_drift:
    description: Keys that are not compared.
    type: list
    elements: str
    default: []
  rto_seconds:
    description: Objective. The check C(rto) fails if it took longer from the request to the last command.
    type: int
  keep:
    description: Whether the restored guest stays.
    type: bool
    default: false
  force:
    description: Overwrite the guest with the id O(vmid), which must be off. Needs O(keep=true) and O(confirm).
    type: bool
    default: false
  confirm:
    description: Name of the guest that is overwritten.
    type: str
  fail_on:
    description: Whether a verdict V(failed) fails the task. With V(never) it is returned for the caller to judge.
    type: str
    choices: [failed, never]
    default: failed
  wait_timeout:
    description: Seconds for everything up to the last command. Cleaning up has 300 more.
    type: int
    default: 3600
  wait_sleep:
    description: Seconds between two looks at the guest.
    type: float
    default: 1.0
seealso:
  - module: resilient.platform.proxmox_backup
  - module: resilient.platform.proxmox_backup_info
"""

EXAMPLES = r"""
- name: Prove the newest backup
  resilient.platform.proxmox_restore:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    guest: vault-1
    storage: pbs-main
    max_age: 90000
    require_verified: true
    rto_seconds: 600
    commands:
      - name: system
        argv: [systemctl, is-system-running, --wait]
        stdout: ^running
      - name: data
        argv: [test, -s, /var/lib/vault/raft/raft.db]
  register: proof

- name: Bring a lost guest back under its own id and with its own addresses
  resilient.platform.proxmox_restore:
    guest: "101"
    storage: pbs-main
    vmid: 101
    keep: true
    network: keep
"""

RETURN = r"""
restore:
  description: What was restored and what was found. Returned also when the verdict failed.
  returned: always
  type: dict
  contains:
    verdict:
      description: V(verified), V(failed), or V(could_not_verify) if something that was asked for could not be looked at.
      type: str
      returned: always
    archive:
      description: The archive, as M(resilient.platform.proxmox_backup_info) describes it.
      type: dict
      returned: always
    guest:
      description: Name of the original today; null if it is gone.
      type: str
      returned: always
    vmid:
      description: Id of the restored guest; null in check mode.
      type: int
      returned: always
    node:
      description: Where it was restored.
      type: str
      returned: always
    checks:
      description: Each with C(check), C(outcome) (V(passed), V(failed), V(skipped)), C(expected) and C(actual).
      type: list
      elements: dict
      returned: always
    drift:
      description: Keys in which backup and guest differ, each with C(backup) and C(live). Empty if the original is gone.
      type: dict
      returned: always
    rto_seconds:
      description: From the request to the last command; null if it did not get there.
      type: float
      returned: always
    seconds:
      description: Of the parts C(restore) and C(boot).
      type: dict
      returned: always
    taken_away:
      description: Keys that were removed from the test's guest before it started.
      type: list
      elements: str
      returned: always
    kept:
      description: Whether the restored guest is there now.
      type: bool
      returned: always
"""

import uuid

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.restore_plan import plan_restore
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.verify import Command, Drill, VerificationFailed


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    command = {
        "name": {"type": "str", "required": True},
        "argv": {"type": "list", "elements": "str", "required": True},
        "status": {"type": "int", "default": 0},
        "stdout": {"type": "str"},
    }
    own = ArgumentSpec(
        {
            "guest": {"type": "str"},
            "storage": {"type": "str"},
            "archive": {"type": "str"},
            "max_age": {"type": "int"},
            "require_verified": {"type": "bool", "default": False},
            "node": {"type": "str"},
            "vmid": {"type": "int"},
            "name": {"type": "str"},
            "target_storage": {"type": "str"},
            "tags": {"type": "list", "elements": "str"},
            "pool": {"type": "str"},
            "network": {"type": "str", "default": "down", "choices": ["down", "isolated", "keep"]},
            "isolated_bridge": {"type": "str"},
            "unique": {"type": "bool"},
            "overrides": {"type": "dict", "default": {}},
            "live_restore": {"type": "bool", "default": False},
            "bwlimit": {"type": "int"},
            "probe": {"type": "str", "default": "agent", "choices": ["agent", "running", "none"]},
            "commands": {"type": "list", "elements": "dict", "default": [], "options": command},
            "compare_config": {"type": "bool", "default": True},
            "ignore_drift": {"type": "list", "elements": "str", "default": []},
            "rto_seconds": {"type": "int"},
            "keep": {"type": "bool", "default": False},
            "force": {"type": "bool", "default": False},
            "confirm": {"type": "str"},
            "fail_on": {"type": "str", "default": "failed", "choices": ["failed", "never"]},
            "wait_timeout": {"type": "int", "default": 3600},
            "wait_sleep": {"type": "float", "default": 1.0},
        },
        required_one_of=[("guest", "archive")],
        required_if=[("network", "isolated", ("isolated_bridge",))],
    )
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Choose, compare, restore and look unless in check mode, return."""
    module = argument_spec().create_module()
    params = module.params
    plan = None
    try:
        session = Session(ProxmoxClient(argspec.connection_from(params)), params["wait_timeout"])
        plan = plan_restore(session.client, params, marker="" if params["keep"] else f"resilient-restore-test {uuid.uuid4()}")
        if module.check_mode:
            plan.report.add("boot", None, expected="it boots", actual="check mode restores nothing")
        else:
            commands = [Command(one["name"], one["argv"], one["status"], one["stdout"]) for one in params["commands"]]
            drill = Drill(session, plan.target, plan.report, probe=params["probe"], commands=commands, interval=params["wait_sleep"])
            drill.run(plan.next_id, objective=params["rto_seconds"])
        if plan.report.verdict == "failed" and params["fail_on"] == "failed":
            raise VerificationFailed(
                f"The backup {plan.target.archive.volid} was restored, but {plan.report.failures}.", hint="See restore.checks for all that was looked at."
            )
    except PlatformError as exc:
        if plan is None:
            exc.fail(module)
        exc.fail(module, changed=params["keep"] and "restore" in plan.report.seconds, restore=plan.as_result())
    for warning in session.warnings:
        module.warn(warning)
    module.exit_json(changed=params["keep"], restore=plan.as_result(), diff=plan.diff().as_result(f"restored from {plan.target.archive.volid}"))


if __name__ == "__main__":
    main()
