"""The cloud-init drive: the NoCloud files that Proxmox VE makes from a VM's config (PVE/QemuServer/Cloudinit.pm)."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.guest.idshift import ID_BASE

_DRIVE = re.compile(r"(?:ide|sata|scsi|virtio)\d+")


def drive_of(config: Mapping[str, Any]) -> str | None:
    """Return the key of the cloud-init drive (``ide2``), None without one: then the guest gets no cloud-init data."""
    for key, value in config.items():
        volume = str(value).split(",", 1)[0]
        if _DRIVE.fullmatch(key) and (volume.endswith(":cloudinit") or re.search(r"vm-\d+-cloudinit", volume)):
            return key
    return None


def ssh_keys(config: Mapping[str, Any]) -> list[str]:
    """Return the public keys of ``sshkeys``, which is stored percent-encoded."""
    text = urllib.parse.unquote(str(config.get("sshkeys") or ""))
    return [line.strip() for line in text.splitlines() if line.strip()]


def ip_config(config: Mapping[str, Any], index: int = 0) -> dict[str, str]:
    """Return the parts of ``ipconfigN`` (ip, gw, ip6, gw6)."""
    parts = (part.partition("=") for part in str(config.get(f"ipconfig{index}") or "").split(",") if part)
    return {key: value for key, _, value in parts}


def static_address(config: Mapping[str, Any], cidr: str) -> str | None:
    """Return the IPv4 address of ``ipconfig0``, None for DHCP; ValueError if it is not in the network ``cidr``."""
    text = ip_config(config).get("ip")
    if not text or text == "dhcp":
        return None
    address = ipaddress.ip_interface(text).ip
    network = ipaddress.ip_network(cidr)
    if address not in network:
        raise ValueError(f"address {address} of ipconfig0 is not in the network {cidr} behind the bridge")
    return str(address)


def hash_password(password: str) -> str:
    """Return a SHA-256 crypt hash, as PVE stores ``cipassword``; one that is hashed already is kept."""
    if password.startswith("$"):
        return password
    done = subprocess.run(["openssl", "passwd", "-5", "-stdin"], input=password, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def user_data(config: Mapping[str, Any], vmid: int) -> str:
    """Return the user data as PVE writes it."""
    hostname, _, domain = str(config.get("name") or f"VM{vmid}").partition(".")
    domain = domain or str(config.get("searchdomain") or "")
    lines = ["#cloud-config", f"hostname: {hostname}", "manage_etc_hosts: true"]
    if domain:
        lines.append(f"fqdn: {hostname}.{domain.split()[0]}")
    user = config.get("ciuser")
    if user:
        lines.append(f"user: {json.dumps(str(user))}")
    if user == "root":
        lines.append("disable_root: False")
    if config.get("cipassword"):
        lines.append(f"password: {json.dumps(str(config['cipassword']))}")
    keys = ssh_keys(config)
    if keys:
        lines.append("ssh_authorized_keys:")
        lines += [f"  - {json.dumps(key)}" for key in keys]
    lines += ["chpasswd:", "  expire: False"]
    if user != "root":
        lines += ["users:", "  - default"]
    upgrade = str(config.get("ciupgrade", 1)) in ("1", "true", "True")
    lines.append(f"package_upgrade: {'true' if upgrade else 'false'}")
    return "\n".join(lines) + "\n"


def network_config(config: Mapping[str, Any]) -> str:
    """Return the network data as the drive shows it. The lab's image does not apply it: podman sets the address."""
    lines = ["version: 1", "config:"]
    for key in sorted(key for key in config if re.fullmatch(r"net\d+", key)):
        index = int(key[3:])
        mac = re.search(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", str(config[key]))
        lines += ["    - type: physical", f"      name: eth{index}", f"      mac_address: '{mac.group(0).lower() if mac else ''}'", "      subnets:"]
        ip = ip_config(config, index)
        if ip.get("ip") and ip["ip"] != "dhcp":
            interface = ipaddress.ip_interface(ip["ip"])
            lines += ["      - type: static", f"        address: '{interface.ip}'", f"        netmask: '{interface.netmask}'"]
            if ip.get("gw"):
                lines.append(f"        gateway: '{ip['gw']}'")
        elif ip.get("ip") == "dhcp":
            lines.append("      - type: dhcp4")
    if config.get("nameserver"):
        lines += ["    - type: nameserver", "      address:"]
        lines += [f"      - '{server}'" for server in str(config["nameserver"]).replace(",", " ").split()]
    return "\n".join(lines) + "\n"


def meta_data(user: str, network: str) -> str:
    """Return the meta data: a new instance id whenever the other two change, so cloud-init runs again then."""
    return f"instance-id: {hashlib.sha1((user + network).encode()).hexdigest()}\n"


def seed_files(config: Mapping[str, Any], vmid: int) -> dict[str, str]:
    """Return the files of the drive by name."""
    user, network = user_data(config, vmid), network_config(config)
    return {"user-data": user, "network-config": network, "meta-data": meta_data(user, network), "vendor-data": ""}


def write_seed(directory: Path, config: Mapping[str, Any], vmid: int) -> None:
    """Write the drive's files for the guest's root and nobody else."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o500)
    os.chown(directory, ID_BASE, ID_BASE)
    for name, text in seed_files(config, vmid).items():
        path = directory / name
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chown(path, ID_BASE, ID_BASE)
