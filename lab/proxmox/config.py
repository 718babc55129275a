"""VM config as the real server keeps it, where fakepve stores what it was given: disks, MACs, tags, hotplug, resize."""

from __future__ import annotations

import asyncio
import functools
import re
import time
import urllib.parse
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from fakepve import schema
from fakepve.lxc import SIZE_UNITS, format_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import DRIVE_KEY, NEW_DISK, is_cdrom, join_drive, split_drive, volume_ref, with_mac
from fakepve.server import USER, FakePve, int_param, ok, params

from lab.proxmox import cloudinit

# Applied to a running VM at once, besides what fakepve knows: hotplug=network,disk,usb is the default.
_HOTPLUG = re.compile(r"net\d+|scsi\d+|virtio\d+|unused\d+")
_BOTH = "duplicate parameter (already defined in 'delete')"


def normal_tags(text: str) -> str:
    """Return tags as PVE stores them: lower case, sorted, once each, joined by ';'."""
    return ";".join(sorted({tag.lower() for tag in re.split(r"[;,\s]+", text) if tag}))


def parse_size(text: str, current: int) -> int:
    """Return the new size in bytes of ``resize``: '20G' is absolute, '+5G' adds to ``current``."""
    found = re.fullmatch(r"(\+?)(\d+(?:\.\d+)?)([KMGT]?)", text)
    if not found:
        raise ValueError(text)
    size = int(float(found.group(2)) * (SIZE_UNITS[found.group(3)] if found.group(3) else 1))
    return current + size if found.group(1) else size


@functools.cache
def _types() -> dict[str, str]:
    """Return the type of every config key by the API's own schema."""
    methods = schema.load().paths["/nodes/{node}/qemu/{vmid}/config"]
    return {key: str(info.get("type")) for key, info in methods["PUT"]["parameters"]["properties"].items()}


def typed(key: str, value: Any) -> Any:
    """Return a config value as the server's JSON has it: numbers and booleans are numbers, ``memory`` is a string."""
    if key == "memory":
        return str(value)
    if _types().get(key) in ("integer", "number", "boolean"):
        text = {"True": "1", "False": "0"}.get(str(value), str(value))
        try:
            return int(text)
        except ValueError:
            return float(text)
    return value


class Config(FakePve):  # type: ignore[misc]  # fakepve has no types
    """Part of the API server: everything that writes a VM's config."""

    def _persist(self) -> None:
        """Save the state."""

    def _routes_config(self) -> list[tuple[str, str, Any]]:
        return [("PUT", "/nodes/{node}/qemu/{vmid}/resize", self._resize)]

    def _unused_slot(self, vm: Any) -> str:
        return next(key for key in (f"unused{n}" for n in range(256)) if key not in vm.config)

    def _own_disk(self, vm: Any, key: str) -> str | None:
        """Return the volume of a drive if it is a disk that belongs to the VM (no CD-ROM, no cloud-init drive)."""
        if not DRIVE_KEY.match(key) or key not in vm.config:
            return None
        volume, props = split_drive(vm.config[key])
        return None if is_cdrom(volume, props) or volume_ref(volume)[0] is None else str(volume)

    def _new_drive(self, vm: Any, user: str, key: str, value: str) -> tuple[str, list[str]]:
        """Return a drive's value with its volume allocated, and the volumes that were made."""
        volume, props = split_drive(value)
        if volume.endswith(":cloudinit"):
            there = cloudinit.drive_of(vm.config)
            if there not in (None, key):
                raise PveError(500, f"cloud-init drive is already attached at '{there}'")
            self._qm_image_store(volume_ref(volume)[0], user)
            return self._qm_new_drive(vm.vmid, key, value, None)
        if NEW_DISK.match(volume) and not is_cdrom(volume, props):
            self._qm_check_drive(user, vm.vmid, None, key, value, None)
            return self._qm_new_drive(vm.vmid, key, value, None)
        return value, []

    def cloudinit_volume(self, sid: str, vmid: int) -> str:
        """Make the volume of a cloud-init drive; returns its id."""
        name = f"vm-{vmid}-cloudinit"
        self.storages[sid].setdefault("volumes", {})[name] = {
            "content": "images", "format": "raw", "size": 4 * 1024**2, "vmid": vmid, "ctime": int(time.time())}
        return f"{sid}:{name}"

    def _qm_new_drive(self, vmid: int, key: str, value: str, default: str | None) -> tuple[str, list[str]]:
        """As the parent, with the name that PVE gives a cloud-init drive."""
        volume, props = split_drive(value)
        if volume.endswith(":cloudinit"):
            made = self.cloudinit_volume(str(volume_ref(volume)[0] or default), vmid)
            return join_drive(made, {**props, "media": "cdrom"}), [made]
        done: tuple[str, list[str]] = super()._qm_new_drive(vmid, key, value, default)
        return done

    def _prepared(self, vm: Any, user: str, p: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return the parameters as they are stored, and the volumes allocated for them."""
        updates, made = dict(p), []
        try:
            for key, value in p.items():
                if re.fullmatch(r"net\d+", key):
                    updates[key] = with_mac(value)
                elif DRIVE_KEY.match(key):
                    updates[key], volumes = self._new_drive(vm, user, key, str(value))
                    made += volumes
                elif key == "tags":
                    updates[key] = normal_tags(str(value))
                elif key == "cipassword":
                    updates[key] = cloudinit.hash_password(str(value))
                elif key == "sshkeys":
                    self._check_keys(str(value))
        except PveError:
            self._free_all(made)
            raise
        return updates, made

    @staticmethod
    def _check_keys(value: str) -> None:
        for line in urllib.parse.unquote(value).splitlines():
            if line.strip() and not re.match(r"(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]{20,}", line.strip()):
                raise PveError(400, "Parameter verification failed.", {"sshkeys": "SSH public key validation error"})

    def _free_all(self, volumes: Iterable[str]) -> None:
        for volume in volumes:
            self._qm_free(volume)

    async def _apply_config(self, vm: Any, user: str, p: dict[str, Any]) -> None:
        """As the parent, with volumes, MACs, unused disks and hotplug."""
        p = {key: value for key, value in p.items() if key not in ("node", "vmid", "background_delay")}
        force = str(p.pop("force", "0")) in ("1", "true", "True")
        deletes = [key for key in re.split(r"[\s,;]+", str(p.get("delete") or "")) if key]
        if not {key for key in p if key not in ("digest", "skiplock")}:
            raise PveError(500, "no options specified")
        if both := [key for key in deletes if key in p]:
            raise PveError(400, "Parameter verification failed.", {key: _BOTH for key in both})
        if p.get("digest") and p["digest"] != vm.digest():
            raise PveError(500, "checksum mismatch (file change by other user?)")
        self.check_bridges(user, p)
        lock, skip = vm.lock, str(p.pop("skiplock", "0")) in ("1", "true", "True")
        if skip and user != "root@pam":
            raise PveError(400, "Parameter verification failed.", {"skiplock": "Only root may use this option."})
        if not skip:
            self._check_lock(vm)
        touched = [key for key in (*p, *deletes) if self._own_disk(vm, key)]
        self._check_protected(vm, touched)
        before = {key: self._own_disk(vm, key) for key in touched}
        gone = {key: vm.config[key] for key in deletes if re.fullmatch(r"unused\d+", key) and key in vm.config}
        updates, made = self._prepared(vm, user, p)
        try:
            vm.lock = None if skip else lock
            await super()._apply_config(vm, user, updates)
        except PveError:
            self._free_all(made)
            vm.lock = lock
            raise
        # The lock is never pending: it holds at once, and shows in the cluster's list.
        if "lock" in vm.pending:
            vm.config["lock"] = vm.pending.pop("lock")
        vm.lock = vm.config.get("lock") if "lock" in (*p, *deletes) else lock
        self._forget_unchanged(vm)
        self._hotplug(vm, [key for key in (*p, *deletes) if _HOTPLUG.fullmatch(key)])
        self._detach(vm, before, {key for key in deletes if force})
        self._free_all(split_drive(value)[0] for value in gone.values())
        self._persist()

    def _check_protected(self, vm: Any, keys: list[str]) -> None:
        if keys and str(vm.config.get("protection", 0)) in ("1", "True", "true"):
            raise PveError(500, f"can't remove drive '{keys[0]}' - protection mode enabled")

    @staticmethod
    def _forget_unchanged(vm: Any) -> None:
        """What is pending and the same as what holds is not pending any more: a change was taken back before it took effect."""
        for key, value in list(vm.pending.items()):
            if (None if value is None else str(value)) == (str(vm.config[key]) if key in vm.config else None):
                del vm.pending[key]

    @staticmethod
    def _hotplug(vm: Any, keys: list[str]) -> None:
        for key in keys:
            if key in vm.pending:
                value = vm.pending.pop(key)
                if value is None:
                    vm.config.pop(key, None)
                else:
                    vm.config[key] = value

    def _detach(self, vm: Any, before: dict[str, str | None], destroy: set[str]) -> None:
        """A disk that is no longer attached stays as unusedN; with ``force`` it is destroyed."""
        for key, volume in before.items():
            if volume is None or volume in (split_drive(value)[0] for name, value in vm.config.items() if DRIVE_KEY.match(name)):
                continue
            if key in vm.pending:
                continue
            if key in destroy:
                self._free_all([volume])
            else:
                vm.config[self._unused_slot(vm)] = volume

    async def _config_get(self, request: web.Request) -> web.Response:
        """The config with the password masked; pending changes applied unless ``current=1``."""
        p = self._verify(request, await params(request))
        vm = self._vm(request, "VM.Audit")
        config = dict(vm.config)
        if p.get("snapshot"):
            if p["snapshot"] not in vm.snapshots:
                raise PveError(500, f"snapshot '{p['snapshot']}' does not exist")
            config = dict(vm.snapshots[p["snapshot"]])
        elif not p.get("current"):
            for key, value in vm.pending.items():
                if value is None:
                    config.pop(key, None)
                else:
                    config[key] = value
        config = {key: typed(key, value) for key, value in config.items()}
        if "cipassword" in config:
            config["cipassword"] = "**********"
        config["digest"] = vm.digest()
        return ok(config)  # type: ignore[no-any-return]

    async def _config_post(self, request: web.Request) -> web.Response:
        """The asynchronous form; with ``background_delay`` it waits that long and answers null if the task is done."""
        p = await params(request)
        self._verify(request, p)
        vm = self._vm(request)
        self.check_config_privileges(request[USER], vm.vmid, p)
        delay = int_param(p, "background_delay", 0, 1) or 0
        self.need_quorum()

        async def body() -> None:
            await self._apply_config(vm, request[USER], p)
        upid = await self.task(vm.node, "qmconfig", vm.vmid, request[USER], body)
        record = self.tasks[upid]
        deadline = asyncio.get_running_loop().time() + delay
        while delay and record["status"] == "running" and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        if delay and record["status"] == "stopped":
            if record["exitstatus"] != "OK":
                raise PveError(500, f"failed to update VM {vm.vmid}: {record['exitstatus']}")
            return ok()  # type: ignore[no-any-return]
        return ok(upid)  # type: ignore[no-any-return]

    async def _resize(self, v: dict[str, Any], user: str) -> str:
        """PUT resize: a task; growing only."""
        vm = self.find(v["node"], v["vmid"])
        if v.get("digest") and v["digest"] != vm.digest():
            raise PveError(500, "checksum mismatch (file change by other user?)")
        self._check_lock(vm)

        async def body() -> None:
            if vm.snapshots and "efidisk" in v["disk"]:
                raise TaskError("resizing is not supported for this drive")
            if v["disk"] not in vm.config:
                raise TaskError(f"disk '{v['disk']}' does not exist")
            volume, props = split_drive(vm.config[v["disk"]])
            record = self._qm_volume(volume)
            if is_cdrom(volume, props):
                raise TaskError("you can't resize a cdrom")
            if record is None:
                raise TaskError(f"volume '{volume}' does not exist")
            current = int(record.get("size") or 0)
            size = parse_size(str(v["size"]), current)
            if size < current:
                raise TaskError("shrinking disks is not supported")
            record["size"] = size
            vm.config[v["disk"]] = join_drive(volume, {**props, "size": format_size(size)})
        return str(await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm))
