#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_iscsi_volume
short_description: Make iSCSI volumes of a TrueNAS system as declared
version_added: 0.1.0
description:
  - One item is a zvol with its extent, its LUN, its target, and the portal and initiators of that target.
  - What is there already is adopted; a volume is known by its zvol. What is not set is left as it is.
  - Deletion goes from the LUN to the zvol. Sessions are shown in the difference, and refused without O(volumes[].force).
    A target goes with its last LUN, initiators that this module made go with their last target, portals stay.
  - The zvol stays unless O(volumes[].remove_volume) is set.
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
  volumes:
    description: The volumes.
    type: list
    elements: dict
    required: true
    suboptions:
      dataset:
        description: The zvol, such as V(tank/vms/disk1).
        type: str
        required: true
      state:
        description: Whether clients should have the volume.
        type: str
        choices: [present, absent]
        default: present
      volsize:
        description: Size, in bytes or as V(20G); a multiple of the block size, required for a new zvol. It can grow, never shrink.
        type: str
      volblocksize:
        description: Block size of a new zvol, such as V(16K).
        type: str
      sparse:
        description: Whether a new zvol takes space only as it is written.
        type: bool
      force_size:
        description: Whether it may take more than 80 % of the available space.
        type: bool
      extent:
        description: Name of the extent; the last part of the zvol's name for a new one.
        type: str
      blocksize:
        description: Size of the sectors that clients see; fixed once the extent is there.
        type: int
        choices: [512, 1024, 2048, 4096]
      serial:
        description: Serial number that clients see; TrueNAS makes one up for a new extent.
        type: str
      ro:
        description: Whether it is read-only for its clients. TrueNAS sets the zvol's C(readonly) accordingly.
        type: bool
      enabled:
        description: Whether it is served.
        type: bool
      rpm:
        description: Kind of disk that clients are told of.
        type: str
        choices: [UNKNOWN, SSD, '5400', '7200', '10000', '15000']
      insecure_tpc:
        description: Whether initiators may copy between targets past the access control.
        type: bool
      xen:
        description: Whether the initiator is Xen.
        type: bool
      comment:
        description: What the extent is for.
        type: str
      target:
        description:
          - Name of the target, without the base name; the last part of the zvol's name in lower case for a new one.
          - A volume only becomes one more LUN of an existing target if this names it.
        type: str
      alias:
        description: Alias of the target.
        type: str
      lun:
        description: Number of the LUN; the lowest free one for a new one.
        type: int
      portal:
        description: Addresses that the target listens on. A portal with exactly these is used, or made. The only portal there is, if not set.
        type: list
        elements: str
      initiators:
        description: Names of the initiators that may log in; an empty list for all. A group with exactly these is used, or made.
        type: list
        elements: str
      auth_networks:
        description: Networks that may log in; an empty list for all.
        type: list
        elements: str
      authmethod:
        description: How initiators authenticate.
        type: str
        choices: [NONE, CHAP, CHAP_MUTUAL]
      auth:
        description: Number (tag) of the CHAP credentials on the system.
        type: int
      force:
        description: With V(absent), whether a volume may be taken from under the sessions that use it.
        type: bool
        default: false
      remove_volume:
        description: With V(absent), whether the zvol is destroyed as well.
        type: bool
        default: false
      recursive:
        description: With O(volumes[].remove_volume), whether its snapshots may go with it.
        type: bool
        default: false
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (pools, datasets), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
seealso:
  - module: resilient.platform.truenas_iscsi_volume_info
  - module: resilient.platform.truenas_dataset
"""

EXAMPLES = r"""
- name: A volume for the database
  resilient.platform.truenas_iscsi_volume:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    volumes:
      - dataset: tank/vms/db1
        volsize: 50G
        sparse: true
        portal: [192.0.2.10]
        initiators: [iqn.2004-10.com.example:db1]
"""

RETURN = r"""
volumes:
  description: The volumes of the list that are there afterwards (in check mode, as they would be, as far as that can be known).
  returned: success
  type: list
  elements: dict
  sample:
    - dataset: tank/vms/db1
      volsize: 53687091200
      volblocksize: 16K
      extent: db1
      blocksize: 512
      target: db1
      iqn: iqn.2005-10.org.freenas.ctl:db1
      lun: 0
      groups:
        - {portal: [192.0.2.10], initiators: ['iqn.2004-10.com.example:db1'], authmethod: NONE, auth: null}
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import dataset, iscsi_volume
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.iscsi import show
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    one: dict[str, t.Any] = {
        "dataset": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **{name: {"type": "str"} for name in ("volsize", "volblocksize", "extent", "serial", "comment", "target", "alias")},
        **{name: {"type": "bool"} for name in ("sparse", "force_size", "ro", "enabled", "insecure_tpc", "xen")},
        "blocksize": {"type": "int", "choices": list(iscsi_volume.BLOCKSIZES)},
        "rpm": {"type": "str", "choices": list(iscsi_volume.RPMS)},
        "lun": {"type": "int"},
        **{name: {"type": "list", "elements": "str"} for name in ("portal", "initiators", "auth_networks")},
        "authmethod": {"type": "str", "choices": list(iscsi_volume.AUTH)},
        "auth": {"type": "int"},
        **{name: {"type": "bool", "default": False} for name in ("force", "remove_volume", "recursive")},
    }
    options: dict[str, t.Any] = {
        "volumes": {"type": "list", "elements": "dict", "required": True, "options": one},
        "assume_present": {"type": "list", "elements": "str", "default": []},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    assumed = params["assume_present"] if module.check_mode else []
    try:
        items = iscsi_volume.wanted(params["volumes"])
        with client_from(params) as client:
            inventory, zvols = iscsi_volume.look(client, items)
            plan = iscsi_volume.plan(client, items, inventory, zvols, assumed)
            found = plan.predicted
            if plan.changed and not module.check_mode:
                plan.apply(client)
                inventory, zvols = iscsi_volume.look(client, items)
                dataset.confirm_gone([{"name": item["dataset"], "state": "absent"} for item in items if item["remove_volume"]], zvols)
                found = [show(inventory, item["dataset"], zvols[item["dataset"]]) for item in items if item["state"] == "present"]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "volumes": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("iSCSI volumes")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
