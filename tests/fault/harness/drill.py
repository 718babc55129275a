"""One drill that is killed in one step after the other and started again each time, watched from outside."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import random
import time
import typing as t

from harness.play import Killed, Play, command_line, processes
from harness.planted import Planted

from lab.state import LabState, write_private

Record = dict[str, t.Any]
COMMAND = ("resilient.platform.dr_drill", "-e", "dr_drill_confirm=lab", "-vvv", "--diff")
STEPS = ("provision", "harden", "storage", "vault", "canaries", "backup", "disaster", "rebuild")
# What begins and ends a step in the evidence log, and its usual seconds on an idle machine with two cores: only where in the step the kill
# falls depends on them.
_MARKS: dict[str, tuple[tuple[str, str], tuple[str, str], float]] = {
    "provision": (("provision", "step_started"), ("provision", "step_finished"), 11),
    "harden": (("harden", "step_started"), ("harden", "step_finished"), 38),
    "storage": (("storage", "step_started"), ("storage", "step_finished"), 5),
    "vault": (("vault", "step_started"), ("vault", "step_finished"), 44),
    "canaries": (("vault", "step_finished"), ("backup", "step_started"), 4),
    "backup": (("backup", "step_started"), ("backup_verify", "step_finished"), 22),
    "disaster": (("disaster", "step_started"), ("disaster", "step_finished"), 16),
    # It ends with its proof: after a run that is finished the same command begins another one.
    "rebuild": (("rebuild_plan", "step_started"), ("prove", "canaries"), 120),
    # Not one of the steps: everything is back, and nothing is proven.
    "proof": (("rebuild_vault", "step_finished"), ("prove", "canaries"), 0),
}
_ATTEMPT_SECONDS = 2400


@dataclasses.dataclass(frozen=True)
class Kill:
    """A kill that is planned: in *step*, after *fraction* of its usual time; *writer*: the writer of the canaries dies too."""

    step: str
    fraction: float
    writer: bool = False


def plan(seed: int, *, every_step: bool) -> list[Kill]:
    """Return the kills of a seed: one in each step, or one in the steps 1-6 and one in 7-8."""
    rng = random.Random(seed)
    steps = STEPS if every_step else (rng.choice(STEPS[:6]), rng.choice(STEPS[6:]))
    # With every step killed, the writer survives the kill of its own step and dies in the next.
    return [Kill(step, round(rng.uniform(0.02, 0.98), 3), step == "backup" and (every_step or rng.random() < 0.5)) for step in steps]


@dataclasses.dataclass
class Attempt:
    """One start of the command. ``kill`` and ``killed`` are None for the one that ended by itself."""

    log: pathlib.Path
    kill: Kill | None
    seconds: float
    killed: Killed | None = None
    status: int | None = None


@dataclasses.dataclass
class Drill:
    """The drill of a lab.

    Args:
        state: The lab.
        logs: Directory for the output of the plays.
        arguments: What follows ``ansible-playbook``.
    """

    state: LabState
    logs: pathlib.Path
    arguments: t.Sequence[str]
    attempts: list[Attempt] = dataclasses.field(default_factory=list)
    command_lines: set[str] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        self.planted = Planted(self.state)

    @property
    def run_dirs(self) -> list[pathlib.Path]:
        """Return the directories of all drills, oldest first."""
        return sorted(path.parent for path in (self.state.dir / "evidence").glob("*-dr_drill-*/evidence.jsonl"))

    def records(self) -> list[Record]:
        """Return the records of the newest drill; a line that is being written is left out."""
        if not self.run_dirs:
            return []
        text = (self.run_dirs[-1] / "evidence.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def _evidence(self) -> list[pathlib.Path]:
        return [path / "evidence.jsonl" for path in self.run_dirs]

    def _new(self, before: t.Mapping[pathlib.Path, int]) -> list[Record]:
        """Return the records that came to the logs, which had the sizes *before*."""
        lines: list[str] = []
        for path in self._evidence():
            with path.open("rb") as handle:
                handle.seek(before.get(path, 0))
                data = handle.read()
            lines += data[: data.rfind(b"\n") + 1].decode().splitlines()
        return [json.loads(line) for line in lines]

    def go(self, kills: t.Sequence[Kill]) -> None:
        """Run it with these kills; the last attempt is left alone and has to end well."""
        for kill in [*kills, None]:
            self.attempt(kill)

    @property
    def _note(self) -> pathlib.Path:
        return self.state.dir / "fault-drill.json"

    def save(self) -> None:
        """Write down what was seen, beside the lab's other secrets, for another look without another drill."""
        note = {"attempts": [dataclasses.asdict(attempt) for attempt in self.attempts], "command_lines": sorted(self.command_lines)}
        write_private(self._note, json.dumps({**note, "secrets": self.planted.secrets}, default=str))

    def load(self) -> None:
        """Take what an earlier session of the tests has seen in this lab."""
        note = json.loads(self._note.read_text())
        for item in note["attempts"]:
            kill, killed = (kind(**item[name]) if item[name] else None for kind, name in ((Kill, "kill"), (Killed, "killed")))
            self.attempts.append(Attempt(**{**item, "log": pathlib.Path(item["log"]), "kill": kill, "killed": killed}))
        self.command_lines.update(note["command_lines"])
        self.planted.secrets.update(note["secrets"])

    def attempt(self, kill: Kill | None) -> Attempt:
        """Start the command once, and kill it as planned."""
        log = self.logs / f"drill-{len(self.attempts) + 1}.log"
        play = Play(self.arguments, log, self.state.name)
        attempt = Attempt(log, kill, 0)
        self.attempts.append(attempt)
        before = {path: path.stat().st_size for path in self._evidence()}
        begun, at = time.monotonic(), None
        play.start()
        try:
            while play.status() is None:
                assert time.monotonic() - begun < _ATTEMPT_SECONDS, f"no end after {_ATTEMPT_SECONDS} s: see {log}"
                self._sample()
                new = {(record["step"], record["check"]) for record in self._new(before)}
                if kill and _MARKS[kill.step][0] in new:
                    at = at or time.monotonic() + kill.fraction * self._usual(kill.step)
                    if time.monotonic() >= at or _MARKS[kill.step][1] in new:
                        attempt.killed = play.kill(writer=kill.writer)
                        break
                time.sleep(0.25)
            else:
                attempt.status = play.status()
        finally:
            if play.status() is None:
                play.kill(writer=True)
        attempt.seconds = time.monotonic() - begun
        self._say(attempt)
        return attempt

    def _usual(self, step: str) -> float:
        """Return the usual seconds of *step*; the rebuild is as long as the build was on this machine, which may be busy."""
        if step != "rebuild":
            return _MARKS[step][2]
        begun: dict[str, float] = {}
        longest: dict[str, float] = {}
        for record in self.records():
            name, clock = record["step"], float(record["clock"]["boottime_seconds"])
            if record["check"] == "step_started":
                begun[name] = clock
            elif record["check"] == "step_finished" and name in begun:
                longest[name] = max(longest.get(name, 0.0), clock - begun[name])
        return 20 + sum(longest.get(name, _MARKS[name][2]) for name in ("provision", "harden", "storage", "vault"))

    def _sample(self) -> None:
        """Keep what everybody on this machine can see of processes, and the secrets that exist just now."""
        self.command_lines.update(filter(None, (command_line(pid) for pid in processes())))
        self.planted.collect()

    @staticmethod
    def _say(attempt: Attempt) -> None:
        kill, killed = attempt.kill, attempt.killed
        end = f"ended with {attempt.status}"
        if kill and killed:
            spared = ", writer of the canaries alive" if killed.spared else ""
            end = f"killed in {kill.step} ({kill.fraction:.0%} of its usual time), {len(killed.processes)} processes{spared}"
        print(f"{attempt.log.name}: {end} after {attempt.seconds:.0f} s", flush=True)
