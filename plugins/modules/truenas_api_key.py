#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_api_key
short_description: Make API keys of a TrueNAS system, and replace them in time
version_added: 0.1.0
description:
  - The key of a name is made once. Before it ends, or when it was revoked, it gets a successor, named C(NAME (2)) and so on;
    the old one works until O(overlap) days later a run deletes it.
  - TrueNAS shows the text of a key once. It goes to O(key_file), or into the result, for which the task must set C(no_log).
  - An account that may delete data is refused unless O(allow_delete) is set. A copy that an attacker with the key can delete is none.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_truenas
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the key.
    type: str
    required: true
  username:
    description: Account that it is for.
    type: str
    required: true
  state:
    description: Whether the key and its successors should be there.
    type: str
    choices: [present, absent]
    default: present
  expires_in:
    description: Days until a new key ends; V(0) for never.
    type: int
    default: 365
  renew_before:
    description: Days before its end that a key gets its successor.
    type: int
    default: 30
  overlap:
    description: Days that an old key works beside its successor.
    type: int
    default: 7
  rotate:
    description: Whether to make a successor now, on every run.
    type: bool
    default: false
  allow_delete:
    description: Whether the account may have roles that delete datasets or snapshots.
    type: bool
    default: false
  key_file:
    description: File for the text of a new key, readable by its owner alone.
    type: path
seealso:
  - module: resilient.platform.truenas_api_key_info
"""

EXAMPLES = r"""
- name: A key for the replication
  resilient.platform.truenas_api_key:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    name: replication
    username: replicator
    expires_in: 90
    key_file: /srv/safe/nas1-replication.key
"""

RETURN = r"""
key:
  description: The text of a new key, unless it went to O(key_file).
  returned: when a key was made
  type: str
keys:
  description: The keys of this name, the oldest first.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: 3, name: replication, username: replicator, state: valid, days_left: 89}
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import datetime
import os
import pathlib
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import api_keys
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.config_file import check_place
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "username": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "expires_in": {"type": "int", "default": 365},
        "renew_before": {"type": "int", "default": 30},
        "overlap": {"type": "int", "default": 7},
        "rotate": {"type": "bool", "default": False},
        "allow_delete": {"type": "bool", "default": False},
        "key_file": {"type": "path", "no_log": False},
    }
    return ArgumentSpec(options).merge(api_spec())


def write(path: pathlib.Path, text: str) -> None:
    """Write a secret whole, readable by its owner alone."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(handle, "w") as stream:
        stream.write(f"{text}\n")
    pathlib.Path(name).replace(path)


def read(client: TrueNasClient, now: datetime.datetime) -> list[api_keys.Entry]:
    """Return all keys."""
    return [api_keys.from_api(entry, now) for entry in client.query("api_key")]


def own_key(text: str | None) -> int | None:
    """Return the number of the key that this session logs in with."""
    number = (text or "").partition("-")[0]
    return int(number) if number.isdigit() else None


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    now = datetime.datetime.now(datetime.timezone.utc)
    path = pathlib.Path(params["key_file"]) if params["key_file"] else None
    result: dict[str, t.Any] = {}
    try:
        if path is not None:
            check_place(path)
        with client_from(params) as client:
            users = {one["username"]: one["roles"] for one in client.query("user", [["username", "=", params["username"]]])}
            plan = api_keys.plan(params, read(client, now), users, now, own_key(params["api_key"]))
            if any(call.method == "api_key.create" for call in plan.calls) and path is None and not module.no_log:
                raise Refused("The text of the new key would be shown.", hint="Set no_log: true on the task, or key_file.")
            if not module.check_mode:
                for call in plan.calls:
                    made = client.call(call.method, *call.params, what=call.what)
                    plan.done.append(f"{call.method} {call.what}")
                    if call.method == "api_key.create" and path is not None:
                        write(path, made["key"])
                    elif call.method == "api_key.create":
                        result["key"] = made["key"]
            line = [one for one in read(client, now) if api_keys.generation(one, params["name"])]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result |= {"changed": plan.changed, "keys": sorted(line, key=lambda one: api_keys.generation(one, params["name"]))}
    if module._diff:
        result["diff"] = plan.diff.as_result("API keys")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
