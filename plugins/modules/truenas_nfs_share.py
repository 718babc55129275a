#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_nfs_share
short_description: Make NFS shares of a TrueNAS system as declared
version_added: 0.1.0
description:
  - Creates, changes and deletes many shares in one log-in.
  - A share is known by its path. Where a path has several shares, for different clients, O(shares[].comment) tells one from another.
  - What is not set is left as it is. Deleting a share leaves the data alone.
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
  shares:
    description: The shares.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path to share, of a dataset or a directory in one, such as V(/mnt/tank/apps).
        type: str
        required: true
      state:
        description: Whether the share should be there.
        type: str
        choices: [present, absent]
        default: present
      comment:
        description: What the share is for.
        type: str
      networks:
        description: Networks that may use it; an empty list and empty O(shares[].hosts) for everybody. Networks of one path must not overlap.
        type: list
        elements: str
      hosts:
        description: Names and addresses that may use it.
        type: list
        elements: str
      ro:
        description: Whether it is read-only for its clients.
        type: bool
      maproot_user:
        description: User that a client's root becomes; an empty string for none.
        type: str
      maproot_group:
        description: Group that a client's root becomes; an empty string for none.
        type: str
      mapall_user:
        description: User that everybody becomes; an empty string for none. It and O(shares[].maproot_user) exclude each other.
        type: str
      mapall_group:
        description: Group that everybody becomes; an empty string for none.
        type: str
      security:
        description: Ways of authentication; those with Kerberos need NFSv4.
        type: list
        elements: str
        choices: [SYS, KRB5, KRB5I, KRB5P]
      enabled:
        description: Whether the share is served.
        type: bool
      expose_snapshots:
        description: Whether clients see the directory of snapshots. It needs TrueNAS Enterprise.
        type: bool
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (pools, datasets), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
seealso:
  - module: resilient.platform.truenas_nfs_share_info
  - module: resilient.platform.truenas_dataset
"""

EXAMPLES = r"""
- name: Share the volumes with the cluster's nodes
  resilient.platform.truenas_nfs_share:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    shares:
      - path: /mnt/tank/apps
        comment: nodes of the cluster
        networks: [192.0.2.0/24]
        maproot_user: root
        maproot_group: root
      - path: /mnt/tank/old
        state: absent
"""

RETURN = r"""
shares:
  description: The shares of the list that exist afterwards (in check mode, as they would be).
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      path: /mnt/tank/apps
      comment: nodes of the cluster
      networks: [192.0.2.0/24]
      hosts: []
      ro: false
      enabled: true
      locked: false
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import nfs
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    one: dict[str, t.Any] = {
        "path": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "comment": {"type": "str"},
        "networks": {"type": "list", "elements": "str"},
        "hosts": {"type": "list", "elements": "str"},
        "ro": {"type": "bool"},
        **{name: {"type": "str"} for name in nfs.MAPPED},
        "security": {"type": "list", "elements": "str", "choices": list(nfs.SECURITY)},
        "enabled": {"type": "bool"},
        "expose_snapshots": {"type": "bool"},
    }
    options: dict[str, t.Any] = {
        "shares": {"type": "list", "elements": "dict", "required": True, "options": one},
        "assume_present": {"type": "list", "elements": "str", "default": []},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    assumed = params["assume_present"] if module.check_mode else []
    try:
        items = nfs.wanted(params["shares"])
        with client_from(params) as client:
            plan = nfs.plan(client, items, nfs.read(client), assumed)
            found = plan.predicted
            if plan.changed and not module.check_mode:
                plan.apply(client)
                present = [item for item in items if item["state"] != "absent"]
                found = [share for share in nfs.match(present, nfs.read(client)) if share is not None]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "shares": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("NFS shares")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
