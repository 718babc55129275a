#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_iscsi_volume_info
short_description: Read iSCSI volumes of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the zvols that are extents, with target, LUN, portal, initiators, and who is logged in.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  datasets:
    description: Only these zvols, whether they are extents or not; all that are extents if not set.
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_iscsi_volume
"""

EXAMPLES = r"""
- name: Read the iSCSI volumes
  resilient.platform.truenas_iscsi_volume_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
volumes:
  description: The volumes, by their zvols.
  returned: success
  type: list
  elements: dict
  sample:
    - dataset: tank/vms/db1
      volsize: 53687091200
      extent: db1
      target: db1
      iqn: iqn.2005-10.org.freenas.ctl:db1
      lun: 0
      sessions: ['iqn.2004-10.com.example:db1 (192.0.2.20)']
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import dataset, iscsi
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"datasets": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    try:
        with client_from(module.params) as client:
            found = iscsi.read(client)
            exported = [str(one["disk"]).removeprefix("zvol/").replace("+", " ") for one in found.extents if one["type"] == "DISK"]
            names = sorted(exported if module.params["datasets"] is None else module.params["datasets"])
            zvols = dataset.read(client, [{"name": name} for name in names]) if names else {}
            volumes: list[dict[str, t.Any]] = [iscsi.show(found, name, zvols.get(name)) for name in names if name in zvols or name in exported]
            used = iscsi.sessions(client, sorted({one["iqn"] for one in volumes if one["iqn"]}))
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, volumes=[{**one, "sessions": used.get(one["iqn"], [])} for one in volumes])


if __name__ == "__main__":
    main()
