# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The report as a Prometheus text file, for the textfile collector of the node exporter."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import parse_time

_PREFIX = "resilient_platform_"
Sample = tuple[dict[str, t.Any], t.Optional[float]]


def _label(value: t.Any) -> str:
    return str("" if value is None else value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def family(name: str, about: str, samples: t.Iterable[Sample]) -> list[str]:
    lines: list[str] = []
    for labels, value in samples:
        if value is not None:
            inside = ",".join(f'{key}="{_label(item)}"' for key, item in labels.items())
            lines.append(f"{_PREFIX}{name}{{{inside}}} {value!r}")
    return [f"# HELP {_PREFIX}{name} {about}", f"# TYPE {_PREFIX}{name} gauge", *lines] if lines else []


def render(report: t.Mapping[str, t.Any]) -> bytes:
    """Return *report* in the text format of Prometheus."""
    about = report["run"]
    base = {"environment": about["environment"], "operation": about["operation"]}
    ended = parse_time(about["ended_at"]).timestamp()
    assets = [({**base, "asset": row["asset"]}, row) for row in report["assets"]]
    stores = [({**base, "store": row["store"]}, row) for row in report["canaries"]]
    outcomes = [check["outcome"] for check in report["checks"]]
    points = [({**base, "asset": point["asset"], "id": point["id"]}, point) for point in report["recovery_points"]]
    good = report["verdict"] == "verified"
    families = [
        family("run_info", "The newest run; its value is always 1.", [({**base, "run": about["id"], "verdict": report["verdict"]}, 1)]),
        family("run_verified", "1 if the verdict is verified, 0 if it failed or could not be verified.", [(base, int(good))]),
        family("run_end_timestamp_seconds", "When the newest run ended.", [(base, ended)]),
        family("run_verified_timestamp_seconds", "When the newest run ended, if its verdict is verified.", [(base, ended if good else None)]),
        family(
            "rto_seconds",
            "Measured time from the disaster to the last required check that became green.",
            [(labels, row["rto_seconds"]) for labels, row in assets],
        ),
        family("rto_target_seconds", "Objective for the recovery time.", [(labels, row["rto_target_seconds"]) for labels, row in assets]),
        family("rpo_seconds", "Measured time from the newest recovered canary to the disaster.", [(labels, row["rpo_seconds"]) for labels, row in assets]),
        family("rpo_target_seconds", "Objective for the loss of data.", [(labels, row["rpo_target_seconds"]) for labels, row in assets]),
        family(
            "phase_duration_seconds",
            "Duration of a step.",
            [({**base, "step": row["step"], "after_disaster": str(row["after_disaster"]).lower()}, row["seconds"]) for row in report["phases"]],
        ),
        family(
            "checks", "Number of checks by outcome.", [({**base, "outcome": outcome}, outcomes.count(outcome)) for outcome in ("passed", "failed", "skipped")]
        ),
        family("canary_recovered", "Canaries that were found again.", [(labels, row.get("recovered")) for labels, row in stores]),
        family("canary_lost", "Acknowledged canaries that were not found again.", [(labels, row.get("lost")) for labels, row in stores]),
        family("canary_phantom", "Canaries that were found and never written.", [(labels, row.get("phantom")) for labels, row in stores]),
        family("recovery_point_size_bytes", "Size of a recovery point.", [(labels, point.get("size_bytes")) for labels, point in points]),
        family(
            "recovery_point_taken_timestamp_seconds",
            "When a recovery point was taken.",
            [(labels, parse_time(point["taken_at"]).timestamp()) for labels, point in points],
        ),
    ]
    return "".join(f"{line}\n" for family in families for line in family).encode("utf-8")
