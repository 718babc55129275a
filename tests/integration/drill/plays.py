"""How the drill's tests run playbooks and look at a lab."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import typing as t

from proxmoxer import ProxmoxAPI

from lab.state import LabState

ROOT = pathlib.Path(__file__).resolve().parents[3]
VAULT = {"vault-1", "vault-2", "vault-3"}


class Lab:
    """A running lab: its plays, its guests, its evidence."""

    def __init__(self, name: str) -> None:
        self.state = LabState.open(name, create=False)
        assert "isolated_network" in self.state.connection, "start the lab first: python -m lab up"
        access = self.state.connection["proxmox"]
        # These would override the CA given below.
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            os.environ.pop(variable, None)
        self.api = ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                              token_value=access["token_secret"], verify_ssl=self.state.connection["ca_file"])
        self.node = self.api.nodes(access["node"])

    def _argv(self, playbook: str, extra: t.Mapping[str, t.Any]) -> list[str]:
        return ["ansible-playbook", "-i", str(ROOT / "inventories/lab"), playbook, "-e", json.dumps(extra)]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "inventories/lab/ansible.cfg"), "RESILIENT_LAB": self.state.name, "ANSIBLE_NOCOLOR": "1"}

    def play(self, playbook: str, timeout: float = 1500, **extra: t.Any) -> subprocess.CompletedProcess[str]:
        """Run *playbook* to its end; the output is in ``stdout``."""
        return subprocess.run(
            self._argv(playbook, extra), env=self.environment, cwd=self.state.dir, text=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def play_until(self, playbook: str, log: pathlib.Path, reached: t.Callable[[], bool], timeout: float = 900, **extra: t.Any) -> None:
        """Run *playbook* and SIGKILL it with all its children as soon as *reached*."""
        with log.open("w") as stream:
            process = subprocess.Popen(
                self._argv(playbook, extra), env=self.environment, cwd=self.state.dir, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            deadline = time.monotonic() + timeout
            try:
                while not reached():
                    assert process.poll() is None, f"it ended before it could be killed:\n{log.read_text()[-3000:]}"
                    assert time.monotonic() < deadline, f"nothing to kill it for within {timeout:g} s:\n{log.read_text()[-3000:]}"
                    time.sleep(0.5)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def guests(self) -> dict[str, dict[str, t.Any]]:
        """The guests by name, without templates."""
        return {row["name"]: row for row in self.api.cluster.resources.get(type="vm") if not row.get("template")}

    def make(self, vmid: int, name: str, tags: str) -> None:
        """Make a guest without a system."""
        self._done(self.node.qemu.post(vmid=vmid, name=name, tags=tags))

    def remove(self, vmid: int) -> None:
        """Destroy a guest if it is there."""
        if any(row["vmid"] == vmid for row in self.guests().values()):
            self._done(self.node.qemu(vmid).delete())

    def _done(self, upid: str) -> None:
        while (status := self.node.tasks(upid).status.get())["status"] == "running":
            time.sleep(0.05)
        assert status["exitstatus"] == "OK", status

    def runs(self) -> list[pathlib.Path]:
        """The directories of isolated drills, oldest first."""
        return sorted((self.state.dir / "evidence").glob("*-dr_drill_isolated-*"))

    def report(self) -> dict[str, t.Any]:
        """The report of the newest isolated drill."""
        found: dict[str, t.Any] = json.loads((self.runs()[-1] / "report.json").read_text())
        return found
