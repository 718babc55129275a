# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""All that there is to see of a PKI mount."""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._vault import pki, pki_config
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient


def read_pki(client: VaultClient, mount: str) -> dict[str, t.Any]:
    """Return issuers, settings and roles."""
    now = datetime.datetime.now(datetime.timezone.utc)
    default = pki.read_default(client, mount)
    return {
        "mount_point": mount,
        "default": default,
        "issuers": [issuer.as_dict(default, now) for issuer in pki.read_issuers(client, mount)],
        "roles": pki_config.read_roles(client, mount),
        **{section: pki_config.read_section(client, mount, section) for section in pki_config.SECTIONS},
    }
