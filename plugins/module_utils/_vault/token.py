# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Revoking the token that lies in a credentials file."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import read_node


def read_credentials(path: str) -> dict[str, t.Any]:
    """Return the content of the file.

    Raises:
        Refused: there is none: a mistyped path must not look like a revoked token.
    """
    content = files.read_json(path)
    if content is None:
        raise Refused(f"There is no {path}.", hint="It is the credentials_file of vault_init.")
    return content


def check_cluster(client: VaultClient, content: t.Mapping[str, t.Any], path: str) -> None:
    """Refuse to take the answer of another cluster for this one's."""
    expected = content.get("cluster_id")
    state = read_node(client)
    if state.state not in ("active", "standby", "performance_standby"):
        raise Refused(f"Cannot revoke the token of {path}: {state.summary()}.", hint="The node has to be unsealed.")
    if expected and state.cluster_id and expected != state.cluster_id:
        raise Refused(
            f"{path} belongs to the cluster {expected}, {client.url} is {state.cluster_id}.",
            hint="Give the address of the cluster that the file is of.",
        )


def revoke(client: VaultClient, content: t.Mapping[str, t.Any], path: str) -> None:
    """Revoke ``root_token`` and take it out of the file. A token that the server knows no more is only taken out."""
    holder = client.with_token(str(content["root_token"]))
    what = f"revoke the token of {path}"
    if holder.raw("GET", "auth/token/lookup-self", what=what).status != 403:
        holder.post("auth/token/revoke-self", {}, what=what)
    files.write_json(path, {key: value for key, value in content.items() if key != "root_token"})
