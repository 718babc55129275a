"""The guest agent's commands, run in the real guest."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

from fakepve.model import PveError

from lab.proxmox.room import Done
from lab.proxmox.vm import LabVm

# What guest-exec keeps of each stream, as in qemu-ga.
_MAX_OUTPUT = 16 * 1024 * 1024
COMMANDS = ("exec", "exec-status", "file-read", "file-write", "get-host-name", "get-osinfo", "get-time", "info", "network-get-interfaces", "ping", "shutdown")


@dataclass
class _Exec:
    vmid: int
    task: asyncio.Task[Done]


class Agent:
    """Runs agent commands; keeps the processes that were started through it."""

    def __init__(self) -> None:
        self._pids = itertools.count(2000)
        self._execs: dict[int, _Exec] = {}

    async def call(self, vm: LabVm, command: str, values: dict[str, Any]) -> Any:
        """Answer one agent command. PveError as Proxmox VE words it."""
        self._need(vm)
        if command not in COMMANDS:
            raise PveError(500, f"VM {vm.vmid} qmp command 'guest-{command}' failed - The command guest-{command} has not been found")
        return await getattr(self, "_" + command.replace("-", "_"))(vm, values)

    @staticmethod
    def _need(vm: LabVm) -> None:
        enabled = str(vm.config.get("agent", "0")).split(",")[0].rpartition("=")[2]
        if enabled != "1":
            raise PveError(500, "No QEMU guest agent configured")
        if vm.status != "running":
            raise PveError(500, f"VM {vm.vmid} is not running")
        if not vm.has_system or vm.paused:
            raise PveError(500, "QEMU guest agent is not running")
        # While the guest boots there is no agent yet.
        if not vm.room.booted(vm.vmid):
            raise PveError(500, "QEMU guest agent is not running")

    async def _ping(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del vm, values
        return {"result": {}}

    async def _info(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del vm, values
        commands = [{"name": f"guest-{name}", "enabled": True, "success-response": True} for name in COMMANDS]
        return {"result": {"version": "7.2.0", "supported_commands": commands}}

    async def _exec(self, vm: LabVm, values: dict[str, Any]) -> Any:
        data = values.get("input-data")
        pid = next(self._pids)
        run = vm.room.execute(vm.vmid, list(values["command"]), str(data).encode() if data is not None else None)
        self._execs[pid] = _Exec(vm.vmid, asyncio.ensure_future(run))
        return {"pid": pid}

    async def _exec_status(self, vm: LabVm, values: dict[str, Any]) -> Any:
        pid = int(values["pid"])
        job = self._execs.get(pid)
        if job is None or job.vmid != vm.vmid:
            raise PveError(500, "Agent error: Invalid parameter 'pid'")
        if not job.task.done():
            # Most commands are short: wait a moment rather than have the client ask twice.
            await asyncio.wait({job.task}, timeout=0.2)
        if not job.task.done():
            return {"exited": 0}
        del self._execs[pid]
        done = job.task.result()
        answer: dict[str, Any] = {"exited": 1, "exitcode": done.rc}
        for key, stream in (("out", done.out), ("err", done.err)):
            if stream:
                answer[f"{key}-data"] = stream[:_MAX_OUTPUT].decode(errors="replace")
            if len(stream) > _MAX_OUTPUT:
                answer[f"{key}-truncated"] = 1
        return answer

    @staticmethod
    async def _text(vm: LabVm, *argv: str) -> str:
        done = await vm.room.execute(vm.vmid, argv, timeout=30)
        if done.rc:
            raise PveError(500, f"Agent error: {done.err.decode(errors='replace').strip()}")
        return done.out.decode(errors="replace")

    async def _network_get_interfaces(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del values
        result = []
        for link in json.loads(await vm.room.links(vm.vmid)):
            addresses = [{"ip-address": item["local"], "ip-address-type": "ipv6" if item["family"] == "inet6" else "ipv4", "prefix": item["prefixlen"]}
                         for item in link.get("addr_info", []) if "local" in item]
            result.append({"name": link["ifname"], "hardware-address": link.get("address", "00:00:00:00:00:00"), "ip-addresses": addresses})
        return {"result": result}

    async def _get_osinfo(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del values
        pairs = (line.partition("=") for line in (await self._text(vm, "cat", "/etc/os-release")).splitlines() if "=" in line)
        release = {key: value.strip('"') for key, _, value in pairs}
        kernel = (await self._text(vm, "uname", "-r", "-v", "-m")).split()
        return {"result": {
            "id": release.get("ID", ""), "name": release.get("NAME", ""), "pretty-name": release.get("PRETTY_NAME", ""),
            "version": release.get("VERSION", ""), "version-id": release.get("VERSION_ID", ""),
            "kernel-release": kernel[0], "kernel-version": " ".join(kernel[1:-1]), "machine": kernel[-1],
        }}

    async def _get_host_name(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del values
        return {"result": {"host-name": (await self._text(vm, "hostname")).strip()}}

    async def _get_time(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del vm, values
        return {"result": time.time_ns()}

    async def _file_read(self, vm: LabVm, values: dict[str, Any]) -> Any:
        done = await vm.room.execute(vm.vmid, ["cat", "--", str(values["file"])], timeout=30)
        if done.rc:
            raise PveError(500, f"Agent error: failed to open file '{values['file']}': {done.err.decode(errors='replace').strip()}")
        return {"content": done.out[:_MAX_OUTPUT].decode("latin-1"), "truncated": len(done.out) > _MAX_OUTPUT}

    async def _file_write(self, vm: LabVm, values: dict[str, Any]) -> Any:
        text = str(values["content"]).encode()
        # encode=0 means: the caller has encoded it already.
        data = base64.b64decode(text) if str(values.get("encode", 1)) in ("0", "False", "false") else text
        done = await vm.room.execute(vm.vmid, ["tee", "--", str(values["file"])], data, timeout=30)
        if done.rc:
            raise PveError(500, f"Agent error: failed to open file '{values['file']}': {done.err.decode(errors='replace').strip()}")
        return None

    async def _shutdown(self, vm: LabVm, values: dict[str, Any]) -> Any:
        del values
        await vm.room.execute(vm.vmid, ["systemctl", "--no-block", "poweroff"], timeout=15)
        return {"result": None}
