"""Runs playbooks as a user would and keeps what every task said, as data."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Host and task, and the item where a task loops.
Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Run:
    """One ansible-playbook run."""

    status: int
    document: dict[str, Any]
    errors: str

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """The recap by host."""
        return dict(self.document["stats"])

    @functools.cached_property
    def results(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(host, task, result) of every task in order."""
        return [
            (host, task["task"]["name"].split(" : ")[-1], result)
            for play in self.document["plays"] for task in play["tasks"] for host, result in task["hosts"].items()
        ]

    def said(self) -> list[str]:
        """Every message."""
        return [str(result["msg"]) for _host, _task, result in self.results if result.get("msg")]

    def failures(self) -> dict[str, str]:
        """The message of each host's failed task, of the items that failed where it looped."""
        found: dict[str, str] = {}
        for host, task, result in self.results:
            if (result.get("failed") or result.get("unreachable")) and not result.get("ignore_errors"):
                items = [item for item in result.get("results", []) if item.get("failed")]
                found[host] = f"{task}: " + " ".join(str(part.get("msg", "")) for part in [*items, result])
        return found

    @functools.cached_property
    def changes(self) -> dict[Key, Any]:
        """What changed, with its diff (None where the task shows none)."""
        found: dict[Key, Any] = {}
        for host, task, result in self.results:
            parts = result["results"] if isinstance(result.get("results"), list) else [result]
            for part in parts:
                if part.get("changed") and not part.get("failed"):
                    label = part.get("_ansible_item_label") or part.get(str(part.get("ansible_loop_var", "item")), "")
                    found[host, task, label if isinstance(label, str) else json.dumps(label, sort_keys=True)] = part.get("diff")
        return found

    def explain(self) -> str:
        """The failures and the end of what came on stderr."""
        return "\n".join([*(f"{host}: {text}" for host, text in self.failures().items()), self.errors[-3000:]])


def lab(name: str, command: str) -> None:
    """Run ``python -m lab``."""
    done = subprocess.run([sys.executable, "-m", "lab", "--name", name, command], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"lab {command}:\n{done.stdout}\n{done.stderr}"


def play(name: str, *args: str, on: str, check: bool = False, timeout: float = 1800) -> Run:
    """Run the playbook ``resilient.platform.<name>`` on a lab with ``--diff``.

    Args:
        name: Name of the playbook, or path of one.
        args: More arguments for ansible-playbook.
        on: Name of the lab.
        check: Whether it is only a check.
        timeout: Seconds.
    """
    program = pathlib.Path(sys.executable).with_name("ansible-playbook")
    playbook = name if name.endswith(".yml") else f"resilient.platform.{name}"
    command = [str(program), "-i", str(ROOT / "inventories/lab"), *args, playbook, "--diff", *(["--check"] if check else [])]
    settings = {
        "RESILIENT_LAB": on,
        "ANSIBLE_CONFIG": str(ROOT / "inventories/lab/ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_FORCE_COLOR": "false",
    }
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, timeout=timeout, check=False)
    # The document is the last thing printed; heartbeats of long tasks come before it.
    start = done.stdout.find('{\n    "custom_stats"')
    assert start >= 0, f"{command}: no document.\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return Run(done.returncode, json.loads(done.stdout[start:]), done.stderr)
