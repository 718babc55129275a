"""Encryption of datasets: zfs-fuse has none, so this is its state alone. What is locked is unmounted, the data on the disks is in clear.

Rules and messages of ``plugins/pool_/dataset_encryption_lock.py``, ``dataset_encryption_info.py`` and ``dataset_encryption_operations.py``.
"""

from __future__ import annotations

import errno
from typing import Annotated, Any

from pydantic import Field

from lab.nas.server.attachments import is_child
from lab.nas.server.dataset import instance
from lab.nas.server.encryption_state import check_options, fits, locked, root_of, roots, set_locked, store_key
from lab.nas.server.errors import CallError, ValidationErrors
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.registry import method
from lab.nas.server.schema import NOT_REQUIRED, Model, NameArgs, NonEmptyString
from lab.nas.server.zfs import ZfsError

Entry = dict[str, Any]
Key = Annotated[str, Field(min_length=64, max_length=64)]


class LockOptions(Model):
    """Options of lock."""

    force_umount: bool = False


class LockArgs(Model):
    """Arguments of lock."""

    id: str
    options: LockOptions = LockOptions()


def _mount(mw: Middleware, name: str, *, on: bool) -> None:
    """Mount or unmount a dataset; ``canmount`` keeps a locked one away when the daemon starts again."""
    mounted = mw.zfs.get(name)[name]["mounted"].value == "yes"
    if mounted and not on:
        mw.zfs.retry("zfs", "unmount", name)
    mw.zfs.retry("zfs", "set", f"canmount={'on' if on else 'noauto'}", name)
    if on and not mounted:
        mw.zfs.retry("zfs", "mount", name)


@method("pool.dataset.lock", LockArgs, job=True, lock="dataset_lock")
def lock(call: Call, name: str, options: Entry) -> Any:
    """Lock an encryption root with a passphrase, and all below it."""
    mw, entry = call.mw, instance(call.mw, name)
    if not entry["encrypted"]:
        raise CallError(f"{name} is not encrypted")
    if entry["locked"]:
        raise CallError(f"Dataset {name} is already locked")
    if entry["key_format"]["value"] != "PASSPHRASE":
        raise CallError("Only datasets which are encrypted with passphrase can be locked")
    if entry["encryption_root"] != name:
        raise CallError(f"Please lock {entry['encryption_root']}. Only encryption roots can be locked.")
    below = mw.zfs.datasets(name)
    try:
        for one in reversed(below):
            _mount(mw, one, on=False)
    except ZfsError as exc:
        for one in below:
            if mw.zfs.get(one)[one]["mounted"].value != "yes":
                _mount(mw, one, on=True)
        raise CallError(f"Failed to lock dataset: {exc}", errno.EBUSY) from exc
    set_locked(mw, locked(mw) | {one for one in roots(mw) if is_child(one, name)})
    mw.exports_changed()
    return True


class SummaryDataset(Model):
    """A key to try."""

    force: bool = False
    name: NonEmptyString
    key: Key = NOT_REQUIRED
    passphrase: NonEmptyString = NOT_REQUIRED


class SummaryOptions(Model):
    """Options of encryption_summary."""

    key_file: bool = False
    force: bool = False
    datasets: list[SummaryDataset] = []


class SummaryArgs(Model):
    """Arguments of encryption_summary."""

    id: str
    options: SummaryOptions = SummaryOptions()


class UnlockDataset(SummaryDataset):
    """A key to unlock with."""

    recursive: bool = False


class UnlockOptions(Model):
    """Options of unlock."""

    force: bool = False
    key_file: bool = False
    recursive: bool = False
    toggle_attachments: bool = True
    datasets: list[UnlockDataset] = []


class UnlockArgs(Model):
    """Arguments of unlock."""

    id: str
    options: UnlockOptions = UnlockOptions()


def _key_of(mw: Middleware, name: str, given: dict[str, str]) -> str | None:
    return given.get(name) or roots(mw)[name]["key"]


def _blocked(mw: Middleware, name: str) -> str:
    """``dataset_can_be_mounted``."""
    place = mw.mnt / name
    hint = ' (please provide "force" flag to override this error and file/directory will be renamed once the dataset is unlocked)'
    # Where children are mounted there may be an empty directory left; real ZFS has those inside the parent.
    strange = [one for one in place.iterdir() if not mw.zfs.exists(f"{name}/{one.name}")] if place.is_dir() else []
    return f"'/mnt/{name}' directory is not empty{hint}" if strange else ""


@method("pool.dataset.encryption_summary", SummaryArgs, job=True)
def encryption_summary(call: Call, name: str, options: Entry) -> Any:
    """Each encryption root at or below a dataset: which key it has, whether a given one fits, whether unlocking would work."""
    mw, found = call.mw, ValidationErrors()
    instance(mw, name)
    for index, one in enumerate(options["datasets"]):
        if "key" in one and "passphrase" in one:
            found.add(f"unlock_options.datasets.{index}.dataset.key", f"Must not be specified when passphrase for {one['name']} is supplied")
    found.check()
    given = {one["name"]: one.get("key") or one.get("passphrase") or "" for one in options["datasets"]}
    forced = {one["name"] for one in options["datasets"] if one["force"]}
    results: list[Entry] = []
    failed: set[str] = set()
    for root in sorted((one for one in roots(mw) if is_child(one, name)), key=lambda one: one.count("/")):
        key, shut = _key_of(mw, root, given), root in locked(mw)
        valid = fits(mw, root, key)
        above = next((one for one in sorted(failed, key=len, reverse=True) if is_child(root, one)), None)
        error = f'Child cannot be unlocked when parent "{above}" is locked' if above else None
        block = _blocked(mw, root) if shut and not options["force"] and root not in forced else ""
        error = f"{error} and {block}" if error and block else error or block or None
        success = not shut or (valid and not error)
        if shut and not valid:
            if key is not None:
                error = f"{error} and provided key is invalid" if error else "Provided key is invalid"
            error = error or "Key not provided"
            failed.add(root)
        results.append({"name": root, "key_format": roots(mw)[root]["format"], "key_present_in_database": bool(roots(mw)[root]["key"]), "valid_key": valid,
                        "locked": shut, "unlock_error": error, "unlock_successful": success})
    return results


@method("pool.dataset.unlock", UnlockArgs, job=True, lock="dataset_unlock_{0}")
def unlock(call: Call, name: str, options: Entry) -> Any:
    """Unlock encryption roots. Each has its own outcome; the job succeeds even if none is unlocked."""
    mw, found, shut = call.mw, ValidationErrors(), locked(call.mw)
    entry = instance(mw, name)
    for index, one in enumerate(options["datasets"]):
        if "key" in one and "passphrase" in one:
            found.add(f"unlock_options.datasets.{index}.dataset.key", f"Must not be specified when passphrase for {one['name']} is supplied")
        elif "key" not in one and "passphrase" not in one:
            found.add(f"unlock_options.datasets.{index}.dataset", f"Passphrase or key must be specified for {one['name']}")
        if not options["force"] and not one["force"] and one["name"] in shut and _blocked(mw, one["name"]):
            found.add(f"unlock_options.datasets.{index}.force", _blocked(mw, one["name"]))
    given = {one["name"]: one.get("key") or one.get("passphrase") or "" for one in options["datasets"]}
    if "/" in name or not options["recursive"]:
        if not entry["locked"]:
            found.add("id", f"{name} dataset is not locked")
        elif entry["encryption_root"] != name:
            found.add("id", "Only encryption roots can be unlocked")
        elif name not in given and not roots(mw)[name]["key"]:
            found.add("unlock_options.datasets", f"Please specify key for {name}")
    found.check()
    above = sorted(one for one in shut if name.startswith(f"{one}/"))
    if above:
        raise CallError(f"{name} has locked parents {','.join(above)} which must be unlocked first")
    for one in options["datasets"]:
        if one["recursive"]:
            given |= {root: given[one["name"]] for root in shut if root not in given and is_child(root, one["name"])}
    names = sorted((one for one in shut if is_child(one, name)) if options["recursive"] else [name], key=lambda one: one.count("/"))
    return _unlock(call, names, given)


def _unlock(call: Call, names: list[str], given: dict[str, str]) -> Entry:
    mw = call.mw
    unlocked: list[str] = []
    failed: dict[str, Entry] = {}
    for position, root in enumerate(names):
        above = next((one for one in failed if is_child(root, one)), None)
        if above:
            failed[above]["skipped"].append(root)
            continue
        key = _key_of(mw, root, given)
        call.progress(90 * position / len(names), f"Unlocking '{root}'")
        if not fits(mw, root, key):
            failed[root] = {"error": "Invalid Key" if key else "Missing key", "skipped": []}
            continue
        set_locked(mw, locked(mw) - {root})
        for one in [one for one in mw.zfs.datasets(root) if root_of(mw, one) == root]:
            try:
                _mount(mw, one, on=True)
            except ZfsError as exc:
                failed[one] = {"error": f"Failed to mount dataset: {exc}", "skipped": []}
            else:
                unlocked.append(one)
    mw.exports_changed()
    return {"unlocked": unlocked, "failed": failed}


class ChangeKeyOptions(Model):
    """Options of change_key."""

    generate_key: bool = False
    key_file: bool = False
    pbkdf2iters: int = Field(default=350000, ge=100000)
    passphrase: NonEmptyString | None = None
    key: Key | None = None


class ChangeKeyArgs(Model):
    """Arguments of change_key."""

    id: str
    options: ChangeKeyOptions = ChangeKeyOptions()


@method("pool.dataset.change_key", ChangeKeyArgs, job=True, lock="dataset_change_key_{0}")
def change_key(call: Call, name: str, options: Entry) -> Any:
    """Give an encrypted dataset another key; it becomes an encryption root."""
    mw, found, entry = call.mw, ValidationErrors(), instance(call.mw, name)
    if not entry["encrypted"]:
        found.add("id", "Dataset is not encrypted")
    elif entry["locked"]:
        found.add("id", "Dataset must be unlocked before key can be changed")
    found.check()
    check_options(found, "change_key_options", options)
    found.check()
    store_key(mw, name, {**options, "algorithm": roots(mw)[entry["encryption_root"]]["algorithm"]})


class ExportArgs(Model):
    """Arguments of export_key."""

    id: str
    download: bool = False


@method("pool.dataset.export_key", ExportArgs, job=True)
def export_key(call: Call, name: str, download: bool) -> Any:
    """The key of an encryption root, if the database has it."""
    instance(call.mw, name)
    key = roots(call.mw).get(name, {}).get("key")
    if key is None:
        raise CallError("Specified dataset does not have its own encryption key.", errno.EINVAL)
    return key


@method("pool.dataset.inherit_parent_encryption_properties", NameArgs)
def inherit(call: Call, name: str) -> Any:
    """Give up a dataset's own key for its parent's."""
    entry = instance(call.mw, name)
    if not entry["encrypted"]:
        raise CallError(f"Dataset {name} is not encrypted")
    if entry["encryption_root"] != name:
        raise CallError(f"Dataset {name} is not an encryption root")
    if entry["locked"]:
        raise CallError("Dataset must be unlocked to perform this operation")
    parent = name.rpartition("/")[0]
    if not parent:
        raise CallError("Root datasets do not have a parent and cannot inherit encryption settings")
    if root_of(call.mw, parent) is None:
        raise CallError("This operation requires the parent dataset to be encrypted")
    call.mw.store.set_value("encryption", {one: value for one, value in roots(call.mw).items() if one != name})
