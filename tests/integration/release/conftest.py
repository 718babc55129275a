"""The Galaxy artefact, installed away from the checkout, and a place from which a user would call it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lab.state import LabState

ROOT = pathlib.Path(__file__).resolve().parents[3]
RECAP = re.compile(r"^(\S+) +: ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)
# What a user's shell has; everything else that could lead back to the checkout stays out.
KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "RESILIENT_CACHE")


@dataclasses.dataclass
class Result:
    """What a playbook did: the text, and of each host of the recap how many tasks were ok, changed, unreachable and failed."""

    output: str
    rc: int

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        names = ("ok", "changed", "unreachable", "failed")
        return {found[1]: {name: int(found[place]) for place, name in enumerate(names, start=2)} for found in RECAP.finditer(self.output)}

    @property
    def changed(self) -> int:
        assert self.recap, f"no recap:\n{self.output}"
        return sum(host["changed"] for host in self.recap.values())


class Elsewhere:
    """A directory that has nothing to do with the checkout, with a copy of the lab's inventory in it."""

    def __init__(self, place: pathlib.Path, collections: pathlib.Path) -> None:
        self.place, self.collections = place, collections
        self.name = os.environ.get("RESILIENT_LAB", "default")
        self.state = LabState.open(self.name, create=False)
        assert "proxmox" in self.state.connection, "start the lab first: python -m lab up"
        self.inventory = place / "inventories" / "lab"
        shutil.copytree(ROOT / "inventories" / "lab", self.inventory)
        (place / "home").mkdir()

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            "HOME": str(self.place / "home"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_CONFIG": str(self.inventory / "ansible.cfg"),
            "RESILIENT_LAB": self.name,
            "RESILIENT_LAB_STATE": str(self.state.dir.parent),
            **more,
        }

    def run(self, *argv: str, seconds: float = 900, **more: str) -> Result:
        """Run a command here; ``more`` goes into its environment."""
        done = subprocess.run(argv, cwd=self.place, env=self.environment(**more), text=True, timeout=seconds, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return Result(done.stdout, done.returncode)

    def playbook(self, name: str, *argv: str) -> Result:
        """Run a playbook of the artefact, which has to succeed, with the paths of its tasks in the output."""
        result = self.run("ansible-playbook", "-vv", "-i", str(self.inventory), f"resilient.platform.{name}", *argv)
        assert result.rc == 0, result.output
        self.only_the_artefact(result.output)
        return result

    def forget_cluster(self) -> None:
        """Remove the custody of a Vault cluster whose guests are gone: the role refuses to make another one beside it."""
        shutil.rmtree(self.state.path("credentials"), ignore_errors=True)

    def only_the_artefact(self, output: str) -> None:
        """Every task of the collection came from the artefact's files."""
        paths = set(re.findall(r"^task path: (\S*?):\d+$", output, re.MULTILINE))
        ours = {path for path in paths if "resilient" in path}
        assert ours, "no task of the collection ran"
        astray = {path for path in paths if not pathlib.Path(path).is_relative_to(self.collections) and not pathlib.Path(path).is_relative_to(self.place)}
        assert not astray, f"not from the artefact: {sorted(astray)}"


@pytest.fixture(scope="session")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The directory with the built artefact, and the collections installed from it in ``installed``."""
    out = tmp_path_factory.mktemp("artefact")
    built = subprocess.run([ROOT / "tests" / "build.sh", str(out)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


@pytest.fixture(scope="module")
def elsewhere(artefact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"), artefact / "installed")
