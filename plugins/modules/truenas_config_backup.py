#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_config_backup
short_description: Keep the configuration of a TrueNAS system in a file
version_added: 0.1.0
description:
  - Fetches the configuration and writes it, at once and readable by its owner alone, if it differs from the file.
  - With the secret seed, the file opens every password and key that the system keeps, those of encrypted datasets too.
    Without it, they are lost with the system.
  - Check mode fetches and compares as well, and writes nothing.
  - The account has to be a full administrator.
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
    support: partial
    details: A system that works also changes its configuration by itself, with alerts and counters; then the file is new.
options:
  path:
    description: The file. Its directory must be there.
    type: path
    required: true
  secretseed:
    description: Whether the secret seed goes along, which a restored system needs to read its own secrets.
    type: bool
    default: true
  root_authorized_keys:
    description: Whether the SSH keys of the administrators go along.
    type: bool
    default: false
seealso:
  - module: resilient.platform.truenas_dataset_lock_info
"""

EXAMPLES = r"""
- name: Keep the configuration in the safe
  resilient.platform.truenas_config_backup:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    path: /srv/safe/nas1.tar
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /srv/safe/nas1.tar
sha256:
  description: SHA-256 of the configuration; of a tar file, of its members, whose times do not count.
  returned: success
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
size_bytes:
  description: Size of what was fetched.
  returned: success
  type: int
  sample: 1064960
"""

import pathlib
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import config_file
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "path": {"type": "path", "required": True},
        "secretseed": {"type": "bool", "default": True},
        "root_authorized_keys": {"type": "bool", "default": False},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    params, diff = module.params, DiffTracker()
    path = pathlib.Path(params["path"])
    try:
        config_file.check_place(path)
        before = config_file.digest_of(path)
        with client_from(params) as client:
            part, digest = config_file.fetch(client, path, seed=params["secretseed"], keys=params["root_authorized_keys"])
        size = part.stat().st_size
        diff.add("sha256", before=before, after=digest)
        open_to_others = before is not None and bool(path.stat().st_mode & 0o077)
        if open_to_others:
            diff.add("mode", before=f"{path.stat().st_mode & 0o777:04o}", after="0600")
        if diff.changed and not module.check_mode:
            part.replace(path)
        else:
            part.unlink()
    except PlatformError as exc:
        exc.fail(module)
    result: dict[str, t.Any] = {"changed": diff.changed, "path": str(path), "sha256": digest, "size_bytes": size}
    if module._diff:
        result["diff"] = diff.as_result(str(path))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
