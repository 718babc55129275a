# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""SSH trust from one TrueNAS system to another: a key pair and an SSH connection in the keychain of the first."""

from __future__ import annotations

import typing as t
import urllib.parse

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, Conflict
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse

ASSIGNED = "(assigned by the system)"
# Seconds that the peer's token lives; it is used at once and once.
TOKEN_LIFE = 120
Pair = dict[str, t.Any]
_COMPARED = ("host", "port", "username", "connect_timeout", "remote_host_key")


def _attributes(entry: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return the attributes of a credential, or nothing where the account may not see them (asterisks)."""
    shown = (entry or {}).get("attributes")
    return {key: value for key, value in shown.items() if value != "********"} if isinstance(shown, dict) else {}


def read(client: TrueNasClient, name: str, key_name: str) -> dict[str, t.Any]:
    """Return ``{key, connection}``: the two entries of the keychain, or None for each.

    Raises:
        Conflict: a name is taken by an entry of the other type.
    """
    found = {entry["name"]: entry for entry in client.query("keychaincredential", [["name", "in", [name, key_name]]])}
    for which, kind in ((key_name, "SSH_KEY_PAIR"), (name, "SSH_CREDENTIALS")):
        if which in found and found[which]["type"] != kind:
            raise Conflict(f"{which!r} at {client.settings.address} is a {found[which]['type']}, not a {kind}.", path=which, hint="Choose another name.")
    return {"key": found.get(key_name), "connection": found.get(name)}


def from_api(key: t.Mapping[str, t.Any] | None, connection: t.Mapping[str, t.Any] | None) -> Pair:
    """Return a pair with plain values; what the account may not see is null. The private key is never returned."""
    shown = _attributes(connection)
    return {
        "name": connection["name"] if connection else None,
        "id": connection["id"] if connection else None,
        "key_name": key["name"] if key else None,
        "key_id": key["id"] if key else shown.get("private_key"),
        "public_key": _attributes(key).get("public_key"),
        **{name: shown.get(name) for name in _COMPARED},
    }


def target(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return where the connection leads: ``host`` falls back to the peer's API host."""
    peer = params.get("peer") or {}
    found = {name: params.get(name) for name in _COMPARED if params.get(name) is not None}
    if "host" not in found and peer.get("api_host"):
        found["host"] = peer["api_host"]
    return found


def differences(wanted: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what of *wanted* differs from a connection whose attributes are visible."""
    shown = _attributes(current)
    return {name: value for name, value in wanted.items() if name in shown and shown[name] != value}


def plan_present(params: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any]) -> Plan:
    """Return the difference and, for each step, a call whose parameters ``make`` fills in.

    Raises:
        Refused: it is not said where the connection leads.
    """
    name, key_name, wanted = params["name"], params["key_name"], target(params)
    made = Plan()
    if current["connection"] is None and "host" not in wanted:
        refuse(["host, or peer.api_host, must say where the connection leads"], noun=f"pair {name}")
    if current["key"] is None:
        made.diff.add(f"{key_name}.state", before="absent", after="present")
        made.diff.add(f"{key_name}.public_key", before=None, after=ASSIGNED)
        made.add("keychaincredential.create", what=key_name)
    if current["connection"] is None:
        made.diff.add(f"{name}.state", before="absent", after="present")
        for option, value in {"port": 22, "username": "root", "connect_timeout": 10, **wanted}.items():
            made.diff.add(f"{name}.{option}", before=None, after=value)
        made.add("keychaincredential.remote_ssh_semiautomatic_setup" if params.get("peer") else "keychaincredential.create", what=name)
    else:
        different = differences(wanted, current["connection"])
        for option, value in different.items():
            made.diff.add(f"{name}.{option}", before=_attributes(current["connection"])[option], after=value)
        if current["key"] is None:
            made.diff.add(f"{name}.private_key", before=_attributes(current["connection"]).get("private_key"), after=ASSIGNED)
        if different or current["key"] is None:
            made.add("keychaincredential.update", what=name)
    shown = from_api(current["key"], current["connection"])
    made.predicted = [{**shown, "name": name, "key_name": key_name, **wanted}]
    return made


def plan_absent(params: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any]) -> Plan:
    """Return the deletions: the connection first, then the key it used."""
    made = Plan()
    for which, entry in ((params["name"], current["connection"]), (params["key_name"], current["key"])):
        if entry is not None:
            made.diff.add(f"{which}.state", before="present", after="absent")
            made.add("keychaincredential.delete", entry["id"], {"cascade": bool(params.get("cascade"))}, what=which)
    return made


def all_pairs(client: TrueNasClient) -> list[Pair]:
    """Return all SSH connections with their keys, sorted by name."""
    entries = client.query("keychaincredential")
    keys = {entry["id"]: entry for entry in entries if entry["type"] == "SSH_KEY_PAIR"}
    connections = [entry for entry in entries if entry["type"] == "SSH_CREDENTIALS"]
    found = [from_api(keys.get(_attributes(entry).get("private_key", -1)), entry) for entry in connections]
    return sorted(found, key=lambda one: str(one["name"]))


def make_with(
    client: TrueNasClient, peer: TrueNasClient | None, params: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any], made: Plan
) -> None:
    """Do ``make`` and close the connection to the second system."""
    try:
        make(client, peer, params, current, made)
    finally:
        if peer is not None:
            peer.close()


def make(client: TrueNasClient, peer: TrueNasClient | None, params: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any], made: Plan) -> None:
    """Make what is missing. Each step needs the answer of the one before, so this is not a list of ready calls."""
    name, key_name, wanted = params["name"], params["key_name"], target(params)
    key, connection = current["key"], current["connection"]
    if key is None:
        pair = client.call("keychaincredential.generate_ssh_key_pair", what=key_name)
        attributes = {"private_key": pair["private_key"], "public_key": pair["public_key"]}
        key = client.call("keychaincredential.create", {"name": key_name, "type": "SSH_KEY_PAIR", "attributes": attributes}, what=key_name)
        made.done.append(f"keychaincredential.create {key_name}")
    if connection is None:
        connection = _connect(client, peer, params, wanted, key["id"]) if peer else _scan(client, name, wanted, key["id"])
        made.done.append(f"keychaincredential.create {name}")
    different = differences(wanted, connection)
    if current["connection"] is not None and current["key"] is None:
        # A new key is no use until the other side knows it.
        different["private_key"] = key["id"]
        if peer is not None:
            _authorise(peer, str(wanted.get("username") or "root"), _attributes(key).get("public_key"))
    if different:
        attributes = {**_attributes(connection), **different}
        client.call("keychaincredential.update", connection["id"], {"attributes": attributes}, what=name)
        made.done.append(f"keychaincredential.update {name}")


def _connect(client: TrueNasClient, peer: TrueNasClient, params: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any], key: int) -> dict[str, t.Any]:
    """Let the first system set itself up with the second, with a token that lives for one use instead of a password."""
    options = params["peer"]
    token = peer.call("auth.generate_token", TOKEN_LIFE, {}, False, True, what=peer.settings.username)
    data = {
        "name": params["name"],
        "url": options.get("url") or f"https://{peer.settings.address}",
        "verify_ssl": options.get("verify_ssl") if options.get("verify_ssl") is not None else peer.settings.validate_certs,
        "token": token,
        "username": wanted.get("username") or "root",
        "private_key": key,
        "connect_timeout": wanted.get("connect_timeout") or 10,
        "sudo": bool(options.get("sudo")),
    }
    found = client.call("keychaincredential.remote_ssh_semiautomatic_setup", data, what=params["name"])
    if isinstance(found.get("attributes"), dict):
        return dict(found)
    # A redacted answer still tells which address the server took: that of the URL.
    return {**found, "attributes": {"host": urllib.parse.urlparse(str(data["url"])).hostname}}


def _scan(client: TrueNasClient, name: str, wanted: t.Mapping[str, t.Any], key: int) -> dict[str, t.Any]:
    """Make a connection by hand: trust the host key that the second system shows now, unless one was given."""
    attributes = {"port": 22, "username": "root", "connect_timeout": 10, **wanted, "private_key": key}
    if "remote_host_key" not in attributes:
        scan = {option: attributes[option] for option in ("host", "port", "connect_timeout")}
        attributes["remote_host_key"] = client.call("keychaincredential.remote_ssh_host_key_scan", scan, what=str(attributes["host"]))
    created = client.call("keychaincredential.create", {"name": name, "type": "SSH_CREDENTIALS", "attributes": attributes}, what=name)
    return dict(created)


def _authorise(peer: TrueNasClient, username: str, public_key: str | None) -> None:
    user = peer.first("user", [["username", "=", username], ["local", "=", True]], what=f"local user {username}")
    known = str(user.get("sshpubkey") or "").strip()
    if public_key and public_key.strip() not in known:
        peer.call("user.update", user["id"], {"sshpubkey": f"{known}\n{public_key.strip()}\n".lstrip()}, what=username)


def prove(client: TrueNasClient, connection: int, name: str) -> int:
    """Log in over the connection and return the number of datasets that are seen on the other side.

    Raises:
        ApiError: the other side does not let this one in.
    """
    try:
        return len(client.call("replication.list_datasets", "SSH", connection, what=name))
    except ApiError as exc:
        exc.hint = (
            "The connection is stored, but does not work: authorise its public key for the user on the other system (or give peer), "
            "and check host and port."
        )
        raise
