"""vault_cluster by its playbook on real servers: autopilot, audit devices, and a second run that changes nothing."""

from __future__ import annotations

import os
import pathlib
import re
import socket
import threading
import typing as t

import pytest
import versions
from hosts import Site
from openbao import wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.environ.get("RESILIENT_LONG_TESTS") != "1", reason="builds a cluster of three by its playbook: set RESILIENT_LONG_TESTS=1"),
]


class Collector(threading.Thread):
    """Stands for the log server: takes what audit devices send."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.received = b""

    def run(self) -> None:
        while True:
            connection, _address = self.server.accept()
            threading.Thread(target=self.take, args=(connection,), daemon=True).start()

    def take(self, connection: socket.socket) -> None:
        while data := connection.recv(65536):
            self.received += data


@pytest.fixture(scope="module")
def collector() -> Collector:
    made = Collector()
    made.start()
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> t.Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("cluster"))
    options = {"address": "127.0.0.1:%d" % collector.server.getsockname()[1], "socket_type": "tcp"}
    made.variables["vault_cluster_audit_devices"] = [{"name": "remote", "type": "socket", "options": options}]
    try:
        made.start(*versions.new()).play("resilient.platform.vault")
        yield made
    finally:
        made.stop()


def test_autopilot_forgets_dead_servers_but_never_below_three(site: Site) -> None:
    said = site.call("GET", "sys/storage/raft/autopilot/configuration", at=site.leader(), token=site.login("admin")).json()["data"]
    assert (said["cleanup_dead_servers"], said["min_quorum"], said["dead_server_last_contact_threshold"]) == (True, 3, "24h0m0s")


def test_requests_are_written_down_here_and_elsewhere(site: Site, collector: Collector) -> None:
    token = site.login("canary", at=site.leader())
    assert site.call("POST", "kv/data/canary/audited", {"data": {"x": "secret-in-clear"}}, at=site.leader(), token=token).status_code == 200
    local = site.leader().directory / "log/openbao/audit.log"
    for text in (lambda: collector.received, local.read_bytes):
        wait_for(lambda text=text: b"kv/data/canary/audited" in text(), "the request to be written down")
        assert b"secret-in-clear" not in text()
    assert local.stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(site: Site) -> None:
    assert set(re.findall(r"changed=(\d+)", site.play("resilient.platform.vault"))) == {"0"}


def test_a_host_sees_only_its_own_files(site: Site, tmp_path: pathlib.Path) -> None:
    """What the tests themselves stand on."""
    (site.hosts[0].directory / "lib/only-here").write_text("")
    assert site.hosts[0].run("ls", "/var/lib/only-here").returncode == 0
    assert site.hosts[1].run("ls", "/var/lib/only-here", check=False).returncode != 0
    assert not pathlib.Path("/var/lib/only-here").exists()
