#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_alert_info
short_description: Read the alerts of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the alerts, the worst first.
  - No alert does not mean that copies are made. TrueNAS raises none for a replication that is disabled, on hold, or ends without anything new.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  levels:
    description: Only alerts of these levels; all if not set.
    type: list
    elements: str
    choices: [INFO, NOTICE, WARNING, ERROR, CRITICAL, ALERT, EMERGENCY]
  classes:
    description: Only alerts of these classes, such as V(ReplicationFailed); all if not set.
    type: list
    elements: str
  dismissed:
    description: Whether alerts that somebody has dismissed are among them.
    type: bool
    default: false
seealso:
  - module: resilient.platform.truenas_job_info
"""

EXAMPLES = r"""
- name: Stop where a pool or a replication is sick
  resilient.platform.truenas_alert_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    levels: [ERROR, CRITICAL, ALERT, EMERGENCY]
  register: found
  failed_when: found.alerts | length > 0
"""

RETURN = r"""
alerts:
  description: The alerts, the worst first.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: ReplicationFailed-1, class: ReplicationFailed, level: CRITICAL, text: 'Replication "apps" failed', dismissed: false}
counts:
  description: How many there are, by level.
  returned: success
  type: dict
  sample: {CRITICAL: 1}
"""

import collections
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from

LEVELS = ("INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "levels": {"type": "list", "elements": "str", "choices": list(LEVELS)},
        "classes": {"type": "list", "elements": "str"},
        "dismissed": {"type": "bool", "default": False},
    }
    return ArgumentSpec(options).merge(api_spec())


def show(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return one alert."""
    text = entry.get("formatted") or entry.get("text")
    found = {name: entry.get(name) for name in ("level", "datetime", "last_occurrence", "dismissed", "node")}
    return {"id": entry.get("uuid") or entry.get("id"), "class": entry.get("klass"), "text": text, **found}


def main() -> None:
    module = argument_spec().create_module()
    params = module.params
    try:
        with client_from(params) as client:
            entries = client.call("alert.list", what="alerts")
    except PlatformError as exc:
        exc.fail(module)
    found = [show(entry) for entry in entries]
    found = [one for one in found if params["dismissed"] or not one["dismissed"]]
    found = [one for one in found if params["levels"] is None or one["level"] in params["levels"]]
    found = [one for one in found if params["classes"] is None or one["class"] in params["classes"]]
    rank = {name: number for number, name in enumerate(LEVELS)}
    found.sort(key=lambda one: (-rank.get(str(one["level"]), 0), str(one["class"]), str(one["id"])))
    module.exit_json(changed=False, alerts=found, counts=dict(sorted(collections.Counter(str(one["level"]) for one in found).items())))


if __name__ == "__main__":
    main()
