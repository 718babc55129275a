# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Roles, users, tokens and access control entries as the server has them."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import still_there
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.properties import flag

# The server's own role that has every privilege there is.
ADMINISTRATOR = "Administrator"


@dataclasses.dataclass(frozen=True)
class Role:
    """A role. ``special``: the server's own, which nobody changes."""

    name: str
    privileges: frozenset[str]
    special: bool = False

    def as_result(self) -> dict[str, t.Any]:
        """Return it with the names of our options."""
        return {"name": self.name, "privileges": sorted(self.privileges), "special": self.special}


@dataclasses.dataclass(frozen=True)
class Token:
    """An API token of a user. ``expire`` in seconds since 1970, 0 for never."""

    name: str
    comment: str = ""
    expire: int = 0
    separated: bool = True

    def as_result(self) -> dict[str, t.Any]:
        """Return it with the names of our options."""
        return {"name": self.name, "comment": self.comment, "expire": shown_time(self.expire), "privilege_separated": self.separated}


@dataclasses.dataclass(frozen=True)
class User:
    """A user with its tokens."""

    name: str
    comment: str = ""
    expire: int = 0
    enabled: bool = True
    groups: tuple[str, ...] = ()
    tokens: t.Mapping[str, Token] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_api(cls, name: str, answer: t.Mapping[str, t.Any]) -> User:
        """Read a user; a list has its groups as text and its tokens as a list, where one user has a list and a mapping."""
        groups, tokens = answer.get("groups") or [], answer.get("tokens") or {}
        by_name = tokens if isinstance(tokens, dict) else {token["tokenid"]: token for token in tokens}
        return cls(
            name,
            comment=str(answer.get("comment") or ""),
            expire=int(answer.get("expire") or 0),
            enabled=bool(flag(answer.get("enable", 1))),
            groups=tuple(one for one in (groups.split(",") if isinstance(groups, str) else groups) if one),
            tokens={str(token): token_from(str(token), values) for token, values in by_name.items()},
        )

    def as_result(self) -> dict[str, t.Any]:
        """Return it with the names of our options."""
        return {
            "name": self.name,
            "comment": self.comment,
            "expire": shown_time(self.expire),
            "enabled": self.enabled,
            "groups": list(self.groups),
            "tokens": [token.as_result() for _name, token in sorted(self.tokens.items())],
        }


@dataclasses.dataclass(frozen=True, order=True)
class Entry:
    """One line of the access control list: *who* (a user, or ``user!token``) has *role* on *path* and, with *propagate*, below it."""

    path: str
    who: str
    role: str
    propagate: bool = True
    kind: str = "user"

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is found by."""
        return (self.path, self.who, self.role)

    def as_result(self) -> dict[str, t.Any]:
        """Return it with the names of our options."""
        return {"path": self.path, "who": self.who, "type": self.kind, "role": self.role, "propagate": self.propagate}


@dataclasses.dataclass(frozen=True)
class State:
    """What a task about access has to know."""

    roles: t.Mapping[str, Role]
    entries: tuple[Entry, ...]
    user: User | None

    @property
    def known(self) -> frozenset[str]:
        """All privileges that the server has."""
        return self.roles[ADMINISTRATOR].privileges

    def entries_of(self, *who: str) -> list[Entry]:
        """Return the entries of users or tokens."""
        return [entry for entry in self.entries if entry.who in who]


def read_roles(client: ProxmoxClient) -> dict[str, Role]:
    """Return all roles by name.

    Raises:
        PlatformError: the server does not show its own roles.
    """
    roles = {
        str(line["roleid"]): Role(
            str(line["roleid"]), frozenset(one for one in str(line.get("privs") or "").split(",") if one), bool(flag(line.get("special") or 0))
        )
        for line in client.get("access/roles") or []
    }
    if ADMINISTRATOR not in roles:
        raise PlatformError(f"{client.connection.url} shows no role {ADMINISTRATOR}, so nobody knows which privileges it has.", hint="Is it a Proxmox VE?")
    return roles


def read_entries(client: ProxmoxClient) -> tuple[Entry, ...]:
    """Return the access control list, as far as these credentials may change it."""
    return tuple(
        sorted(
            Entry(str(line["path"]), str(line["ugid"]), str(line["roleid"]), bool(flag(line.get("propagate", 1))), str(line.get("type") or "user"))
            for line in client.get("access/acl") or []
        )
    )


def token_from(name: str, answer: t.Mapping[str, t.Any]) -> Token:
    """Read a token's description."""
    return Token(name, str(answer.get("comment") or ""), int(answer.get("expire") or 0), bool(flag(answer.get("privsep", 1))))


def read_user(client: ProxmoxClient, name: str) -> User | None:
    """Return a user with its tokens; ``None`` if there is none."""
    answer = still_there(client, f"access/users/{name}")
    if answer is None:
        return None
    return User.from_api(name, answer)


def read_users(client: ProxmoxClient) -> list[User]:
    """Return all users that these credentials may see, with their tokens."""
    return [User.from_api(str(line["userid"]), line) for line in sorted(client.get("access/users", full=1) or [], key=lambda line: str(line["userid"]))]


def held_privileges(client: ProxmoxClient) -> frozenset[str]:
    """Return what the asking credentials have anywhere."""
    answer = client.get("access/permissions") or {}
    return frozenset(privilege for held in answer.values() for privilege in held)


def read_state(client: ProxmoxClient, user: str) -> State:
    """Return what there is; three requests."""
    return State(read_roles(client), read_entries(client), read_user(client, user))


def shown_time(expire: int) -> str | None:
    """Return a time of expiry for people, in UTC; ``None`` for never."""
    return datetime.datetime.fromtimestamp(expire, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if expire else None
