"""Roles, users, API tokens and access control entries of the lab, kept and enforced as pve-access-control does.

Not there: groups, other realms than ``pam`` and ``pve``, two-factor logins. Without ``enforce()`` everybody may do everything.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from typing import Any

from aiohttp import web
from fakepve import shapes
from fakepve.model import PveError
from fakepve.server import USER, FakePve, ok

REALMS = {"pam": "Linux PAM standard authentication", "pve": "Proxmox VE authentication server"}
_ACL_PATH = re.compile(
    r"/|/access(/groups(/[\w.-]+)?|/realm(/[\w.-]+)?)?|/mapping(/(dir|pci|usb)(/[\w.-]+)?)?|/nodes(/[\w.-]+)?|/pool(/[\w.-]+){0,3}"
    r"|/sdn(/zones(/[\w.-]+){0,3}|/(controllers|dns|fabrics|ipams)(/[\w.-]+)?)?|/storage(/[\w.-]+)?|/vms(/[1-9]\d{2,})?"
)
_CLOUD_INIT = re.compile(r"ci(user|password|type|upgrade|custom)|sshkeys|nameserver|searchdomain|ipconfig\d+")
_OPTIONS = frozenset({"ostype", "bios", "hookscript", "localtime", "startdate", "tdf", "reboot", "keyboard", "autostart"})
Values = dict[str, Any]


def die(message: str) -> PveError:
    """What perl's die comes to."""
    return PveError(500, message)


def wrong(**fields: str) -> PveError:
    """A parameter that cannot be."""
    return PveError(400, "Parameter verification failed.", fields)


def words(value: Any) -> list[str]:
    """A list as the API takes it."""
    return [one for one in re.split(r"[\s,;]+", str(value or "")) if one]


def prefixes(path: str) -> list[str]:
    """``/``, ``/vms``, ``/vms/100`` for the last."""
    parts = [one for one in path.split("/") if one]
    return ["/", *("/" + "/".join(parts[:count]) for count in range(1, len(parts) + 1))]


class Access(FakePve):  # type: ignore[misc]  # fakepve has no types
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
        return ok([row for row in rows if row["type"] != "storage" or self.allowed(request[USER], f"/storage/{row['storage']}", "Datastore.Audit")])  # type: ignore[no-any-return]

    # ----------------------------------------------------------------- methods

    def _routes_access(self) -> list[tuple[str, str, Any]]:
        roles, users, token = "/access/roles", "/access/users", "/access/users/{userid}/token/{tokenid}"
        return [
            *super()._routes_access(),
            ("GET", "/access/domains", self._realms),
            ("GET", roles, self._roles), ("POST", roles, self._role_create), ("GET", f"{roles}/{{roleid}}", self._role_read),
            ("PUT", f"{roles}/{{roleid}}", self._role_update), ("DELETE", f"{roles}/{{roleid}}", self._role_delete),
            ("GET", users, self._users), ("POST", users, self._user_create), ("GET", f"{users}/{{userid}}", self._user_read),
            ("PUT", f"{users}/{{userid}}", self._user_update), ("DELETE", f"{users}/{{userid}}", self._user_delete),
            ("GET", f"{users}/{{userid}}/token", self._tokens), ("GET", token, self._token_read), ("POST", token, self._token_create),
            ("PUT", token, self._token_update), ("DELETE", token, self._token_delete),
            ("GET", "/access/acl", self._acl), ("PUT", "/access/acl", self._acl_update),
        ]

    async def _permissions(self, v: Values, user: str) -> Values:
        who = v.get("userid") or user
        paths = [v["path"]] if v.get("path") else sorted({"/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms", *(one["path"] for one in self.entries)})
        held = {path: self._privileges_on(who, path) if self.acl is not None else set(shapes.PRIVILEGES) for path in paths}
        return {path: dict.fromkeys(sorted(privileges), 1) for path, privileges in held.items() if privileges}

    async def _realms(self, v: Values, user: str) -> list[Values]:
        del v, user
        return [{"realm": name, "type": name, "comment": comment} for name, comment in REALMS.items()]

    # -- roles

    async def _roles(self, v: Values, user: str) -> list[Values]:
        del v, user
        own = [(name, self.own_roles[name], 0) for name in self.own_roles]
        return [{"roleid": name, "privs": ",".join(sorted(privs)), "special": special}
                for name, privs, special in sorted([*((name, list(privs), 1) for name, privs in shapes.ROLES.items()), *own])]

    def _role(self, name: str, verb: str = "") -> str:
        if verb and name in shapes.ROLES:
            raise die(f"auto-generated role '{name}' cannot be {verb}")
        if name not in self.own_roles and name not in shapes.ROLES:
            raise die(f"role '{name}' does not exist")
        return name

    @staticmethod
    def _checked_privileges(listed: list[str]) -> list[str]:
        for one in listed:
            if one not in shapes.PRIVILEGES:
                raise die(f"invalid privilege '{one}'")
        return sorted(set(listed))

    async def _role_read(self, v: Values, user: str) -> dict[str, int]:
        del user
        return dict.fromkeys(sorted(self._role_privileges(self._role(v["roleid"]))), 1)

    async def _role_create(self, v: Values, user: str) -> None:
        del user
        name = v["roleid"]
        if name.lower().startswith("pve"):
            raise wrong(roleid="cannot use role ID starting with the (case-insensitive) 'PVE' namespace")
        if name in self.own_roles or name in shapes.ROLES:
            raise die(f"role '{name}' already exists")
        self.own_roles[name] = self._checked_privileges(words(v.get("privs")))
        self._persist()

    async def _role_update(self, v: Values, user: str) -> None:
        del user
        name = self._role(v["roleid"], "modified")
        old = self.own_roles[name] if v.get("append") else []
        self.own_roles[name] = self._checked_privileges([*old, *words(v.get("privs"))])
        self._persist()

    async def _role_delete(self, v: Values, user: str) -> None:
        """The server does not look who has it; their entries are gone with it."""
        del user
        name = self._role(v["roleid"], "deleted")
        del self.own_roles[name]
        self.entries = [one for one in self.entries if one["roleid"] != name]
        self._persist()

    # -- users

    def _account(self, name: str) -> Values:
        if name not in self.accounts:
            raise die(f"no such user ('{name}')")
        return self.accounts[name]

    @staticmethod
    def _told(account: Values) -> Values:
        return {"enable": 1, "expire": 0, **{key: value for key, value in account.items() if key != "tokens"}}

    async def _users(self, v: Values, user: str) -> list[Values]:
        audit = any(self.allowed(user, "/access/groups", one) for one in ("User.Modify", "Sys.Audit"))
        found = []
        for name, account in sorted(self.accounts.items()):
            if audit or name == user:
                tokens = [{"tokenid": token, **values} for token, values in sorted(account["tokens"].items())]
                found.append({"userid": name, **self._told(account), **({"tokens": tokens} if tokens and v.get("full") else {})})
        return found

    async def _user_read(self, v: Values, user: str) -> Values:
        del user
        account = self._account(v["userid"])
        return {**self._told(account), "groups": [], **({"tokens": account["tokens"]} if account["tokens"] else {})}

    @staticmethod
    def _fields(v: Values) -> Values:
        if v.get("groups"):
            raise die(f"no such group '{words(v['groups'])[0]}'")
        return {key: v[key] for key in ("comment", "email", "enable", "expire", "firstname", "lastname", "keys") if v.get(key) is not None}

    async def _user_create(self, v: Values, user: str) -> None:
        del user
        name, realm = v["userid"], v["userid"].rpartition("@")[2]
        if realm not in REALMS:
            raise die(f"auth domain '{realm}' does not exist")
        if name in self.accounts:
            raise die(f"create user failed: user '{name}' already exists")
        self.accounts[name] = {**self._fields(v), "tokens": {}}
        if v.get("password"):
            self.users[name] = v["password"]
        self._persist()

    async def _user_update(self, v: Values, user: str) -> None:
        del user
        self._account(v["userid"]).update(self._fields(v))
        self._persist()

    async def _user_delete(self, v: Values, user: str) -> None:
        name = v["userid"]
        if name == user:
            raise die("You cannot delete yourself!")
        account = self._account(name)
        for token in list(account["tokens"]):
            self.apitokens.pop(f"{name}!{token}", None)
        del self.accounts[name]
        self.users.pop(name, None)
        self.entries = [one for one in self.entries if one["ugid"].partition("!")[0] != name]
        self._persist()

    # -- tokens

    def _token(self, user: str, token: str) -> Values:
        tokens: Values = self._account(user)["tokens"]
        if token not in tokens:
            raise die(f"no such token '{token}' for user '{user}'")
        found: Values = tokens[token]
        return found

    async def _tokens(self, v: Values, user: str) -> list[Values]:
        del user
        return [{"tokenid": name, **values} for name, values in sorted(self._account(v["userid"])["tokens"].items())]

    async def _token_read(self, v: Values, user: str) -> Values:
        del user
        return self._token(v["userid"], v["tokenid"])

    @staticmethod
    def _token_fields(v: Values) -> Values:
        found = {key: v[key] for key in ("comment", "expire") if v.get(key) is not None}
        return {**found, **({"privsep": int(bool(v["privsep"]))} if v.get("privsep") is not None else {})}

    def _new_secret(self, full: str) -> str:
        self.apitokens[full] = str(uuid.uuid4())
        return str(self.apitokens[full])

    async def _token_create(self, v: Values, user: str) -> Values:
        del user
        tokens, full = self._account(v["userid"])["tokens"], f"{v['userid']}!{v['tokenid']}"
        if v["tokenid"] in tokens:
            raise wrong(tokenid="Token already exists.")
        tokens[v["tokenid"]] = {"privsep": 1, "expire": 0, **self._token_fields(v)}
        secret = self._new_secret(full)
        self._persist()
        return {"full-tokenid": full, "info": tokens[v["tokenid"]], "value": secret}

    async def _token_update(self, v: Values, user: str) -> Values:
        del user
        token, full = self._token(v["userid"], v["tokenid"]), f"{v['userid']}!{v['tokenid']}"
        token.update(self._token_fields(v))
        for key in words(v.get("delete")):
            token.pop(key, None)
        secret = {"full-tokenid": full, "value": self._new_secret(full)} if v.get("regenerate") else {}
        self._persist()
        return {**token, **secret}

    async def _token_delete(self, v: Values, user: str) -> None:
        del user
        self._token(v["userid"], v["tokenid"])
        full = f"{v['userid']}!{v['tokenid']}"
        del self.accounts[v["userid"]]["tokens"][v["tokenid"]]
        self.apitokens.pop(full, None)
        self.entries = [one for one in self.entries if one["ugid"] != full]
        self._persist()

    # -- access control entries

    async def _acl(self, v: Values, user: str) -> list[Values]:
        del v
        return [one for one in self.entries if self.allowed(user, one["path"], "Permissions.Modify")]

    def _entry(self, path: str, kind: str, ugid: str, role: str, propagate: int | None) -> None:
        """Set an entry, or remove it (``propagate=None``)."""
        key = {"path": path, "type": kind, "ugid": ugid, "roleid": role}
        self.entries = [one for one in self.entries if {**one, "propagate": None} != {**key, "propagate": None}]
        if propagate is not None:
            self.entries.append({**key, "propagate": propagate})

    def forget_path(self, path: str) -> None:
        """What an entry is about has gone."""
        self.entries = [one for one in self.entries if one["path"] != path]

    async def _acl_update(self, v: Values, user: str) -> None:
        del user
        path = "/" + "/".join(one for one in v["path"].split("/") if one)
        if not any(v.get(one) for one in ("users", "groups", "tokens")):
            raise wrong(users="either 'users', 'groups' or 'tokens' is required.")
        if not _ACL_PATH.fullmatch(path):
            raise wrong(path=f"invalid ACL path '{v['path']}'")
        propagate = None if v.get("delete") else int(bool(v.get("propagate", 1)))
        if v.get("groups"):
            raise die(f"group '{words(v['groups'])[0]}' does not exist")
        for role in words(v["roles"]):
            self._role(role)
            for name in words(v.get("users")):
                if name not in self.accounts:
                    raise die(f"user '{name}' does not exist")
                self._entry(path, "user", name, role, propagate)
            for full in words(v.get("tokens")):
                name, _bang, token = full.partition("!")
                self._token(name, token)
                self._entry(path, "token", full, role, propagate)
        self._persist()
