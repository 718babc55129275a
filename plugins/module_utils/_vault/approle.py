# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""AppRole: the roles of an auth method, and the role id and secret id of one of them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import same

# The server ignores any other field without a word.
FIELDS = (
    "bind_secret_id",
    "local_secret_ids",
    "policies",
    "secret_id_bound_cidrs",
    "secret_id_num_uses",
    "secret_id_ttl",
    "token_bound_cidrs",
    "token_explicit_max_ttl",
    "token_max_ttl",
    "token_no_default_policy",
    "token_num_uses",
    "token_period",
    "token_policies",
    "token_strictly_bind_ip",
    "token_ttl",
    "token_type",
)
Roles = dict[str, dict[str, t.Any]]


@dataclasses.dataclass
class RolesPlan:
    """Fields to write by role, and roles to delete."""

    write: Roles = dataclasses.field(default_factory=dict)
    delete: list[str] = dataclasses.field(default_factory=list)


def check_roles(roles: t.Mapping[str, t.Any], allowed: t.Sequence[str] = FIELDS) -> None:
    """Refuse roles that are no mappings or have fields other than *allowed*."""
    for name, fields in roles.items():
        if not isinstance(fields, dict):
            raise Refused(f"roles.{name} is no mapping of fields.")
        unknown = sorted(set(fields) - set(allowed))
        if unknown:
            raise Refused(f"roles.{name} has no field {', '.join(unknown)}.", hint=f"There are: {', '.join(allowed)}.")


def plan_roles(wanted: Roles, current: Roles, *, purge: bool, tracker: DiffTracker, whole: bool = False) -> RolesPlan:
    """Plan the roles; what is not named is left alone unless *purge*. *whole*: a role is written with all wanted fields, changed or not."""
    plan = RolesPlan()
    for name, fields in wanted.items():
        now = current.get(name)
        changed = {key: value for key, value in fields.items() if now is None or not same(value, now.get(key))}
        if now is None or changed:
            # A role without any field exists all the same, so an empty write is a write.
            plan.write[name] = dict(fields) if whole else changed
            for key, value in changed.items():
                tracker.add(f"roles.{name}.{key}", before=None if now is None else now.get(key), after=value)
            if now is None and not changed:
                tracker.add(f"roles.{name}", before=None, after={})
    if purge:
        plan.delete = sorted(set(current) - set(wanted))
        for name in plan.delete:
            tracker.add(f"roles.{name}", before=current[name], after=None)
    return plan


def read_roles(client: VaultClient, mount: str, names: t.Iterable[str] | None = None) -> Roles:
    """Return the roles of the AppRole method at *mount*: the named ones that exist, or all."""
    found: Roles = {}
    for name in client.list(f"auth/{quote(mount)}/role", what=f"list the roles of {mount!r}") if names is None else names:
        reply = client.find(f"auth/{quote(mount)}/role/{quote(name)}", what=f"read the role {name!r}")
        if reply is not None:
            found[name] = dict(reply.data)
    return found


def apply_roles(client: VaultClient, mount: str, plan: RolesPlan) -> None:
    """Carry *plan* out."""
    for name, fields in plan.write.items():
        client.post(f"auth/{quote(mount)}/role/{quote(name)}", fields, what=f"write the role {name!r}")
    for name in plan.delete:
        client.delete(f"auth/{quote(mount)}/role/{quote(name)}", what=f"delete the role {name!r}")


def find_role_id(client: VaultClient, mount: str, role: str) -> str | None:
    """Return the role id, ``None`` if there is no such role."""
    reply = client.find(f"auth/{quote(mount)}/role/{quote(role)}/role-id", what=f"read the id of the role {role!r}")
    return None if reply is None else str(reply.data.get("role_id", ""))


def no_such_role(client: VaultClient, mount: str, role: str) -> NotFound:
    """Return the error for it."""
    return NotFound(
        f"There is no AppRole {role!r} at {mount!r} of {client.url}.", status=404, method="GET", hint="Make it with vault_auth_method first."
    )


def credentials_are_valid(client: VaultClient, mount: str, role: str, role_id: str, content: t.Mapping[str, t.Any] | None) -> bool:
    """Whether the file's secret id is still known to the server and belongs to this role."""
    if content is None or content.get("role_id") != role_id or not content.get("secret_id"):
        return False
    path = f"auth/{quote(mount)}/role/{quote(role)}/secret-id/lookup"
    what = "look the secret id up"
    reply = client.raw("POST", path, what=what, json={"secret_id": content["secret_id"]})
    # An unknown one is 204 or 404, by product and version; anything else is an error worth raising.
    if reply.status in (204, 404):
        return False
    client.ensure_ok(reply, what=what, method="POST", path=path)
    return bool(reply.data.get("secret_id_accessor"))


def issue_credentials(client: VaultClient, mount: str, role: str, role_id: str, path: str) -> None:
    """Make a secret id and put it into the file at *path* (0600), nowhere else."""
    files.check_writable(path)  # before there is a secret that could be lost
    data = client.post(f"auth/{quote(mount)}/role/{quote(role)}/secret-id", {}, what=f"make a secret id for the role {role!r}").data
    content = {
        "mount_point": mount,
        "role": role,
        "role_id": role_id,
        "secret_id": data["secret_id"],
        "secret_id_accessor": data.get("secret_id_accessor", ""),
    }
    files.write_json(path, content)
