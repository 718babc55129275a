"""Which backups a retention keeps (PVE::Storage::Plugin::prune_mark_backup_group)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

_PERIODS: tuple[tuple[str, str], ...] = (
    ("keep-hourly", "%Y-%m-%d %H"), ("keep-daily", "%Y-%m-%d"), ("keep-weekly", "%G-%V"), ("keep-monthly", "%Y-%m"), ("keep-yearly", "%Y"),
)


def parse(text: str) -> dict[str, int]:
    """Return the numbers of ``keep-last=3,keep-daily=7``."""
    return {key: int(value) for key, _, value in (part.partition("=") for part in text.split(",") if part)}


def marks(times: Mapping[str, int], keep: Mapping[str, int]) -> dict[str, str]:
    """Return 'keep' or 'remove' for each backup of one guest.

    Args:
        times: When each was made, in seconds since the epoch. Protected ones are not among them.
        keep: By kind. Nothing, or ``keep-all``, keeps everything.
    """
    newest_first = sorted(times, key=lambda name: -times[name])
    if keep.get("keep-all") or not any(keep.values()):
        return dict.fromkeys(newest_first, "keep")
    found: dict[str, str] = dict.fromkeys(newest_first[: keep.get("keep-last", 0)], "keep")
    for kind, form in _PERIODS:
        if keep.get(kind):
            _mark(newest_first, found, keep[kind], lambda name, form=form: time.strftime(form, time.localtime(times[name])))  # type: ignore[misc]
    return {name: found.get(name, "remove") for name in newest_first}


def _mark(names: Sequence[str], found: dict[str, str], count: int, period: Callable[[str], str]) -> None:
    """Keep the newest of each period that has none yet, for ``count`` periods."""
    covered = {period(name) for name in names if found.get(name) == "keep"}
    new: set[str] = set()
    for name in names:
        if name in found:
            continue
        if period(name) in covered:
            continue
        if period(name) not in new:
            if len(new) >= count:
                break
            new.add(period(name))
            found[name] = "keep"
        else:
            found[name] = "remove"
