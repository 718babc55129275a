#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_dataset_lock
short_description: Lock and unlock encrypted datasets of a TrueNAS system
version_added: 0.1.0
description:
  - Keys and passphrases are tried before anything changes, also in check mode. A wrong one is refused.
  - TrueNAS calls an unlocking done even when datasets stayed locked; this module fails then, and names each with its reason.
  - Only datasets with a passphrase of their own can be locked; of the others TrueNAS keeps the key.
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
  datasets:
    description: The datasets; each is an encryption root.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the dataset.
        type: str
        required: true
      state:
        description: Whether it should be locked.
        type: str
        choices: [locked, unlocked]
        required: true
      passphrase:
        description: Its passphrase.
        type: str
      key:
        description: Its key, 64 hexadecimal digits. Not needed where TrueNAS has it.
        type: str
      recursive:
        description: Whether encryption roots below it are unlocked as well. Locking always includes them.
        type: bool
        default: false
      keys:
        description: Keys and passphrases of encryption roots below it.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the dataset.
            type: str
            required: true
          passphrase:
            description: Its passphrase.
            type: str
          key:
            description: Its key, 64 hexadecimal digits.
            type: str
      force:
        description:
          - When locking, whether it is unmounted though it is in use.
          - When unlocking, whether what lies where it is mounted is renamed.
        type: bool
        default: false
      toggle_attachments:
        description: Whether shares and tasks of what is unlocked start again.
        type: bool
        default: true
  wait_timeout:
    description: Seconds to wait for one dataset.
    type: int
    default: 300
seealso:
  - module: resilient.platform.truenas_dataset_lock_info
  - module: resilient.platform.truenas_dataset
"""

EXAMPLES = r"""
- name: Unlock the archive and what is below it
  resilient.platform.truenas_dataset_lock:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    datasets:
      - name: tank/archive
        state: unlocked
        passphrase: "{{ archive_passphrase }}"
        recursive: true
        keys:
          - name: tank/archive/2025
            passphrase: "{{ archive_2025_passphrase }}"
"""

RETURN = r"""
datasets:
  description: The datasets of the list as they are afterwards (in check mode, as they would be).
  returned: success
  type: list
  elements: dict
  sample:
    - name: tank/archive
      encrypted: true
      encryption_root: tank/archive
      key_format: PASSPHRASE
      locked: false
unlocked:
  description: The datasets that this run unlocked.
  returned: success
  type: list
  elements: str
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import lock
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    secret: dict[str, t.Any] = {"passphrase": {"type": "str", "no_log": True}, "key": {"type": "str", "no_log": True}}
    one: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["locked", "unlocked"], "required": True},
        **secret,
        "recursive": {"type": "bool", "default": False},
        "keys": {"type": "list", "elements": "dict", "no_log": False, "options": {"name": {"type": "str", "required": True}, **secret}},
        "force": {"type": "bool", "default": False},
        "toggle_attachments": {"type": "bool", "default": True},
    }
    options: dict[str, t.Any] = {
        "datasets": {"type": "list", "elements": "dict", "required": True, "options": one},
        "wait_timeout": {"type": "int", "default": 300},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    timeout, unlocked = float(params["wait_timeout"]), []
    try:
        items = lock.wanted(params["datasets"])
        names = [item["name"] for item in items]
        with client_from(params) as client:
            current = lock.read(client, names)
            plan = lock.plan(client, items, current, timeout=timeout)
            found = [{**current[item["name"]], "locked": item["state"] == "locked"} for item in items]
            if plan.changed and not module.check_mode:
                unlocked = lock.apply(plan, client, timeout=timeout)
                current = lock.read(client, names)
                found = [current[name] for name in names]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "datasets": found, "unlocked": unlocked}
    if module._diff:
        result["diff"] = plan.diff.as_result("locks")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
