#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_dataset_lock_info
short_description: Read which datasets are locked, and whether the keys put away still fit
version_added: 0.1.0
description:
  - Returns the encrypted datasets, and for each encryption root what is known of its key.
  - A key that only the system has is lost with it. Give the keys from where they are kept, and this module says whether they fit; nothing is unlocked.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  names:
    description: Only these datasets and what is below them; all if not set.
    type: list
    elements: str
  keys:
    description: Keys and passphrases to try, as they were put away.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the encryption root.
        type: str
        required: true
      passphrase:
        description: Its passphrase.
        type: str
      key:
        description: Its key, 64 hexadecimal digits.
        type: str
seealso:
  - module: resilient.platform.truenas_dataset_lock
  - module: resilient.platform.truenas_config_backup
"""

EXAMPLES = r"""
- name: Check that the keys in the safe still fit
  resilient.platform.truenas_dataset_lock_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    keys: "{{ safe.nas1 }}"
  register: found
  failed_when: found.roots | rejectattr('escrow', 'eq', 'verified') | length > 0
"""

RETURN = r"""
datasets:
  description: The encrypted datasets, by name.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: tank/archive, encrypted: true, encryption_root: tank/archive, key_format: PASSPHRASE, locked: true, mountpoint: null}
roots:
  description:
    - The encryption roots. C(escrow) is V(verified) (the given key fits), V(wrong) (it does not), V(database_only) (none was given, the system has it)
      or V(unknown) (none was given, and the system has none either).
  returned: success
  type: list
  elements: dict
  sample:
    - {name: tank/archive, key_format: PASSPHRASE, locked: true, key_in_database: false, escrow: verified}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import lock
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    key: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "passphrase": {"type": "str", "no_log": True},
        "key": {"type": "str", "no_log": True},
    }
    options: dict[str, t.Any] = {
        "names": {"type": "list", "elements": "str"},
        "keys": {"type": "list", "elements": "dict", "default": [], "no_log": False, "options": key},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    try:
        with client_from(module.params) as client:
            current = {name: one for name, one in lock.read(client, module.params["names"]).items() if one["encrypted"]}
            roots = lock.escrow(client, current, lock.secrets({"name": "", "keys": module.params["keys"]}))
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, datasets=[current[name] for name in sorted(current)], roots=roots)


if __name__ == "__main__":
    main()
