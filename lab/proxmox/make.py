"""A lab's API server as it was left: its state, its accounts and its template."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from lab.proxmox import store
from lab.proxmox.room import Room
from lab.proxmox.server import BRIDGE, LabPve
from lab.state import LabState

_GIB = 1024**3


def add_template(pve: LabPve, base: Path, vmid: int = 9000, name: str = "debian12") -> None:
    """Make the template VM that every guest is cloned from, or point it at the image as it is now."""
    disk = pve.room.disk(vmid)
    if pve.vm(vmid) is None:
        volumes = pve.storages["local-lvm"].setdefault("volumes", {})
        volumes[f"base-{vmid}-disk-0"] = {"content": "images", "format": "raw", "size": 8 * _GIB, "vmid": vmid, "ctime": int(time.time())}
        pve.cloudinit_volume("local-lvm", vmid)
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
    pve.add_administrator(access["user"], access["token_id"], access["token_secret"])
    pve.enforce()
    add_template(pve, base)
    pve._persist()
    return pve
