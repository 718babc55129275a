"""Backups: vzdump, extractconfig, pruning, and the storage's view of the archives, which are files in the lab's state directory."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

from fakepve.lxc import format_size
from fakepve.model import TaskError
from fakepve.qemu import drives_of, volume_ref
from fakepve.routing import die, param_error, split_list
from fakepve.server import FakePve

from lab.guest.disk import Disk
from lab.proxmox import archive, retention
from lab.proxmox.room import RUN_DIR, Room

_NAME = re.compile(r"vzdump-qemu-(\d+)-(\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d)\.(vma(?:\.(?:gz|lzo|zst))?)")
_SIDECARS = (".notes", ".protected")


def _flag(value: Any, default: bool = False) -> bool:
    return default if value is None else str(value) in ("1", "True", "true")


class Backups(FakePve):  # type: ignore[misc]  # fakepve has no types
    """Part of the API server."""

    room: Room

    def _routes_backups(self) -> list[tuple[str, str, Any]]:
        node = "/nodes/{node}"
        prune = node + "/storage/{storage}/prunebackups"
        return [
            ("POST", node + "/vzdump", self._vzdump), ("GET", node + "/vzdump/extractconfig", self._extract_config),
            ("GET", prune, self._prune_list), ("DELETE", prune, self._prune_delete),
        ]

    # --------------------------------------------------------------- archives

    def dump_dir(self, sid: str) -> Path:
        """Return where a storage's archives lie."""
        directory = self.room.state.dir / "proxmox" / "dump" / sid
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    def scan(self, sid: str) -> None:
        """Make the storage's book-keeping what its directory holds: files come and go behind the API's back."""
        store = self.storages.get(sid)
        if store is None or "backup" not in split_list(store.get("content")):
            return
        volumes = store.setdefault("volumes", {})
        there = {f"backup/{path.name}": path for path in self.dump_dir(sid).iterdir() if _NAME.fullmatch(path.name)}
        for name in [name for name in volumes if name.startswith("backup/vzdump-qemu-") and name not in there]:
            del volumes[name]
        for name, path in there.items():
            match = _NAME.fullmatch(path.name)
            assert match
            notes = path.with_name(path.name + ".notes")
            volumes[name] = {
                "content": "backup", "format": match.group(3), "size": path.stat().st_size, "vmid": int(match.group(1)),
                "ctime": int(time.mktime(time.strptime(match.group(2), "%Y_%m_%d-%H_%M_%S"))), "subtype": "qemu",
                "protected": path.with_name(path.name + ".protected").exists(),
                **({"notes": notes.read_text()} if notes.exists() else {}),
            }

    def backup_file(self, volid: str) -> Path:
        """Return the file of an archive. PveError if it is not there."""
        sid, name = volume_ref(volid)
        if sid in self.storages:
            self.scan(sid)
        path = self.dump_dir(str(sid)) / str(name).partition("/")[2]
        if sid not in self.storages or not _NAME.fullmatch(path.name) or not path.exists():
            raise die(f"volume '{volid}' does not exist")
        return path

    def _item(self, name: str, volname: str, vol: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = super()._item(name, volname, vol)
        item.update({key: vol[key] for key in ("subtype", "verification", "encrypted") if vol.get(key) is not None})
        return item

    async def _content_list(self, v: dict[str, Any], user: str) -> Any:
        self.scan(v["storage"])
        return await super()._content_list(v, user)

    async def _content_info(self, v: dict[str, Any], user: str) -> Any:
        self.scan(v["storage"])
        return await super()._content_info(v, user)

    async def _content_put(self, v: dict[str, Any], user: str) -> Any:
        self.scan(v["storage"])
        answer = await super()._content_put(v, user)
        for sid in self.storages:
            for name, vol in self._archives(sid):
                self._write_sidecars(self.dump_dir(sid) / name.partition("/")[2], vol.get("notes"), bool(vol.get("protected")))
        return answer

    async def _content_delete(self, v: dict[str, Any], user: str) -> Any:
        self.scan(v["storage"])
        return await super()._content_delete(v, user)

    def _archives(self, sid: str) -> list[tuple[str, dict[str, Any]]]:
        return [(name, vol) for name, vol in self.storages[sid].get("volumes", {}).items() if name.startswith("backup/vzdump-qemu-")]

    def sweep(self) -> None:
        """Remove the files of archives that the API has just deleted from its books."""
        for sid, store in self.storages.items():
            if "backup" in split_list(store.get("content")):
                known = {name for name, _ in self._archives(sid)}
                for path in self.dump_dir(sid).iterdir():
                    if _NAME.fullmatch(path.name) and f"backup/{path.name}" not in known:
                        self._unlink(path)

    @staticmethod
    def _unlink(path: Path) -> None:
        for each in (path, *(path.with_name(path.name + suffix) for suffix in _SIDECARS)):
            each.unlink(missing_ok=True)

    @staticmethod
    def _write_sidecars(path: Path, notes: str | None, protected: bool) -> None:
        file = path.with_name(path.name + ".notes")
        if notes:
            file.write_text(notes)
        else:
            file.unlink(missing_ok=True)
        mark = path.with_name(path.name + ".protected")
        if protected:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    async def _extract_config(self, v: dict[str, Any], user: str) -> str:
        sid, name = volume_ref(v["volume"])
        match = _NAME.search(str(name))
        self._check_access(user, sid, "backup", int(match.group(1)) if match else None, v["volume"])
        try:
            return await archive.config_of(self.backup_file(v["volume"]))
        except TaskError as exc:
            raise die(str(exc)) from exc

    # ----------------------------------------------------------------- vzdump

    def _to_dump(self, v: dict[str, Any]) -> list[Any]:
        """Return the guests of this node that a job is about."""
        chosen = [key for key in ("vmid", "all", "pool") if v.get(key)]
        if not chosen:
            raise param_error(vmid="property is missing and it is not optional")
        if len(chosen) > 1:
            raise param_error(**{chosen[1]: f"option conflicts with option '{chosen[0]}'"})
        excluded = {int(vmid) for vmid in split_list(v.get("exclude"))}
        if v.get("vmid"):
            wanted = [int(vmid) for vmid in split_list(v["vmid"])]
            if unknown := [vmid for vmid in wanted if not self._qm_taken(vmid)]:
                raise die(f"unable to find VM '{unknown[0]}'")
        else:
            wanted = sorted(self.pools[v["pool"]]) if v.get("pool") else sorted(vm.vmid for vm in self.vms)
        vms = [self.vm(vmid) for vmid in wanted if vmid not in excluded]
        return [vm for vm in vms if vm is not None and vm.node == v["node"]]

    async def _vzdump(self, v: dict[str, Any], user: str) -> str:
        sid = v.get("storage") or "local"
        store = self._store(sid)
        self.require(user, f"/storage/{sid}", "Datastore.AllocateSpace")
        if v.get("prune-backups"):
            self.require(user, f"/storage/{sid}", "Datastore.Allocate")
        if v.get("bwlimit"):
            self.require(user, "/", "Sys.Modify")
        vms = self._to_dump(v)
        for vm in vms:
            self.require(user, f"/vms/{vm.vmid}", "VM.Backup")
        self.need_quorum()
        if not vms:
            return "OK"  # as the real one: guests of other nodes are passed over in silence
        record: dict[str, Any] = {}

        async def body() -> None:
            log = record["log"]
            if "backup" not in split_list(store.get("content")):
                raise TaskError(f"could not get storage information for '{sid}': can't use storage '{sid}' for backups - wrong content type")
            failed = 0
            for vm in vms:
                failed += not await self._dump_logged(vm, sid, v, log)
            log.append(f"INFO: Backup job finished {'with errors' if failed else 'successfully'}")
            if failed:
                raise TaskError("job errors")

        arguments = " ".join(f"--{key} {value}" for key, value in sorted(v.items()) if key not in ("node", "vmid"))
        job = f"INFO: starting new backup job: vzdump {' '.join(str(vm.vmid) for vm in vms)} {arguments}"
        upid = await self.task(v["node"], "vzdump", vms[0].vmid if len(vms) == 1 else "", user, body, log=[job])
        record["log"] = self.tasks[upid]["log"]
        return str(upid)

    async def _dump_logged(self, vm: Any, sid: str, v: dict[str, Any], log: list[str]) -> bool:
        begun = time.time()
        log += [f"INFO: Starting Backup of VM {vm.vmid} (qemu)", f"INFO: Backup started at {time.strftime('%Y-%m-%d %H:%M:%S')}",
                f"INFO: status = {vm.status}"]
        try:
            await self._dump(vm, sid, v, log)
        except Exception as exc:  # one guest's trouble must not stop the job, as in the real one
            said = getattr(exc, "message", None) or str(exc) or type(exc).__name__
            log += [f"ERROR: Backup of VM {vm.vmid} failed - {said}", f"INFO: Failed at {time.strftime('%Y-%m-%d %H:%M:%S')}"]
            return False
        log += [f"INFO: Finished Backup of VM {vm.vmid} ({time.strftime('%H:%M:%S', time.gmtime(time.time() - begun))})",
                f"INFO: Backup finished at {time.strftime('%Y-%m-%d %H:%M:%S')}"]
        return True

    async def _dump(self, vm: Any, sid: str, v: dict[str, Any], log: list[str]) -> None:
        """Write one archive; the guest is frozen only while its layer is copied, unless ``mode`` says otherwise."""
        if vm.lock:
            raise TaskError(f"VM is locked ({vm.lock})")
        mode = v.get("mode") or "snapshot"
        log.append(f"INFO: backup mode: {mode if vm.status == 'running' else 'stop'}")
        log += [f"INFO: include disk '{key}' '{volume}'" for key, volume, _ in drives_of(vm.config, skip_cdrom=True)]
        name = f"vzdump-qemu-{vm.vmid}-{time.strftime('%Y_%m_%d-%H_%M_%S')}.vma{archive.EXTENSIONS[str(v.get('compress', '0'))]}"
        path = self.dump_dir(sid) / name
        config = dict(vm.config)
        self._qm_lock(vm, "backup")
        try:
            log.append(f"INFO: creating vzdump archive '/var/lib/vz/dump/{name}'")
            await self._write_archive(vm, config, path, mode)
        finally:
            self._qm_lock(vm, None)
        size = path.stat().st_size
        store = self.storages[sid]
        if size > store.get("avail", size):
            path.unlink()
            raise TaskError("zstd: error 70 : Write error : cannot write block : No space left on device")
        if "avail" in store:
            store["avail"] -= size
        log.append(f"INFO: archive file size: {format_size(size)}")
        notes = self._notes(str(v.get("notes-template") or ""), vm)
        self._write_sidecars(path, notes, _flag(v.get("protected")))
        self.scan(sid)
        if v.get("prune-backups") and _flag(v.get("remove"), True):
            self._prune(sid, {"prune-backups": v["prune-backups"], "vmid": vm.vmid}, log)

    def _notes(self, template: str, vm: Any) -> str:
        values = {"cluster": self.cluster_name, "guestname": vm.config.get("name", ""), "node": vm.node, "vmid": str(vm.vmid)}
        return re.sub(r"\{\{(\w+)\}\}", lambda match: str(values.get(match.group(1), match.group(0))), template).replace("\\n", "\n")

    async def _write_archive(self, vm: Any, config: dict[str, Any], path: Path, mode: str) -> None:
        if not vm.has_system:
            await archive.pack(config, None, path)
            return
        if mode == "stop" and vm.alive:
            if not await self.room.power_button(vm.vmid, 600):
                raise TaskError("VM quit/powerdown failed - got timeout")
            try:
                await self._pack_disk(self.room.disk(vm.vmid), config, path)
            finally:
                await self.room.start(vm.vmid, self._spec(vm))
            return
        work = Disk(self.room.state.dir / "proxmox" / "vzdump" / str(vm.vmid), RUN_DIR / self.room.state.name / f"{vm.vmid}-vzdump" / "rootfs")
        frozen = vm.alive and not vm.paused
        if frozen:
            await self.room.pause(vm.vmid, on=True)
        try:
            await asyncio.to_thread(work.delete)
            await asyncio.to_thread(work.copy_from, self.room.disk(vm.vmid))
            if frozen and mode == "snapshot":
                await self.room.pause(vm.vmid, on=False)
                frozen = False
            await self._pack_disk(work, config, path)
        finally:
            if frozen:
                await self.room.pause(vm.vmid, on=False)
            await asyncio.to_thread(work.delete)

    async def _pack_disk(self, disk: Disk, config: dict[str, Any], path: Path) -> None:
        await asyncio.to_thread(disk.mount)
        await archive.pack(config, disk.mountpoint, path)

    # ---------------------------------------------------------------- pruning

    def _prune_marks(self, sid: str, v: dict[str, Any]) -> list[dict[str, Any]]:
        self.scan(sid)
        keep = retention.parse(v.get("prune-backups") or str(self.storages[sid].get("prune-backups") or "keep-all=1"))
        chosen = {name: vol for name, vol in self._archives(sid) if v.get("vmid") in (None, vol["vmid"]) and v.get("type") in (None, "qemu")}
        marks: dict[str, str] = {}
        for vmid in {vol["vmid"] for vol in chosen.values()}:
            marks |= retention.marks({name: vol["ctime"] for name, vol in chosen.items() if vol["vmid"] == vmid and not vol["protected"]}, keep)
        return [{"volid": f"{sid}:{name}", "ctime": vol["ctime"], "vmid": vol["vmid"], "type": "qemu", "mark": marks.get(name, "protected")}
                for name, vol in sorted(chosen.items())]

    def _prune(self, sid: str, v: dict[str, Any], log: list[str]) -> None:
        log.append(f"INFO: prune older backups with retention: {v.get('prune-backups') or 'of the storage'}")
        gone = [one["volid"] for one in self._prune_marks(sid, v) if one["mark"] == "remove"]
        for volid in gone:
            log.append(f"INFO: removing backup '{volid}'")
            vol = self.storages[sid]["volumes"].pop(volume_ref(volid)[1])
            if "avail" in self.storages[sid]:
                self.storages[sid]["avail"] += vol["size"]
        self.sweep()
        log.append(f"INFO: pruned {len(gone)} backup(s) not covered by keep-retention policy")

    async def _prune_list(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        del user
        self._store(v["storage"])
        return self._prune_marks(v["storage"], v)

    async def _prune_delete(self, v: dict[str, Any], user: str) -> str:
        self.require(user, f"/storage/{v['storage']}", "Datastore.Allocate")
        self._store(v["storage"])
        record: dict[str, Any] = {}

        async def body() -> None:
            self._prune(v["storage"], v, record["log"])

        upid = await self.task(v["node"], "prunebackups", v["storage"], user, body)
        record["log"] = self.tasks[upid]["log"]
        return str(upid)
