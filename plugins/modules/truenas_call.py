#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_call
short_description: Call any method of the TrueNAS API
version_added: 0.1.0
description:
  - For what has no module. Parameters are sent as they are, the result is returned as it comes.
  - In check mode only methods that read are called; any other is refused, because nobody can say what it would do.
  - A job is waited for when O(job) says that the method is one.
  - Parameters and result are not hidden. Where they hold secrets, set C(no_log) on the task.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_truenas
attributes:
  check_mode:
    support: partial
    details: Methods that read are called, others refused.
  diff_mode:
    support: none
  idempotent:
    support: none
options:
  method:
    description: Name of the method, such as V(pool.scrub.query).
    type: str
    required: true
  params:
    description: Its parameters, in order.
    type: list
    elements: raw
    default: []
  job:
    description: Whether the method is a job that is waited for.
    type: bool
    default: false
  reads:
    description: Whether the method changes nothing. Known for queries and the like; say it of others, so that they run in check mode and count as unchanged.
    type: bool
  wait_timeout:
    description: Seconds to wait for the job.
    type: int
    default: 300
seealso:
  - module: resilient.platform.truenas_job_info
"""

EXAMPLES = r"""
- name: Read the scrub schedules
  resilient.platform.truenas_call:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    method: pool.scrub.query
  register: found

- name: Scrub a pool
  resilient.platform.truenas_call:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    method: pool.scrub.scrub
    params: [tank, START]
    job: true
    wait_timeout: 86400
"""

RETURN = r"""
result:
  description: What the method returned.
  returned: success
  type: raw
  sample: [{id: 1, pool: 1}]
job:
  description: The job, if the method is one.
  returned: when O(job) is set
  type: dict
  sample: {id: 12, state: SUCCESS}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from

# Last parts of the names of methods that change nothing.
READS = ("query", "get_instance", "config", "info", "list", "choices", "get_jobs", "ping", "details", "attachments", "processes", "used_by", "stat", "statfs")


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "method": {"type": "str", "required": True},
        "params": {"type": "list", "elements": "raw", "default": []},
        "job": {"type": "bool", "default": False},
        "reads": {"type": "bool"},
        "wait_timeout": {"type": "int", "default": 300},
    }
    return ArgumentSpec(options).merge(api_spec())


def only_reads(method: str, said: bool | None) -> bool:
    """Whether a method changes nothing, as far as its name or the caller says."""
    last = method.rpartition(".")[2]
    return said if said is not None else last in READS or last.endswith("_choices")


def main() -> None:
    module = argument_spec().create_module()
    params = module.params
    method, reads = params["method"], only_reads(params["method"], params["reads"])
    result: dict[str, t.Any] = {"changed": not reads}
    try:
        if module.check_mode and not reads:
            raise Refused(f"{method} is not known to change nothing, so check mode does not call it.", hint="If it only reads, say so with reads: true.")
        with client_from(params) as client:
            if params["job"]:
                job = client.job(method, *params["params"], what=method, timeout=float(params["wait_timeout"]))
                result |= {"result": job.result, "job": {"id": job.id, "state": job.state}}
            else:
                result["result"] = client.call(method, *params["params"], what=method)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
