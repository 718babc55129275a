#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_pki_info
short_description: Read a certificate authority in Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Returns issuers with their ends and fingerprints, settings and roles of a PKI mount.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._attributes.info_module
options:
  mount_point:
    description: Path of the PKI mount.
    type: str
    default: pki
seealso:
  - module: resilient.platform.vault_pki
"""

EXAMPLES = r"""
- name: Read the authority
  resilient.platform.vault_pki_info:
    mount_point: pki
  register: found

- name: No issuer ends within a month
  ansible.builtin.assert:
    that: found.pki.issuers | selectattr('has_key') | map(attribute='days_left') | min > 30
"""

RETURN = r"""
pki:
  description: The mount.
  returned: success
  type: dict
  contains:
    mount_point:
      description: Its path.
      type: str
      sample: pki
    default:
      description: Id of the default issuer; empty if there is none.
      type: str
    issuers:
      description: >-
        The issuers, each with C(id), C(name), C(default), C(has_key), C(usage), C(subject), C(serial), C(fingerprint_sha256), C(certificate),
        C(not_after), C(days_left) and C(revoked). Compare the fingerprints after a restore.
      type: list
      elements: dict
    roles:
      description: The roles by name.
      type: dict
    cluster:
      description: Addresses of this cluster; V(null) if the server knows no such settings.
      type: dict
    urls:
      description: Addresses that certificates carry.
      type: dict
    crl:
      description: Settings of the lists of revoked certificates.
      type: dict
    acme:
      description: Settings of ACME; V(null) if the server knows none.
      type: dict
    auto_tidy:
      description: Settings of the clean-up; V(null) if the server knows none.
      type: dict
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import need
from ansible_collections.resilient.platform.plugins.module_utils._vault import pki
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.mount import mount_path
from ansible_collections.resilient.platform.plugins.module_utils._vault.pki_state import read_pki

SPEC = ArgumentSpec({"mount_point": {"type": "str", "default": "pki"}})


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        need("cryptography", pki.CRYPTOGRAPHY_ERROR)
        return {"changed": False, "pki": read_pki(client_from_params(module.params), mount_path(module.params["mount_point"]))}

    run(module, body)


if __name__ == "__main__":
    main()
