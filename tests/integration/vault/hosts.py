"""Hosts for the Vault roles that cost no guest: a mount namespace each, on this machine's loopback, with real servers in them.

Each has its own ``/etc``, ``/run``, ``/var/lib``, ``/var/log``, ``/var/cache`` and ``/usr/local/bin`` and listens on an address of its own in 127/8;
modules run in it through ``ansible_python_interpreter``. ``systemctl.py`` stands in for systemd. What systemd itself does (confinement, supervision)
and the packet filter are not here: Molecule's guests have them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import typing as t

import requests

from openbao import Process, binary, free_port, session, wait_for

HERE = pathlib.Path(__file__).resolve().parent
OWN = {"etc": "/etc", "run": "/run", "lib": "/var/lib", "log": "/var/log", "cache": "/var/cache", "bin": "/usr/local/bin"}


def network() -> str:
    """Return ``127.x.y`` on which nobody listens on the ports of the servers."""
    pick = random.SystemRandom()
    while True:
        found = f"127.{pick.randint(20, 250)}.{pick.randint(1, 250)}"
        with socket.socket() as probe:
            if probe.connect_ex((f"{found}.1", 8200)) != 0:
                return found


@dataclasses.dataclass
class Host:
    """One host."""

    name: str
    address: str
    directory: pathlib.Path
    keeper: subprocess.Popen[bytes] | None = None

    @property
    def interpreter(self) -> pathlib.Path:
        return self.directory / "python"

    @property
    def variables(self) -> dict[str, t.Any]:
        return {"ansible_host": self.address, "ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": str(self.interpreter)}

    def start(self) -> Host:
        """Make the namespaces and what is in them."""
        for name in OWN:
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        if not any((self.directory / "etc").iterdir()):
            shutil.copytree("/etc", self.directory / "etc", symlinks=True, dirs_exist_ok=True)
        (self.directory / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        tools = self.directory / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "systemctl").write_text(f"#!/bin/sh\nexec {sys.executable} {HERE / 'systemctl.py'} \"$@\"\n")
        (tools / "systemctl").chmod(0o755)
        mounts = " && ".join(f"mount --bind {self.directory / name} {path}" for name, path in OWN.items())
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        # A slave: a private copy of the machine's mounts would keep the pools of every lab busy that are unmounted later.
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", "sh", "-c", f"{mounts} && touch {ready} && exec sleep infinity"],
            stdin=subprocess.DEVNULL, start_new_session=True,
        )
        self.interpreter.write_text(f"#!/bin/sh\nPATH={tools}:$PATH exec nsenter --mount=/proc/{self.keeper.pid}/ns/mnt {sys.executable} \"$@\"\n")
        self.interpreter.chmod(0o755)
        wait_for(ready.exists, f"the namespaces of {self.name}")
        return self

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the host."""
        assert self.keeper
        return subprocess.run(
            ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", *argv], check=check, capture_output=True, text=True,
            env={**os.environ, "PATH": f"{self.directory / 'tools'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
        )

    @property
    def pid(self) -> int:
        """The server's process, 0 if none runs."""
        try:
            pid = int((self.directory / "run/units/openbao.service.pid").read_text())
            return 0 if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" else pid
        except (OSError, ValueError):
            return 0

    def kill(self) -> None:
        """End the server as a power cut would."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            wait_for(lambda: not self.pid, f"{self.name} to end")

    def stop(self) -> None:
        self.kill()
        if self.keeper:
            self.keeper.kill()
            self.keeper.wait()

    def log(self) -> str:
        path = self.directory / "run/units/openbao.service.log"
        return path.read_text(errors="replace") if path.exists() else ""


@dataclasses.dataclass
class TlsKms:
    """A development server with TLS whose transit engine holds the seal key."""

    directory: pathlib.Path
    port: int = dataclasses.field(default_factory=free_port)
    token: str = "kms-root"  # of a server that lives for one test
    server: Process | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> pathlib.Path:
        return self.directory / "vault-ca.pem"

    def start(self) -> TlsKms:
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = [str(binary()), "server", "-dev", "-dev-tls", f"-dev-tls-cert-dir={self.directory}", "-dev-no-store-token",
                f"-dev-root-token-id={self.token}", f"-dev-listen-address=127.0.0.1:{self.port}"]
        self.server = Process(argv, self.directory / "kms.log")
        self.server.start()
        wait_for(self.answers, "the KMS")
        self.call("POST", "sys/mounts/transit", {"type": "transit"})
        self.call("POST", "transit/keys/autounseal", {})
        return self

    def answers(self) -> bool:
        try:
            return self.ca.exists() and session().get(f"{self.url}/v1/sys/health", timeout=5, verify=str(self.ca)).status_code == 200
        except requests.RequestException:
            return False

    def call(self, method: str, path: str, body: dict[str, t.Any] | None = None) -> requests.Response:
        answer = session().request(method, f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": self.token}, timeout=30, verify=str(self.ca))
        answer.raise_for_status()
        return answer

    @property
    def seal(self) -> dict[str, t.Any]:
        """What ``vault_cluster_seal`` wants."""
        return {"type": "transit", "address": self.url, "token": self.token, "key_name": "autounseal", "mount_path": "transit/", "ca_file": str(self.ca)}

    def stop(self) -> None:
        if self.server:
            self.server.stop(kill=True)


class Site:
    """Hosts, a key service, an inventory, and plays on them."""

    def __init__(self, directory: pathlib.Path, size: int = 3) -> None:
        self.directory = directory
        net = network()
        self.hosts = [Host(f"vault-{number}", f"{net}.{number}", directory / f"vault-{number}") for number in range(1, size + 1)]
        self.kms = TlsKms(directory / "kms")
        self.custody = directory / "custody"
        self.variables: dict[str, t.Any] = {
            "platform_environment": "site", "platform_credentials_dir": str(self.custody), "platform_work_dir": str(directory / "work"),
            "platform_evidence_dir": str(directory / "evidence"), "platform_vault_ca_path": str(self.custody / "tls/ca.crt"),
            "platform_vault_urls": self.urls,
            "vault_cluster_nodes": [{"name": host.name, "address": host.address} for host in self.hosts],
        }

    @property
    def urls(self) -> list[str]:
        return [f"https://{host.address}:8200" for host in self.hosts]

    def start(self, server: pathlib.Path, version: str) -> Site:
        """Start hosts and key service; *server* is what vault_cluster installs."""
        self.kms.start()
        for host in self.hosts:
            host.start()
        self.variables |= {"vault_cluster_binary": str(server), "vault_cluster_version": version, "vault_cluster_seal": self.kms.seal}
        return self

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()
        self.kms.stop()

    def inventory(self, **groups: list[Host]) -> pathlib.Path:
        """Write the inventory and return its path."""
        hosts = {host.name: host.variables for members in (self.hosts, *groups.values()) for host in members}
        children = {"vault": {"hosts": {host.name: {} for host in self.hosts}}}
        children |= {name: {"hosts": {host.name: {} for host in members}} for name, members in groups.items()}
        path = self.directory / "inventory.json"
        local = {"localhost": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}}
        path.write_text(json.dumps({"all": {"vars": self.variables, "hosts": {**hosts, **local}, "children": children}}))
        return path

    def argv(self, playbook: str, *options: str, **extra: t.Any) -> list[str]:
        return ["ansible-playbook", "-i", str(self.inventory()), playbook, "-e", json.dumps(extra), *options]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_RETRY_FILES_ENABLED": "0", "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_GATHERING": "explicit", "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml"}

    def play(self, playbook: str, *options: str, fails: bool = False, timeout: float = 900, **extra: t.Any) -> str:
        """Run *playbook* and return what it said, without line ends; it has to end as *fails* says."""
        done = subprocess.run(self.argv(playbook, *options, **extra), env=self.environment, cwd=self.directory, text=True, timeout=timeout, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert (done.returncode != 0) == fails, done.stdout[-6000:]
        return " ".join(done.stdout.split())

    def call(self, method: str, path: str, body: dict[str, t.Any] | None = None, *, at: Host | None = None, token: str = "") -> requests.Response:
        """Ask a server, outside of the code under test."""
        return session().request(method, f"https://{(at or self.hosts[0]).address}:8200/v1/{path}", json=body, timeout=30,
                                 headers={"X-Vault-Token": token} if token else {}, verify=str(self.custody / "tls/ca.crt"))

    def login(self, role: str, at: Host | None = None) -> str:
        content = json.loads((self.custody / f"{role}.json").read_text())
        answer = self.call("POST", "auth/approle/login", {key: content[key] for key in ("role_id", "secret_id")}, at=at)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["auth"]["client_token"])

    def health(self, host: Host) -> dict[str, t.Any]:
        try:
            return {"status": (answer := self.call("GET", "sys/health", at=host)).status_code, **answer.json()}
        except requests.RequestException:
            return {"status": 0}

    def leader(self) -> Host:
        found: list[Host] = []

        def look() -> bool:
            found[:] = [host for host in self.hosts if self.health(host)["status"] == 200]
            return bool(found)

        wait_for(look, "a leader")
        return found[0]
