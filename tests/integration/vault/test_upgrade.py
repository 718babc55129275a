"""vault_upgrade on real servers: from one OpenBao version to the next, under writes all the time, with no acknowledged write lost."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import typing as t

import pytest
import requests
import versions
from hosts import Host, Site
from openbao import wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.environ.get("RESILIENT_LONG_TESTS") != "1", reason="moves a cluster of three from version to version: set RESILIENT_LONG_TESTS=1"),
]
PLAYBOOK = "resilient.platform.vault_upgrade"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("upgrade"))
    try:
        made.start(*versions.old()).play("resilient.platform.vault")
        yield made
    finally:
        made.stop()


class Writer(threading.Thread):
    """Writes numbered values through whichever node answers and remembers those that were acknowledged, and when."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self.site, self.ended = site, threading.Event()
        self.acknowledged: dict[int, float] = {}
        self.refused = 0
        self.token = site.login("canary")

    def run(self) -> None:
        for number, host in zip(itertools.count(), itertools.cycle(self.site.hosts), strict=False):
            if self.ended.is_set():
                return
            try:
                answer = self.site.call("POST", f"kv/data/canary/upgrade-{number}", {"data": {"number": number}}, at=host, token=self.token)
            except requests.RequestException:
                self.refused += 1
                continue
            if answer.status_code == 200:
                self.acknowledged[number] = time.monotonic()
            else:
                self.refused += 1
            time.sleep(0.02)

    def finish(self) -> None:
        self.ended.set()
        self.join(60)
        assert not self.is_alive()

    def longest_gap(self) -> float:
        times = sorted(self.acknowledged.values())
        return max(after - before for before, after in itertools.pairwise(times))


def running(site: Site) -> dict[str, str]:
    return {host.name: str(site.health(host).get("version")) for host in site.hosts}


def pids(site: Site) -> dict[str, int]:
    return {host.name: host.pid for host in site.hosts}


def marked(site: Site) -> list[Host]:
    return [host for host in site.hosts if (host.directory / "etc/openbao/upgrading").exists()]


def wanted(server: tuple[pathlib.Path, str]) -> dict[str, str]:
    return {"vault_cluster_binary": str(server[0]), "vault_cluster_version": server[1]}


def test_check_mode_names_the_order_and_touches_nothing(site: Site) -> None:
    before, leader = pids(site), site.leader().name
    said = site.play(PLAYBOOK, "--check", **wanted(versions.new()))
    order = re.search(r"a snapshot, then (\S+), then (\S+), then (\S+) \((\S+) leads now", said)
    assert order, said[-3000:]
    assert order[3] == order[4] == leader and set(order.groups()) == set(before)
    assert pids(site) == before and set(running(site).values()) == {versions.OLD}
    assert not marked(site) and not (site.directory / "work/upgrades").exists()


def test_a_skipped_major_and_a_server_that_is_not_what_it_is_called_are_refused(site: Site) -> None:
    before = pids(site)
    said = site.play(PLAYBOOK, fails=True, vault_cluster_binary=str(versions.new()[0]), vault_cluster_version="4.0.0")
    assert "a major version would be skipped" in said
    said = site.play(PLAYBOOK, fails=True, vault_cluster_binary=str(versions.new()[0]), vault_cluster_version="2.9.9")
    assert "and not 2.9.9" in said and "No node was touched" in said
    assert pids(site) == before and set(running(site).values()) == {versions.OLD} and not marked(site)


def test_a_node_that_is_down_for_another_reason_is_refused(site: Site) -> None:
    standby = next(host for host in site.hosts if host is not site.leader())
    standby.kill()
    said = site.play(PLAYBOOK, fails=True, **wanted(versions.new()))
    assert f"{standby.name} does not serve, and no upgrade of this role stopped it" in said
    standby.run("systemctl", "start", "openbao.service")
    wait_for(lambda: site.health(standby)["status"] == 429, "the standby to be back")


def test_killed_half_way_and_run_again_it_moves_the_cluster_without_losing_a_write(site: Site) -> None:
    server = versions.new()
    leader = site.leader()
    writer = Writer(site)
    writer.start()
    log = site.directory / "killed.log"
    with log.open("w") as stream:
        play = subprocess.Popen(site.argv(PLAYBOOK, **wanted(server)), env=site.environment, cwd=site.directory, stdin=subprocess.DEVNULL,
                                stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        # The first node is marked, and its server has ended: the worst moment.
        wait_for(lambda: play.poll() is not None or (marked(site) and any(not host.pid for host in site.hosts)), "a node to be down", seconds=300)
        assert play.poll() is None, log.read_text()[-4000:]
    finally:
        os.killpg(play.pid, signal.SIGKILL)
        play.wait()
    assert len(marked(site)) == 1 and marked(site)[0] is not leader
    said = site.play(PLAYBOOK, **wanted(server))
    ended = time.monotonic()
    time.sleep(2)
    writer.finish()
    assert max(writer.acknowledged.values()) > ended, "it did not write to the end"
    assert set(running(site).values()) == {server[1]}, said[-2000:]
    assert not marked(site)
    assert "leads now and is stopped last" in said
    # The leader of before ended gracefully as the last one, and another node took over.
    assert site.leader() is not leader
    token = site.login("canary")
    for host in site.hosts:
        lost = [number for number in writer.acknowledged
                if site.call("GET", f"kv/data/canary/upgrade-{number}", at=host, token=token).status_code != 200]
        assert lost == [], f"{host.name} lost {len(lost)} of {len(writer.acknowledged)}"
    assert len(writer.acknowledged) > 100
    # For docs/benchmarks.md.
    print(f"{len(writer.acknowledged)} writes acknowledged, {writer.refused} refused, longest gap {writer.longest_gap():.2f} s")
    facts = json.loads((site.directory / f"work/upgrades/vault-before-{server[1]}.snap.json").read_text())
    assert facts["size_bytes"] == (site.directory / f"work/upgrades/vault-before-{server[1]}.snap").stat().st_size


def test_a_second_run_changes_nothing(site: Site) -> None:
    before = pids(site)
    said = site.play(PLAYBOOK, **wanted(versions.new()))
    assert "Nothing: every node runs" in said
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}
    assert pids(site) == before


def test_an_older_version_is_refused_and_so_by_vault_cluster(site: Site) -> None:
    before = pids(site)
    assert "which is newer than" in site.play(PLAYBOOK, fails=True, **wanted(versions.old()))
    said = site.play("resilient.platform.vault", fails=True, **wanted(versions.old()))
    assert "older than what runs" in said
    assert pids(site) == before and set(running(site).values()) == {versions.new()[1]}
