"""Two plays that bring the same guests into their state at the same time: nothing is made twice, no change gets lost.

Each play has a client of its own and shares nothing with the other but the server, whose tasks take time and whose answers are late by chance.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import pathlib
import sys
import threading
import time
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fleet as shared  # noqa: E402
from fleet import guest  # noqa: E402

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import make  # noqa: E402
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.apply import Applier  # noqa: E402
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient  # noqa: E402
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import desired_guests  # noqa: E402
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.fleet import plan_fleet  # noqa: E402
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.outcome import Outcome  # noqa: E402

# The fixture; pytest finds it by its name.
pve = shared.pve
pytestmark = pytest.mark.server

Guests = list[dict[str, t.Any]]


class Lagging(ProxmoxClient):
    """As on a real cluster, whose list takes names from a broadcast: for some time a new guest has none."""

    born: dict[int, float] = {}
    lag = 0.0

    def get(self, path: str, **params: t.Any) -> t.Any:
        answer = super().get(path, **params)
        if path == "cluster/resources":
            for line in answer:
                if line["type"] == "qemu" and time.monotonic() - self.born.setdefault(line["vmid"], time.monotonic()) < self.lag and line["vmid"] != 9000:
                    line.pop("name")
        return answer


class Meeting(ProxmoxClient):
    """Writes a configuration only when the other play has read the same one, and wants to write it, too."""

    meetings: dict[str, threading.Barrier] = {}

    def post(self, path: str, **params: t.Any) -> t.Any:
        if path.endswith("/config") and path in self.meetings:
            with contextlib.suppress(threading.BrokenBarrierError):
                self.meetings[path].wait(10)
                self.meetings.pop(path, None)
        return super().post(path, **params)


def play(
    pve: t.Any, cafile: str, guests: Guests, together: threading.Barrier, delay: float = 0.0, kind: type[ProxmoxClient] = Lagging
) -> list[Outcome]:
    """What the module does, without its process."""
    client = kind(Connection(host="127.0.0.1", port=pve.port, user="root@pam", token_id="ci", token_secret="s3cret", ca_path=cafile))
    applier = Applier(client, timeout=60, interval=0.05)
    together.wait()
    time.sleep(delay)
    plan = plan_fleet(client, desired_guests(guests), wait_until_made=applier.wait_until_made)
    return applier.run(plan.guests, threads=64, cluster=plan.cluster)


def both(pve: t.Any, cafile: str, first: Guests, second: Guests, delay: float = 0.0, kind: type[ProxmoxClient] = Lagging) -> list[list[Outcome]]:
    together = threading.Barrier(2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        plays = [pool.submit(play, pve, cafile, first, together, 0.0, kind), pool.submit(play, pve, cafile, second, together, delay, kind)]
        return [one.result(120) for one in plays]


@pytest.mark.fakepve(time_scale=1)
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.4])
@pytest.mark.parametrize("order", ["same", "reversed", "overlapping"])
@pytest.mark.parametrize("lag", [0.0, 1.0])
def test_no_guest_is_made_twice(pve: t.Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch, delay: float, order: str, lag: float) -> None:
    monkeypatch.setattr(Lagging, "born", {})
    monkeypatch.setattr(Lagging, "lag", lag)
    monkeypatch.setattr(make, "SETTLE_SECONDS", 2.0)
    monkeypatch.setattr(make, "MADE_PAUSE", 0.05)
    pve.network.update(latency=0.002, jitter=0.02)
    guests = [guest(number) for number in range(10, 18)]
    other = {"same": guests, "reversed": guests[::-1], "overlapping": guests[3:] + [guest(30)]}[order]
    results = both(pve, fakepve_cafile, guests, other, delay)
    pve.network.update(latency=0, jitter=0)
    errors = [(one.name, str(one.error)) for outcomes in results for one in outcomes if one.error]
    assert errors == []
    names = collections.Counter(vm.name for vm in pve.vms if vm.vmid != 9000)
    assert names == {one["name"]: 1 for one in [*guests, *other]}
    # Both plays name the same guest, and it is as both declare it.
    ids = [{one.name: one.vmid for one in outcomes} for outcomes in results]
    assert all(ids[1].get(name, vmid) == vmid for name, vmid in ids[0].items())
    assert {vm.status for vm in pve.vms if vm.vmid != 9000} == {"running"}
    assert all(vm.config["cores"] == "2" and vm.config["tags"] == "web" for vm in pve.vms if vm.vmid != 9000)


@pytest.mark.fakepve(time_scale=1)
def test_no_change_gets_lost(pve: t.Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each play declares other keys of the same guests, so a write that was planned with an old configuration would show."""
    names = [f"web-{number}" for number in range(10, 16)]
    for number, name in enumerate(names):
        pve.add_vm(200 + number, name, config={"memory": "512", "net0": f"virtio=BC:24:11:00:00:{number:02d},bridge=vmbr0"})
    paths = [f"nodes/pve1/qemu/{200 + number}/config" for number in range(len(names))]
    monkeypatch.setattr(Meeting, "meetings", {path: threading.Barrier(2) for path in paths})
    first = [{"name": name, "networks": {"net0": {"tag": 7}}} for name in names]
    second = [{"name": name, "networks": {"net0": {"firewall": True}}, "memory": 1024} for name in names]
    results = both(pve, fakepve_cafile, first, second, kind=Meeting)
    assert [str(one.error) for outcomes in results for one in outcomes if one.error] == []
    for number, name in enumerate(names):
        vm = next(vm for vm in pve.vms if vm.name == name)
        assert vm.config["net0"] == f"virtio=BC:24:11:00:00:{number:02d},bridge=vmbr0,firewall=1,tag=7"
        assert vm.config["memory"] == "1024"
