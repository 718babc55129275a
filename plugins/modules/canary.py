#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: canary
short_description: Write numbered, timed, authenticated records to stores and find them again after a rebuild
version_added: 0.1.0
description:
  - Each record carries its series, store, number, time and an HMAC-SHA256. What a store acknowledged is kept outside it, in
    C(<run_dir>/canary-<store>.jsonl), flushed to the disk before the store is asked and after it has answered.
  - After a rebuild the recovered records must be a prefix of the acknowledged ones; what is missing at the end is the loss of data.
  - A drill has a series of its own in the directory of its run. The platform has one that lives on from backup to backup; with O(destinations)
    its acknowledgements lie there too, so that they survive the controller.
  - A missing, forged or never written record is named by its number.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_evidence
  - resilient.platform._evidence
  - resilient.platform._evidence.destinations
attributes:
  check_mode:
    support: full
    details: Reads as in a real run, and writes nothing.
  diff_mode:
    support: none
    details: Records are always new.
  idempotent:
    support: partial
    details: Reading changes nothing; writing adds records.
options:
  mode:
    description:
      - V(write) writes O(count) records to each store and fails if a store does not take them. If another writer is at work, it waits until
        that one has had as many acknowledged. It refuses while C(<run_dir>/canary.stop) exists.
      - V(run) keeps writing until the file C(<run_dir>/canary.stop) exists or O(max_seconds) are over; meant for C(async) with C(poll=0).
        A store that is down is counted and tried again. A second writer for the same run ends at once.
      - V(status) tells what was acknowledged so far, without asking the stores. With O(destinations) they know it afterwards, too.
      - V(read) reads all records of each store and compares them with the acknowledgements.
      - V(verify) is another name for V(read).
    type: str
    choices: [write, run, status, read, verify]
    required: true
  run_dir:
    description: Directory of the run, or the one of the platform's series, where acknowledgements are kept. It must exist.
    type: path
    required: true
  series:
    description: Name of the series. One that is to be written after a disaster too needs O(accept_loss) in between.
    type: str
    required: true
  stores:
    description: Where records are written to and read from.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the store.
        type: str
        required: true
      asset:
        description: The asset that it stands for in the report; its name if it is not given.
        type: str
      type:
        description: V(vault_kv) for a KV engine (version 2) of Vault or OpenBao, V(file) for a file in a directory such as a dataset's mount point.
        type: str
        choices: [vault_kv, file]
        required: true
      path:
        description: For V(file) the directory, which must exist; for V(vault_kv) the path in the engine, C(canary) if it is not given.
        type: str
      url:
        description: URL of a Vault node.
        type: str
      urls:
        description: URLs of Vault nodes; they are asked one after the other until one answers.
        type: list
        elements: str
      ca_path:
        description: PEM file of the CA that signed the nodes' certificates.
        type: path
      validate_certs:
        description: Whether the nodes' certificates must be trusted.
        type: bool
        default: true
      namespace:
        description: Namespace of Vault Enterprise or OpenBao.
        type: str
      mount_point:
        description: Where the KV engine is mounted.
        type: str
        default: kv
      token:
        description: A token, instead of an AppRole.
        type: str
      role_id:
        description: Role id of an AppRole.
        type: str
      secret_id:
        description: Secret id of the AppRole.
        type: str
      credentials_file:
        description: JSON file with C(role_id) and C(secret_id), instead of both options.
        type: path
      timeout:
        description: Seconds to wait for an answer.
        type: int
        default: 5
  hmac_key_file:
    description: File with the key of the HMAC, at least 16 bytes.
    type: path
    required: true
  interval_seconds:
    description: Seconds between two records (O(mode=run)).
    type: float
    default: 1.0
  count:
    description: Number of records for each store (O(mode=write)).
    type: int
    default: 1
  max_seconds:
    description: When O(mode=run) ends by itself.
    type: int
    default: 3600
  disaster_at:
    description: Moment of the disaster (ISO 8601), to which the loss of data is measured (O(mode=read)).
    type: str
  minimum_sequences:
    description: By store, the number of the newest record that the backup is known to hold (O(mode=read)); less is a failure.
    type: dict
    default: {}
  accept_loss:
    description:
      - Whether O(mode=read) writes down which acknowledged records are lost, so that the series can go on behind them and they are not missed
        again. Only of stores that are V(verified). Waits until no writer is at work.
    type: bool
    default: false
  may_begin:
    description:
      - Whether a series may be begun in a store of which nothing is acknowledged. V(false) when the store may be gone and its place empty.
    type: bool
    default: true
  environment:
    description:
      - Name of the platform; required with O(destinations), where acknowledgements lie as C(<environment>/canaries/<series>/canary-<store>.jsonl).
    type: str
  step:
    description: If given, O(mode=read) adds a record C(canary) of this step for each store to the evidence of the run.
    type: str
  fail_on:
    description: When O(mode=read) fails the task.
    type: str
    choices: [not_verified, failed, never]
    default: never
requirements:
  - hvac for stores of the type vault_kv
"""

EXAMPLES = r"""
- name: Canaries
  hosts: localhost
  module_defaults:
    resilient.platform.canary:
      run_dir: "{{ drill.run.dir }}"
      series: "{{ drill.run.id }}"
      hmac_key_file: /etc/platform/canary.key
      stores:
        - {name: vault, type: vault_kv, urls: ["https://192.0.2.11:8200"], ca_path: /etc/platform/ca.crt, credentials_file: /etc/platform/canary.json}
        - {name: files, type: file, path: /mnt/tank/files}
  tasks:
    - name: Write canaries until the disaster
      resilient.platform.canary:
        mode: run
      async: 3600
      poll: 0

    - name: Stop them
      ansible.builtin.file:
        path: "{{ drill.run.dir }}/canary.stop"
        state: touch
        mode: "0644"

    - name: Write one record to each store in the series of the platform, before a backup
      resilient.platform.canary:
        mode: write
        run_dir: /var/lib/platform/canaries
        series: production
        environment: production
        destinations: "{{ platform_backup_destinations }}"

    - name: See what came back
      resilient.platform.canary:
        mode: read
        disaster_at: "{{ drill.run.facts.disaster.declared_at }}"
        step: prove
"""

RETURN = r"""
pushed:
  description: Destinations that now hold the acknowledgements.
  returned: after writing, with O(mode=status), or after O(accept_loss) had something to write, when O(destinations) are given and it is not check mode
  type: list
  elements: dict
canary:
  description: What was written or found.
  returned: success
  type: dict
  contains:
    verdict:
      description: V(verified), V(failed) or V(could_not_verify) over all stores.
      returned: with O(mode=read)
      type: str
    skew_seconds:
      description: How far the newest recovered records of the stores lie apart.
      returned: with O(mode=read)
      type: float
    stores:
      description:
        - By store. After writing C(asset, written, acknowledged, newest, errors, last_error).
        - After reading C(asset, recovered, acknowledged, lost, phantom, forged, missing, unacknowledged, newest_recovered, newest_recovered_at,
          rpo_seconds, verdict, reason).
      type: dict
already_running:
  description: Whether another writer works for the run, so that this one did nothing.
  returned: with O(mode=run)
  type: bool
stopped:
  description: Whether C(canary.stop) ended the writing.
  returned: with O(mode=run)
  type: bool
"""

import os
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import (
    canary,
    canary_read,
    canary_shared,
    canary_write,
    destinations,
    records,
    stores,
)
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import parse_time

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_STORE: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "asset": {"type": "str"},
    "type": {"type": "str", "choices": ["vault_kv", "file"], "required": True},
    "path": {"type": "str"},
    "url": {"type": "str"},
    "urls": {"type": "list", "elements": "str"},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "namespace": {"type": "str"},
    "mount_point": {"type": "str", "default": "kv"},
    "token": {"type": "str", "no_log": True},
    "role_id": {"type": "str"},
    "secret_id": {"type": "str", "no_log": True},
    "credentials_file": {"type": "path"},
    "timeout": {"type": "int", "default": 5},
}
# Between two records of mode write, so that they have different times.
_PAUSE_SECONDS = 0.001
# How long another writer is waited for: the longest interval that makes sense, and a store that hangs.
_PATIENCE_SECONDS = 90.0


class CanaryFailed(PlatformError):
    """Canaries were not taken, or did not come back as they should."""


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "mode": {"type": "str", "choices": ["write", "run", "status", "read", "verify"], "required": True},
            "run_dir": {"type": "path", "required": True},
            "series": {"type": "str", "required": True},
            "stores": {"type": "list", "elements": "dict", "required": True, "options": _STORE},
            "hmac_key_file": {"type": "path", "required": True, "no_log": False},
            "interval_seconds": {"type": "float", "default": 1.0},
            "count": {"type": "int", "default": 1},
            "max_seconds": {"type": "int", "default": 3600},
            "disaster_at": {"type": "str"},
            "minimum_sequences": {"type": "dict", "default": {}},
            "accept_loss": {"type": "bool", "default": False},
            "may_begin": {"type": "bool", "default": True},
            "environment": {"type": "str"},
            "step": {"type": "str"},
            "fail_on": {"type": "str", "choices": ["not_verified", "failed", "never"], "default": "never"},
        }
    ).merge(destinations_spec())


def validate(params: t.Mapping[str, t.Any]) -> None:
    if not os.path.isdir(params["run_dir"]):
        raise Refused(f"The run directory {params['run_dir']} does not exist.", hint="Begin a run with evidence_run, or create it.")
    if params["destinations"] and not params["environment"]:
        raise Refused("destinations need the name of the environment.", hint="Give environment.")
    if params["interval_seconds"] < 0.01 or params["count"] < 1 or params["max_seconds"] < 1:
        raise Refused("interval_seconds must be at least 0.01, count and max_seconds at least 1.", hint="Correct them.")
    if params["disaster_at"]:
        parse_time(params["disaster_at"])
    names = [store["name"] for store in params["stores"]]
    if len(set(names)) != len(names) or not names:
        raise Refused("Each store needs a name of its own, and there must be one.", hint="Correct stores.")


def result_of(writers: t.Sequence[canary_write.Writer], params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {"canary": {"mode": params["mode"], "series": params["series"], "stores": {item.store.name: item.as_result() for item in writers}}}


def write(module: AnsibleModule, one: canary_write.OneWriter, build: t.Callable[[], list[canary_write.Writer]]) -> dict[str, t.Any]:
    params = module.params
    reason = canary_write.stopped_by(params["run_dir"])
    if reason is not None:
        raise Refused(
            f"Writing canaries to {params['run_dir']} was stopped by: {reason}. Nothing was written.",
            hint=f"Bring that to its end. If it is abandoned, remove {os.path.join(params['run_dir'], canary_write.STOP_NAME)}.",
        )
    if not one.take():
        writers = wait_for_other(build, params)
        return {"changed": False, **result_of(writers, params), **share(module, writers)}
    writers = build()
    if module.check_mode:
        return {"changed": True, **result_of(writers, params)}
    for _number in range(params["count"]):
        for writer in writers:
            writer.write_one()
        time.sleep(_PAUSE_SECONDS)
    result = {"changed": any(writer.written for writer in writers), **result_of(writers, params), **share(module, writers)}
    bad = [f"{writer.store.name}: {writer.last_error}" for writer in writers if writer.errors]
    if bad:
        CanaryFailed(f"Not every store took its records: {'; '.join(bad)}", hint="Look at the store.").fail(module, **result)
    return result


def wait_for_other(build: t.Callable[[], list[canary_write.Writer]], params: t.Mapping[str, t.Any]) -> list[canary_write.Writer]:
    """Return what is known when the writer that is at work has written ``count`` records more to each store."""
    wanted = [writer.known.last + int(params["count"]) for writer in build()]
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        writers = build()
        if all(writer.known.last >= least for writer, least in zip(writers, wanted)):
            return writers
        time.sleep(0.2)
    raise Refused(
        f"Another writer is at work in {params['run_dir']}, and in {_PATIENCE_SECONDS:g} s not every store has acknowledged its records.",
        hint="Look at the stores, or stop it with canary.stop.",
    )


def share(module: AnsibleModule, writers: t.Sequence[canary_write.Writer]) -> dict[str, t.Any]:
    """Put the acknowledgements to the destinations; one that is down is a warning."""
    targets = destinations.build_all(module.params["destinations"])
    if not targets or module.check_mode:
        return {}
    pushed, problems = canary_shared.push([writer.log for writer in writers], targets, module.params["environment"])
    for problem in problems:
        module.warn(f"The acknowledgements of canaries were not pushed to {problem}")
    return {"pushed": pushed}


def gather(module: AnsibleModule, writers: t.Sequence[canary_write.Writer]) -> None:
    """Add what the destinations know to the files here; refuse to begin a series anew that may be known there."""
    params = module.params
    targets = destinations.build_all(params["destinations"])
    _added, problems = canary_shared.pull([writer.log for writer in writers], targets, params["environment"] or "", write=not module.check_mode)
    for problem in problems:
        module.warn(f"Cannot look for acknowledgements of canaries at {problem}")
    unknown = [writer.store.name for writer in writers if not writer.log.load().intents]
    if problems and len(problems) == len(targets) and unknown and params["mode"] in ("write", "run"):
        raise Refused(
            f"Nothing is known here of the series {params['series']} in {', '.join(unknown)}, and no destination can be asked: {'; '.join(problems)}.",
            hint="Bring a destination back, because numbers must not be given twice.",
        )


def keep_writing(module: AnsibleModule, one: canary_write.OneWriter, build: t.Callable[[], list[canary_write.Writer]]) -> dict[str, t.Any]:
    params = module.params
    if not one.take():
        return {"changed": False, "already_running": True, "stopped": False, **result_of([], params)}
    writers = build()  # after the lock, so that the numbers go on where the last writer ended
    if module.check_mode:
        return {"changed": True, "already_running": False, "stopped": False, **result_of(writers, params)}
    stopped = canary_write.write_until_stopped(writers, params["run_dir"], params["interval_seconds"], params["max_seconds"], lambda: share(module, writers))
    result = {"changed": any(writer.written for writer in writers), "already_running": False, "stopped": stopped, **result_of(writers, params)}
    return {**result, **share(module, writers)}


def read(module: AnsibleModule, writers: t.Sequence[canary_write.Writer]) -> dict[str, t.Any]:
    params = module.params
    found = {
        writer.store.name: canary_read.read_store(
            writer.store, writer.log, writer.key, params["disaster_at"], int(params["minimum_sequences"].get(writer.store.name) or 0)
        )
        for writer in writers
    }
    verdict = canary_read.overall(found)
    if params["step"] and not module.check_mode:
        _record(params, found)
    lost = params["accept_loss"] and [
        canary_read.accept_loss(item.log, found[item.store.name], params["disaster_at"], write=not module.check_mode) for item in writers
    ]
    result: dict[str, t.Any] = {
        "changed": bool(params["step"]) or any(lost or []),
        "canary": {"mode": "read", "series": params["series"], "stores": found, "verdict": verdict, "skew_seconds": canary_read.skew_seconds(found)},
        **(share(module, writers) if any(lost or []) else {}),
    }
    if (params["fail_on"] == "not_verified" and verdict != "verified") or (params["fail_on"] == "failed" and verdict == "failed"):
        reasons = "; ".join(f"{name}: {item['reason']}" for name, item in found.items() if item["reason"])
        CanaryFailed(
            f"The canaries of the series {params['series']} are not what was written: {reasons}.", hint="Restore from another copy or an older recovery point."
        ).fail(module, **result)
    return result


_OUTCOMES: dict[str, records.Outcome] = {"verified": "passed", "failed": "failed", "could_not_verify": "skipped"}


def _record(params: t.Mapping[str, t.Any], found: t.Mapping[str, dict[str, t.Any]]) -> None:
    log = records.read_log(params["run_dir"])
    entries = [
        records.Entry(
            step=params["step"],
            check="canary" if item["asset"] == name else f"canary_{name}",
            outcome=_OUTCOMES[item["verdict"]],
            asset=item["asset"],
            data=True,
            expected="recovered records are a prefix of the acknowledged ones",
            actual=item["reason"] or f"{item['recovered']} of {item['acknowledged']} recovered, {item['lost']} lost, {item['phantom']} phantom",
            facts={"canaries": {name: item}},
        )
        for name, item in found.items()
    ]
    records.append(params["run_dir"], log[0]["run"] if log else "", entries)


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    validate(params)
    canary.check_name(params["series"], "series")
    key = canary.load_key(params["hmac_key_file"])
    built = [stores.build(options) for options in params["stores"]]

    def writers() -> list[canary_write.Writer]:
        return canary_write.make_writers(params["run_dir"], params["series"], built, key, may_begin=params["may_begin"])

    if params["destinations"]:
        gather(module, writers())
    if params["mode"] == "status":
        known = writers()
        return {"changed": False, **result_of(known, params), **share(module, known)}
    if params["mode"] in ("read", "verify") and not params["accept_loss"]:
        return read(module, writers())
    one = canary_write.OneWriter(params["run_dir"])
    try:
        if params["mode"] == "run":
            return keep_writing(module, one, writers)
        if params["mode"] == "write":
            return write(module, one, writers)
        if not one.take_soon(_PATIENCE_SECONDS):
            raise Refused("Another writer is at work, so what it writes next could be taken for lost.", hint="Stop it with canary.stop first.")
        return read(module, writers())
    finally:
        one.release()


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
