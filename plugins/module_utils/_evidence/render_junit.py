# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The report as JUnit XML, for CI systems: a suite for each step, a case for each check."""

from __future__ import annotations

import json
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import seconds_between

# XML 1.0 has no way to write these.
_FORBIDDEN = {number: None for number in range(32) if number not in (9, 10, 13)} | {0xFFFE: None, 0xFFFF: None}


def text_of(value: t.Any) -> str:
    """Return *value* (JSON) as text for people."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _clean(value: t.Any) -> str:
    return text_of(value).translate(_FORBIDDEN)


def _case(suite: ET.Element, check: t.Mapping[str, t.Any]) -> None:
    asset = f"{check['asset']}: " if check["asset"] else ""
    case = ET.SubElement(
        suite, "testcase", classname=_clean(check["step"]), name=_clean(f"{asset}{check['check']}"), time=f"{check['duration_seconds'] or 0:.3f}"
    )
    said = f"expected {_clean(check['expected'])}, got {_clean(check['actual'])}" if check["expected"] is not None else _clean(check["actual"])
    if check["outcome"] == "failed" and check["required"]:
        ET.SubElement(case, "failure", message=said)
    elif check["outcome"] == "skipped" and check["required"]:
        ET.SubElement(case, "error", message=f"could not verify: {said}")
    elif check["outcome"] != "passed":
        ET.SubElement(case, "skipped", message=said)


def render(report: t.Mapping[str, t.Any]) -> bytes:
    """Return *report* as JUnit XML."""
    about = report["run"]
    total = seconds_between(about["started_at"], about["ended_at"])
    root = ET.Element("testsuites", name=_clean(about["id"]), time=f"{total:.3f}")
    suites: dict[str, ET.Element] = {}
    for check in report["checks"]:
        if check["step"] not in suites:
            suites[check["step"]] = ET.SubElement(root, "testsuite", name=_clean(check["step"]), timestamp=check["time"])
        _case(suites[check["step"]], check)
    verdict = ET.SubElement(root, "testsuite", name="verdict", timestamp=about["ended_at"])
    properties = ET.SubElement(verdict, "properties")
    for name in ("verdict", "rto_seconds", "rpo_seconds"):
        ET.SubElement(properties, "property", name=name, value=_clean(report[name]))
    case = ET.SubElement(verdict, "testcase", classname="verdict", name="verdict", time="0.000")
    if report["verdict"] != "verified":
        kind = "failure" if report["verdict"] == "failed" else "error"
        ET.SubElement(case, kind, message=_clean("; ".join(report["reasons"])))
    for suite in root:
        for attribute, tags in {"tests": "testcase", "failures": ".//failure", "errors": ".//error", "skipped": ".//skipped"}.items():
            suite.set(attribute, str(len(suite.findall(tags))))
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()
