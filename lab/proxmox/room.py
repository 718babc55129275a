"""The machine room: the containers and disks behind the VMs of one lab. What podman says is the truth."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import podman as podman_settings
from lab.guest.container import GuestSpec, run_argv
from lab.guest.disk import Disk
from lab.state import LabState

RUN_DIR = Path("/run/resilient-lab")
# reboot() inside the guest ends its process namespace with SIGHUP, poweroff with SIGINT.
REBOOTED = 129
# Every Debian with systemd has one of these, and starts them after basic.target.
_ORDINARY = ("dbus", "cron", "ssh")


class RoomError(Exception):
    """podman or the kernel refused; the text says what."""


class RoomTimeout(RoomError):
    """podman did not end in time."""


@dataclass(frozen=True)
class Done:
    """The outcome of one podman call."""

    rc: int
    out: bytes
    err: bytes


@dataclass(frozen=True)
class Pod:
    """What podman knows about a guest's container."""

    id: str
    state: str
    exit_code: int
    started_at: int
    pid: int

    @property
    def alive(self) -> bool:
        """A paused guest has its memory: it runs as far as the API is concerned."""
        return self.state in ("running", "paused", "stopping")


class Room:
    """Starts, stops and watches the guests of a lab."""

    def __init__(self, state: LabState) -> None:
        self.state = state
        self.pods: dict[int, Pod] = {}
        self._env = podman_settings.environment()
        # Two cores are typical: more at once only makes each of them slower.
        self._heavy = asyncio.Semaphore(3)

    def name(self, vmid: int) -> str:
        """The container's name."""
        return f"{self.state.prefix}-vm-{vmid}"

    def disk(self, vmid: int) -> Disk:
        """The VM's disk."""
        return Disk(self.state.dir / "proxmox" / "disks" / str(vmid), RUN_DIR / self.state.name / str(vmid) / "rootfs")

    def seed(self, vmid: int) -> Path:
        """The directory that is the VM's cloud-init drive. In memory: it may hold a password's hash."""
        return RUN_DIR / self.state.name / str(vmid) / "seed"

    async def call(self, *argv: str, data: bytes | None = None, timeout: float = 120) -> Done:
        """Run podman; never raises for a refusal. RoomTimeout after ``timeout`` seconds."""
        return await self._run("podman", *argv, data=data, timeout=timeout)

    async def _run(self, *argv: str, data: bytes | None = None, timeout: float) -> Done:
        process = await asyncio.create_subprocess_exec(
            *argv, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            stdin=asyncio.subprocess.PIPE if data is not None else asyncio.subprocess.DEVNULL,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(data), timeout)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            raise RoomTimeout(f"{' '.join(argv[:2])} did not end within {timeout:g} s") from None
        return Done(process.returncode or 0, out, err)

    async def must(self, *argv: str, timeout: float = 120) -> str:
        """Run podman; RoomError with its message if it refuses."""
        done = await self.call(*argv, timeout=timeout)
        if done.rc:
            raise RoomError(done.err.decode(errors="replace").strip() or f"podman {argv[0]} failed ({done.rc})")
        return done.out.decode(errors="replace")

    async def refresh(self) -> None:
        """Ask podman for the state of every guest of this lab."""
        text = await self.must("ps", "--all", "--format", "json", "--filter", f"label=resilient-lab={self.state.name}")
        pods: dict[int, Pod] = {}
        for item in json.loads(text or "[]"):
            vmid = (item.get("Labels") or {}).get("resilient-vmid")
            if vmid is not None:
                pods[int(vmid)] = Pod(item["Id"], item["State"], int(item.get("ExitCode") or 0), int(item.get("StartedAt") or 0),
                                      int(item.get("Pid") or 0))
        self.pods = pods

    def someone_ended(self) -> bool:
        """Say whether a guest that ran has no first process any more. Costs nothing, unlike asking podman (0.1 s)."""
        return any(pod.alive and not os.path.exists(f"/proc/{pod.pid}") for pod in self.pods.values())

    async def start(self, vmid: int, spec: GuestSpec) -> None:
        """Start the guest as ``spec`` says; whatever is left of an earlier run goes first. RoomError if it does not start."""
        async with self._heavy:
            await self.call("rm", "--force", "--time", "0", "--ignore", spec.name)
            await asyncio.to_thread(self.disk(vmid).mount)
            done = await self.call(*run_argv(spec))
            if done.rc:
                await self.call("rm", "--force", "--time", "0", "--ignore", spec.name)
                raise RoomError(f"start failed: {done.err.decode(errors='replace').strip()}")
        await self.refresh()

    async def kill(self, vmid: int) -> None:
        """Pull the plug: what was not written to disk is lost."""
        await self.must("rm", "--force", "--time", "0", "--ignore", self.name(vmid))
        await self.refresh()

    async def power_button(self, vmid: int, timeout: float) -> bool:
        """Ask the guest to power off; True once it has, False if it still runs after ``timeout`` seconds."""
        await self.call("kill", "--signal", "SIGRTMIN+3", self.name(vmid))
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            await self.refresh()
            if not (pod := self.pods.get(vmid)) or not pod.alive:
                return True
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.1)

    async def pause(self, vmid: int, *, on: bool) -> None:
        """Freeze or thaw the guest."""
        await self.must("pause" if on else "unpause", self.name(vmid))
        await self.refresh()

    async def remove(self, vmid: int) -> None:
        """Remove container and disk for good."""
        await self.kill(vmid)
        await asyncio.to_thread(self.disk(vmid).delete)

    async def execute(self, vmid: int, argv: Sequence[str], data: bytes | None = None, timeout: float = 86400) -> Done:
        """Run a command in the guest as root, as the guest agent does."""
        options = ("--interactive",) if data is not None else ()
        return await self.call("exec", *options, self.name(vmid), *argv, data=data, timeout=timeout)

    def booted(self, vmid: int) -> bool:
        """Say whether systemd has begun with the ordinary services, of which a guest agent is one. Costs nothing, unlike a command in the guest."""
        units = Path(f"/proc/{self.pods[vmid].pid}/root/run/systemd/units")
        return any(os.path.lexists(units / f"invocation:{name}.service") for name in _ORDINARY)

    async def links(self, vmid: int) -> bytes:
        """Return what ``ip -json address`` says in the guest's network namespace. RoomError if it is gone."""
        done = await self._run("nsenter", f"--target={self.pods[vmid].pid}", "--net", "ip", "-json", "address", timeout=30)
        if done.rc:
            raise RoomError(done.err.decode(errors="replace").strip())
        return done.out

    def memory_used(self, vmid: int) -> int:
        """Bytes of memory the guest uses, by its control group; 0 if unknown."""
        pod = self.pods.get(vmid)
        if pod is None or not pod.alive:
            return 0
        for path in (f"/sys/fs/cgroup/memory/libpod_parent/libpod-{pod.id}/memory.usage_in_bytes",
                     f"/sys/fs/cgroup/libpod_parent/libpod-{pod.id}/memory.current"):
            if os.path.exists(path):
                return int(Path(path).read_text())
        return 0

    def spec(self, vmid: int, **values: Any) -> GuestSpec:
        """A container specification with the labels by which this room finds its guests again."""
        labels = {"resilient-lab": self.state.name, "resilient-vmid": str(vmid)}
        return GuestSpec(name=self.name(vmid), root=self.disk(vmid).mountpoint, labels=labels, **values)
