# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Least-privilege access: what there is to do so that a role, a user, a token and their access control entries are as wanted."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import AuthenticationError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_spec import Spec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_state import Entry, Role, State, Token, User, shown_time
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient


@dataclasses.dataclass
class AccessPlan:
    """What there is to do. ``secret``: ``create`` a token, or ``regenerate`` its secret."""

    spec: Spec
    state: State
    role: Role | None = None
    user: User | None = None
    token: Token | None = None
    secret: str | None = None
    grant: list[Entry] = dataclasses.field(default_factory=list)
    revoke: list[Entry] = dataclasses.field(default_factory=list)
    surplus: list[Entry] = dataclasses.field(default_factory=list)
    remove_role: bool = False
    remove_user: bool = False
    remove_token: bool = False
    kept: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def old_token(self) -> Token | None:
        """The token as it is."""
        return self.state.user.tokens.get(self.spec.token or "") if self.state.user else None

    def diff(self) -> DiffTracker:
        """Return the differences; no secret is among them."""
        tracker, spec, state = DiffTracker(), self.spec, self.state
        old_role = state.roles.get(spec.role)
        if self.role or self.remove_role:
            before_role, after_role = (sorted(one.privileges) if one else None for one in (old_role, self.role))
            tracker.add(f"role {spec.role}", before=before_role, after=after_role)
        if self.user or self.remove_user:
            _add_fields(tracker, f"user {spec.user}", _user_fields(state.user), _user_fields(self.user))
        if self.token or self.remove_token:
            _add_fields(tracker, f"token {spec.token_id}", _token_fields(self.old_token), _token_fields(self.token))
        if self.secret == "regenerate":
            tracker.add(f"token {spec.token_id}.secret", before="one that nobody has", after="a new one")
        before = {entry.key: entry for entry in state.entries}
        for entry in self.grant:
            old = before.get(entry.key)
            tracker.add(_line(entry), before=_propagation(old) if old else None, after=_propagation(entry))
        for entry in self.revoke:
            tracker.add(_line(entry), before=_propagation(entry), after=None)
        return tracker

    @property
    def changed(self) -> bool:
        """Whether anything is to be done."""
        return self.diff().changed


def _line(entry: Entry) -> str:
    return f"acl {entry.path} {entry.who} {entry.role}"


def _propagation(entry: Entry) -> str:
    return "and below" if entry.propagate else "not below"


def _user_fields(user: User | None) -> dict[str, t.Any] | None:
    return {"comment": user.comment, "expire": shown_time(user.expire) or "never"} if user else None


def _token_fields(token: Token | None) -> dict[str, t.Any] | None:
    return {"comment": token.comment, "expire": shown_time(token.expire) or "never", "privilege_separated": token.separated} if token else None


def _add_fields(tracker: DiffTracker, name: str, before: dict[str, t.Any] | None, after: dict[str, t.Any] | None) -> None:
    if before is None or after is None:
        tracker.add(name, before=before, after=after)
        return
    for field in before:
        tracker.add(f"{name}.{field}", before=before[field], after=after[field])


def plan_access(client: ProxmoxClient, spec: Spec, state: State) -> AccessPlan:
    """Compare what is with what is wanted.

    Raises:
        Refused: it may not be; nothing was written.
    """
    _check_self(client, spec)
    plan = AccessPlan(spec, state)
    old_role = state.roles.get(spec.role)
    if old_role and old_role.special:
        raise Refused(f"The role {spec.role} is the server's own.", hint="Choose another name.")
    if old_role is None or old_role.privileges != spec.privileges:
        plan.role = Role(spec.role, spec.privileges)
    _plan_user(plan)
    if spec.token:
        _plan_token(client, plan)
    _plan_entries(plan)
    _check_there(client, plan)
    others = sorted({entry.who for entry in state.entries if entry.role == spec.role} - set(spec.who))
    if plan.role and others:
        plan.warnings.append(f"The role {spec.role} is changed for others too: {', '.join(others)}.")
    return plan


def _check_self(client: ProxmoxClient, spec: Spec) -> None:
    """Nobody saws off the branch he sits on."""
    connection = client.connection
    asking = connection.token_owner if connection.token_id else connection.user
    if asking == spec.user:
        raise Refused(f"{spec.user} would change its own rights.", hint="Log in as somebody else, such as root@pam.")


def _plan_user(plan: AccessPlan) -> None:
    spec, old = plan.spec, plan.state.user
    new = old or User(spec.user, comment=spec.comment or "")
    if not spec.token:
        new = dataclasses.replace(
            new, comment=new.comment if spec.comment is None else spec.comment, expire=new.expire if spec.expire is None else spec.expire
        )
    if new != old:
        plan.user = new
    if old and not old.enabled:
        plan.warnings.append(f"The user {spec.user} is disabled; neither it nor its tokens are let in.")
    if old and old.groups:
        plan.warnings.append(f"The user {spec.user} is in the groups {', '.join(sorted(old.groups))}, and has what they have as well.")


def _plan_token(client: ProxmoxClient, plan: AccessPlan) -> None:
    spec, old = plan.spec, plan.old_token
    base = old or Token(spec.token or "")
    new = dataclasses.replace(
        base,
        comment=base.comment if spec.comment is None else spec.comment,
        expire=base.expire if spec.expire is None else spec.expire,
        separated=True,
    )
    if new != old:
        plan.token = new
    kept = _kept_secret(spec)
    if old is None:
        plan.secret = "create"
    elif spec.secret_path and not (kept and _works(client, spec, kept)):
        if not spec.regenerate:
            raise Refused(
                f"The token {spec.token_id} is there, and {spec.secret_path} does not hold a secret that works; the server never shows it again.",
                hint="Bring the file back, or set regenerate: true for a new secret; the old one then stops to work everywhere.",
            )
        plan.secret = "regenerate"
    if plan.secret and not spec.secret_path and not spec.return_secret:
        raise Refused(
            f"The secret of the new token {spec.token_id} would be lost, because the server shows it only once.",
            hint="Give token_secret_path, or return_secret: true with no_log: true on the task.",
        )
    if plan.secret and spec.secret_path:
        files.check_writable(spec.secret_path)


def _kept_secret(spec: Spec) -> str | None:
    """Return the secret in the file, if there is one.

    Raises:
        Refused: the file is somebody else's.
    """
    content = files.read_json(spec.secret_path) if spec.secret_path else None
    if content is None:
        return None
    if content.get("api_token_id") != spec.token_id:
        raise Refused(f"{spec.secret_path} is there and is not about the token {spec.token_id}.", hint="Move it away, or give another token_secret_path.")
    return str(content.get("api_token_secret") or "") or None


def _works(client: ProxmoxClient, spec: Spec, secret: str) -> bool:
    """Whether the server lets somebody in with the secret."""
    connection = dataclasses.replace(client.connection, user=spec.user, password=None, token_id=spec.token_id, token_secret=secret)
    try:
        ProxmoxClient(connection).get("version")
    except AuthenticationError:
        return False
    return True


def _plan_entries(plan: AccessPlan) -> None:
    """What is missing, what of this role is too much, and what else user and token have."""
    spec, state = plan.spec, plan.state
    wanted = {entry.key: entry for entry in spec.entries()}
    have = {entry.key: entry for entry in state.entries}
    plan.grant = [entry for key, entry in sorted(wanted.items()) if have.get(key) != entry]
    for entry in state.entries_of(*spec.who):
        if entry.key in wanted or (entry.role == spec.role and entry.who == spec.user and _another_needs(plan, entry)):
            continue
        if entry.role == spec.role or spec.exclusive:
            plan.revoke.append(entry)
        else:
            plan.surplus.append(entry)
    if plan.surplus:
        listed = ", ".join(f"{entry.role} on {entry.path} for {entry.who}" for entry in plan.surplus)
        plan.warnings.append(f"There is more than this task gives: {listed}. exclusive: true takes it away.")


def _another_needs(plan: AccessPlan, entry: Entry) -> bool:
    """Whether another token of the same user has the same there: it has it only as long as its user does."""
    before = f"{plan.spec.user}!"
    return any(
        one.path == entry.path and one.role == entry.role and one.who.startswith(before) and one.who != plan.spec.token_id for one in plan.state.entries
    )


def _check_there(client: ProxmoxClient, plan: AccessPlan) -> None:
    """Refuse a realm, pool, storage or node that does not exist; the server would refuse the first half-way and accept the others."""
    if plan.state.user is None:
        realms = {str(line["realm"]) for line in client.get("access/domains") or []}
        realm = plan.spec.user.rpartition("@")[2]
        if realm not in realms:
            raise Refused(f"There is no realm {realm} for {plan.spec.user}.", hint=f"Realms: {', '.join(sorted(realms))}.")
    new = {tuple(entry.path.split("/", 2)[1:]) for entry in plan.grant}
    named = {(kind, name) for kind, name, *_rest in (one for one in new if len(one) > 1) if kind in ("storage", "nodes", "pool")}
    known: set[tuple[str, str]] = set()
    if {"storage", "nodes"} & {kind for kind, _name in named}:
        for line in client.get("cluster/resources") or []:
            if line.get("type") in ("storage", "node"):
                kind = "storage" if line["type"] == "storage" else "nodes"
                known.add((kind, str(line[str(line["type"])])))
    if any(kind == "pool" for kind, _name in named):
        known |= {("pool", str(line["poolid"])) for line in client.get("pools") or []}
    for kind, name in sorted(named - known):
        what = {"nodes": "node"}.get(kind, kind)
        there = sorted(one for where, one in known if where == kind)
        raise Refused(f"There is no {what} {name}.", hint=f"There are: {', '.join(there) or 'none that these credentials see'}.")


def plan_absence(client: ProxmoxClient, spec: Spec, state: State) -> AccessPlan:
    """Plan to take away the token with its entries, and user and role as far as nobody else uses them."""
    _check_self(client, spec)
    plan = AccessPlan(spec, state)
    user, role = state.user, state.roles.get(spec.role)
    others = sorted(set(user.tokens) - {spec.token}) if user else []
    plan.remove_token = plan.old_token is not None
    for entry in state.entries_of(*spec.who):
        if entry.who == spec.token_id or (entry.role == spec.role and not _another_needs(plan, entry)):
            plan.revoke.append(entry)
    left = [entry for entry in state.entries if entry not in plan.revoke]
    if user:
        reasons = [f"has the token {name}" for name in others]
        reasons += [f"has {entry.role} on {entry.path}" for entry in left if entry.who == spec.user]
        reasons += [f"is in the group {name}" for name in user.groups]
        plan.remove_user = not reasons
        plan.kept += [f"user {spec.user}, which {', '.join(reasons)}"] if reasons else []
    if role:
        holders = sorted({entry.who for entry in left if entry.role == spec.role})
        plan.remove_role = not holders and not role.special
        if not plan.remove_role:
            reason = f"{', '.join(holders)} have" if holders else "is one of the server's own"
            plan.kept.append(f"role {spec.role}, which {reason}")
    return plan
