"""The lab's two bridge networks, each a /24 of its own, there from ``up`` to ``down`` whether guests run or not.

The second one is isolated: the machine routes nothing from it or to it. Its guests reach the machine's own addresses (key service, S3) and
each other, and no guest of the first one.
"""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
from typing import Any

from lab import podman
from lab.state import LabError, LabState, Row, say

# Guests: .11 to .99, addresses of their own choice. podman picks only from the upper part.
_POOL = ipaddress.IPv4Network("10.93.0.0/16")


def _ip(*argv: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *argv], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise LabError(f"ip {' '.join(argv)} failed: {done.stderr.strip()}")
    return done.stdout


def free_subnet(taken: list[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Return the first /24 of the lab's range that overlaps none of ``taken``; LabError if there is none."""
    for subnet in _POOL.subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise LabError(f"Every /24 of {_POOL} is in use on this machine: take a lab down.")


def _taken() -> list[ipaddress.IPv4Network]:
    """Return what this machine routes and what podman's networks hold, running or not."""
    found = [route["dst"] for route in json.loads(_ip("-json", "-4", "route", "show", "table", "all") or "[]") if "dst" in route]
    names = podman.run("network", "ls", "--format", "{{.Name}}").stdout.split()
    # One by one: another lab may remove its network between the list and the look.
    for network in filter(None, map(_inspect, names)):
        found += [subnet["subnet"] for subnet in network.get("subnets") or []]
    networks = []
    for text in found:
        try:
            network_ = ipaddress.ip_network(text, strict=False)
        except ValueError:  # "default"
            continue
        if isinstance(network_, ipaddress.IPv4Network) and network_.prefixlen > 0:
            networks.append(network_)
    return networks


def _inspect(name: str) -> dict[str, Any] | None:
    done = podman.run("network", "inspect", name, check=False)
    if done.returncode:
        return None
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def _create(name: str) -> dict[str, Any]:
    """Create the network; another lab may take the same subnet at the same moment, so try again then."""
    for attempt in range(5):
        subnet = free_subnet(_taken())
        upper = list(subnet.subnets(new_prefix=26))[3]
        done = podman.run(
            "network", "create", "--subnet", str(subnet), "--gateway", str(subnet[1]), "--ip-range", str(upper),
            "--disable-dns", "--label", "resilient-lab=network", name, check=False,
        )
        found = _inspect(name)
        if found is not None:
            return found
        say(f"network: {subnet} was taken meanwhile (attempt {attempt + 1}): {done.stderr.strip()}")
    raise LabError(f"podman network create {name} failed five times: {done.stderr.strip()}")


def _anchor(bridge: str) -> tuple[str, str]:
    """Return the names of the veth pair that keeps the bridge: netavark removes a bridge when its last port goes."""
    return f"{bridge}-k0", f"{bridge}-k1"


def _links() -> set[str]:
    return {link["ifname"] for link in json.loads(_ip("-json", "link", "show") or "[]")}


def _ensure_bridge(bridge: str, gateway: str, prefix: int) -> None:
    links = _links()
    if bridge not in links:
        _ip("link", "add", bridge, "type", "bridge")
    port, peer = _anchor(bridge)
    if port not in links:
        _ip("link", "add", port, "type", "veth", "peer", "name", peer)
    _ip("link", "set", port, "master", bridge)
    _ip("address", "replace", f"{gateway}/{prefix}", "dev", bridge)
    for link in (bridge, port, peer):
        _ip("link", "set", link, "up")


def _remove_rules(cidr: str) -> None:
    """Remove what netavark leaves behind: it cleans up only together with the bridge, which the anchor keeps."""
    for table in ("nat", "filter"):
        rules = subprocess.run(["iptables-save", "-t", table], capture_output=True, text=True, check=False).stdout.splitlines()
        mine = [rule.split() for rule in rules if rule.startswith("-A") and any(word.split("/")[0] == cidr.split("/")[0] for word in rule.split())]
        chains = {word for rule in mine for word in rule if re.fullmatch(r"NETAVARK-[0-9A-F]{13}", word)}
        for rule in mine:
            subprocess.run(["iptables", "-w", "-t", table, "-D", *rule[1:]], capture_output=True, check=False)
        for chain in chains:
            for action in ("-F", "-X"):
                subprocess.run(["iptables", "-w", "-t", table, action, chain], capture_output=True, check=False)


def _isolation_rule(bridge: str) -> list[str]:
    """Return the routing rule that refuses everything which comes from the bridge and is not for this machine itself.

    The local table is looked up before any rule. Nothing comes back from the bridge either, so no connection into it can be made but by the machine.
    """
    return ["iif", bridge, "pref", "100", "prohibit"]


def _is_isolated(bridge: str) -> bool:
    return f"iif {bridge} prohibit" in " ".join(_ip("rule", "show").replace("[detached]", "").split())


def _isolate(bridge: str) -> None:
    if not _is_isolated(bridge):
        _ip("rule", "add", *_isolation_rule(bridge))


def _ensure(name: str) -> dict[str, Any]:
    """Create the network once; put its bridge back if it is gone (after a restart of the machine). Returns its section of ``connection``."""
    found = _inspect(name) or _create(name)
    subnet = found["subnets"][0]
    network = ipaddress.ip_network(subnet["subnet"])
    _ensure_bridge(found["network_interface"], subnet["gateway"], network.prefixlen)
    return {"name": name, "cidr": str(network), "gateway": subnet["gateway"], "prefix": network.prefixlen, "interface": found["network_interface"]}


def _address(section: dict[str, Any], number: int) -> str:
    return str(ipaddress.ip_network(section["cidr"])[number])


def up(state: LabState) -> None:
    """Create both networks once; put back what is gone of them."""
    main = _ensure(state.prefix)
    isolated = _ensure(f"{state.prefix}-isolated")
    _isolate(isolated["interface"])
    state.update("network", main)
    state.update("isolated_network", isolated)
    state.update("guests", {f"vault-{number}": _address(main, 10 + number) for number in (1, 2, 3)})
    state.update("drill", {"address": _address(isolated, 11)})


def _remove(name: str, known: dict[str, Any]) -> None:
    """Remove a network with its bridge and anchor; ``known`` is its section of ``connection``, for when podman forgot it."""
    found = _inspect(name)
    bridge = found["network_interface"] if found else known.get("interface")
    if found:
        podman.run("network", "rm", name)
        say(f"removed network {name} ({found['subnets'][0]['subnet']})")
    if not bridge:
        return
    if _is_isolated(bridge):
        _ip("rule", "delete", *_isolation_rule(bridge))
    for link in (_anchor(bridge)[0], bridge):
        if link in _links():
            _ip("link", "delete", link)
    _remove_rules(found["subnets"][0]["subnet"] if found else known["cidr"])


def down(state: LabState) -> None:
    """Remove networks, bridges and anchors. PodmanError if containers are still on one."""
    _remove(f"{state.prefix}-isolated", state.connection.get("isolated_network") or {})
    _remove(state.prefix, state.connection.get("network") or {})


def _row(component: str, name: str, *, isolated: bool) -> Row:
    found = _inspect(name)
    if found is None:
        return Row(component, "down", "not created")
    bridge, subnet = found["network_interface"], found["subnets"][0]
    there = subnet["gateway"] in _ip("-4", "-oneline", "address", "show", "dev", bridge, check=False)
    if there and isolated and not _is_isolated(bridge):
        return Row(component, "broken", f"{name} {subnet['subnet']} on {bridge} is not isolated: run up")
    return Row(component, "up" if there else "broken", f"{name} {subnet['subnet']} on {bridge}{', isolated' if isolated else ''}")


def status(state: LabState) -> list[Row]:
    """Two rows: each network, whether its bridge has the address, and whether the second one is isolated."""
    return [_row("network", state.prefix, isolated=False), _row("isolated", f"{state.prefix}-isolated", isolated=True)]
