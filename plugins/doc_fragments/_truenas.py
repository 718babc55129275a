# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

from __future__ import annotations


class ModuleDocFragment:
    # The connection options; the mirror of module_utils/_truenas/argspec.py.
    DOCUMENTATION = r"""
options:
  api_host:
    description:
      - Name or address of the TrueNAS system.
      - If not set, the environment variable E(TRUENAS_HOST) is used.
    type: str
    required: true
  api_port:
    description:
      - TCP port of the API.
      - If not set, the environment variable E(TRUENAS_PORT) is used.
    type: int
    default: 443
  api_username:
    description:
      - Account that the key or password belongs to.
      - If not set, the environment variable E(TRUENAS_USERNAME) is used.
    type: str
    required: true
  api_key:
    description:
      - API key. Exactly one of O(api_key) and O(api_password) is needed.
      - From TrueNAS 26 on it proves itself by SCRAM and never leaves the controller. Older systems get it over TLS.
      - If not set, the environment variable E(TRUENAS_API_KEY) is used.
    type: str
  api_password:
    description:
      - Password of the account. An account with a second factor needs an API key instead.
      - If not set, the environment variable E(TRUENAS_PASSWORD) is used.
    type: str
  api_protocol:
    description:
      - V(wss) is TLS. V(ws) is plaintext and taken for the loopback address only, because TrueNAS revokes a key that arrives in plaintext.
      - If not set, the environment variable E(TRUENAS_PROTOCOL) is used.
    type: str
    default: wss
    choices: [wss, ws]
  api_version:
    description:
      - Version of the API to speak, such as V(v25.10.2), of those that the system lists at C(/api/versions).
      - V(current) is the newest of them that this collection knows (25.04, 25.10, 26 and 27), so that a newer system does not change what a run does.
      - If not set, the environment variable E(TRUENAS_API_VERSION) is used.
    type: str
    default: current
  api_timeout:
    description: Seconds to wait for the connection and for the answer of a call that is not a job.
    type: int
    default: 60
  validate_certs:
    description:
      - Whether the certificate of the system must be trusted.
      - If not set, the environment variable E(TRUENAS_VALIDATE_CERTS) is used.
    type: bool
    default: true
  ca_path:
    description:
      - File or directory of CA certificates to trust instead of those of the controller.
      - If not set, the environment variable E(TRUENAS_CA_PATH) is used.
    type: path
requirements:
  - websocket-client (Python library) on the host where the module runs
  - TrueNAS 25.04 or later
notes:
  - One task is one log-in. TrueNAS takes 20 a minute and address, and 10 by SCRAM; the module waits, for up to five minutes, when it is told to.
"""

    # A second system, as far as a module reads or writes it.
    PEER = r"""
options:
  peer:
    description: The API of the second system.
    type: dict
    suboptions:
      api_host:
        description: Name or address of the second system.
        type: str
        required: true
      api_port:
        description: TCP port of its API.
        type: int
        default: 443
      api_username:
        description: Account on it.
        type: str
        required: true
      api_key:
        description: API key of the account. Exactly one of this and O(peer.api_password) is needed.
        type: str
      api_password:
        description: Password of the account.
        type: str
      api_protocol:
        description: As O(api_protocol).
        type: str
        default: wss
        choices: [wss, ws]
      api_version:
        description: As O(api_version).
        type: str
        default: current
      api_timeout:
        description: As O(api_timeout).
        type: int
        default: 60
      validate_certs:
        description: Whether its certificate must be trusted.
        type: bool
        default: true
      ca_path:
        description: CA certificates to trust.
        type: path
"""
