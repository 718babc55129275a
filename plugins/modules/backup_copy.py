#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_copy
short_description: Copy a backup to a destination and read it back, or fetch it
version_added: 0.1.0
description:
  - Puts a local file to a bucket or a directory, reads all of it back, and compares the SHA-256 of both.
  - Or fetches it; the local file appears only if it has the expected SHA-256.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_evidence
  - resilient.platform._evidence
  - resilient.platform._evidence.destination
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A copy that is there with the same SHA-256 is read back and left alone.
options:
  direction:
    description: Whether to put the file O(src) or to fetch into the file O(dest).
    type: str
    choices: [put, fetch]
    default: put
  src:
    description: The local file (O(direction=put)).
    type: path
  dest:
    description: The local file (O(direction=fetch)); its directory must exist.
    type: path
  key:
    description: Path at the destination, such as C(production/vault/main/20261121.snap).
    type: str
    required: true
  expected_sha256:
    description: SHA-256 that the file must have. Without it O(direction=fetch) takes what is there.
    type: str
  replace:
    description: Whether other content under the same key is replaced; V(false) refuses.
    type: bool
    default: true
  state:
    description: A copy can only be there; retention removes copies.
    type: str
    choices: [present]
    default: present
"""

EXAMPLES = r"""
- name: Copy a snapshot off-site
  resilient.platform.backup_copy:
    src: /var/lib/platform/work/vault.snap
    key: production/vault/main/20261121T054500Z-42.snap
    destination:
      name: offsite
      type: s3
      endpoint: https://s3.example.com
      bucket: backups

- name: Bring it back
  resilient.platform.backup_copy:
    direction: fetch
    dest: /var/lib/platform/work/restore.snap
    key: "{{ copy.key }}"
    expected_sha256: "{{ point.sha256 }}"
    destination: "{{ offsite }}"
"""

RETURN = r"""
copy:
  description: The copy.
  returned: success
  type: dict
  contains:
    destination:
      description: Name of the destination.
      type: str
    key:
      description: Path at the destination.
      type: str
    location:
      description: Where it lies, for people.
      type: str
    size_bytes:
      description: Its size.
      type: int
    sha256:
      description: SHA-256 of the local file.
      type: str
    read_back_sha256:
      description: SHA-256 of what was read from the destination; null in check mode if it was not there.
      type: str
    read_back_at:
      description: When it was read.
      type: str
"""

import os
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destination_spec, run_module
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_file, utc_now

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "direction": {"type": "str", "choices": ["put", "fetch"], "default": "put"},
            "src": {"type": "path"},
            "dest": {"type": "path"},
            "key": {"type": "str", "required": True, "no_log": False},
            "expected_sha256": {"type": "str"},
            "replace": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present"], "default": "present"},
        },
        required_if=[("direction", "put", ("src",)), ("direction", "fetch", ("dest",))],
    ).merge(destination_spec())


def local_digest(path: str, expected: str | None) -> tuple[str, int]:
    """Return SHA-256 and size of the file that is to be copied. Raises Refused."""
    if not os.path.isfile(path):
        raise Refused(f"There is no file {path} to copy.", hint="Make the backup first.")
    sha256, size = sha256_file(path)
    if size == 0:
        raise Refused(f"{path} is empty: that is no backup.", hint="Look at what made it.")
    if expected and sha256 != expected:
        raise Refused(f"{path} has the SHA-256 {sha256} and not {expected}.", hint="It was changed after the backup. Nothing was copied.")
    return sha256, size


def there(destination: destinations.Destination, key: str) -> str | None:
    """Return the SHA-256 of what lies under *key*, or None."""
    try:
        return destinations.digest_at(destination, key)[0]
    except NotFound:
        destination.check()  # absent key, or absent bucket or directory?
        return None


def put(module: AnsibleModule, destination: destinations.Destination) -> dict[str, t.Any]:
    params = module.params
    key = params["key"]
    sha256, size = local_digest(params["src"], params["expected_sha256"])
    before = there(destination, key)
    diff = DiffTracker()
    changed = diff.add("sha256", before=before, after=sha256)
    if changed and before is not None and not params["replace"]:
        raise Refused(f"{destination.location(key)} holds something else (SHA-256 {before}).", hint="Choose another key, or set replace: true.")
    copy = {"destination": destination.name, "key": key, "location": destination.location(key), "size_bytes": size, "sha256": sha256}
    if not changed:
        copy |= {"read_back_sha256": before, "read_back_at": utc_now()}
    elif module.check_mode:
        copy |= {"read_back_sha256": None, "read_back_at": None}
    else:
        copy = destinations.put_and_compare(destination, key, params["src"], sha256)
    return {"changed": changed, "copy": copy, "diff": diff.as_result(destination.location(key))}


def fetch(module: AnsibleModule, destination: destinations.Destination) -> dict[str, t.Any]:
    params = module.params
    key, dest, expected = params["key"], params["dest"], params["expected_sha256"]
    if not os.path.isdir(os.path.dirname(os.path.abspath(dest))):
        raise Refused(f"The directory of {dest} does not exist.", hint="Create it, or give another dest.")
    before, size = sha256_file(dest) if os.path.isfile(dest) else (None, 0)
    if before is not None and before == expected:
        sha256 = before  # fetched and compared by an earlier try
    elif module.check_mode:
        sha256, size = destinations.digest_at(destination, key)
        if expected and sha256 != expected:
            raise destinations.CopyDiffers(
                f"{destination.location(key)} has the SHA-256 {sha256} and not {expected}.", path=key, hint="Use another destination."
            )
    else:
        sha256, size = destinations.fetch(destination, key, dest, expected)
    diff = DiffTracker()
    changed = diff.add("sha256", before=before, after=sha256)
    copy = {
        "destination": destination.name,
        "key": key,
        "location": destination.location(key),
        "size_bytes": size,
        "sha256": sha256,
        "read_back_sha256": sha256,
        "read_back_at": utc_now(),
        "dest": dest,
    }
    return {"changed": changed, "copy": copy, "diff": diff.as_result(dest)}


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    option = "src" if params["direction"] == "put" else "dest"
    if not params[option]:
        raise Refused(f"direction {params['direction']} needs {option}.", hint=f"Give {option}.")
    destinations.check_key(params["key"])
    if params["expected_sha256"]:
        params["expected_sha256"] = params["expected_sha256"].lower()
        if not re.fullmatch(r"[0-9a-f]{64}", params["expected_sha256"]):
            raise Refused(f"{params['expected_sha256']!r} is no SHA-256.", hint="Give 64 hexadecimal digits.")
    destination = destinations.build(params["destination"])
    return put(module, destination) if params["direction"] == "put" else fetch(module, destination)


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
