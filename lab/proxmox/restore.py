"""Restoring an archive: ``POST qemu`` with ``archive``, into a new VM or over an existing one."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path
from typing import Any

from fakepve.model import FakeVm, PveError, TaskError
from fakepve.qemu import CREATE_ONLY, DRIVE_KEY, drives_of, is_cdrom, join_drive, split_drive, volume_ref, with_mac
from fakepve.routing import die, param_error

from lab.guest import disk_snapshots
from lab.guest.disk import Disk
from lab.proxmox import archive
from lab.proxmox.backup import Backups
from lab.proxmox.config import normal_tags
from lab.proxmox.room import RUN_DIR


class Restores(Backups):
    """Part of the API server."""

    async def _qm_create(self, v: dict[str, Any], user: str) -> Any:
        if not v.get("archive"):
            return await super()._qm_create(v, user)
        self._check_restore(v, user)
        path = self.backup_file(v["archive"])
        vm, new = self._restore_target(v)

        async def body() -> None:
            try:
                await self._restore(vm, path, v, new=new)
            except (PveError, TaskError, OSError) as exc:
                if new and vm in self.vms:
                    self.vms.remove(vm)
                elif not new:
                    self._qm_lock(vm, None)
                raise TaskError(f"unable to restore VM {vm.vmid} - {getattr(exc, 'message', None) or exc}") from exc

        return await self.task(v["node"], "qmrestore", vm.vmid, user, body, vm=vm)

    def _check_restore(self, v: dict[str, Any], user: str) -> None:
        """What the server checks before it forks."""
        self.need_quorum()
        vmid, pool = int(v["vmid"]), v.get("pool")
        self._qm_check_pool(pool)
        if conflicts := [key for key in v if DRIVE_KEY.match(key)]:
            raise param_error(**{key: "option conflicts with option 'archive'" for key in conflicts})
        self._qm_perm(user, vmid, pool, "VM.Allocate")
        if v.get("force") and self.vm(vmid):
            self._qm_perm(user, vmid, pool, "VM.Backup")
        if v.get("storage"):
            self._qm_image_store(v["storage"], user)
        sid, name = volume_ref(v["archive"])
        owner = re.search(r"vzdump-\w+-(\d+)-", str(name))
        self._check_access(user, sid, "backup", int(owner.group(1)) if owner else None, v["archive"])

    def _restore_target(self, v: dict[str, Any]) -> tuple[Any, bool]:
        """Return the VM to restore into, locked, and whether it is a new one."""
        vmid = int(v["vmid"])
        emsg = f"unable to restore VM {vmid} -"
        existing = self.vm(vmid)
        if existing is None and self.guest(vmid) is None:
            vm = FakeVm(vmid, f"VM {vmid}", node=v["node"])
            vm.config.pop("name", None)
            self.vms.append(vm)
            vm = self.vms[-1]
            self._qm_lock(vm, "create")
            return vm, True
        if existing is None or not v.get("force"):
            kind, node = ("VM", existing.node) if existing else ("CT", self.guest(vmid).node)
            raise die(f"{emsg} {kind} {vmid} already exists on node '{node}'")
        if existing.status == "running":
            raise die(f"{emsg} vm is running")
        if existing.template:
            raise die(f"{emsg} can't overwrite a template")
        self._qm_check_protection(existing, f"{emsg} can't restore over VM {vmid}")
        self._check_lock(existing)
        self._qm_lock(existing, "create")
        return existing, False

    async def _restore(self, vm: Any, path: Path, v: dict[str, Any], *, new: bool) -> None:
        config: dict[str, Any] = archive.parse_config(await archive.config_of(path))
        overrides = {key: value for key, value in v.items() if key not in CREATE_ONLY}
        made: list[str] = []
        work = Disk(self.room.state.dir / "proxmox" / "qmrestore" / str(vm.vmid), RUN_DIR / self.room.state.name / f"{vm.vmid}-qmrestore" / "rootfs")
        try:
            self._restore_drives(vm.vmid, config, v.get("storage"), made)
            if any(not is_cdrom(volume, props) for _, volume, props in drives_of(config)):
                await archive.unpack(path, await asyncio.to_thread(disk_snapshots.create_empty, work))
        except (PveError, TaskError, OSError):
            await asyncio.to_thread(work.delete)
            for volume in made:
                self._qm_free(volume)
            raise
        if not new:
            self._free_old(vm)
        if work.exists and any((work.home / "upper").iterdir()):
            await asyncio.to_thread(disk_snapshots.move, work, self.room.disk(vm.vmid))
        else:
            await asyncio.to_thread(work.delete)
        self._restored(vm, config, overrides, unique=bool(v.get("unique")))
        if v.get("pool"):
            self._pool_join(v["pool"], vm.vmid)
        if v.get("start"):
            vm.status = vm.qmpstatus = "running"

    def _restore_drives(self, vmid: int, config: dict[str, Any], storage: str | None, made: list[str]) -> None:
        """Give the config volumes of its own."""
        for key, volume, props in list(drives_of(config)):
            sid, _ = volume_ref(volume)
            if sid is None:
                continue
            target = storage or sid
            if re.search(r"vm-\d+-cloudinit", volume):
                volid = self.cloudinit_volume(target, vmid)
                config[key] = join_drive(volid, {**props, "media": "cdrom"})
            elif is_cdrom(volume, props):
                continue
            else:
                self._store(target)
                size = archive_size(props.get("size"))
                volid, _ = self._qm_alloc(target, vmid, None, size)
                config[key] = join_drive(volid, props)
            made.append(volid)
        for key in [key for key in config if re.fullmatch(r"unused\d+", key)]:
            del config[key]

    def _free_old(self, vm: Any) -> None:
        for _, volume, _ in drives_of(vm.config):
            self._qm_free(volume)
        vm.snapshots, vm.pending = {}, {}

    def _restored(self, vm: Any, config: dict[str, Any], overrides: dict[str, Any], *, unique: bool) -> None:
        config.pop("template", None)
        for key in [key for key in config if unique and re.fullmatch(r"net\d+", key)]:
            config[key] = with_mac(config[key], fresh=True)
        if unique:
            config["smbios1"] = f"uuid={uuid.uuid4()}"
        config["vmgenid"] = str(uuid.uuid4())
        for key, value in overrides.items():
            config[key] = with_mac(value) if re.fullmatch(r"net\d+", key) else normal_tags(str(value)) if key == "tags" else value
        vm.config, vm.template = config, False
        vm.name = config.get("name") or f"VM {vm.vmid}"
        self._qm_lock(vm, None)


def archive_size(text: str | None) -> int:
    """Return the bytes of a drive's ``size=8G``."""
    units = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text or "0")
    return int(float(found.group(1)) * units.get(found.group(2), 1)) if found else 0
