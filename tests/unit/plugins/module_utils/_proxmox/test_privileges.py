"""The profiles against the permission checks of the API's schema: enough for every request, and nothing that no request needs."""

from __future__ import annotations

import typing as t

import pytest
from fakepve import model, schema, shapes
from fakepve.server import FakePve
from helpers import pve_calls
from helpers.modules import run_module
from helpers.proxmox import CONNECTION, Exchange, Wire, get, guest, resources, wire
from helpers.pve_calls import BEYOND, EMITTED, KEYS, OPTIONAL, STORAGES, WRITES, Call

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import privileges
from ansible_collections.resilient.platform.plugins.modules import proxmox_access, proxmox_vm_snapshot_info

__all__ = ["wire"]
NEWEST = frozenset(shapes.PRIVILEGES)
# As pve-access-control 8 has them: one privilege for all that the monitor and the agent can do.
PVE8 = frozenset(one for one in NEWEST if not one.startswith("VM.GuestAgent.")) - {"VM.Replicate"} | {"VM.Monitor"}
VALUES = {"node": "pve1", "vmid": 100, "newid": 101, "storage": "local-lvm", "pool": "platform", "poolid": "platform", "upid": "UPID:x", "snapname": "one"}
ADMINISTRATORS = {"proxmox_access", "proxmox_access_info"}


def server(held: t.Iterable[str]) -> FakePve:
    """A server on which ``who@pve`` has *held* on everything."""
    pve = FakePve(host="127.0.0.1", port=0)
    pve.grant("who@pve", "/", *held)
    return pve


def allowed(pve: FakePve, call: Call) -> str | None:
    """Ask the schema's rule, and what is beyond it; returns what is missing."""
    method, path = call
    info = schema.load().paths[path][method]
    try:
        pve.check_permissions("who@pve", info.get("permissions"), dict(VALUES), (info.get("parameters") or {}).get("properties", {}))
        for where, privilege in BEYOND.get(call, ()):
            pve.require("who@pve", where.format(**VALUES), privilege)
    except model.PveError as exc:
        return str(exc.message)
    return None


def calls_of(profile: str) -> list[tuple[str, Call]]:
    """All (module, call) that a profile is for: those of its modules, and those that need it on top."""
    found = [(module, call) for module in privileges.PROFILES[profile].modules for call in EMITTED[module]]
    return sorted(found + [(module, call) for module, more in OPTIONAL.items() for call in more.get(profile, ())])


def denied(profile: str, held: t.Iterable[str]) -> list[str]:
    """What of a profile's work a server refuses to somebody who holds *held*."""
    pve = server(held)
    found = [f"{module}: {' '.join(call)}: {why}" for module, call in calls_of(profile) if (why := allowed(pve, call))]
    for module in privileges.PROFILES[profile].modules:
        if module in STORAGES and "Datastore.Audit" not in held:
            found.append(f"{module} sees no storage: Datastore.Audit")
        found += [f"{module} writes {key}: {KEYS[key]}" for key in WRITES.get(module, ()) if KEYS[key] not in held]
    # vzdump's prune-backups, which no rule of the schema names.
    if profile == "retention" and "Datastore.Allocate" not in held:
        found.append("proxmox_backup: keep: Datastore.Allocate")
    return found


@pytest.mark.parametrize("profile", sorted(privileges.PROFILES))
def test_profile_is_enough(profile: str) -> None:
    assert denied(profile, privileges.PROFILES[profile].privileges) == []


@pytest.mark.parametrize(("profile", "privilege"), [(name, one) for name, profile in sorted(privileges.PROFILES.items()) for one in sorted(profile.privileges)])
def test_profile_has_nothing_to_spare(profile: str, privilege: str) -> None:
    assert denied(profile, privileges.PROFILES[profile].privileges - {privilege}) != []


def test_every_module_has_a_profile_that_lets_it_do_everything() -> None:
    missing = set(EMITTED) - ADMINISTRATORS - {module for profile in privileges.PROFILES.values() for module in profile.modules}
    assert missing == set()
    pve = server(privileges.wanted_privileges(privileges.NAMES))
    assert [(module, call) for module, call in pve_calls.everything() if module not in ADMINISTRATORS and allowed(pve, call)] == []


def test_all_is_far_from_an_administrator() -> None:
    held = privileges.wanted_privileges(["all"])
    assert held <= NEWEST
    # Nothing that gives rights to others, changes the node or opens consoles.
    forbidden = ("Permissions.", "User.", "Realm.", "Group.", "Mapping.", "Sys.Modify", "Sys.Console", "VM.Console")
    assert not {one for one in held if one.startswith(forbidden)}


def test_every_call_of_the_tables_is_in_the_schema() -> None:
    paths = schema.load().paths
    assert [call for _module, call in pve_calls.everything() if call[0] not in paths[call[1]]] == []
    assert [call for call in BEYOND if call[0] not in paths[call[1]]] == []


def test_a_request_that_is_in_no_table_fails(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMITTED, "proxmox_vm_snapshot_info", frozenset({("GET", "/cluster/resources")}))
    wire.expect(resources(guest(101, "web")))
    with pytest.raises(AssertionError, match="add it to helpers/pve_calls.py, and its privilege"):
        run_module(proxmox_vm_snapshot_info.main, {**CONNECTION, "guests": ["web"]})


def test_a_request_without_its_privilege_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EMITTED, "proxmox_backup", EMITTED["proxmox_backup"] | {("POST", "/nodes/{node}/qemu/{vmid}/migrate")})
    assert any("VM.Migrate" in line for line in denied("backup", privileges.PROFILES["backup"].privileges))


def test_older_servers_get_their_own_words() -> None:
    wanted = privileges.wanted_privileges(["provision"])
    assert privileges.for_server(wanted, NEWEST) == (wanted, [])
    found, warnings = privileges.for_server(wanted, PVE8)
    assert found == wanted - {"VM.GuestAgent.Unrestricted"} | {"VM.Monitor"} and "VM.Monitor" in warnings[0]
    found, warnings = privileges.for_server(privileges.wanted_privileges(["template"]), PVE8 - {"Sys.AccessNetwork"})
    assert "Sys.AccessNetwork" not in found and "does not know Sys.AccessNetwork" in warnings[0]
    with pytest.raises(Refused, match="no privilege VM.Fly, VM.Monitor"):
        privileges.for_server(wanted, NEWEST, named=["VM.Monitor", "VM.Fly", "VM.Audit"])


def roles(known: t.Iterable[str]) -> Exchange:
    return get("access/roles", [{"roleid": "Administrator", "privs": ",".join(known), "special": 1}])


@pytest.mark.parametrize(("known", "agent"), [(NEWEST, "VM.GuestAgent.Audit"), (PVE8, "VM.Monitor")])
def test_module_asks_the_server_which_privileges_it_has(wire: Wire, known: frozenset[str], agent: str) -> None:
    wire.expect(
        roles(known),
        get("access/acl", []),
        Exchange("GET", "access/users/a@pve", status=500, reason="no such user ('a@pve')"),
        get("access/domains", [{"realm": "pve"}]),
    )
    made = run_module(proxmox_access.main, {**CONNECTION, "user": "a@pve", "role": "r", "profiles": ["inventory", "addresses"]}, check=True)
    assert made["access"]["privileges"] == sorted(["VM.Audit", agent])
