"""Roles, users, API tokens and access control entries of the lab's Proxmox: the API's methods, with its refusals.

Not there: groups, other realms than ``pam`` and ``pve``, two-factor logins.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from fakepve import shapes
from fakepve.model import PveError

from lab.proxmox.rights import Rights, Values, words

REALMS = {"pam": "Linux PAM standard authentication", "pve": "Proxmox VE authentication server"}
_ACL_PATH = re.compile(
    r"/|/access(/groups(/[\w.-]+)?|/realm(/[\w.-]+)?)?|/mapping(/(dir|pci|usb)(/[\w.-]+)?)?|/nodes(/[\w.-]+)?|/pool(/[\w.-]+){0,3}"
    r"|/sdn(/zones(/[\w.-]+){0,3}|/(controllers|dns|fabrics|ipams)(/[\w.-]+)?)?|/storage(/[\w.-]+)?|/vms(/[1-9]\d{2,})?"
)


def die(message: str) -> PveError:
    """What perl's die comes to."""
    return PveError(500, message)


def wrong(**fields: str) -> PveError:
    """A parameter that cannot be."""
    return PveError(400, "Parameter verification failed.", fields)


class Access(Rights):
    """Part of the API server."""

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
        roots = {"/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"}
        paths = [v["path"]] if v.get("path") else sorted(roots | {one["path"] for one in self.entries})
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
