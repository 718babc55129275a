"""VMs whose power state is their container's, not a field."""

from __future__ import annotations

from typing import Any

from fakepve.model import FakeVm

from lab.proxmox.room import Room


class LabVm(FakeVm):  # type: ignore[misc]  # fakepve has no types
    """A VM of the lab. Assigning ``status`` says what is wanted; reading it says what is."""

    room: Room
    wanted: str = "stopped"
    wanted_paused: bool = False
    source: int | None = None

    @classmethod
    def adopt(cls, vm: Any, room: Room) -> LabVm:
        """Turn a plain FakeVm into one of the lab's (fakepve constructs its class by name)."""
        if isinstance(vm, cls):
            vm.room = room
            return vm
        status = vm.__dict__.pop("status", "stopped")
        vm.__dict__.pop("qmpstatus", None)
        vm.__class__ = cls
        adopted: LabVm = vm
        adopted.room = room
        adopted.wanted = status
        return adopted

    @property
    def has_system(self) -> bool:
        """Say whether there is anything to boot. A blank VM only pretends to run, as a real one would sit in its BIOS."""
        return self.room.disk(self.vmid).exists

    @property
    def alive(self) -> bool:
        """Say whether the guest's container runs (or is paused)."""
        pod = self.room.pods.get(self.vmid)
        return pod is not None and pod.alive

    @property
    def paused(self) -> bool:
        """Say whether the guest is frozen."""
        pod = self.room.pods.get(self.vmid)
        return pod is not None and pod.state == "paused"

    @property
    def status(self) -> str:
        """``running`` or ``stopped``."""
        if not self.has_system:
            return self.wanted
        return "running" if self.alive else "stopped"

    @status.setter
    def status(self, value: str) -> None:
        self.wanted = value

    @property
    def qmpstatus(self) -> str:
        """``running``, ``paused`` or ``stopped``."""
        return "paused" if self.paused else self.status

    @qmpstatus.setter
    def qmpstatus(self, value: str) -> None:
        self.wanted_paused = value == "paused"


class VmList(list[Any]):
    """The list of VMs: everything that enters it becomes a LabVm."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.room = room

    def append(self, vm: Any) -> None:
        """Add a VM."""
        super().append(LabVm.adopt(vm, self.room))
