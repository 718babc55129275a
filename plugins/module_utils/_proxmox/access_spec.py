# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What is wanted of a role, a user and a token: names, scope, times."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import privileges as privs
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_state import Entry

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*@[A-Za-z][A-Za-z0-9._-]+")
_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9._-]+")
_ROLE = re.compile(r"(?!(?i:pve))[A-Za-z0-9._-]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_PATH = re.compile(r"/|(?:/(?:access|mapping|nodes|pool|sdn|storage|vms)(?:/[A-Za-z0-9._-]+)*)")
# Kinds of privileges that do nothing unless they are given on something; those on pools are welcome where there are pools.
_NEEDS_PATH = {"guests": "pools, guests", "storages": "storages", "networks": "networks", "nodes": "nodes"}


@dataclasses.dataclass(frozen=True)
class Scope:
    """On what the role is given; nothing at all means on everything."""

    pools: tuple[str, ...] = ()
    guests: tuple[int, ...] = ()
    storages: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def as_paths(self) -> tuple[str, ...]:
        """Return paths of the access control list.

        Raises:
            Refused: one of them cannot be.
        """
        found = [path.rstrip("/") or "/" for path in self.paths]
        for path in found:
            if not _PATH.fullmatch(path):
                raise Refused(
                    f"{path!r} is no path of the access control list.", hint="They begin with /access, /mapping, /nodes, /pool, /sdn, /storage or /vms."
                )
        for option, before, names in (("pools", "/pool/", self.pools), ("storages", "/storage/", self.storages), ("nodes", "/nodes/", self.nodes)):
            for name in names:
                if not _NAME.fullmatch(name) or (option != "pools" and "/" in name):
                    raise Refused(f"{option} has {name!r}, which cannot be a name.", hint="Correct it.")
                found.append(before + name)
        for name in self.networks:
            if not _NAME.fullmatch(name) or name.count("/") > 2:
                raise Refused(f"networks has {name!r}.", hint="Give the name of a bridge such as vmbr0, or zone/vnet.")
            found.append("/sdn/zones/" + (name if "/" in name else f"localnetwork/{name}"))
        found += [f"/vms/{vmid}" for vmid in self.guests]
        return tuple(sorted(set(found))) or ("/",)

    def check(self, wanted: t.Iterable[str]) -> None:
        """Refuse a scope on which some of the privileges *wanted* could do nothing.

        Raises:
            Refused: with the options to give.
        """
        given = {
            "guests": self.pools or self.guests,
            "storages": self.storages or self.pools,
            "networks": self.networks,
            "nodes": self.nodes,
        }
        if self.paths or not any(given.values()):
            return
        kinds = privs.kinds_of(wanted)
        for kind in sorted(kinds & set(_NEEDS_PATH)):
            if not given[kind]:
                useless = sorted(one for one in wanted if privs.kinds_of([one]) == {kind})
                raise Refused(
                    f"The scope has no {kind}, where {', '.join(useless)} would be given.",
                    hint=f"Name them with {_NEEDS_PATH[kind]}, or give no scope at all for everything.",
                )


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is wanted.

    Args:
        user: User with realm.
        token: Name of the token, without the user; ``None`` for the user alone.
        role: Name of the role.
        privileges: What the role has, in the server's words.
        paths: Where user and token have it.
        whole: Whether they have it on ``/`` as well, but not below.
        comment: Notes of the token, or of the user without one; ``None`` leaves them alone.
        expire: When that ends, in seconds since 1970, 0 for never; ``None`` leaves it alone.
        exclusive: Whether user and token may have nothing else.
        secret_path: File for the token's secret.
        return_secret: Whether it may be in the result.
        regenerate: Whether a token whose secret is not in the file gets a new one.
    """

    user: str
    token: str | None
    role: str
    privileges: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ("/",)
    whole: bool = False
    comment: str | None = None
    expire: int | None = None
    exclusive: bool = False
    secret_path: str | None = None
    return_secret: bool = False
    regenerate: bool = False

    @property
    def token_id(self) -> str | None:
        """User and token."""
        return f"{self.user}!{self.token}" if self.token else None

    @property
    def who(self) -> tuple[str, ...]:
        """Whom the entries are for: a token has no more than its user."""
        return (self.user, self.token_id) if self.token_id else (self.user,)

    def entries(self) -> list[Entry]:
        """Return the entries there should be."""
        where = [*((path, True) for path in self.paths), *([("/", False)] if self.whole else [])]
        return [Entry(path, who, self.role, inherited, "token" if "!" in who else "user") for path, inherited in where for who in self.who]


def check_names(user: str, token: str | None, role: str) -> None:
    """Refuse names that the server would, or that would do harm.

    Raises:
        Refused: with the reason.
    """
    if not _USER.fullmatch(user):
        raise Refused(f"{user!r} cannot be a user here.", hint="Write name@realm, such as automation@pve.")
    if user == "root@pam":
        raise Refused("root@pam may do everything, so it cannot be given less.", hint="Choose another user, such as automation@pve.")
    if token is not None and not _TOKEN.fullmatch(token):
        raise Refused(f"{token!r} cannot be the name of a token.", hint="Give it without the user; a letter first, then letters, digits, '.', '-' and '_'.")
    if not _ROLE.fullmatch(role):
        raise Refused(f"{role!r} cannot be the name of a role here.", hint="Use letters, digits, '.', '-' and '_', and none beginning with PVE.")


def parse_expire(text: str | None) -> int | None:
    """Return seconds since 1970 for a date, a time in UTC, a number of seconds, or ``never`` (0).

    Raises:
        Refused: it is none of these.
    """
    if text is None or not str(text).strip():
        return None
    text = str(text).strip()
    if text.isdigit() or text == "never":
        return 0 if text == "never" else int(text)
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Refused(f"expire is {text!r}.", hint="Write a date (2027-01-31), a time (2027-01-31T12:00:00Z), or never.") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
    return int(moment.timestamp())
