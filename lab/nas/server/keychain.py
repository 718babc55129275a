"""``keychaincredential``: key pairs and SSH connections."""

from __future__ import annotations

import errno
import re
import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.nas.server import peers
from lab.nas.server.client import Client, RemoteError
from lab.nas.server.errors import CallError, ValidationErrors, invalid, not_found
from lab.nas.server.keychain_models import ConnectionArgs, CreateArgs, DeleteArgs, PairArgs, ScanArgs, SetupArgs, UpdateArgs
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import IdArgs, QueryArgs, parse
from lab.nas.server.user import account, set_keys

Entry = dict[str, Any]
TABLE = "keychain"


@method("keychaincredential.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """All credentials; a full admin sees the private keys."""
    return filter_list(call.mw.store.table(TABLE), filters, options)


def get(mw: Middleware, key: int) -> Entry:
    """Return a credential. ValidationErrors (ENOENT)."""
    found = mw.store.find(TABLE, key)
    if found is None:
        raise not_found("KeychainCredential", key)
    return found


@method("keychaincredential.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One credential."""
    return get(call.mw, key)


def _keygen(*arguments: str) -> str:
    done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise ValueError(done.stderr.strip() or done.stdout.strip())
    return done.stdout.strip()


def _check_pair(found: ValidationErrors, schema: str, attributes: Entry) -> None:
    """Derive and compare the public key with the tool that everybody has."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "key")
        path.touch(mode=0o600)
        if attributes.get("private_key"):
            path.write_text(attributes["private_key"].strip() + "\n")
            try:
                public = _keygen("-y", "-P", "", "-f", str(path))
            except ValueError as exc:
                found.add(f"{schema}.private_key", str(exc).replace(str(path), "key"))
                return
            if attributes.get("public_key") and attributes["public_key"].split()[:2] != public.split()[:2]:
                found.add(f"{schema}.public_key", "Private key and public key do not match")
            attributes["public_key"] = attributes.get("public_key") or public
        if not attributes.get("public_key"):
            found.add(f"{schema}.public_key", "You must specify at least public key")
            return
        path.write_text(attributes["public_key"].strip() + "\n")
        try:
            _keygen("-l", "-f", str(path))
        except ValueError:
            found.add(f"{schema}.public_key", "Invalid public key")


def _validate(mw: Middleware, schema: str, entry: Entry, key: int | None = None) -> None:
    found = ValidationErrors()
    if any(other["name"] == entry["name"] and other["id"] != key for other in mw.store.table(TABLE)):
        found.add(f"{schema}.name", "Object with this name already exists")
    if entry["type"] == "SSH_KEY_PAIR":
        _check_pair(found, f"{schema}.attributes", entry["attributes"])
    else:
        pair = mw.store.find(TABLE, entry["attributes"]["private_key"])
        if pair is None or pair["type"] != "SSH_KEY_PAIR":
            found.add(f"{schema}.attributes.private_key", "SSH Key Pair does not exist")
    found.check()


@method("keychaincredential.create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Store a key pair or an SSH connection."""
    _validate(call.mw, "keychain_credential_create", data)
    return call.mw.store.insert(TABLE, data)


@method("keychaincredential.update", UpdateArgs)
def update(call: Call, key: int, data: Entry) -> Any:
    """Change a credential; attributes are replaced as a whole."""
    old = get(call.mw, key)
    new = parse(CreateArgs, [{"name": old["name"], "type": old["type"], "attributes": old["attributes"], **data}])[0]
    _validate(call.mw, "keychain_credential_update", new, key)
    return call.mw.store.update(TABLE, key, new)


def _users(mw: Middleware, entry: Entry) -> list[Entry]:
    if entry["type"] == "SSH_KEY_PAIR":
        return [{"title": f"SSH credentials {other['name']}", "unbind_method": "delete", "_table": TABLE, "_id": other["id"]}
                for other in mw.store.table(TABLE) if other["type"] == "SSH_CREDENTIALS" and other["attributes"]["private_key"] == entry["id"]]
    return [{"title": f"Replication task {task['name']}", "unbind_method": "disable", "_table": "replication", "_id": task["id"]}
            for task in mw.store.table("replication") if task["ssh_credentials"] == entry["id"]]


@method("keychaincredential.used_by", IdArgs)
def used_by(call: Call, key: int) -> Any:
    """What uses a credential."""
    return [{"title": one["title"], "unbind_method": one["unbind_method"]} for one in _users(call.mw, get(call.mw, key))]


@method("keychaincredential.delete", DeleteArgs)
def delete(call: Call, key: int, options: Entry) -> Any:
    """Delete a credential; ``cascade`` deletes or disables what uses it."""
    mw = call.mw
    users = _users(mw, get(mw, key))
    if users and not options["cascade"]:
        raise CallError("This credential is used and no cascade option is specified")
    for one in users:
        if one["unbind_method"] == "delete":
            delete(call, one["_id"], options)
        else:
            mw.store.update("replication", one["_id"], {"enabled": False, "ssh_credentials": None})
    mw.store.delete(TABLE, key)


@method("keychaincredential.generate_ssh_key_pair")
def generate_ssh_key_pair(call: Call) -> Any:
    """Make a key pair and return it; nothing is stored."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, secrets.token_hex(8))
        _keygen("-t", "rsa", "-b", "3072", "-f", str(path), "-N", "", "-q")
        return {"private_key": path.read_text(), "public_key": path.with_suffix(".pub").read_text()}


@method("keychaincredential.remote_ssh_host_key_scan", ScanArgs)
def remote_ssh_host_key_scan(call: Call, data: Entry) -> Any:
    """The host key of a NAS of the lab."""
    try:
        return peers.host_key(peers.find(call.mw, data["host"], data["port"]))
    except peers.Unreachable as exc:
        raise CallError(f"ssh-keyscan failed: {exc.text}") from exc


@method("keychaincredential.ssh_pair", PairArgs)
def ssh_pair(call: Call, data: Entry) -> Any:
    """The other end of a semi-automatic set-up (private on the real thing): add a key, return port and host key."""
    user = account(call.mw, data["username"])
    if user is None:
        raise CallError(f"User {data['username']} does not exist", errno.ENOENT)
    lines = (user["sshpubkey"] or "").splitlines()
    if data["public_key"].strip() not in lines:
        set_keys(call.mw, data["username"], "\n".join([*lines, data["public_key"].strip()]))
    own = call.mw.config
    return {"port": own["ports"]["ssh"], "host_key": peers.host_key(own)}


@method("keychaincredential.remote_ssh_semiautomatic_setup", SetupArgs)
def remote_ssh_semiautomatic_setup(call: Call, data: Entry) -> Any:
    """Log in to the other NAS, leave our key there, store the connection. ``verify_ssl`` trusts the lab's authority."""
    mw = call.mw
    pair = mw.store.find(TABLE, data["private_key"])
    if pair is None or pair["type"] != "SSH_KEY_PAIR" or not pair["attributes"]["private_key"]:
        raise invalid("keychain_remote_ssh_semiautomatic_setup.private_key", "SSH Key Pair with a private key does not exist", errno.ENOENT)
    if data["token"]:
        login = {"mechanism": "TOKEN_PLAIN", "token": data["token"]}
    elif data["password"]:
        login = {"mechanism": "PASSWORD_PLAIN", "username": data["admin_username"], "password": data["password"]}
    else:
        raise CallError("You should specify either remote system password or temporary authentication token")
    url = re.sub("^http", "ws", data["url"].rstrip("/")) + "/api/current"
    try:
        with Client(url, mw.config["ca"] if data["verify_ssl"] else None, login, timeout=data["connect_timeout"]) as client:
            answer = client.call("keychaincredential.ssh_pair", [
                {"remote_hostname": "any-host", "username": data["username"], "public_key": pair["attributes"]["public_key"]}])
    except RemoteError as exc:
        raise CallError(f"Semi-automatic SSH connection setup failed: {exc}") from exc
    entry = {"name": data["name"], "type": "SSH_CREDENTIALS", "attributes": {
        "host": urlsplit(data["url"]).hostname, "port": answer["port"], "username": data["username"], "private_key": pair["id"],
        "remote_host_key": answer["host_key"], "connect_timeout": data["connect_timeout"]}}
    _validate(mw, "keychain_credential_create", entry)
    return mw.store.insert(TABLE, entry)


@method("keychaincredential.setup_ssh_connection", ConnectionArgs)
def setup_ssh_connection(call: Call, data: Entry) -> Any:
    """Key pair and connection in one call; a key made for a connection that fails is deleted again."""
    wanted = "manual_setup" if data["setup_type"] == "MANUAL" else "semi_automatic_setup"
    if wanted not in data:
        raise invalid(f"options.{wanted}", "Field required")
    key = data["private_key"]
    made = None
    if key["generate_key"]:
        made = create(call, {"name": key["name"], "type": "SSH_KEY_PAIR", "attributes": generate_ssh_key_pair(call)})["id"]
    number = made if made is not None else key["existing_key_id"]
    try:
        if wanted == "manual_setup":
            return create(call, {"name": data["connection_name"], "type": "SSH_CREDENTIALS", "attributes": {**data[wanted], "private_key": number}})
        return remote_ssh_semiautomatic_setup(call, {**data[wanted], "name": data["connection_name"], "private_key": number})
    except (CallError, ValidationErrors):
        if made is not None:
            call.mw.store.delete(TABLE, made)
        raise
