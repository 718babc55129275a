"""What proxmox_access sends, and what it does on servers that are older; tests/unit/lab/test_proxmox_access.py has the rest, on a server with state."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from fakepve import shapes
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, Exchange, Wire, get, post, wire

from ansible_collections.resilient.platform.plugins.modules import proxmox_access, proxmox_access_info

__all__ = ["wire"]
ROLES = [{"roleid": "Administrator", "privs": ",".join(shapes.PRIVILEGES), "special": 1}]
OURS = {"roleid": "r", "privs": "VM.Audit", "special": 0}
TOKENS = "access/users/a@pve/token/ci"


def entry(who: str, path: str = "/", role: str = "r", propagate: int = 1) -> dict[str, t.Any]:
    return {"path": path, "ugid": who, "roleid": role, "propagate": propagate, "type": "token" if "!" in who else "user"}


def user(**values: t.Any) -> Exchange:
    return get("access/users/a@pve", {"enable": 1, "expire": 0, "groups": [], "tokens": {"ci": {"privsep": 1, "expire": 0}}, **values})


def acl(who: str, **values: t.Any) -> Exchange:
    kind = "tokens" if "!" in who else "users"
    return Exchange("PUT", "access/acl", {"path": "/", "roles": "r", kind: who, **(values or {"propagate": 1})})


def run(**args: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_access.main, {**CONNECTION, "user": "a@pve", "token": "ci", "role": "r", "profiles": ["inventory"], **args}, diff=True)


def test_what_is_as_declared_costs_three_requests(wire: Wire) -> None:
    wire.expect(get("access/roles", [*ROLES, OURS]), get("access/acl", [entry("a@pve"), entry("a@pve!ci"), entry("b@pve")]), user())
    assert not run()["changed"] and len(wire.seen) == 3


def test_everything_is_new(wire: Wire) -> None:
    secret = "8a6c1d0e-1111-2222-3333-444455556666"
    wire.expect(
        get("access/roles", ROLES),
        get("access/acl", []),
        Exchange("GET", "access/users/a@pve", status=500, reason="no such user ('a@pve')"),
        get("access/domains", [{"realm": "pve"}]),
        post("access/roles", params={"roleid": "r", "privs": "VM.Audit"}),
        post("access/users", params={"userid": "a@pve", "comment": "c", "expire": 0}),
        post(TOKENS, {"value": secret, "full-tokenid": "a@pve!ci"}, params={"comment": "c", "expire": 1798675200, "privsep": 1}),
        acl("a@pve"),
        acl("a@pve!ci"),
    )
    made = run(comment="c", expire="2026-12-31", return_secret=True)
    assert made.pop("token_secret") == secret and secret not in json.dumps(made)
    paths = ["access/roles", "access/users", TOKENS, "access/acl", "access/acl"]
    assert [call[1] for call in wire.writes] == paths, "rights come last"


def test_what_is_too_much_goes_before_anything_is_given(wire: Wire) -> None:
    wire.expect(
        get("access/roles", [*ROLES, {**OURS, "privs": "VM.Audit,VM.Allocate"}]),
        get("access/acl", [entry("a@pve"), entry("a@pve!ci", propagate=0), entry("a@pve!ci", "/vms")]),
        user(groups=["admins"]),
        Exchange("PUT", "access/acl", {"path": "/vms", "roles": "r", "tokens": "a@pve!ci", "delete": 1}),
        Exchange("PUT", "access/roles/r", {"privs": "VM.Audit"}),
        acl("a@pve!ci"),
    )
    assert run()["changed"]
    assert wire.writes[0][2]["delete"] == "1" and wire.writes[-1][2]["propagate"] == "1"


@pytest.mark.parametrize("old", [False, True])
def test_older_servers_make_a_token_anew_with_its_entries(wire: Wire, tmp_path: pathlib.Path, old: bool) -> None:
    path = tmp_path / "secret.json"
    wire.expect(
        get("access/roles", [*ROLES, OURS]),
        get("access/acl", [entry("a@pve"), entry("a@pve!ci"), entry("a@pve!ci", "/storage", "PVEAuditor")]),
        user(),
    )
    if old:
        gone = {"regenerate": "property is not defined in schema and the schema does not allow additional properties"}
        wire.expect(
            Exchange("PUT", TOKENS, {"regenerate": 1}, status=400, reason="Parameter verification failed.", errors=gone),
            Exchange("DELETE", TOKENS),
            post(TOKENS, {"value": "new"}, params={"expire": 0, "privsep": 1}),
            acl("a@pve!ci"),
            Exchange("PUT", "access/acl", {"path": "/storage", "roles": "PVEAuditor", "tokens": "a@pve!ci", "propagate": 1}),
        )
    else:
        wire.expect(Exchange("PUT", TOKENS, {"regenerate": 1}, data={"value": "new", "full-tokenid": "a@pve!ci"}))
    made = run(token_secret_path=str(path), regenerate=True)
    assert made["changed"] and json.loads(path.read_text()) == {"api_user": "a@pve", "api_token_id": "a@pve!ci", "api_token_secret": "new"}


def test_another_error_while_making_a_new_secret_is_told(wire: Wire, tmp_path: pathlib.Path) -> None:
    wire.expect(
        get("access/roles", [*ROLES, OURS]),
        get("access/acl", [entry("a@pve"), entry("a@pve!ci")]),
        user(),
        Exchange("PUT", TOKENS, status=403, reason="Permission check failed (/access/groups, User.Modify)"),
    )
    with pytest.raises(ModuleFailed, match="User.Modify"):
        run(token_secret_path=str(tmp_path / "x"), regenerate=True)


def test_a_server_that_shows_no_roles_is_refused(wire: Wire) -> None:
    wire.expect(get("access/roles", [OURS]))
    with pytest.raises(ModuleFailed, match="shows no role Administrator"):
        run()


def test_info_names_what_an_older_server_has_no_word_for(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text, **_more: said.append(text))
    wire.expect(
        get("access/roles", [{**ROLES[0], "privs": "VM.Audit,VM.Monitor,Sys.Audit"}]),
        get("access/users", [{"userid": "a@pve", "groups": "x,y", "tokens": [{"tokenid": "ci", "privsep": 0, "expire": 4102444800}]}], params={"full": 1}),
        get("access/acl", [entry("a@pve"), entry("b@pve")]),
        get("access/permissions", {"/": {"VM.Audit": 1}}),
    )
    found = run_module(proxmox_access_info.main, {**CONNECTION, "user": "a@pve", "profiles": ["inventory", "addresses"]})
    assert found["missing"] == ["VM.Monitor"] and "older than Proxmox VE 9" in said[0]
    assert found["users"][0]["groups"] == ["x", "y"] and found["users"][0]["tokens"][0]["expire"] == "2100-01-01T00:00:00Z"
    assert [one["who"] for one in found["acl"]] == ["a@pve"]
