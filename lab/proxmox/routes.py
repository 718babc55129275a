"""API methods of the lab that fakepve lacks or only pretends: bulk actions, the cloud-init drive, the task list."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from fakepve.model import PveError, TaskError
from fakepve.server import FakePve, ok, params

from lab.proxmox import cloudinit
from lab.proxmox.room import Room
from lab.proxmox.vm import LabVm

# The lab's networks (sections of ``connection``) by the bridge that stands for them on the node.
NETWORKS = {"vmbr0": "network", "vmbr1": "isolated_network"}


class Routes(FakePve):  # type: ignore[misc]  # fakepve has no types
    """Part of the API server."""

    room: Room

    def _routes_lab(self) -> list[tuple[str, str, Any]]:
        bulk = "/cluster/bulk-action/guest"
        one = "/nodes/{node}/qemu/{vmid}"
        return [
            ("GET", "/nodes/{node}/network", self._networks),
            ("PUT", one + "/cloudinit", self._cloudinit_put),
            ("GET", one + "/cloudinit/dump", self._cloudinit_dump),
            ("POST", bulk + "/start", self._bulk_start), ("POST", bulk + "/shutdown", self._bulk_shutdown),
        ]

    async def _networks(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """The node's bridges: those that the lab has networks for, and that the user may see."""
        if v.get("type") not in (None, "bridge", "any_bridge", "any_local_bridge"):
            return []
        return [
            {"iface": bridge, "type": "bridge", "method": "manual", "method6": "manual", "families": ["inet"], "priority": 3 + number,
             "active": 1, "autostart": 1, "exists": 1, "bridge_stp": "off", "bridge_fd": "0"}
            for number, bridge in enumerate(NETWORKS)
            if any(self.allowed(user, f"/sdn/zones/localnetwork/{bridge}", one) for one in ("SDN.Audit", "SDN.Use"))
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
        for vm in vms:
            self.require(user, f"/vms/{vm.vmid}", "VM.PowerMgmt")

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
        return str(await self.task(sorted(self.nodes)[0], f"bulk-{verb}", "", user, body))

    async def _bulk_start(self, v: dict[str, Any], user: str) -> str:
        return await self._bulk(v, user, "start", "start")

    async def _bulk_shutdown(self, v: dict[str, Any], user: str) -> str:
        return await self._bulk(v, user, "shutdown", "shutdown")

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
