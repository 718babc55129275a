#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_dataset
short_description: Make datasets of a TrueNAS system as declared
version_added: 0.1.0
description:
  - Creates, changes and deletes many datasets in one log-in.
  - Options of a dataset have the names and values of the TrueNAS API. What is not set is left alone; a dataset that exists as declared is adopted unchanged.
  - Everything that can be refused is refused before the first write, in check mode as well.
  - Deleting a dataset makes TrueNAS delete shares, tasks and replications that use it. They are shown in the difference, and nothing is deleted
    unless O(datasets[].recursive) and O(datasets[].allow_attachments) say so.
  - What a deletion takes with it is in the difference. One that would take a held snapshot, or a snapshot that something was cloned from, is refused
    whatever is allowed; TrueNAS 26 would let go of the hold by itself. Afterwards the dataset is looked for once more.
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
    description: The datasets. Those above others in the tree are created first, whatever the order of the list.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Pool and path, such as V(tank/apps/db).
        type: str
        required: true
      state:
        description: Whether the dataset should be there.
        type: str
        choices: [present, absent]
        default: present
      type:
        description: A file system or a volume (zvol). A new dataset is a V(FILESYSTEM) unless this says otherwise; it cannot be changed.
        type: str
        choices: [FILESYSTEM, VOLUME]
      comments:
        description: Free text.
        type: str
      quota:
        description: Bytes that the dataset and its children may use; V(10G) works too, V(0) removes it, less than 1 GiB is refused. File systems only.
        type: str
      refquota:
        description: Bytes that the dataset without children and snapshots may use; as O(datasets[].quota). File systems only.
        type: str
      quota_warning:
        description: Percentage of the quota at which TrueNAS warns, or V(INHERIT).
        type: str
      quota_critical:
        description: Percentage of the quota at which TrueNAS raises a critical alert, or V(INHERIT).
        type: str
      refquota_warning:
        description: Percentage of the refquota at which TrueNAS warns, or V(INHERIT).
        type: str
      refquota_critical:
        description: Percentage of the refquota at which TrueNAS raises a critical alert, or V(INHERIT).
        type: str
      reservation:
        description: Bytes that are guaranteed to the dataset and its children; V(0) removes it.
        type: str
      refreservation:
        description: Bytes that are guaranteed to the dataset itself; V(0) removes it.
        type: str
      recordsize:
        description: Largest block of a file, such as V(128K) or V(1M), or V(INHERIT). File systems only.
        type: str
      compression:
        description: Algorithm and level, such as V(LZ4), V(ZSTD-3), V(OFF) or V(INHERIT).
        type: str
      readonly:
        description: Whether the dataset is read-only.
        type: str
        choices: ['ON', 'OFF', INHERIT]
      atime:
        description: Whether reading a file updates its access time. File systems only.
        type: str
        choices: ['ON', 'OFF', INHERIT]
      exec:
        description: Whether programs can be run from it. File systems only.
        type: str
        choices: ['ON', 'OFF', INHERIT]
      sync:
        description: What a synchronous write means.
        type: str
        choices: [STANDARD, ALWAYS, DISABLED, INHERIT]
      copies:
        description: Copies of each block (1 to 3), or V(INHERIT).
        type: str
      checksum:
        description: Checksum algorithm.
        type: str
        choices: ['ON', 'OFF', FLETCHER2, FLETCHER4, SHA256, SHA512, SKEIN, EDONR, BLAKE3, INHERIT]
      deduplication:
        description: Whether equal blocks are stored once.
        type: str
        choices: ['ON', VERIFY, 'OFF', INHERIT]
      snapdir:
        description: Whether the C(.zfs/snapshot) directory is shown. File systems only.
        type: str
        choices: [DISABLED, VISIBLE, HIDDEN, INHERIT]
      snapdev:
        description: Whether snapshots of volumes appear as devices.
        type: str
        choices: [HIDDEN, VISIBLE, INHERIT]
      special_small_block_size:
        description: Blocks up to this many bytes go to special vdevs, or V(INHERIT).
        type: str
      acltype:
        description: Kind of access control lists. File systems only.
        type: str
        choices: ['OFF', NFSV4, POSIX, INHERIT]
      aclmode:
        description: What chmod does to an access control list; V(DISCARD) with V(POSIX) and V(OFF), something else with V(NFSV4).
        type: str
        choices: [PASSTHROUGH, RESTRICTED, DISCARD, INHERIT]
      casesensitivity:
        description: Whether names differ by case. Decided at creation. File systems only.
        type: str
        choices: [SENSITIVE, INSENSITIVE, INHERIT]
      share_type:
        description: What TrueNAS sets up a new dataset for. Used at creation only.
        type: str
        choices: [GENERIC, MULTIPROTOCOL, NFS, SMB, APPS]
      managedby:
        description: Who manages the dataset; shown by TrueNAS.
        type: str
      volsize:
        description: Size of a volume in bytes; V(20G) works too. A multiple of O(datasets[].volblocksize), never smaller than it is.
        type: str
      volblocksize:
        description: Block size of a volume. Decided at creation.
        type: str
        choices: ['512', 512B, 1K, 2K, 4K, 8K, 16K, 32K, 64K, 128K]
      sparse:
        description: Whether a new volume reserves no space.
        type: bool
      force_size:
        description: Lets a volume take more than 80 % of what is available.
        type: bool
      encryption:
        description:
          - Whether a new dataset is an encryption root of its own.
          - It needs O(datasets[].inherit_encryption=false) and O(datasets[].encryption_options).
        type: bool
      inherit_encryption:
        description: Whether a new dataset takes its encryption from above.
        type: bool
      encryption_options:
        description: How a new dataset is encrypted. Used at creation only, never returned.
        type: dict
        suboptions:
          generate_key:
            description: Let TrueNAS make and keep a key.
            type: bool
          algorithm:
            description: Cipher.
            type: str
            choices: [AES-128-CCM, AES-192-CCM, AES-256-CCM, AES-128-GCM, AES-192-GCM, AES-256-GCM]
          pbkdf2iters:
            description: Rounds of the key derivation of a passphrase.
            type: int
          passphrase:
            description: Passphrase, at least 8 characters.
            type: str
          key:
            description: Key, 64 hexadecimal digits.
            type: str
      create_ancestors:
        description: Whether missing datasets above a new one are made.
        type: bool
      user_properties:
        description:
          - Own properties, C(namespace:name) to value. A null value removes the property.
          - Properties that are not listed stay, because CSI drivers keep their state there; see O(datasets[].purge_user_properties).
        type: dict
      purge_user_properties:
        description: Whether own properties that are not listed are removed.
        type: bool
        default: false
      recursive:
        description: Lets V(absent) delete children and snapshots as well.
        type: bool
        default: false
      allow_attachments:
        description: Lets V(absent) delete the shares and tasks that use the dataset.
        type: bool
        default: false
      force:
        description: Lets V(absent) delete a dataset that is in use.
        type: bool
        default: false
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (pools), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
seealso:
  - module: resilient.platform.truenas_dataset_info
  - module: resilient.platform.truenas_pool
"""

EXAMPLES = r"""
- name: Make the datasets of the applications
  resilient.platform.truenas_dataset:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    datasets:
      - name: tank/apps
        compression: ZSTD
      - name: tank/apps/db
        quota: 50G
        recordsize: 16K
        user_properties:
          org.example:owner: database team

- name: Take a dataset away with its snapshots, but not if anything is attached to it
  resilient.platform.truenas_dataset:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    datasets:
      - name: tank/old
        state: absent
        recursive: true
"""

RETURN = r"""
datasets:
  description:
    - The datasets of the list that exist afterwards, in its order (in check mode, as they would be).
    - Sizes are bytes; words are as the API writes them; C(sources) says where each value comes from.
  returned: success
  type: list
  elements: dict
  sample:
    - name: tank/apps/db
      type: FILESYSTEM
      mountpoint: /mnt/tank/apps/db
      quota: 53687091200
      recordsize: 16K
      readonly: "OFF"
      used_bytes: 98304
      user_properties: {"org.example:owner": database team}
      sources: {quota: LOCAL, recordsize: LOCAL, readonly: DEFAULT}
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import dataset
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan
from ansible_collections.resilient.platform.plugins.module_utils._truenas.properties import FIELDS


def argument_spec() -> ArgumentSpec:
    """Return the options; those of properties come from the table of properties."""
    one: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "type": {"type": "str", "choices": ["FILESYSTEM", "VOLUME"]},
        "share_type": {"type": "str", "choices": ["GENERIC", "MULTIPROTOCOL", "NFS", "SMB", "APPS"]},
        "sparse": {"type": "bool"},
        "force_size": {"type": "bool"},
        "encryption": {"type": "bool"},
        "inherit_encryption": {"type": "bool"},
        "encryption_options": {
            "type": "dict",
            "no_log": False,
            "options": {
                "generate_key": {"type": "bool", "no_log": False},
                "algorithm": {
                    "type": "str",
                    "choices": [f"AES-{bits}-{mode}" for mode in ("CCM", "GCM") for bits in (128, 192, 256)],
                },
                "pbkdf2iters": {"type": "int"},
                "passphrase": {"type": "str", "no_log": True},
                "key": {"type": "str", "no_log": True},
            },
        },
        "create_ancestors": {"type": "bool"},
        "user_properties": {"type": "dict"},
        "purge_user_properties": {"type": "bool", "default": False},
        "recursive": {"type": "bool", "default": False},
        "allow_attachments": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
    }
    for name, field in FIELDS.items():
        one[name] = {"type": "str", **({"choices": list(field.choices)} if field.choices else {})}
    options: dict[str, t.Any] = {
        "datasets": {"type": "list", "elements": "dict", "required": True, "options": one},
        "assume_present": {"type": "list", "elements": "str", "default": []},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    plan = Plan()
    try:
        items = dataset.wanted(module.params["datasets"])
        with client_from(module.params) as client:
            current = dataset.read(client, items)
            assumed = module.params["assume_present"] if module.check_mode else []
            plan = dataset.plan(items, current, dataset.impact(client, items, current), assumed)
            found = plan.predicted
            if plan.changed and not module.check_mode:
                plan.apply(client)
                current = dataset.read(client, items)
                dataset.confirm_gone(items, current)
                found = [current[item["name"]] for item in items if item["name"] in current]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "datasets": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("datasets")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
