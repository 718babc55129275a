# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

from __future__ import annotations


class ModuleDocFragment:
    # The connection options; the mirror of module_utils/_vault/argspec.py.
    DOCUMENTATION = r"""
options:
  url:
    description:
      - Address of the Vault or OpenBao server, such as V(https://vault.example.com:8200).
      - If not set, the environment variable E(VAULT_ADDR) is used, then E(BAO_ADDR).
    type: str
    required: true
  ca_path:
    description:
      - File with the certificates of the authorities to trust, or a directory of hashed ones.
      - If not set, the environment variable E(VAULT_CACERT) is used, then E(BAO_CACERT). E(REQUESTS_CA_BUNDLE) and proxy variables are ignored.
    type: path
  validate_certs:
    description:
      - Whether the server's certificate has to be trusted and to match.
      - If not set, the opposite of the environment variable E(VAULT_SKIP_VERIFY) is used, then of E(BAO_SKIP_VERIFY).
    type: bool
    default: true
  namespace:
    description:
      - Namespace to work in.
      - If not set, the environment variable E(VAULT_NAMESPACE) is used, then E(BAO_NAMESPACE).
    type: str
  auth_method:
    description: How to log in, where the module needs a token.
    type: str
    default: token
    choices: [token, approle]
  auth_mount_point:
    description: Path of the AppRole method that O(auth_method=approle) logs in at.
    type: str
    default: approle
  token:
    description:
      - Token for O(auth_method=token).
      - If not set, the environment variable E(VAULT_TOKEN) is used, then E(BAO_TOKEN).
    type: str
  role_id:
    description:
      - Role id for O(auth_method=approle).
      - If not set, the environment variable E(VAULT_ROLE_ID) is used, then E(BAO_ROLE_ID).
    type: str
  secret_id:
    description:
      - Secret id for O(auth_method=approle).
      - If not set, the environment variable E(VAULT_SECRET_ID) is used, then E(BAO_SECRET_ID).
    type: str
  request_timeout:
    description: Seconds to wait for a connection, and for each piece of an answer. No request is repeated by itself.
    type: int
    default: 60
requirements:
  - hvac >= 2.4
"""
