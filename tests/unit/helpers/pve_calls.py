"""Every request that each module sends, by the API's own path templates, and what the server checks beyond the schema.

The tests' transport (``proxmox.Wire``) refuses a request that is not in the table of the module that sends it: whoever adds one puts it here,
and ``test_privileges.py`` then says whether the profiles of ``privileges.py`` allow it.
"""

from __future__ import annotations

import typing as t

from helpers import modules, pve_schema

Call = tuple[str, str]
NODE = "/nodes/{node}"
QEMU, LXC = f"{NODE}/qemu/{{vmid}}", f"{NODE}/lxc/{{vmid}}"


def _calls(text: str) -> frozenset[Call]:
    found = set()
    for line in text.strip().splitlines():
        method, path = line.split()
        for verb in method.split(","):
            found.add((verb, path.replace("QEMU", QEMU).replace("LXC", LXC).replace("NODE", NODE)))
    return frozenset(found)


_LOGIN = _calls("POST /access/ticket")
_TASK = _calls("""
GET NODE/tasks/{upid}/status
GET NODE/tasks/{upid}/log
""")
_GUESTS = _calls("""
GET /cluster/resources
GET QEMU/config
""")
_FLEET = _GUESTS | _TASK | _calls("""
GET /cluster/nextid
GET /pools
PUT /pools
GET NODE/network
GET NODE/qemu
POST NODE/qemu
GET NODE/tasks
GET QEMU/pending
POST QEMU/config
POST QEMU/clone
PUT QEMU/resize
POST QEMU/move_disk
PUT QEMU/cloudinit
DELETE QEMU
POST /cluster/bulk-action/guest/start
POST QEMU/status/start
POST QEMU/status/stop
POST QEMU/status/shutdown
POST QEMU/status/reboot
GET QEMU/status/current
POST QEMU/agent/ping
GET QEMU/agent/network-get-interfaces
POST QEMU/agent/exec
GET QEMU/agent/exec-status
""")
_ADDRESSES = _calls("GET QEMU/agent/network-get-interfaces")
_HOST_KEYS = _calls("GET QEMU/agent/file-read")
_COMMANDS = _calls("""
POST QEMU/agent/exec
GET QEMU/agent/exec-status
""")

# What a module sends only when it is asked for more, by the profile that has to be added for it.
OPTIONAL: dict[str, dict[str, frozenset[Call]]] = {
    "inventory": {"addresses": _ADDRESSES},
    "proxmox_vm_info": {"addresses": _ADDRESSES, "provision": _HOST_KEYS},
    "proxmox_restore": {"commands": _COMMANDS},
}
EMITTED: dict[str, frozenset[Call]] = {
    "inventory": _GUESTS,
    "proxmox_vm_info": _GUESTS | _calls("GET QEMU/pending"),
    "proxmox_fleet": _FLEET,
    "proxmox_vm": _FLEET,
    "proxmox_vm_snapshot_info": _GUESTS | _calls("""
GET QEMU/snapshot
GET LXC/snapshot
"""),
    "proxmox_vm_snapshot": _GUESTS | _TASK | _calls("""
GET LXC/config
GET,POST QEMU/snapshot
GET,POST LXC/snapshot
DELETE QEMU/snapshot/{snapname}
DELETE LXC/snapshot/{snapname}
PUT QEMU/snapshot/{snapname}/config
PUT LXC/snapshot/{snapname}/config
POST QEMU/snapshot/{snapname}/rollback
POST LXC/snapshot/{snapname}/rollback
"""),
    "proxmox_template_info": _GUESTS | _calls("GET QEMU/pending"),
    "proxmox_template": _GUESTS | _TASK | _calls("""
GET /cluster/nextid
GET /pools
GET NODE/network
GET NODE/storage/{storage}/content
POST NODE/storage/{storage}/download-url
POST NODE/qemu
GET QEMU/pending
POST QEMU/config
PUT QEMU/resize
POST QEMU/template
DELETE QEMU
"""),
    "proxmox_backup": _GUESTS | _TASK | _calls("""
GET NODE/storage/{storage}/content
POST NODE/vzdump
"""),
    "proxmox_backup_info": _GUESTS | _calls("GET NODE/storage/{storage}/content"),
    "proxmox_backup_job": _GUESTS | _calls("""
GET,POST /cluster/backup
PUT,DELETE /cluster/backup/{id}
"""),
    "proxmox_backup_job_info": _GUESTS | _calls("GET /cluster/backup"),
    "proxmox_restore": _GUESTS | _TASK | _calls("""
GET /cluster/nextid
GET NODE/storage/{storage}/content
GET NODE/vzdump/extractconfig
POST NODE/qemu
POST NODE/lxc
GET LXC/config
PUT QEMU/config
PUT LXC/config
POST QEMU/status/start
POST QEMU/status/stop
POST LXC/status/start
POST LXC/status/stop
GET QEMU/status/current
GET LXC/status/current
POST QEMU/agent/ping
DELETE QEMU
DELETE LXC
DELETE NODE/tasks/{upid}
"""),
    # An administrator's: no profile is for them.
    "proxmox_access": _calls("""
GET /version
GET /access/roles
POST /access/roles
PUT,DELETE /access/roles/{roleid}
GET,PUT /access/acl
GET /access/domains
POST /access/users
GET,PUT,DELETE /access/users/{userid}
POST,PUT,DELETE /access/users/{userid}/token/{tokenid}
GET /cluster/resources
GET /pools
"""),
    "proxmox_access_info": _calls("""
GET /access/roles
GET /access/users
GET /access/acl
GET /access/permissions
"""),
}

# What the server checks in a method's code and not in the schema's rule, or by which it leaves things out of an answer: (path, privilege).
# From the methods' descriptions in the API viewer and the sources named.
BEYOND: dict[Call, tuple[tuple[str, str], ...]] = {
    # PVE::API2::Cluster: guests that may not be audited are left out (and storages: STORAGES).
    ("GET", "/cluster/resources"): (("/vms/{vmid}", "VM.Audit"),),
    ("GET", f"{NODE}/qemu"): (("/vms/{vmid}", "VM.Audit"),),
    # PVE::API2::Pool: left out, and VM.Allocate on each guest that is moved.
    ("GET", "/pools"): (("/pool/{pool}", "Pool.Audit"),),
    ("PUT", "/pools"): (("/vms/{vmid}", "VM.Allocate"),),
    # PVE::API2::Network: bridges that may be neither audited nor used are left out.
    ("GET", f"{NODE}/network"): (("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),),
    # PVE::API2::Qemu: every key has its privilege (see KEYS), every disk its storage, every device its bridge.
    ("POST", f"{NODE}/qemu"): (("/vms/{vmid}", "VM.Allocate"), ("/storage/{storage}", "Datastore.AllocateSpace"), ("/sdn/zones/localnetwork/vmbr0", "SDN.Use")),
    ("POST", f"{QEMU}/config"): (("/storage/{storage}", "Datastore.AllocateSpace"), ("/sdn/zones/localnetwork/vmbr0", "SDN.Use")),
    ("POST", f"{QEMU}/clone"): (("/storage/{storage}", "Datastore.AllocateSpace"), ("/sdn/zones/localnetwork/vmbr0", "SDN.Use")),
    ("PUT", f"{QEMU}/resize"): (("/storage/{storage}", "Datastore.AllocateSpace"),),
    ("POST", f"{QEMU}/move_disk"): (("/storage/{storage}", "Datastore.AllocateSpace"),),
    ("POST", "/cluster/bulk-action/guest/start"): (("/vms/{vmid}", "VM.PowerMgmt"),),
    ("POST", f"{NODE}/lxc"): (("/vms/{vmid}", "VM.Allocate"), ("/storage/{storage}", "Datastore.AllocateSpace"), ("/sdn/zones/localnetwork/vmbr0", "SDN.Use")),
    # PVE::API2::VZDump. prune-backups wants Datastore.Allocate: profile retention.
    ("POST", f"{NODE}/vzdump"): (("/vms/{vmid}", "VM.Backup"), ("/storage/{storage}", "Datastore.AllocateSpace")),
    # PVE::API2::Backup: the storage's retention is changed with a job.
    ("POST", "/cluster/backup"): (("/storage/{storage}", "Datastore.Allocate"), ("/vms/{vmid}", "VM.Backup")),
    ("GET", f"{NODE}/vzdump/extractconfig"): (("/vms/{vmid}", "VM.Backup"), ("/storage/{storage}", "Datastore.AllocateSpace")),
}
# Modules that look for storages in the cluster's list, which leaves out those without Datastore.Audit.
STORAGES = frozenset({"proxmox_fleet", "proxmox_vm", "proxmox_template", "proxmox_backup", "proxmox_backup_info", "proxmox_backup_job", "proxmox_restore"})
# PVE::QemuServer::check_vm_modify_config_perm: the privilege that each key of a guest's configuration wants.
KEYS: dict[str, str] = {
    **dict.fromkeys(("cores", "sockets", "cpu", "cpulimit", "cpuunits", "numa", "vcpus"), "VM.Config.CPU"),
    **dict.fromkeys(("memory", "balloon", "shares"), "VM.Config.Memory"),
    **dict.fromkeys(("scsi0", "virtio0", "sata0", "efidisk0", "boot"), "VM.Config.Disk"),
    "ide2": "VM.Config.CDROM",
    "net0": "VM.Config.Network",
    **dict.fromkeys(("ciuser", "cipassword", "sshkeys", "ipconfig0", "nameserver", "searchdomain", "citype", "cicustom", "ciupgrade"), "VM.Config.Cloudinit"),
    **dict.fromkeys(("scsihw", "vga", "machine", "acpi", "kvm", "serial0", "hotplug", "tablet", "watchdog", "audio0", "smbios1"), "VM.Config.HWType"),
    **dict.fromkeys(("name", "description", "tags", "onboot", "agent", "protection", "startup", "ostype", "bios", "hookscript"), "VM.Config.Options"),
}
# What a module writes of it.
WRITES: dict[str, tuple[str, ...]] = {
    "proxmox_fleet": tuple(KEYS),
    "proxmox_vm": tuple(KEYS),
    "proxmox_template": tuple(KEYS),
    # Names, notes and overrides with the archive; afterwards what ties the copy to its node is deleted (usb0 and hostpci0 are hardware).
    "proxmox_restore": ("name", "description", "tags", "onboot", "protection", "net0", "memory", "cores", "serial0"),
}


def sender() -> str:
    """Return the module (or ``inventory``) that runs in this test, or ``""``."""
    return modules.running.rpartition(".")[2]


def complaint(method: str, path: str) -> str:
    """Return what is wrong with a request of the module that runs now: it is not in the tables above."""
    match = pve_schema.template(path)
    who = sender()
    if not (who.startswith("proxmox_") or who in EMITTED) or match is None:
        return ""
    known = EMITTED.get(who, frozenset()).union(_LOGIN, *OPTIONAL.get(who, {}).values())
    return "" if (method, match) in known else f"{who} sends {method} {match}: add it to helpers/pve_calls.py, and its privilege to a profile"


def everything() -> t.Iterator[tuple[str, Call]]:
    """Yield every (module, call)."""
    for module, calls in EMITTED.items():
        for call in sorted(calls.union(*OPTIONAL.get(module, {}).values())):
            yield module, call
