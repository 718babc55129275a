#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_restore_test
short_description: Restore a replicated snapshot of a TrueNAS system aside, and check every file
version_added: 0.1.0
description:
  - Clones a snapshot on the system that holds the copy, reads every file of the clone and compares its SHA-256 with a manifest.
  - The manifest is given, or made from the same snapshot (by guid) on the system that holds the original.
  - "What it promises: V(verified) means that every file of the manifest was read from the copy with the content it should have, that there
    were no others, and that no clone was left behind. The replicated dataset itself is not touched."
  - Clones are below O(scratch), a dataset that the module makes, marks with the user property V(resilient.platform:restore_test) and
    removes. Those of a run that was killed are found there by the next one, and removed when they are older than O(leftover_age).
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._truenas.peer
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_truenas
attributes:
  check_mode:
    support: full
    details: The test is not done. It says which snapshot it would take and which leftovers it would remove.
  diff_mode:
    support: full
    details: Leftovers of runs that were killed are all that it changes.
  idempotent:
    support: full
options:
  peer:
    description: The API of the system that holds the original, for O(source).
    type: dict
  dataset:
    description: The replicated dataset, on the system of O(api_host).
    type: str
    required: true
  snapshot:
    description: Name of the snapshot (without the dataset). If not set, the newest; with O(source), the newest that both have by guid.
    type: str
  source:
    description: The original dataset on the system of O(peer), whose files are read as manifest.
    type: str
  manifest:
    description: SHA-256 (hexadecimal) by path below the dataset.
    type: dict
  manifest_path:
    description: File with the same, as C(sha256sum) writes it, on the host where the module runs.
    type: path
  allow_extra:
    description: Whether the copy may have files that the manifest does not name.
    type: bool
    default: false
  scratch:
    description:
      - Dataset for the clones, on the system of O(api_host). Everything below it is the module's own.
      - If not set, C(restore-test) in the pool of O(dataset).
    type: str
  source_scratch:
    description: The same on the system of O(peer); C(restore-test) in the pool of O(source) if not set.
    type: str
  directory:
    description:
      - What C(/mnt) of the system of O(api_host) is on the host where the module runs, if it can be read there (an NFS or SMB mount which
        shows datasets that are made later).
      - If not set, the files are read by the API, which wants the role FULL_ADMIN.
    type: path
  source_directory:
    description: The same for the system of O(peer).
    type: path
  leftover_age:
    description: Clones that are older than this, in seconds, are removed; younger ones may be those of a test at work, and are reported.
    type: int
    default: 86400
  fail:
    description: Whether the task fails unless the copy is verified.
    type: bool
    default: true
notes:
  - By the API, each file takes a call and a request. For very many files give O(directory).
  - Symbolic links, devices and the like, owners and modes are not compared.
  - A clone can only be made in the pool of its snapshot.
seealso:
  - module: resilient.platform.truenas_replication_verify
"""

EXAMPLES = r"""
- name: Prove that the files of the copy are those of the original
  resilient.platform.truenas_restore_test:
    api_host: nas2.example.org
    api_username: automation
    api_key: "{{ nas2_api_key }}"
    dataset: backup/apps
    source: tank/apps
    peer:
      api_host: nas1.example.org
      api_username: automation
      api_key: "{{ nas1_api_key }}"
  register: restored

- name: Prove it without the original
  resilient.platform.truenas_restore_test:
    api_host: nas2.example.org
    api_username: automation
    api_key: "{{ nas2_api_key }}"
    dataset: backup/apps
    manifest_path: /var/lib/platform/apps.sha256
"""

RETURN = r"""
verdict:
  description: V(verified), V(failed), or V(not_tested) in check mode.
  returned: success
  type: str
  sample: verified
reasons:
  description: Why it failed; V(missing), V(changed), V(extra), V(unreadable), V(empty) (nothing was expected, so nothing was proven).
  returned: success
  type: list
  elements: str
snapshot:
  description: What was tested.
  returned: success
  type: dict
  sample: {name: auto-2026-11-21_05-00, id: backup/apps@auto-2026-11-21_05-00, guid: "5488368625827383818", createtxg: 4711}
rto_seconds:
  description: Seconds from the clone to the last byte that was read of it, by a clock that doesn't jump.
  returned: when tested
  type: float
phases:
  description: Seconds of each phase, C(clone), C(read), C(clean).
  returned: when tested
  type: dict
bytes:
  description: Bytes that were read.
  returned: when tested
  type: int
counts:
  description: Numbers of files, C(expected), C(read), C(missing), C(changed), C(extra), C(unreadable).
  returned: when tested
  type: dict
missing:
  description: Files of the manifest that the copy lacks (the first 100).
  returned: when tested
  type: list
  elements: str
changed_files:
  description: Files with other content (the first 100).
  returned: when tested
  type: list
  elements: str
extra:
  description: Files that the manifest does not name (the first 100).
  returned: when tested
  type: list
  elements: str
unreadable:
  description: Why files could not be read (the first 100).
  returned: when tested
  type: dict
leftovers_removed:
  description: Clones of runs that were killed, removed now.
  returned: success
  type: list
  elements: str
leftovers_present:
  description: Clones that are too young to be removed.
  returned: success
  type: list
  elements: str
"""

import re
import signal
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import content, restore_test
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from, peer_spec
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.restore_test import System
from ansible_collections.resilient.platform.plugins.module_utils._truenas.scratch import Scratch


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    wanted = ("source", "manifest", "manifest_path")
    options: dict[str, t.Any] = {
        "peer": peer_spec(),
        "dataset": {"type": "str", "required": True},
        "snapshot": {"type": "str"},
        "source": {"type": "str"},
        "manifest": {"type": "dict"},
        "manifest_path": {"type": "path"},
        "allow_extra": {"type": "bool", "default": False},
        "scratch": {"type": "str"},
        "source_scratch": {"type": "str"},
        "directory": {"type": "path"},
        "source_directory": {"type": "path"},
        "leftover_age": {"type": "int", "default": 86400},
        "fail": {"type": "bool", "default": True},
    }
    spec = ArgumentSpec(options, mutually_exclusive=[wanted], required_one_of=[wanted], required_by={"source": ["peer"]})
    return spec.merge(api_spec())


def manifest_from(params: t.Mapping[str, t.Any]) -> dict[str, str] | None:
    """Return the manifest that was given, None where it is to be made.

    Raises:
        Refused: it cannot be read, or is none.
    """
    if params["manifest_path"]:
        where = params["manifest_path"]
        try:
            with open(where, encoding="utf-8", errors="surrogateescape") as stream:
                return content.parse_manifest(stream.read(), where=where)
        except OSError as exc:
            raise Refused(f"Cannot read {where}: {exc.strerror}.") from exc
    if params["manifest"] is None:
        return None
    bad = [path for path, value in params["manifest"].items() if not re.fullmatch("[0-9a-f]{64}", str(value))]
    if bad:
        raise Refused(f"These values of manifest are no SHA-256: {', '.join(map(str, bad))}.", hint="64 hexadecimal digits, in lower case.")
    return {content.safe(path, where="manifest"): str(value) for path, value in params["manifest"].items()}


def system(client: TrueNasClient, dataset: str, scratch: str | None, directory: str | None) -> System:
    """Return one of the systems.

    Raises:
        Refused: the clones would be in another pool, or inside of what is tested.
    """
    pool = dataset.partition("/")[0]
    parent = scratch or f"{pool}/restore-test"
    if parent.partition("/")[0] != pool or "/" not in parent:
        raise Refused(f"scratch {parent} must be below the pool {pool}: a clone is made in the pool of its snapshot.")
    if parent == dataset or parent.startswith(f"{dataset}/"):
        raise Refused(f"scratch {parent} must not be in {dataset}, which is tested.", hint="A replication of the dataset would take the clones along, or fail.")
    return System(client, dataset, Scratch(client, parent), directory or "")


def interrupted(number: int, _frame: t.Any) -> None:
    """End by an exception, so that the clone is removed."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def test(params: t.Mapping[str, t.Any], client: TrueNasClient, peer: TrueNasClient | None, *, check: bool) -> dict[str, t.Any]:
    """Do it and return the result."""
    manifest = manifest_from(params)
    copy = system(client, params["dataset"], params["scratch"], params["directory"])
    source = system(peer, params["source"], params["source_scratch"], params["source_directory"]) if params["source"] and peer else None
    result: dict[str, t.Any] = {"leftovers_removed": [], "leftovers_present": []}
    for one in [copy, *([source] if source else [])]:
        old, young = restore_test.remove_leftovers(one.scratch, params["leftover_age"], really=not check)
        result["leftovers_removed"] += old
        result["leftovers_present"] += young
    if check:
        chosen = restore_test.choose(copy.history(), source.history() if source else None, params["snapshot"])
        shown = {"name": chosen.name, "id": f"{copy.dataset}@{chosen.name}", "guid": str(chosen.guid), "createtxg": chosen.createtxg}
        return {**result, "verdict": "not_tested", "reasons": [], "snapshot": shown}
    found = restore_test.run(copy, source, manifest, name=params["snapshot"], allow_extra=params["allow_extra"])
    found.pop("manifest")
    return {**result, **found}


def main() -> None:
    module = argument_spec().create_module()
    params = module.params
    peer = client_from(params["peer"]) if params["peer"] else None
    before = {number: signal.signal(number, interrupted) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with client_from(params) as client:
            result = test(params, client, peer, check=module.check_mode)
    except PlatformError as exc:
        exc.fail(module)
    finally:
        if peer is not None:
            peer.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    result["changed"] = bool(result["leftovers_removed"])
    if module._diff:
        diff = DiffTracker()
        for name in result["leftovers_removed"]:
            diff.add(f"{name}.state", before="present", after="absent")
        result["diff"] = diff.as_result("leftovers")
    if result["verdict"] == "failed" and params["fail"]:
        counts = ", ".join(f"{number} {kind}" for kind, number in result["counts"].items())
        module.fail_json(msg=f"The copy {result['snapshot']['id']} is not what it should be ({', '.join(result['reasons'])}): {counts}.", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
