"""Where a lab keeps what it knows: one directory, one ``connection.json``."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
_BEGUN = time.monotonic()


class LabError(Exception):
    """Something the user has to know: what was tried, what came back, what to do."""


@dataclass(frozen=True)
class Row:
    """One line of ``status``. ``state`` is ``up``, ``down`` or ``broken``."""

    component: str
    state: str
    detail: str


def say(text: str) -> None:
    """Print one progress line with the seconds since the start; flushed, so that a log shows where it stands."""
    print(f"[lab {time.monotonic() - _BEGUN:6.1f}s] {text}", file=sys.stderr, flush=True)


def cache_dir() -> Path:
    """Return the directory of things that are built once and shared by all labs."""
    return Path(os.environ.get("RESILIENT_CACHE") or Path.home() / ".cache" / "resilient-lab").absolute()


def labs_dir() -> Path:
    """Return the directory that holds the state directories of all labs."""
    return Path(os.environ.get("RESILIENT_LAB_STATE") or cache_dir() / "labs").absolute()


def write_private(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """Write ``path`` whole or not at all: a reader sees the old content or the new one. Owner-only by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data.encode() if isinstance(data, str) else data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@dataclass
class LabState:
    """A lab: its name, its directory and how to reach its services (``connection``, see docs/decisions/0001)."""

    name: str
    dir: Path
    connection: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, name: str = "default", *, create: bool = True) -> LabState:
        """Load the lab called ``name``; ``create`` makes its directory (0700). LabError for a bad name or file."""
        if not NAME.fullmatch(name):
            raise LabError(f"'{name}' is no name for a lab: use 1 to 20 of a-z, 0-9 and '-', beginning with a letter.")
        state = cls(name, labs_dir() / name)
        if create:
            state.dir.mkdir(parents=True, exist_ok=True)
            state.dir.chmod(0o700)
        state.load()
        return state

    @property
    def connection_file(self) -> Path:
        """The path of ``connection.json``."""
        return self.dir / "connection.json"

    @property
    def prefix(self) -> str:
        """What the names of this lab's networks and images begin with."""
        return f"resilient-{self.name}"

    @property
    def address(self) -> str:
        """The machine's address on the lab's bridge, where its servers listen. LabError before the network is up."""
        network = self.connection.get("network")
        if not network:
            raise LabError(f"Lab '{self.name}' has no network yet: run 'python -m lab --name {self.name} up --only network'.")
        return str(network["gateway"])

    def path(self, *parts: str) -> Path:
        """Return a path inside the state directory; its parent exists afterwards."""
        found = self.dir.joinpath(*parts)
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def load(self) -> None:
        """Read ``connection.json`` again (another process may have written it)."""
        try:
            data = json.loads(self.connection_file.read_text())
        except FileNotFoundError:
            data = {}
        except ValueError as exc:
            raise LabError(f"{self.connection_file} is not JSON ({exc}): run 'python -m lab --name {self.name} down', then 'up'.") from exc
        self.connection = {**data, "name": self.name, "state_dir": str(self.dir)}

    def save(self) -> None:
        """Write ``connection.json``, atomically and readable by the owner only."""
        write_private(self.connection_file, json.dumps(self.connection, indent=1, sort_keys=True) + "\n")

    def update(self, section: str, value: Any) -> None:
        """Set one section of ``connection`` and save; sections that other processes wrote meanwhile are kept."""
        with self.locked("connection"):
            self.load()
            self.connection[section] = value
            self.save()

    @contextmanager
    def locked(self, what: str = "lab") -> Iterator[None]:
        """Hold an exclusive lock of this lab, across processes; waits for whoever has it."""
        with open(self.path(f".{what}.lock"), "w", encoding="ascii") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
