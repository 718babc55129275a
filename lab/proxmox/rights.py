"""Who may do what on the lab's Proxmox: users, privilege-separated tokens and access control entries, enforced as pve-access-control does.

Without ``enforce()`` everybody may do everything.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from aiohttp import web
from fakepve import shapes
from fakepve.model import PveError
from fakepve.server import USER, FakePve, ok

_CLOUD_INIT = re.compile(r"ci(user|password|type|upgrade|custom)|sshkeys|nameserver|searchdomain|ipconfig\d+")
_OPTIONS = frozenset({"ostype", "bios", "hookscript", "localtime", "startdate", "tdf", "reboot", "keyboard", "autostart"})
Values = dict[str, Any]


def words(value: Any) -> list[str]:
    """A list as the API takes it."""
    return [one for one in re.split(r"[\s,;]+", str(value or "")) if one]


def prefixes(path: str) -> list[str]:
    """``/``, ``/vms``, ``/vms/100`` for the last."""
    parts = [one for one in path.split("/") if one]
    return ["/", *("/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1))]


class Rights(FakePve):  # type: ignore[misc]  # fakepve has no types
    """Part of the API server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.own_roles: dict[str, list[str]] = {}
        self.accounts: dict[str, Values] = {"root@pam": {"tokens": {}}}
        self.entries: list[Values] = []

    def enforce(self) -> None:
        """From now on everybody but root@pam needs his privileges."""
        self.acl: Values | None = {}

    def add_administrator(self, user: str, token: str, secret: str) -> None:
        """Make a user, and a token that has all that the user has."""
        self.accounts.setdefault(user, {"tokens": {}})["tokens"][token] = {"privsep": 0}
        self.apitokens[f"{user}!{token}"] = secret
        self._entry("/", "user", user, "Administrator", 1)

    # ------------------------------------------------------------------ state

    def access_state(self) -> Values:
        """Return what survives a restart; it holds secrets."""
        return {"roles": self.own_roles, "accounts": self.accounts, "entries": self.entries, "secrets": dict(self.apitokens)}

    def load_access(self, data: Values) -> None:
        """Take over what ``access_state`` returned."""
        self.own_roles, self.accounts, self.entries = data["roles"], data["accounts"], data["entries"]
        self.apitokens.update(data["secrets"])

    def _persist(self) -> None:
        """Overridden by the server."""

    # ------------------------------------------------------------- enforcement

    def _role_privileges(self, role: str) -> set[str]:
        return set(shapes.ROLES[role] if role in shapes.ROLES else self.own_roles.get(role, ()))

    def _roles_on(self, who: str, path: str) -> set[str]:
        """The entries at the longest path win; those that are not inherited count at their own path only."""
        found: set[str] = set()
        for prefix in prefixes(path):
            here = {one["roleid"] for one in self.entries if one["path"] == prefix and one["ugid"] == who and (one["propagate"] or prefix == path)}
            found = here or found
        return found

    def _privileges_on(self, who: str, path: str) -> set[str]:
        user, _bang, token = who.partition("!")
        if token and not self.accounts.get(user, {}).get("tokens", {}).get(token, {}).get("privsep", 1):
            return self._privileges_on(user, path)
        if who == "root@pam":
            return set(shapes.PRIVILEGES)
        roles = self._roles_on(who, path)
        if "NoAccess" not in roles:
            for pool in self._pools_of(path):
                roles |= self._roles_on(who, f"/pool/{pool}")
        if "NoAccess" in roles:
            return set()
        held = set().union(*(self._role_privileges(role) for role in roles))
        return held & self._privileges_on(user, path) if token else held

    def _pools_of(self, path: str) -> list[str]:
        kind, _slash, name = path.strip("/").partition("/")
        if kind == "vms" and name.isdigit():
            return [pool for pool, ids in self.pools.items() if int(name) in ids]
        return [pool for pool, meta in self.pool_info.items() if name in meta["storage"]] if kind == "storage" else []

    def allowed(self, user: str, path: str, priv: str) -> bool:
        """Whether somebody has a privilege on a path."""
        return self.acl is None or priv in self._privileges_on(user, path)

    def _authenticate(self, request: web.Request) -> Any:
        """As the parent; neither the disabled nor the expired are let in."""
        who = super()._authenticate(request)
        user, _bang, token = str(who or "").partition("!")
        account = self.accounts.get(user, {})
        for one in (account, account.get("tokens", {}).get(token, {})):
            if not one.get("enable", 1) or 0 < int(one.get("expire") or 0) <= time.time():
                raise PveError(401, "authentication failure")
        return who

    def _config_priv(self, key: str) -> str:
        if _CLOUD_INIT.fullmatch(key):
            return "VM.Config.Cloudinit"
        return "VM.Config.Options" if key in _OPTIONS else str(super()._config_priv(key))

    def check_bridges(self, user: str, config: Values) -> None:
        """Refuse network devices on bridges that the user may not use."""
        for key, value in config.items():
            found = re.search(r"(?:^|,)bridge=([^,]+)", str(value)) if re.fullmatch(r"net\d+", key) else None
            if found:
                self.require(user, f"/sdn/zones/localnetwork/{found.group(1)}", "SDN.Use")

    def check_config_privileges(self, user: str, vmid: int, p: Values) -> None:
        """Refuse a change of a guest's configuration before there is a task for it."""
        for key in [*p, *words(p.get("delete"))]:
            if key in ("node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay"):
                continue
            priv = "VM.Config.CDROM" if key.startswith("ide") and "media=cdrom" in str(p.get(key)) else self._config_priv(key)
            self.require(user, f"/vms/{vmid}", priv)
        self.check_bridges(user, p)

    async def _qm_create(self, v: Values, user: str) -> Any:
        self.check_bridges(user, v)
        return await super()._qm_create(v, user)

    async def _qm_clone(self, v: Values, user: str) -> Any:
        self.check_bridges(user, self.find(v["node"], v["vmid"]).config)
        return await super()._qm_clone(v, user)

    async def _resources(self, request: web.Request) -> web.Response:
        """As the parent, without storages that may not be audited."""
        answer = await super()._resources(request)
        rows = json.loads(answer.text)["data"]
        user = request[USER]
        seen = [row for row in rows if row["type"] != "storage" or self.allowed(user, f"/storage/{row['storage']}", "Datastore.Audit")]
        return ok(seen)  # type: ignore[no-any-return]

    def _entry(self, path: str, kind: str, ugid: str, role: str, propagate: int | None) -> None:
        """Set an entry, or remove it (``propagate=None``)."""
        key = {"path": path, "type": kind, "ugid": ugid, "roleid": role}
        self.entries = [one for one in self.entries if {**one, "propagate": None} != {**key, "propagate": None}]
        if propagate is not None:
            self.entries.append({**key, "propagate": propagate})

    def forget_path(self, path: str) -> None:
        """What an entry is about has gone."""
        self.entries = [one for one in self.entries if one["path"] != path]
