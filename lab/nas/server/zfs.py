"""The only place that runs ``zfs`` and ``zpool``."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

TIMEOUT = 300
_BUSY = ("dataset is busy", "target is busy", "Device or resource busy", "pool is busy")


class ZfsError(Exception):
    """A command failed; the text is what it printed."""

    @property
    def busy(self) -> bool:
        """Say whether trying again may help."""
        return any(text in str(self) for text in _BUSY)


@dataclass(frozen=True)
class Value:
    """A property: text as ``zfs get -Hp`` gives it, and where it comes from (local, default, received, -, inherited from X)."""

    value: str
    source: str


@dataclass(frozen=True)
class Snapshot:
    """A snapshot and what identifies it. Order by ``createtxg``: a machine's clock may step back."""

    id: str
    guid: str
    creation: int
    createtxg: int
    properties: dict[str, Value] = field(default_factory=dict, compare=False)

    @property
    def dataset(self) -> str:
        return self.id.partition("@")[0]

    @property
    def name(self) -> str:
        return self.id.partition("@")[2]


Properties = dict[str, dict[str, Value]]


class Zfs:
    """ZFS as seen from one namespace; ``prefix`` is the command that enters it (empty: we are in it)."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self.prefix = list(prefix)

    def run(self, *argv: str) -> str:
        """Run a command and return its output. ZfsError with what it complained about."""
        try:
            done = subprocess.run([*self.prefix, *argv], capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired as exc:
            raise ZfsError(f"{argv[0]} {argv[1]} gave no answer within {TIMEOUT} s") from exc
        if done.returncode:
            raise ZfsError((done.stderr.strip() or done.stdout.strip() or f"{argv[0]} {argv[1]} ended with code {done.returncode}"))
        return done.stdout

    def retry(self, *argv: str, seconds: float = 4) -> str:
        """Run a command, again while something is still busy: zfs-fuse lets go of a dataset a little late."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return self.run(*argv)
            except ZfsError as exc:
                if not exc.busy or time.monotonic() > deadline:
                    raise
            time.sleep(0.3)

    def get(self, *names: str, properties: str = "all") -> Properties:
        """Return properties by dataset (or snapshot) and name."""
        if not names:
            return {}
        argv = ["zfs", "get", "-Hp", "-o", "name,property,value,source"]
        found = _parse(self.run(*argv, properties, *names))
        unsure = [name for name, values in found.items() if any(value.source == "temporary" for value in values.values())]
        if unsure:
            # zfs-fuse always mounts "rw" and then takes that for a temporary readonly=off, though readonly=on is set
            # and enforced. Without the mounts in sight it tells the stored value.
            blind = ["unshare", "--mount", "--propagation", "private", "sh", "-c", 'umount -l -R /mnt; exec "$@"', "sh"]
            for name, values in _parse(self.run(*blind, *argv, properties, *unsure)).items():
                found[name].update({key: value for key, value in values.items() if found[name][key].source == "temporary"})
        return found

    def exists(self, name: str) -> bool:
        """Say whether a dataset or snapshot exists."""
        try:
            self.run("zfs", "list", "-H", "-o", "name", "-t", "all", name)
        except ZfsError as exc:
            if "does not exist" in str(exc) or "no such pool" in str(exc):
                return False
            raise
        return True

    def datasets(self, below: str | None = None) -> list[str]:
        """Return the names of all file systems (at and below one), parents first."""
        argv = ["zfs", "list", "-H", "-o", "name", "-t", "filesystem", *(["-r", below] if below else [])]
        return sorted(self.run(*argv).split())

    def snapshots(self, dataset: str | None = None, *, recursive: bool = False, properties: str = "guid,creation,createtxg") -> list[Snapshot]:
        """Return snapshots of one dataset, of a tree, or all, oldest first."""
        argv = ["zfs", "list", "-H", "-o", "name", "-t", "snapshot"]
        if dataset is not None:
            argv += ["-r", *([] if recursive else ["-d", "1"]), dataset]
        names = self.run(*argv).split()
        if not names:
            return []
        found = self.get(*names, properties=properties)
        snapshots = [_snapshot(name, found[name]) for name in names if name in found]
        return sorted(snapshots, key=lambda one: (one.createtxg, one.id))

    def pools(self) -> dict[str, str]:
        """Return health by pool name."""
        lines = self.run("zpool", "list", "-H", "-o", "name,health").splitlines()
        return dict(line.split("\t") for line in lines if "\t" in line)


def unmount_all(zfs: Zfs, name: str) -> None:
    """Unmount a dataset and all below it; if one is busy, mount again what was unmounted and raise its ZfsError."""
    done: list[str] = []
    try:
        for one in reversed(zfs.datasets(name)):
            if zfs.get(one, properties="mounted")[one]["mounted"].value == "yes":
                zfs.retry("zfs", "unmount", one)
                done.append(one)
    except ZfsError:
        for one in reversed(done):
            zfs.run("zfs", "mount", one)
        raise


def _parse(text: str) -> Properties:
    found: Properties = {}
    for line in text.splitlines():
        name, key, value, source = line.split("\t")
        found.setdefault(name, {})[key] = Value(value, source)
    return found


def _snapshot(name: str, found: dict[str, Value]) -> Snapshot:
    return Snapshot(name, found["guid"].value, int(found["creation"].value), int(found["createtxg"].value), found)
