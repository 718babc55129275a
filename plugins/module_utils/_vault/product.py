# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Which of the two products a server is. Versions do not tell: both have a 2.x."""

from __future__ import annotations

from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient

VAULT = "vault"
OPENBAO = "openbao"


def read_product(client: VaultClient) -> str:
    """Return ``vault`` or ``openbao``, by paths that need no token."""
    body = client.get("sys/seal-status", what="read the seal status").body
    version = str(body.get("version") or "")
    if version.split(".", maxsplit=1)[0] in ("0", "1"):
        return VAULT
    if "commit_date" in body:  # OpenBao since 2.6; Vault says build_date
        return OPENBAO
    reply = client.raw("GET", "sys/seal-backend-status", what="ask which product it is")
    return OPENBAO if reply.status == 404 else VAULT
