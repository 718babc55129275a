# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The report as one self-contained HTML page."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._evidence.assess import PLATFORM
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import seconds_between
from ansible_collections.resilient.platform.plugins.module_utils._evidence.html_template import STYLE, TEMPLATE
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import need
from ansible_collections.resilient.platform.plugins.module_utils._evidence.render_junit import text_of

JINJA2_ERROR: Exception | None = None
try:
    import jinja2
    import markupsafe
except ImportError as exc:
    JINJA2_ERROR = exc

_DASH = "–"
_SCALE = 1000.0  # width of the timeline's viewBox
_NO_TARGET = {"rto_target_seconds": None, "rpo_target_seconds": None}


def span(seconds: float | None) -> str:
    """Return a duration for people: ``0.4 s``, ``47 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds is None:
        return _DASH
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, name, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit} {name}{f' {rest} {small}' if rest else ''}"
    raise AssertionError("less than a minute was dealt with above")


def size(count: int | None) -> str:
    """Return a number of bytes for people."""
    if count is None:
        return _DASH
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def moment(text: str | None) -> str:
    """Return a time of the evidence without microseconds: ``2026-11-21 05:45:00 UTC``."""
    return f"{text[:10]} {text[11:19]} UTC" if text else _DASH


_TITLES = {"dr_drill": "Disaster recovery drill", "dr_drill_isolated": "Isolated disaster recovery drill", "dr_rebuild": "Disaster recovery"}


def title(operation: str | None) -> str:
    """Return what an operation is called in a heading."""
    return _TITLES.get(operation or "") or words(operation).capitalize()


def words(name: t.Any) -> str:
    """Return a name of the evidence as words."""
    return str(name if name is not None else _DASH).replace("_", " ")


def _timeline(report: t.Mapping[str, t.Any]) -> tuple[list[dict[str, t.Any]], float, list[dict[str, t.Any]]]:
    """Return the rows of the timeline, its end in seconds, and the phases before the disaster."""
    phases = report["phases"]
    shown = [dict(row) for row in phases if row["after_disaster"]] if report["disaster"] else [dict(row) for row in phases]
    if not shown:
        return [], 0.0, [row for row in phases if report["disaster"]]
    if not report["disaster"]:
        _place_in_sequence(shown)
    end = max(row["offset_seconds"] + row["seconds"] for row in shown) or 1.0
    for row in shown:
        row["x"] = round(row["offset_seconds"] / end * _SCALE, 1)
        row["width"] = max(3.0, round(row["seconds"] / end * _SCALE, 1))
    return shown, end, [row for row in phases if report["disaster"] and not row["after_disaster"]]


def _place_in_sequence(rows: list[dict[str, t.Any]]) -> None:
    for row in rows:
        row["offset_seconds"] = max(0.0, seconds_between(rows[0]["started_at"], row["started_at"]))


def _index(value: t.Any) -> t.Any:
    return value.get("index") if isinstance(value, t.Mapping) else value


def _hardening(report: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    rows = sorted(report["hardening"].items())
    return [{"host": host, "before": _index(found.get("before")), "after": _index(found.get("after"))} for host, found in rows if isinstance(found, t.Mapping)]


def render(report: t.Mapping[str, t.Any]) -> bytes:
    """Return *report* as an HTML page in UTF-8; everything in it is escaped."""
    need("jinja2", JINJA2_ERROR)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update(
        {
            "span": span,
            "bytes": size,
            "moment": moment,
            "words": words,
            "title": title,
            "text": text_of,
            "dash": lambda value: _DASH if value is None else value,
        }
    )
    rows, end, before = _timeline(report)
    outcomes = [check["outcome"] for check in report["checks"]]
    copies = [copy for point in report["recovery_points"] for copy in point.get("copies") or [] if copy.get("read_back_sha256")]
    page = environment.from_string(TEMPLATE).render(
        r=report,
        style=markupsafe.Markup(STYLE),
        platform=next((row for row in report["assets"] if row["asset"] == PLATFORM), _NO_TARGET),
        count={outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")},
        copies=len(copies),
        timeline=rows,
        timeline_end=end,
        before=before,
        hardening=_hardening(report),
    )
    return page.encode("utf-8")
