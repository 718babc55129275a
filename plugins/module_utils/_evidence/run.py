# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Runs: begin or resume, finish, and push what is known of them to the destinations."""

from __future__ import annotations

import dataclasses
import datetime
import fcntl
import os
import re
import secrets
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import exclusive, lock, records
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_file, write_atomically
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import Destination, check_key, digest_at, read_small

ENVELOPE_NAME = "evidence.dsse.json"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What ``evidence_run`` was asked for.

    Args:
        evidence_dir: Directory of all runs.
        environment: Name of the platform.
        operation: What is done, such as ``dr_drill``.
        run_id: This run and no other; else the newest unfinished or a new one.
        required_checks: ``{step, check, asset, data}``: what must pass for the verdict *verified*.
        facts: Facts of the first record (versions, who launched it).
    """

    evidence_dir: str
    environment: str
    operation: str
    run_id: str | None = None
    required_checks: t.Sequence[t.Mapping[str, t.Any]] = ()
    facts: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Run:
    """A run and what its log says.

    Args:
        id: Its name, which sorts by time within an environment and operation.
        dir: Its directory.
        records: All records so far.
        resumed: Whether it was there before.
        source: Where the log came from when the controller had none: the name of a destination.
    """

    id: str
    dir: str
    records: list[records.Record] = dataclasses.field(default_factory=list)
    resumed: bool = False
    source: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the log is closed and, by its reports' envelope, complete."""
        return is_closed(self.records) and os.path.exists(os.path.join(self.dir, ENVELOPE_NAME))

    def as_result(self) -> dict[str, t.Any]:
        """Return the module's ``run``."""
        return {
            "id": self.id,
            "dir": self.dir,
            "resumed": self.resumed,
            "steps_done": records.steps_done(self.records),
            "facts": records.merge_facts(self.records),
            "finished": self.finished,
            "records": len(self.records),
            "source": self.source,
        }


def is_closed(log: t.Sequence[records.Record]) -> bool:
    """Return whether the last record ends the run."""
    return bool(log) and log[-1]["check"] == "run_finished"


def validate(wanted: Wanted) -> None:
    """Refuse names that cannot be used, and a plan that proves nothing about data.

    Raises:
        Refused: nothing was written.
    """
    for option in ("environment", "operation", "run_id"):
        value = getattr(wanted, option)
        if value is not None and not _NAME.match(value):
            raise Refused(f"{value!r} cannot be the {option} of a run.", hint="Use letters, digits and ._- and begin with a letter or digit.")
    if wanted.required_checks and not any(check.get("data") for check in wanted.required_checks):
        raise Refused(
            "The plan has no check on data: a run that follows it would prove nothing about what was backed up. Nothing was written.",
            hint="Add a check with data: true to required_checks, such as the canaries of a store.",
        )


def new_id(wanted: Wanted) -> str:
    """Return a name for a new run, such as ``lab-dr_drill-20261121T054500Z-1f2e``."""
    moment = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    return f"{wanted.environment}-{wanted.operation}-{moment}-{secrets.token_hex(2)}"


def _belongs(log: t.Sequence[records.Record], wanted: Wanted) -> bool:
    first = log[0]["facts"].get("run", {}) if log else {}
    return first.get("environment") == wanted.environment and first.get("operation") == wanted.operation


def local_runs(wanted: Wanted) -> list[Run]:
    """Return the runs of this environment and operation in the evidence directory, oldest first."""
    found: list[Run] = []
    if not os.path.isdir(wanted.evidence_dir):
        return found
    for name in sorted(os.listdir(wanted.evidence_dir)):
        directory = os.path.join(wanted.evidence_dir, name)
        if not os.path.exists(os.path.join(directory, records.LOG_NAME)):
            continue
        try:
            log = records.read_log(directory)
        except records.ChainBroken:
            if name == wanted.run_id or name.startswith(f"{wanted.environment}-{wanted.operation}-"):
                raise
            continue
        if _belongs(log, wanted):
            found.append(Run(log[0]["run"], directory, log, resumed=True))
    return sorted(found, key=lambda run: str(run.records[0]["time"]))


def _pick(runs: t.Sequence[Run], wanted: Wanted) -> Run | None:
    if wanted.run_id:
        return next((run for run in runs if run.id == wanted.run_id), None)
    if runs and not runs[-1].finished:
        return runs[-1]
    return None


def remote_prefix(environment: str, operation: str) -> str:
    """Return the prefix of all runs' keys at a destination."""
    return f"{environment}/evidence/{operation}/"


def _find_remote(wanted: Wanted, destinations: t.Sequence[Destination], problems: list[str]) -> tuple[str, Destination] | None:
    """Return the newest run whose log lies at a destination and which is not finished there, or the one asked for."""
    prefix = remote_prefix(wanted.environment, wanted.operation)
    best: tuple[str, Destination] | None = None
    newest_finished = ""
    for destination in destinations:
        try:
            keys = destination.list(prefix)
        except PlatformError as exc:
            problems.append(f"{destination.name}: {exc.message}")
            continue
        closed = {key.split("/")[-2] for key in keys if key.endswith(f"/{ENVELOPE_NAME}")}
        newest_finished = max([newest_finished, *closed])
        for name in {key.split("/")[-2] for key in keys if key.endswith(f"/{records.LOG_NAME}")}:
            if (name == wanted.run_id if wanted.run_id else name not in closed) and (best is None or name > best[0]):
                best = (name, destination)
    if best is None or wanted.run_id or best[0] > newest_finished:
        return best
    return None


def _download(name: str, destination: Destination, wanted: Wanted) -> Run:
    """Bring the run *name* (log and acknowledgements of canaries) from *destination* to the controller."""
    prefix = f"{remote_prefix(wanted.environment, wanted.operation)}{name}/"
    data = read_small(destination, prefix + records.LOG_NAME)
    log, torn = records.parse_log(data, destination.location(prefix + records.LOG_NAME))
    directory = os.path.join(wanted.evidence_dir, name)
    os.makedirs(directory, exist_ok=True)
    for key in destination.list(prefix):
        base = key.rsplit("/", 1)[-1]
        if key == prefix + base and base != records.LOG_NAME:
            write_atomically(os.path.join(directory, base), read_small(destination, key))
    # Last, because a directory with a log counts as a run.
    write_atomically(os.path.join(directory, records.LOG_NAME), data[: len(data) - torn])
    return Run(log[0]["run"] if log else name, directory, log, resumed=True, source=destination.name)


@dataclasses.dataclass
class Decision:
    """What beginning would do: resume *run*, or fetch it from *remote*, or begin a new one (neither)."""

    run: Run | None = None
    remote: tuple[str, Destination] | None = None
    problems: list[str] = dataclasses.field(default_factory=list)


def decide(wanted: Wanted, destinations: t.Sequence[Destination]) -> Decision:
    """Look which run there is to resume; writes nothing.

    Raises:
        Refused: the options cannot be used.
        exclusive.Busy: another operation of the environment does not go together with this one.
        lock.RunLocked: another live play works on it.
        records.ChainBroken: its log was changed.
    """
    validate(wanted)
    exclusive.check(wanted.evidence_dir, wanted.environment, wanted.operation)
    runs = local_runs(wanted)
    decision = Decision(run=_pick(runs, wanted))
    if decision.run is not None:
        lock.check(decision.run.dir)
    elif not runs or wanted.run_id:
        decision.remote = _find_remote(wanted, destinations, decision.problems)
    return decision


def _previous(wanted: Wanted) -> dict[str, t.Any] | None:
    """Return id and digest of the newest finished run, so that runs are chained as records are."""
    finished = [run for run in local_runs(wanted) if run.finished]
    if not finished:
        return None
    return {"id": finished[-1].id, "log_sha256": sha256_file(os.path.join(finished[-1].dir, records.LOG_NAME))[0]}


def begin(wanted: Wanted, destinations: t.Sequence[Destination]) -> tuple[Run, list[str]]:
    """Resume the newest unfinished run, or begin a new one, and take its lock.

    Returns:
        The run, and what went wrong at destinations that were asked.
    """
    validate(wanted)
    os.makedirs(wanted.evidence_dir, exist_ok=True)
    guard = os.open(os.path.join(wanted.evidence_dir, f".{wanted.environment}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)  # so that two plays that start together do not both begin
        decision = decide(wanted, destinations)
        run = decision.run
        if run is None and decision.remote is not None:
            run = _download(*decision.remote, wanted)
        if run is None:
            return _begin_new(wanted), decision.problems
        if not run.finished:
            _resume(run, wanted)
        return run, decision.problems
    finally:
        os.close(guard)


def _facts(wanted: Wanted) -> dict[str, t.Any]:
    return {**wanted.facts, "run": {"environment": wanted.environment, "operation": wanted.operation}}


def _begin_new(wanted: Wanted) -> Run:
    previous = _previous(wanted)
    name = wanted.run_id or new_id(wanted)
    directory = os.path.join(wanted.evidence_dir, name)
    os.makedirs(directory, exist_ok=True)
    lock.check(directory)
    lock.take(directory)
    facts = _facts(wanted)
    facts["run"] |= {"previous": previous, "required_checks": [dict(check) for check in wanted.required_checks]}
    entry = records.Entry("run", "run_started", "info", required=False, facts=facts)
    return Run(name, directory, records.append(directory, name, [entry]))


def _resume(run: Run, wanted: Wanted) -> None:
    lock.check(run.dir)
    lock.take(run.dir)
    if is_closed(run.records):
        return  # killed between its last record and its reports: nothing can be added, only the reports are missing
    # A plan can grow when a run is resumed, but not shrink.
    known = records.merge_facts(run.records).get("run", {}).get("required_checks", [])
    plan = [*known, *(dict(check) for check in wanted.required_checks if dict(check) not in known)]
    facts: dict[str, t.Any] = {"run": {"required_checks": plan}} if plan != known else {}
    run.records += records.append(run.dir, run.id, [records.Entry("run", "run_resumed", "info", required=False, facts=facts)])


def close(run_dir: str) -> list[records.Record]:
    """End the log of the run; a log that is ended already stays as it is. Returns all records."""
    log = records.read_log(run_dir)
    if not log:
        raise Refused(f"The log in {run_dir} is empty: there is no run to finish.", hint="Begin one with evidence_run.")
    if is_closed(log):
        return log
    return log + records.append(run_dir, log[0]["run"], [records.Entry("run", "run_finished", "info", required=False)])


def push(run_dir: str, destinations: t.Sequence[Destination]) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Put the run's files to each destination. A destination that is down does not stop the run.

    Returns:
        ``{destination, keys}`` of those that worked, and what went wrong at the others.
    """
    log = records.read_log(run_dir)
    run = records.merge_facts(log)["run"]
    prefix = f"{remote_prefix(run['environment'], run['operation'])}{log[0]['run']}/"
    names = sorted(name for name in os.listdir(run_dir) if not name.startswith(".") and name not in (lock.LOCK_NAME, ENVELOPE_NAME) and name.endswith(_PUSHED))
    if os.path.exists(os.path.join(run_dir, ENVELOPE_NAME)):
        names.append(ENVELOPE_NAME)  # last: its presence says that the run is complete there
    done: list[dict[str, t.Any]] = []
    problems: list[str] = []
    for destination in destinations:
        try:
            for name in names:
                _put_if_other(destination, check_key(prefix + name), os.path.join(run_dir, name))
            done.append({"destination": destination.name, "keys": [prefix + name for name in names]})
        except PlatformError as exc:
            problems.append(f"{destination.name}: {exc.message}")
    return done, problems


_PUSHED = (".jsonl", ".json", ".html", ".xml", ".prom")


def _put_if_other(destination: Destination, key: str, source: str) -> None:
    if destination.size(key) == os.stat(source).st_size and digest_at(destination, key)[0] == sha256_file(source)[0]:
        return
    destination.put(key, source)
