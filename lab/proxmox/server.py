"""The Proxmox VE API of the lab: fakepve with real hosts behind it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from fakepve.model import PveError, TaskError

from lab.guest import disk_snapshots
from lab.guest.container import GuestSpec
from lab.proxmox import cloudinit, store
from lab.proxmox.access import Access
from lab.proxmox.agent import Agent
from lab.proxmox.config import Config
from lab.proxmox.images import Images
from lab.proxmox.jobs import BackupJobs
from lab.proxmox.room import REBOOTED, Room, RoomError, RoomTimeout
from lab.proxmox.routes import NETWORKS, Routes
from lab.proxmox.transport import Transport
from lab.proxmox.vm import LabVm, VmList
from lab.state import LabError, LabState

LOG = logging.getLogger("lab.proxmox")
Body = Callable[[], Awaitable[Any]]
# After these the guest is brought to the state that the task wanted.
_POWER = {"qmstart", "qmstop", "qmshutdown", "qmreboot", "qmsuspend", "qmresume", "qmcreate", "qmrestore", "qmrollback"}
_GIB = 1024**3
BRIDGE = "vmbr0"
# Seconds between two looks at all containers, besides those after an action or the end of a guest.
_REFRESH = 15.0


class LabPve(Transport, Access, Config, Routes, Images, BackupJobs):
    """One node with real guests. ``save_to``: the file that keeps its state."""

    def __init__(self, room: Room, host: str, port: int, save_to: Path, password: str) -> None:
        super().__init__(user="root@pam", password=password, host=host, port=port)
        # Tasks take their real time; 0 would run them inside the request.
        self.time_scale = 1.0
        self.version, self.release_version = "9.2.6", "9.2"
        self.cluster_name = "lab"
        self.room = room
        self.vms = VmList(room)
        self.agent = Agent()
        self.importing = {}
        self.save_to = save_to
        self._jobs: set[asyncio.Future[Any]] = set()
        self.storages["local-lvm"].update(avail=500 * _GIB, total=500 * _GIB)
        self.storages["local"]["content"] += ",import"

    def _persist(self) -> None:
        store.save(self, self.save_to)

    def keep(self, job: Awaitable[Any]) -> asyncio.Future[Any]:
        """Run a coroutine in the background; asyncio itself would let the garbage collector take it."""
        future = asyncio.ensure_future(job)
        self._jobs.add(future)
        future.add_done_callback(self._jobs.discard)
        return future

    # ----------------------------------------------------------------- tasks

    async def task(
        self, node: str, ttype: str, tid: Any, user: str, body: Body, vm: Any = None, lock: bool = True, log: Sequence[str] = ()
    ) -> str:
        """As the parent, with the real guest's part around the body, and every failure told as a task's failure."""
        async def whole() -> Any:
            try:
                return await self._whole(ttype, body, vm)
            except TaskError:
                raise
            except PveError as exc:
                raise TaskError(exc.message) from exc
            except (RoomError, LabError, ValueError) as exc:
                raise TaskError(str(exc).replace("\n", " ")) from exc
            except Exception as exc:  # or the task would stay "running" for ever
                LOG.exception("task %s of %s", ttype, tid)
                raise TaskError(f"{type(exc).__name__}: {exc}") from exc
            finally:
                self._persist()

        upid: str = await super().task(node, ttype, tid, user, whole, vm=vm, lock=lock, log=log)
        self._persist()
        return upid

    async def _whole(self, ttype: str, body: Body, vm: Any) -> Any:
        if vm is None:
            note = await body()
            if ttype == "imgdel":
                self.sweep()
            return note
        if ttype == "qmclone":
            await self._copy_disk(vm)
        snapshots = set(vm.snapshots)
        note = await body()
        if ttype == "qmcreate":
            await self.fill_created(vm)
        elif ttype == "qmclone":
            self._own_cloudinit(vm)
        elif ttype == "qmdestroy":
            await self.room.remove(vm.vmid)
            await asyncio.to_thread(self.drop_bases)
            self.forget_path(f"/vms/{vm.vmid}")
        elif ttype in ("qmsnapshot", "qmdelsnapshot", "qmrollback"):
            await self._disk_snapshot(ttype, vm, snapshots)
        elif ttype == "qmreset" and vm.alive:
            await self.room.kill(vm.vmid)
            await self._converge(vm)
        if ttype in _POWER:
            await self._converge(vm)
        return note

    async def _disk_snapshot(self, ttype: str, vm: LabVm, before: set[str]) -> None:
        """The disk's part of a snapshot, a removal of one or a rollback. The config's part is done, and is undone if this fails."""
        if not vm.has_system:
            return
        disk = self.room.disk(vm.vmid)
        self._qm_lock(vm, {"qmsnapshot": "snapshot", "qmdelsnapshot": "snapshot-delete"}.get(ttype, "rollback"))
        try:
            if ttype == "qmsnapshot":
                await self._take_snapshot(vm, (set(vm.snapshots) - before).pop())
            elif ttype == "qmdelsnapshot":
                await asyncio.to_thread(disk_snapshots.delete, disk, (before - set(vm.snapshots)).pop())
            else:
                if vm.alive:
                    await self.room.kill(vm.vmid)
                await asyncio.to_thread(disk_snapshots.roll_back, disk, vm.config["parent"])
        finally:
            self._qm_lock(vm, None)

    async def _take_snapshot(self, vm: LabVm, name: str) -> None:
        freeze = vm.alive and not vm.paused
        if freeze:
            await self.room.pause(vm.vmid, on=True)
        try:
            await asyncio.to_thread(disk_snapshots.take, self.room.disk(vm.vmid), name)
        except LabError:
            parent = vm.snapshots.pop(name).get("parent")
            vm.config.pop("parent", None)
            if parent:
                vm.config["parent"] = parent
            raise
        finally:
            if freeze:
                await self.room.pause(vm.vmid, on=False)

    async def _converge(self, vm: LabVm) -> None:
        """Make the guest what the VM's ``status`` was set to."""
        if not vm.has_system:
            return
        if vm.wanted == "running" and not vm.alive:
            try:
                await self.room.start(vm.vmid, self._spec(vm))
            except BaseException:
                vm.wanted = "stopped"
                raise
        elif vm.wanted == "stopped" and vm.alive:
            await self.room.kill(vm.vmid)
        if vm.alive and vm.paused != vm.wanted_paused:
            await self.room.pause(vm.vmid, on=vm.wanted_paused)

    # ---------------------------------------------------------------- guests

    def _spec(self, vm: LabVm) -> GuestSpec:
        """What the guest's container is made from, by the VM's config. ValueError for what cannot start."""
        config = vm.config
        values: dict[str, Any] = {}
        net = str(config.get("net0") or "")
        if net and "link_down=1" not in net:
            found = re.search(r"(?:^|,)bridge=([^,]+)", net)
            bridge = found.group(1) if found else BRIDGE
            if bridge not in NETWORKS:
                raise ValueError(f"bridge '{bridge}' does not exist")
            network = self.room.state.connection[NETWORKS[bridge]]
            mac = re.search(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", net)
            values.update(network=network["name"], mac=mac.group(0).lower() if mac else None,
                          address=cloudinit.static_address(config, network["cidr"]))
        if cloudinit.drive_of(config):
            seed = self.room.seed(vm.vmid)
            cloudinit.write_seed(seed, config, vm.vmid)
            values["mounts"] = {seed: "/var/lib/cloud/seed/nocloud:ro"}
        name = str(config.get("name") or f"VM{vm.vmid}").partition(".")[0]
        cores = int(config.get("cores", 1)) * int(config.get("sockets", 1))
        return self.room.spec(vm.vmid, hostname=name, memory_mib=int(str(config.get("memory", 512)).split("=")[-1]), cpus=cores, **values)

    async def _copy_disk(self, new: LabVm) -> None:
        """A clone's disk, before the API's part: while the VM is still locked."""
        source = new.source
        if source is None or not self.room.disk(source).exists:
            return
        vm = self.vm(source)
        freeze = vm is not None and vm.alive and not vm.paused
        if freeze:
            await self.room.pause(source, on=True)
        try:
            await asyncio.to_thread(self.room.disk(new.vmid).copy_from, self.room.disk(source))
        finally:
            if freeze:
                await self.room.pause(source, on=False)

    def _own_cloudinit(self, new: LabVm) -> None:
        """A clone gets a cloud-init drive of its own."""
        key = cloudinit.drive_of(new.config)
        if key:
            value = re.sub(r"vm-\d+-cloudinit", f"vm-{new.vmid}-cloudinit", str(new.config[key]))
            new.config[key] = value
            self.cloudinit_volume(value.partition(":")[0], new.vmid)

    async def _qm_clone(self, v: dict[str, Any], user: str) -> Any:
        upid = await super()._qm_clone(v, user)
        # The task's body has not begun: it was only scheduled, and this is still the same turn of the loop.
        self.vm(int(v["newid"])).source = int(v["vmid"])
        return upid

    async def _powerdown(self, vm: LabVm, p: dict[str, Any]) -> str | None:
        """Press the power button and wait; shared by shutdown and reboot."""
        if not vm.has_system:
            note: str | None = await super()._powerdown(vm, p)
            return note
        timeout = int(p.get("timeout") or self.shutdown_default_timeout)
        if vm.paused:
            await self.room.pause(vm.vmid, on=False)
        vm.wanted = "stopped"
        if await self.room.power_button(vm.vmid, timeout):
            return None
        if str(p.get("forceStop", "0")) in ("1", "true", "True"):
            await self.room.kill(vm.vmid)
            return "VM still running - terminating now with SIGTERM"
        vm.wanted = "running"
        raise TaskError("VM quit/powerdown failed - got timeout")

    async def _agent_call(self, match: Any, values: dict[str, Any]) -> Any:
        vm, command = self.find(values["node"], values["vmid"]), match.template.rsplit("/", 1)[1]
        try:
            return await self.agent.call(vm, command, values)
        except RoomTimeout as exc:
            raise PveError(500, f"VM {vm.vmid} qmp command 'guest-{command}' failed - got timeout") from exc
        except RoomError as exc:
            raise PveError(500, f"VM {vm.vmid} qmp command failed - {exc}") from exc

    def _vm_usage(self, vm: LabVm) -> dict[str, Any]:
        usage: dict[str, Any] = super()._vm_usage(vm)
        if vm.has_system:
            used = self.room.memory_used(vm.vmid)
            pod = self.room.pods.get(vm.vmid)
            usage.update(mem=used, memhost=used, uptime=max(0, int(time.time()) - pod.started_at) if pod and pod.alive else 0)
        return usage

    async def watch(self) -> None:
        """See what happens to guests behind the API's back: they end, or reboot themselves."""
        asked = 0.0
        while True:
            await asyncio.sleep(0.5)
            try:
                if self.room.someone_ended() or time.monotonic() - asked > _REFRESH:
                    await self.room.refresh()
                    asked = time.monotonic()
                for vm in list(self.vms):
                    await self._noticed(vm)
            except Exception:  # the watcher has to outlive a bad moment of podman
                LOG.exception("watch")

    async def _noticed(self, vm: LabVm) -> None:
        pod = self.room.pods.get(vm.vmid)
        if vm.wanted != "running" or vm.lock_holder or pod is None or pod.alive or not vm.has_system:
            return
        if pod.exit_code == REBOOTED:
            LOG.info("VM %s rebooted itself", vm.vmid)
            await self._converge(vm)
        else:
            LOG.info("VM %s ended by itself (%s)", vm.vmid, pod.exit_code)
            vm.wanted = "stopped"
        self._persist()
