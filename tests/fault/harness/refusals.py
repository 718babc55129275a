"""Damage to what a rebuild needs, and plays that have to stop at it."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import typing as t

from harness import looks
from harness.play import Play

from lab import s3
from lab.state import LabState


@dataclasses.dataclass
class Result:
    """How a play ended: its exit status and everything that it said, white space folded."""

    status: int
    said: str
    log: pathlib.Path


@dataclasses.dataclass
class Runner:
    """Runs plays against a lab, each with a log of its own."""

    state: LabState
    logs: pathlib.Path
    count: int = 0

    def run(self, *arguments: str, seconds: float = 1200) -> Result:
        """Run a playbook to its end."""
        self.count += 1
        play = Play(arguments, self.logs / f"after-{self.count}.log", self.state.name)
        play.start()
        try:
            status = play.wait(seconds)
        finally:
            if play.status() is None:
                play.kill(writer=True)
        return Result(status, " ".join(play.log.read_text(encoding="utf-8", errors="replace").split()), play.log)

    def rebuild(self) -> Result:
        """Ask for a rebuild, as a user would."""
        return self.run("resilient.platform.dr_rebuild", "-e", "dr_rebuild_confirm=lab")

    def records(self) -> list[dict[str, t.Any]]:
        """Return the records of the newest rebuild outside of a drill."""
        found = sorted((self.state.dir / "evidence").glob("*-dr_rebuild-*/evidence.jsonl"))
        return [json.loads(line) for line in found[-1].read_text().splitlines()] if found else []


@dataclasses.dataclass
class Copies:
    """What lies at the two destinations, and a way back to how it was.

    Args:
        state: The lab.
        offsite: The bucket, by key.
        nas: The directory on the first NAS, by key.
    """

    state: LabState
    offsite: dict[str, bytes]
    nas: dict[str, bytes]

    @classmethod
    def load(cls, state: LabState) -> Copies:
        """Read everything."""
        directory = cls._directory(state)
        return cls(state, looks.objects(state), {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()})

    @staticmethod
    def _directory(state: LabState) -> pathlib.Path:
        return pathlib.Path(state.connection["truenas"]["primary"]["mount"], "tank/platform/backups")

    @property
    def snapshot(self) -> str:
        """The key of the Raft snapshot that the newest manifest names."""
        points = self.manifest()["recovery_points"]
        return next(str(copy["key"]) for point in points if point["kind"] == "vault_raft_snapshot" for copy in point["copies"])

    @property
    def manifest_key(self) -> str:
        """The key of the newest manifest."""
        return max(key for key in self.offsite if "/manifests/" in key)

    def envelope(self) -> dict[str, t.Any]:
        """Return the signed envelope of the newest manifest."""
        found: dict[str, t.Any] = json.loads(self.offsite[self.manifest_key])
        return found

    def manifest(self) -> dict[str, t.Any]:
        """Return the newest manifest."""
        found: dict[str, t.Any] = json.loads(base64.b64decode(self.envelope()["payload"]))["predicate"]
        return found

    def put(self, key: str, data: bytes | None, *, nas: bool) -> None:
        """Put *data* (None: remove it) in the bucket and, with *nas*, on the first NAS if it is there: what came back with the dataset is as
        old as its snapshot, so the newest manifest is not."""
        client = s3.client(self.state)
        if data is None:
            client.remove_object(s3.BUCKET, key)
        else:
            client.put_object(s3.BUCKET, key, io.BytesIO(data), len(data))
        if nas and key in self.nas:
            path = self._directory(self.state) / key
            path.unlink(missing_ok=True)
            if data is not None:
                path.write_bytes(data)

    def restore(self) -> None:
        """Put everything back that is gone or other than it was."""
        now = looks.objects(self.state)
        for key, data in self.offsite.items():
            if now.get(key) != data:
                self.put(key, data, nas=False)
        for key, data in self.nas.items():
            path = self._directory(self.state) / key
            if not path.is_file() or path.read_bytes() != data:
                path.write_bytes(data)


def truncated(data: bytes) -> bytes:
    """Return the first half."""
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """Return *data* with one bit changed in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def rewritten(data: bytes) -> bytes:
    """Return a snapshot with a bit of its state changed and its checksum file made to fit: whole by everything that is inside of it."""
    members = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive:
            reader = archive.extractfile(member)
            assert reader is not None
            members[member.name] = reader.read()
    members["state.bin"] = members["state.bin"][:-1] + bytes([members["state.bin"][-1] ^ 1])
    sums = [line.split() for line in members["SHA256SUMS"].decode().splitlines()]
    members["SHA256SUMS"] = "".join(f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for _old, name in sums).encode()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o600
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue())
