#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_job_info
short_description: Read the jobs of a TrueNAS system
version_added: 0.1.0
description:
  - Returns jobs, the newest first, without their arguments and results, which may hold secrets.
  - An account that is no full administrator sees its own jobs only.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  ids:
    description: Only jobs of these numbers; all if not set.
    type: list
    elements: int
  methods:
    description: Only jobs of these methods, such as V(replication.run); all if not set.
    type: list
    elements: str
  states:
    description: Only jobs in these states; all if not set.
    type: list
    elements: str
    choices: [WAITING, RUNNING, SUCCESS, FAILED, ABORTED]
  limit:
    description: No more than this many.
    type: int
    default: 100
seealso:
  - module: resilient.platform.truenas_alert_info
  - module: resilient.platform.truenas_call
"""

EXAMPLES = r"""
- name: See what runs
  resilient.platform.truenas_job_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    states: [WAITING, RUNNING]
  register: found
"""

RETURN = r"""
jobs:
  description: The jobs, the newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: 12, method: replication.run, state: RUNNING, percent: 40, description: Sending 1 of 2, error: '', log: [],
       time_started: '2026-11-21T12:00:00.000000Z', time_finished: null, seconds: null, abortable: true}
"""

import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.wire import Job

STATES = ("WAITING", "RUNNING", "SUCCESS", "FAILED", "ABORTED")


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "ids": {"type": "list", "elements": "int"},
        "methods": {"type": "list", "elements": "str"},
        "states": {"type": "list", "elements": "str", "choices": list(STATES)},
        "limit": {"type": "int", "default": 100},
    }
    return ArgumentSpec(options).merge(api_spec())


def show(record: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return one job."""
    job, began, ended = Job.from_api(record), record.get("time_started"), record.get("time_finished")
    seconds = None
    if began and ended:
        form = "%Y-%m-%dT%H:%M:%S.%fZ"
        seconds = (datetime.datetime.strptime(ended, form) - datetime.datetime.strptime(began, form)).total_seconds()
    found = {"id": job.id, "method": record.get("method"), "state": job.state, "percent": job.percent, "description": job.description, "error": job.error}
    return {**found, "log": job.log, "time_started": began, "time_finished": ended, "seconds": seconds, "abortable": bool(record.get("abortable"))}


def main() -> None:
    module = argument_spec().create_module()
    params = module.params
    names = {"ids": "id", "methods": "method", "states": "state"}
    filters = [[field, "in", params[name]] for name, field in names.items() if params[name] is not None]
    try:
        with client_from(params) as client:
            found = client.call("core.get_jobs", filters, {"order_by": ["-id"], "limit": params["limit"]}, what="jobs")
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, jobs=[show(record) for record in found])


if __name__ == "__main__":
    main()
