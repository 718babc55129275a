#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_seal_custody_info
short_description: Check that the seal's key would still unseal the newest snapshot of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Reads from a snapshot which key and which version of it wrap its keys, and asks the key service whether it still decrypts with them.
  - Looks at the seal's token as well, since a server whose token has ended goes on until its next restart and then ends.
  - A running cluster notices neither. O(url) and the credentials are the key service's, a transit engine of Vault or OpenBao.
  - Nothing is decrypted. With a static seal no server is asked at all.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._attributes.info_module
options:
  path:
    description: The newest snapshot, on the controller.
    type: path
    required: true
  key_name:
    description: Name of the seal's key.
    type: str
    default: autounseal
  mount_point:
    description: Path of the transit engine.
    type: str
    default: transit
  seal_token:
    description: The seal's own token. If neither it nor O(seal_token_accessor) is set, the credentials of this task are taken for the seal's.
    type: str
  seal_token_accessor:
    description: The accessor of the seal's token. Its rights are not looked at then.
    type: str
  static_key_ids:
    description: With a static seal, the ids of the keys in the configuration, the current and the previous one.
    type: list
    elements: str
  warn_days:
    description: From how many days before the end of the token on it is a warning.
    type: float
    default: 14
  fail_on:
    description: From which verdict on the task fails.
    type: str
    default: critical
    choices: [never, critical, warning]
seealso:
  - module: resilient.platform.vault_raft_snapshot_verify
"""

EXAMPLES = r"""
- name: Warn in time
  resilient.platform.vault_seal_custody_info:
    url: https://kms.example.com:8200
    path: /backup/newest.snap
    key_name: autounseal
    seal_token: "{{ seal_token }}"
    token: "{{ auditor_token }}"
    fail_on: warning
"""

RETURN = r"""
custody:
  description: What was found.
  returned: always, if the snapshot can be read
  type: dict
  contains:
    verdict:
      description: >-
        The worst outcome of the checks, V(good), V(warning), V(unknown) or V(critical).
      type: str
      sample: good
    checks:
      description: The checks, each with C(name), C(outcome), C(expected) and C(actual).
      type: list
      elements: dict
    seal:
      description: What the snapshot says of its seal.
      type: dict
    key:
      description: What the key service says of the key; V(null) if it was not read.
      type: dict
    token:
      description: How long the seal's token lasts; C(days_left) is V(null) for one that is renewed without an end.
      type: dict
"""

import dataclasses
import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import seal_custody
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_verify import FAILED, verify

SPEC = ArgumentSpec(
    {
        "path": {"type": "path", "required": True},
        "key_name": {"type": "str", "default": "autounseal", "no_log": False},
        "mount_point": {"type": "str", "default": "transit"},
        "seal_token": {"type": "str", "no_log": True},
        # It identifies, it does not open anything.
        "seal_token_accessor": {"type": "str", "no_log": False},
        "static_key_ids": {"type": "list", "elements": "str", "no_log": False},
        "warn_days": {"type": "float", "default": 14.0},
        "fail_on": {"type": "str", "default": "critical", "choices": ["never", "critical", "warning"]},
    },
    mutually_exclusive=[("seal_token", "seal_token_accessor")],
)
_BAD = {
    "never": (),
    "critical": (seal_custody.CRITICAL, seal_custody.UNKNOWN),
    "warning": (seal_custody.CRITICAL, seal_custody.UNKNOWN, seal_custody.WARNING),
}


class NotInCustody(PlatformError):
    """The snapshot could not be unsealed, or soon not any more; ``details['custody']`` says why."""


def look(params: t.Mapping[str, t.Any]) -> seal_custody.Custody:
    """Return what there is to know.

    Raises:
        Refused: the snapshot cannot be read.
    """
    verification = verify(params["path"])
    if verification.verdict == FAILED or verification.snapshot is None or verification.snapshot.seal is None:
        raise Refused(f"Cannot learn from {params['path']}: {verification.reasons()}.", hint="Give the newest good snapshot.")
    custody = seal_custody.Custody(verification.snapshot.seal)
    kind = custody.seal.type
    if kind == "shamir":
        custody.add("key", seal_custody.GOOD, "people with keys", f"{custody.seal.threshold} of {custody.seal.shares} keys; only a drill proves them")
        return custody
    if kind == "static":
        seal_custody.check_static(custody, params["static_key_ids"] or [])
        return custody
    if kind != "transit":
        custody.add("key", seal_custody.UNKNOWN, "a transit or static seal", f"the seal is {kind}, which this module knows nothing of")
        return custody
    client, mount, name = client_from_params(params), params["mount_point"], params["key_name"]
    seal_custody.check_transit_key(custody, client, mount, name)
    holder = client.with_token(params["seal_token"]) if params["seal_token"] else client
    data = seal_custody.read_token(holder, params["seal_token_accessor"])
    seal_custody.check_token(custody, data, warn_days=params["warn_days"], now=datetime.datetime.now(datetime.timezone.utc))
    if data is not None and not params["seal_token_accessor"]:
        seal_custody.check_rights(custody, holder, mount, name)
    return custody


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        custody = look(module.params)
        found = {**dataclasses.asdict(custody), "verdict": custody.verdict}
        if custody.verdict in _BAD[module.params["fail_on"]]:
            raise NotInCustody(
                f"The seal of {module.params['path']} is {custody.verdict}: {custody.reasons()}.",
                hint="Put it right before the cluster has to be restored or restarted.",
                details={"custody": found},
            )
        if custody.verdict != seal_custody.GOOD:
            module.warn(f"The seal of {module.params['path']} is {custody.verdict}: {custody.reasons()}.")
        return {"changed": False, "custody": found}

    run(module, body)


if __name__ == "__main__":
    main()
