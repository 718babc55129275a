#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_smb_share
short_description: Make SMB shares of a TrueNAS system as declared
version_added: 0.1.0
description:
  - Creates, changes and deletes many shares in one log-in. Names tell shares apart; their case does not count.
  - The notation is that of TrueNAS 25.10 and later, a purpose with options of its own. For 25.04 it is translated; what 25.04 cannot hold is refused.
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
      name:
        description: Name of the share.
        type: str
        required: true
      state:
        description: Whether the share should be there.
        type: str
        choices: [present, absent]
        default: present
      path:
        description: Path to share, such as V(/mnt/tank/files); required for a new one. V(EXTERNAL) for an EXTERNAL_SHARE.
        type: str
      purpose:
        description:
          - What the share is for; a new one is DEFAULT_SHARE unless this says otherwise.
          - TrueNAS wants Apple extensions for TIMEMACHINE_SHARE and FCP_SHARE, and an Enterprise licence for VEEAM_REPOSITORY_SHARE.
        type: str
        choices: [DEFAULT_SHARE, LEGACY_SHARE, TIMEMACHINE_SHARE, MULTIPROTOCOL_SHARE, TIME_LOCKED_SHARE, PRIVATE_DATASETS_SHARE, EXTERNAL_SHARE,
          VEEAM_REPOSITORY_SHARE, FCP_SHARE]
      options:
        description:
          - Options of the purpose, by their names in the API, such as C(hostsallow), C(hostsdeny), C(aapl_name_mangling), C(grace_period), C(auto_quota),
            C(timemachine_quota), C(remote_path).
          - Options that are not named keep what they have, unless the purpose changes.
        type: dict
      comment:
        description: What clients see beside the name.
        type: str
      enabled:
        description: Whether the share is served.
        type: bool
      readonly:
        description: Whether it is read-only for its clients.
        type: bool
      browsable:
        description: Whether it is in the list of shares.
        type: bool
      access_based_share_enumeration:
        description: Whether it is only listed for those who may use it.
        type: bool
      audit:
        description: What is written to the audit log.
        type: dict
        suboptions:
          enable:
            description: Whether use of the share is audited; it needs one of the lists.
            type: bool
          watch_list:
            description: Groups that are audited.
            type: list
            elements: str
          ignore_list:
            description: Groups that are not audited.
            type: list
            elements: str
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (pools, datasets), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
seealso:
  - module: resilient.platform.truenas_smb_share_info
  - module: resilient.platform.truenas_dataset
"""

EXAMPLES = r"""
- name: Share files with the office, and keep the archive from being changed after an hour
  resilient.platform.truenas_smb_share:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    shares:
      - name: files
        path: /mnt/tank/files
        options:
          hostsallow: [192.0.2.0/24]
      - name: archive
        path: /mnt/tank/archive
        purpose: TIME_LOCKED_SHARE
        options:
          grace_period: 3600
"""

RETURN = r"""
shares:
  description: The shares of the list that exist afterwards (in check mode, as they would be), in the notation of 25.10.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      name: files
      path: /mnt/tank/files
      purpose: DEFAULT_SHARE
      options: {hostsallow: [192.0.2.0/24], hostsdeny: [], aapl_name_mangling: false}
      enabled: true
      readonly: false
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
from ansible_collections.resilient.platform.plugins.module_utils._truenas import smb
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan
from ansible_collections.resilient.platform.plugins.module_utils._truenas.smb_layout import from_api


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    audit: dict[str, t.Any] = {
        "enable": {"type": "bool"},
        "watch_list": {"type": "list", "elements": "str"},
        "ignore_list": {"type": "list", "elements": "str"},
    }
    one: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "path": {"type": "str"},
        "purpose": {"type": "str", "choices": list(smb.PURPOSES)},
        "options": {"type": "dict"},
        "comment": {"type": "str"},
        "enabled": {"type": "bool"},
        "readonly": {"type": "bool"},
        "browsable": {"type": "bool"},
        "access_based_share_enumeration": {"type": "bool"},
        "audit": {"type": "dict", "options": audit},
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
        items = smb.wanted(params["shares"])
        with client_from(params) as client:
            plan = smb.plan(client, items, client.query(smb.SERVICE), assumed)
            found = plan.predicted
            if plan.changed and not module.check_mode:
                plan.apply(client)
                now = {share["name"].casefold(): share for share in (from_api(entry) for entry in client.query(smb.SERVICE))}
                found = [now[item["name"].casefold()] for item in items if item["name"].casefold() in now]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "shares": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("SMB shares")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
