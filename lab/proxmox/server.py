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

from aiohttp import web
from fakepve import shapes
from fakepve.model import PveError, TaskError
from fakepve.server import FakePve, ok, params

from lab.guest.container import GuestSpec
from lab.proxmox import cloudinit, store
from lab.proxmox.agent import Agent
from lab.proxmox.config import Config
from lab.proxmox.room import REBOOTED, Room, RoomError
from lab.proxmox.transport import Transport
from lab.proxmox.vm import LabVm, VmList
from lab.state import LabError, LabState

LOG = logging.getLogger("lab.proxmox")
Body = Callable[[], Awaitable[Any]]
# After these the guest is brought to the state that the task wanted.
_POWER = {"qmstart", "qmstop", "qmshutdown", "qmreboot", "qmsuspend", "qmresume", "qmcreate", "qmrollback"}
_GIB = 1024**3
BRIDGE = "vmbr0"


class LabPve(Transport, Config, FakePve):  # type: ignore[misc]  # fakepve has no types
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
        self.save_to = save_to
        self._jobs: set[asyncio.Future[Any]] = set()
        self.storages["local-lvm"].update(avail=500 * _GIB, total=500 * _GIB)

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
            return await body()
        if ttype == "qmclone":
            await self._copy_disk(vm)
        note = await body()
        if ttype == "qmclone":
            self._own_cloudinit(vm)
        elif ttype == "qmdestroy":
            await self.room.remove(vm.vmid)
        elif ttype == "qmreset" and vm.alive:
            await self.room.kill(vm.vmid)
            await self._converge(vm)
        elif ttype in _POWER:
            await self._converge(vm)
        return note

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
        network = self.room.state.connection["network"]
        values: dict[str, Any] = {}
        net = str(config.get("net0") or "")
        if net and "link_down=1" not in net:
            bridge = re.search(r"(?:^|,)bridge=([^,]+)", net)
            if bridge and bridge.group(1) != BRIDGE:
                raise ValueError(f"bridge '{bridge.group(1)}' does not exist")
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
            sid, _, rest = value.partition(":")
            self.storages[sid].setdefault("volumes", {})[rest.split(",")[0]] = {
                "content": "images", "format": "raw", "size": 4 * 1024**2, "vmid": new.vmid, "ctime": int(time.time())}

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
        vm = self.find(values["node"], values["vmid"])
        try:
            return await self.agent.call(vm, match.template.rsplit("/", 1)[1], values)
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
        while True:
            await asyncio.sleep(1)
            try:
                await self.room.refresh()
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

    # ---------------------------------------------------------------- routes

    def _routes_lab(self) -> list[tuple[str, str, Any]]:
        bulk = "/cluster/bulk-action/guest"
        one = "/nodes/{node}/qemu/{vmid}"
        return [
            ("PUT", one + "/resize", self._resize), ("PUT", one + "/cloudinit", self._cloudinit_put),
            ("GET", one + "/cloudinit/dump", self._cloudinit_dump),
            ("POST", bulk + "/start", self._bulk_start), ("POST", bulk + "/shutdown", self._bulk_shutdown),
        ]

    async def _cloudinit_put(self, v: dict[str, Any], user: str) -> None:
        """Regenerate the drive: the lab does so at every start; a running guest sees it at once."""
        del user
        vm = self.find(v["node"], v["vmid"])
        if not cloudinit.drive_of(vm.config):
            raise PveError(500, f"VM {vm.vmid}: no cloud-init drive found")
        if vm.alive:
            cloudinit.write_seed(self.room.seed(vm.vmid), vm.config, vm.vmid)

    async def _cloudinit_dump(self, v: dict[str, Any], user: str) -> str:
        del user
        vm = self.find(v["node"], v["vmid"])
        return cloudinit.seed_files(vm.config, vm.vmid)[{"user": "user-data", "network": "network-config", "meta": "meta-data"}[v["type"]]]

    async def _bulk(self, v: dict[str, Any], user: str, verb: str, past: str) -> str:
        """One task that starts or shuts down many guests, and names those that failed."""
        vms = [self.vm(int(vmid)) for vmid in v["vms"]]
        missing = [vmid for vmid, vm in zip(v["vms"], vms, strict=True) if vm is None]
        if missing:
            raise PveError(500, f"guest '{missing[0]}' does not exist")

        async def one(vm: LabVm) -> bool:
            if (vm.status == "running") == (verb == "start"):
                return True
            if verb == "start":
                upid = await self._do_start(vm, user, {})
            else:
                upid = await self._do_shutdown(vm, user, {"timeout": v.get("timeout"), "forceStop": v.get("force-stop", 1)})
            while self.tasks[upid]["status"] == "running":
                await asyncio.sleep(0.05)
            return bool(self.tasks[upid]["exitstatus"] == "OK")

        async def body() -> None:
            results = await asyncio.gather(*(one(vm) for vm in vms))
            if failed := [str(vm.vmid) for vm, good in zip(vms, results, strict=True) if not good]:
                raise TaskError(f"Some guests failed to {past}: {', '.join(failed)}")
        return await self.task(sorted(self.nodes)[0], f"bulk-{verb}", "", user, body)

    async def _bulk_start(self, v: dict[str, Any], user: str) -> str:
        return await self._bulk(v, user, "start", "start")

    async def _bulk_shutdown(self, v: dict[str, Any], user: str) -> str:
        return await self._bulk(v, user, "shutdown", "shutdown")

    # ---------------------------------------------------------- task listing

    def _get_task(self, request: web.Request) -> dict[str, Any]:
        if request.match_info["upid"] not in self.tasks:
            raise PveError(400, "Parameter verification failed.", {"upid": "no such task"})
        found: dict[str, Any] = super()._get_task(request)
        return found

    async def _task_list(self, request: web.Request) -> web.Response:
        """GET nodes/{node}/tasks with its filters; a running task has the status RUNNING."""
        node = request.match_info["node"]
        p = self._verify(request, await params(request))
        wanted = p.get("source", "archive")
        rows = []
        for task in self.tasklog:
            running = task["status"] == "running"
            if task["node"] != node or (wanted == "archive" and running) or (wanted == "active" and not running):
                continue
            if p.get("vmid") is not None and task["id"] != str(p["vmid"]):
                continue
            if task["starttime"] < int(p.get("since") or 0) or (p.get("until") and task["starttime"] > int(p["until"])):
                continue
            if p.get("typefilter") and task["type"] != p["typefilter"]:
                continue
            if p.get("userfilter") and p["userfilter"] not in task["user"]:
                continue
            if p.get("errors") and (running or task.get("exitstatus") == "OK"):
                continue
            row = self._task_view(task, True)
            rows.append({**row, "status": "RUNNING"} if running else row)
        rows.sort(key=lambda row: -int(row["starttime"]))
        start = int(p.get("start", 0))
        return ok(rows[start:start + int(p.get("limit", 50))])  # type: ignore[no-any-return]


def add_template(pve: LabPve, base: Path, vmid: int = 9000, name: str = "debian12") -> None:
    """Make the template VM that every guest is cloned from, or point it at the image as it is now."""
    disk = pve.room.disk(vmid)
    if pve.vm(vmid) is None:
        volumes = pve.storages["local-lvm"].setdefault("volumes", {})
        volumes[f"base-{vmid}-disk-0"] = {"content": "images", "format": "raw", "size": 8 * _GIB, "vmid": vmid, "ctime": int(time.time())}
        volumes[f"vm-{vmid}-cloudinit"] = {"content": "images", "format": "raw", "size": 4 * 1024**2, "vmid": vmid, "ctime": int(time.time())}
        pve.add_vm(vmid, name, node="pve1", template=True, config={
            "agent": "1", "boot": "order=scsi0", "cores": 1, "ide2": f"local-lvm:vm-{vmid}-cloudinit,media=cdrom", "memory": "512",
            "meta": f"creation-qemu=10.0.2,ctime={int(time.time())}", "name": name, "net0": f"virtio=BC:24:11:00:90:00,bridge={BRIDGE}",
            "ostype": "l26", "scsi0": f"local-lvm:base-{vmid}-disk-0,size=8G", "scsihw": "virtio-scsi-single", "serial0": "socket",
            "smbios1": f"uuid={uuid.uuid4()}", "template": 1, "vga": "serial0",
        })
    disk.create(base)


def make_server(state: LabState, base: Path) -> LabPve:
    """Return the API of a lab, with the state that it had."""
    access = state.connection["proxmox"]
    pve = LabPve(Room(state), access["host"], access["port"], state.path("proxmox", "state.json"), access["root_password"])
    store.load(pve, pve.save_to)
    pve.users[access["user"]] = access["password"]
    pve.apitokens[f"{access['user']}!{access['token_id']}"] = access["token_secret"]
    pve.grant(access["user"], "/", *shapes.PRIVILEGES)
    add_template(pve, base)
    pve._persist()
    return pve
