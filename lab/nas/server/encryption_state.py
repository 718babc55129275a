"""Which datasets are encrypted, with what, and which of them are locked: state alone, the data on the disks is in clear."""

from __future__ import annotations

import secrets
from typing import Any

from lab.nas.server import props
from lab.nas.server.attachments import is_child
from lab.nas.server.errors import ValidationErrors
from lab.nas.server.middleware import Middleware
from lab.nas.server.secret import check_key, hash_key

Entry = dict[str, Any]


def roots(mw: Middleware) -> dict[str, Entry]:
    """Return what is known of each encryption root."""
    found: dict[str, Entry] = mw.store.value("encryption", {})
    return found


def root_of(mw: Middleware, name: str) -> str | None:
    """Return the encryption root of a dataset, or None."""
    known, parts = roots(mw), name.split("/")
    return next((one for one in ("/".join(parts[:count]) for count in range(len(parts), 0, -1)) if one in known), None)


def locked(mw: Middleware) -> set[str]:
    """Return the encryption roots whose key is not loaded."""
    return set(mw.store.value("locked_roots", []))


def set_locked(mw: Middleware, names: set[str]) -> None:
    """Say which encryption roots have no key loaded."""
    mw.store.set_value("locked_roots", sorted(names))


def show(mw: Middleware, name: str) -> Entry:
    """Return the fields of a dataset that tell of its encryption."""
    root = root_of(mw, name)
    if root is None:
        none = props.shape("none", "none", None, "default")
        return {"encrypted": False, "encryption_root": None, "key_loaded": False, "locked": False, "key_format": none,
                "encryption_algorithm": props.shape("off", "off", None, "default"), "pbkdf2iters": props.shape("0", "0", "0", "default")}
    entry, shut = roots(mw)[root], root in locked(mw)
    form, iterations = entry["format"].lower(), str(entry["iterations"])
    return {"encrypted": True, "encryption_root": root, "key_loaded": not shut, "locked": shut,
            "key_format": props.shape(form, form, entry["format"], "-"), "pbkdf2iters": props.shape(iterations, iterations, iterations, "-"),
            "encryption_algorithm": props.shape(entry["algorithm"].lower(), entry["algorithm"].lower(), entry["algorithm"], "-")}


def fits(mw: Middleware, name: str, key: str | None) -> bool:
    """Say whether a key or passphrase is that of an encryption root."""
    # What is kept of an API key is made of the part behind its dash; this is kept alike.
    return bool(key) and check_key(f"key-{key}", roots(mw)[name]["check"])


def check_options(found: ValidationErrors, schema: str, options: Entry) -> None:
    """``validate_encryption_data``."""
    given = [name for name in ("key", "generate_key") if options[name]]
    if options["passphrase"]:
        for name in given:
            found.add(f"{schema}.{name}", "Must be disabled when dataset is to be encrypted with passphrase.")
    elif not given:
        found.add(f"{schema}.key", "Please provide a key or select generate_key to automatically generate a key when passphrase is not provided.")
    elif len(given) > 1:
        for name in given:
            found.add(f"{schema}.{name}", f"Only one of {', '.join(given)} must be provided.")


def check_creation(mw: Middleware, found: ValidationErrors, data: Entry) -> None:
    """``do_create`` of plugins/pool_/dataset.py."""
    parent = data["name"].rpartition("/")[0]
    above = root_of(mw, parent) if parent else None
    if above in locked(mw):
        found.add("pool_dataset_create.name", f"{parent} must be unlocked to create {data['name']}.")
    if above and not data["encryption"] and not data["inherit_encryption"]:
        found.add("pool_dataset_create.encryption", f"Cannot create an unencrypted dataset within an encrypted dataset ({parent}).")
    if data["encryption"]:
        if data["inherit_encryption"]:
            found.add("pool_dataset_create.inherit_encryption", "Must be disabled when encryption is enabled.")
        if not data["encryption_options"]["passphrase"] and above and roots(mw)[above]["format"] == "PASSPHRASE":
            found.add("pool_dataset_create.encryption", "Passphrase encrypted datasets cannot have children encrypted with a key.")
        check_options(found, "pool_dataset_create.encryption_options", data["encryption_options"])


def store_key(mw: Middleware, name: str, options: Entry) -> None:
    """Make a dataset an encryption root. Keys are kept, as TrueNAS keeps them in its database; passphrases are not."""
    key = options["passphrase"] or options["key"] or secrets.token_hex(32)
    entry = {"format": "PASSPHRASE" if options["passphrase"] else "HEX", "check": hash_key(f"key-{key}"), "algorithm": options["algorithm"],
             "key": None if options["passphrase"] else key, "iterations": options["pbkdf2iters"] if options["passphrase"] else 0}
    mw.store.set_value("encryption", {**roots(mw), name: entry})


def forget(mw: Middleware, name: str) -> None:
    """A dataset and all below it are gone."""
    mw.store.set_value("encryption", {one: entry for one, entry in roots(mw).items() if not is_child(one, name)})
    set_locked(mw, {one for one in locked(mw) if not is_child(one, name)})
