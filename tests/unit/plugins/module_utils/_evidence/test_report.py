"""Reports: the same figures in every format, nothing from outside in the page, and the schemas hold."""

from __future__ import annotations

import html.parser
import json
import pathlib
import re
import shutil
import subprocess
import typing as t
import xml.etree.ElementTree as ET

import jsonschema
import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import (
    manifest,
    records,
    render_html,
    render_junit,
    render_metrics,
    report,
    run,
    signing,
)
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import utc_now
from ansible_collections.resilient.platform.plugins.module_utils._evidence.records import Entry

from helpers.evidence import CANARY, POINT, add, finish, good_run, make_keys, wanted

SCHEMAS = pathlib.Path(__file__).resolve().parents[5] / "docs/schemas"
NASTY = "<script>alert('x')</script>&\"\x00"
OBJECTIVES = {"platform": {"rto_seconds": 600.0, "rpo_seconds": 300.0}, "vault": {"rto_seconds": 600.0, "rpo_seconds": 1.0}}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_keys(tmp_path_factory.mktemp("keys"))


def rich_run(directory: pathlib.Path, private: str) -> tuple[pathlib.Path, report.Report]:
    """A drill with something of everything, in which much went wrong, and with text that is hostile to formats."""
    good_run(directory, private, OBJECTIVES)
    begun, _problems = run.begin(
        wanted(directory, required_checks=[{"check": "canary", "asset": "files", "data": True}], facts={"controller": {"user": "me", "awx_job": None}}), []
    )
    zfs = {
        "asset": "files",
        "kind": "zfs_snapshot",
        "id": "tank/files@1",
        "taken_at": POINT["taken_at"],
        "size_bytes": None,
        "sha256": None,
        "details": {"guid": "1"},
    }
    before = [
        Entry("provision", "step_started", "info"),
        Entry("provision", "step_finished", "passed"),
        Entry("backup", "read_back", "passed", asset="vault", data=True, expected={"sha256": "a"}, actual={"sha256": "a"}, duration_seconds=0.25),
        Entry(
            "backup", "manifest", "info", facts={"recovery_points": [POINT, zfs], "hardening": {"vault-1": {"before": 63, "after": {"index": 87}}, "odd": 1}}
        ),
    ]
    add(begun.dir, *before)
    add(begun.dir, Entry("disaster", "declared", "info", facts={"disaster": {"declared_at": utc_now(), **records.read_clock()}}))
    add(begun.dir, Entry("rebuild", "step_started", "info"), Entry("rebuild", "guest", "failed", asset="vault-1", expected="answers", actual=NASTY))
    run.begin(wanted(directory), [])
    after = [
        Entry("rebuild", "guest", "passed", asset="vault-1", expected="answers", actual="answers"),
        Entry("rebuild", "step_finished", "passed"),
        Entry("prove", "canary", "passed", asset="vault", data=True, facts={"canaries": {"vault": CANARY}}),
        Entry(
            "prove",
            "canary",
            "skipped",
            asset="files",
            data=True,
            actual="no answer",
            facts={
                "canaries": {
                    "files": {**CANARY, "asset": "files", "verdict": "could_not_verify", "reason": NASTY, "rpo_seconds": None, "newest_recovered_at": None}
                }
            },
        ),
        Entry(
            "prove",
            "auditd",
            "skipped",
            required=False,
            asset="vault-1",
            actual="a container has no audit",
            facts={"not_applicable": {"vault-1": [{"control": "time sync", "reason": "container"}]}, "not_tested": ["failover of the NAS", NASTY]},
        ),
        Entry("prove", "firewall", "failed", asset="vault-1", expected=["22"], actual=["22", "23"]),
    ]
    add(begun.dir, *after)
    return pathlib.Path(begun.dir), finish(begun.dir, private, OBJECTIVES)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory, keys: tuple[str, str]) -> tuple[pathlib.Path, report.Report]:
    return rich_run(tmp_path_factory.mktemp("rich"), keys[0])


class Page(html.parser.HTMLParser):
    """Collects tags and text, and checks that tags are closed in order."""

    VOID = {"meta", "br", "rect", "link", "img"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}>"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


def page_of(run_dir: pathlib.Path) -> Page:
    return Page((run_dir / "report.html").read_text(encoding="utf-8"))


def test_page_is_well_formed_and_asks_nobody(rich: tuple[pathlib.Path, report.Report]) -> None:
    text = (rich[0] / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object"), tag
        assert not {"src", "href", "onload", "onclick"} & attributes.keys()
    assert not re.search(r"url\(|@import|@font-face", text)
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and "@media print" in text and "max-width: 680px" in text
    assert ("name", "viewport") in [(key, value) for tag, attributes in page.tags if tag == "meta" for key, value in attributes.items()]


def test_hostile_text_is_escaped(rich: tuple[pathlib.Path, report.Report]) -> None:
    text = (rich[0] / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text and "&lt;script&gt;" in text


def test_page_says_what_the_report_says(rich: tuple[pathlib.Path, report.Report]) -> None:
    text = " ".join(page_of(rich[0]).text.split())
    for part in (
        "✗ Failed", "prove: firewall of vault-1 failed", "RPO of vault is 2.5 s and the target 1 s", "20261121T054500Z-42", "2.0 KiB", "✓ equal",
        "by guid", "63", "87", "failover of the NAS", "time sync", "a container has no audit", "Failed first, then repeated", "resumed 1 time",
        "Earlier runs", "user me",
        rich[1]["evidence"]["sha256"], "cosign verify-blob-attestation", "verify.py", "Before the disaster: 2 steps", "monotonic clock",
    ):  # fmt: skip
        assert part in text, part


def test_good_page_says_verified(tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    text = page_of(good_run(tmp_path, keys[0])).text
    assert "✓ Verified" in text and "Nothing was skipped" in text and "not finished" not in text


def test_page_of_a_backup_has_a_timeline_and_no_objectives(tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    begun, _problems = run.begin(wanted(tmp_path, operation="backup"), [])
    add(begun.dir, Entry("backup", "step_started", "info"), Entry("backup", "read_back", "passed", data=True), Entry("backup", "step_finished", "passed"))
    built, files = report.compose(begun.dir, OBJECTIVES, None)
    page = Page(files["report.html"].decode())
    assert built["verdict"] == "verified" and "not finished" in page.text and "Timeline" in page.text and "Objectives" not in page.text
    assert run.ENVELOPE_NAME not in files


def test_page_of_a_run_that_only_began(tmp_path: pathlib.Path) -> None:
    begun, _problems = run.begin(wanted(tmp_path), [])
    text = Page(report.compose(begun.dir, {}, None)[1]["report.html"].decode()).text
    assert "? Could not verify" in text and "No check was made" in text and "No recovery point" in text


def test_disaster_alone_has_no_timeline_yet(tmp_path: pathlib.Path) -> None:
    begun, _problems = run.begin(wanted(tmp_path), [])
    add(begun.dir, Entry("run", "declared", "info", facts={"disaster": {"declared_at": utc_now(), **records.read_clock()}}))
    assert "Timeline" not in Page(report.compose(begun.dir, {}, None)[1]["report.html"].decode()).text


def schema(name: str) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def test_records_and_report_follow_their_schemas(rich: tuple[pathlib.Path, report.Report], tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    for run_dir in (rich[0], good_run(tmp_path, keys[0])):
        jsonschema.validate(json.loads((run_dir / "report.json").read_bytes()), schema("report-v1"))
        for record in records.read_log(str(run_dir)):
            jsonschema.validate(record, schema("evidence-record-v1"))


def test_manifest_follows_its_schema() -> None:
    points = [
        POINT,
        {
            "asset": "files",
            "kind": "zfs_snapshot",
            "id": "tank@1",
            "taken_at": utc_now(),
            "size_bytes": 1,
            "sha256": None,
            "details": {"guid": "1"},
            "newest_canary": None,
            "copies": [],
        },
    ]
    manifest.check_points(points)
    made = manifest.make("lab", "r1", points, None, utc_now())
    jsonschema.validate(made, schema("manifest-v1"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**made, "version": 2}, schema("manifest-v1"))


def test_junit_counts_what_failed(rich: tuple[pathlib.Path, report.Report]) -> None:
    root = ET.fromstring((rich[0] / "junit.xml").read_bytes())
    found = {suite.get("name"): (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) for suite in root}
    assert found == {"backup": ("1", "0", "0", "0"), "rebuild": ("1", "0", "0", "0"), "prove": ("4", "1", "1", "1"), "verdict": ("1", "1", "0", "0")}
    assert 'expected ["22"], got ["22", "23"]' in [item.get("message") for item in root.iter("failure")]


def test_junit_of_what_could_not_be_verified_is_an_error_and_not_green(tmp_path: pathlib.Path) -> None:
    begun, _problems = run.begin(wanted(tmp_path), [])
    root = ET.fromstring(report.compose(begun.dir, {}, None)[1]["junit.xml"])
    assert [suite.get("errors") for suite in root] == ["1"]


def test_text_that_xml_cannot_hold_is_left_out() -> None:
    assert render_junit._clean("a\x00b￾c") == "abc" and render_junit._clean(None) == ""


def samples(run_dir: pathlib.Path) -> dict[str, str]:
    lines = (run_dir / "metrics.prom").read_text(encoding="utf-8").splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_metrics_have_the_figures(rich: tuple[pathlib.Path, report.Report]) -> None:
    found = samples(rich[0])
    base = 'environment="lab",operation="dr_drill"'
    assert found[f"resilient_platform_run_verified{{{base}}}"] == "0"
    assert f"resilient_platform_run_verified_timestamp_seconds{{{base}}}" not in found
    assert found[f'resilient_platform_rpo_seconds{{{base},asset="vault"}}'] == "2.5"
    assert found[f'resilient_platform_rto_target_seconds{{{base},asset="platform"}}'] == "600.0"
    assert found[f'resilient_platform_canary_lost{{{base},store="vault"}}'] == "2"
    assert found[f'resilient_platform_checks{{{base},outcome="skipped"}}'] == "2"


def test_metrics_of_a_verified_run_have_its_time(tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    found = samples(good_run(tmp_path, keys[0]))
    assert any(name.startswith("resilient_platform_run_verified_timestamp_seconds") for name in found)


def test_labels_are_escaped() -> None:
    assert render_metrics._label('a"b\\c\nd') == 'a\\"b\\\\c\\nd' and render_metrics._label(None) == ""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_metrics(rich: tuple[pathlib.Path, report.Report]) -> None:
    done = subprocess.run(["promtool", "check", "metrics"], input=(rich[0] / "metrics.prom").read_bytes(), check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_envelope_says_passed_only_if_verified(rich: tuple[pathlib.Path, report.Report], tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    def predicate(run_dir: pathlib.Path) -> dict[str, t.Any]:
        sealed = (run_dir / run.ENVELOPE_NAME).read_bytes()
        found: dict[str, t.Any] = json.loads(signing.unseal(sealed, signing.load_public_key(keys[1]), "x"))["predicate"]
        return found

    good = good_run(tmp_path, keys[0])
    assert predicate(good)["result"] == "PASSED" and predicate(good)["passedTests"] == ["backup/vault/read_back", "prove/vault/canary"]
    bad = predicate(rich[0])
    assert bad["result"] == "FAILED" and bad["failedTests"] == ["prove/vault-1/firewall"] and "prove/files/canary" in bad["warnedTests"]
    begun, _problems = run.begin(wanted(tmp_path), [])
    finish(begun.dir, keys[0])
    assert predicate(pathlib.Path(begun.dir))["result"] == "FAILED"


def test_report_is_made_from_the_log_and_stays_the_same(tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    first = good_run(tmp_path, keys[0])
    second = good_run(tmp_path, keys[0])
    for run_dir in (first, second):
        _built, files = report.compose(str(run_dir), {}, signing.load_private_key(keys[0]))
        assert report.other_than(str(run_dir), files) == [] and not report.write(str(run_dir), files)
    assert [item["run"] for item in json.loads((second / "report.json").read_bytes())["history"]] == [first.name]


def test_damaged_report_of_another_run_is_no_obstacle(tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    first = good_run(tmp_path, keys[0])
    (first / "report.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "report.json").write_text('{"run": {}}')
    built = json.loads((good_run(tmp_path, keys[0]) / "report.json").read_bytes())
    assert built["history"] == []


def test_empty_log_has_no_report(tmp_path: pathlib.Path) -> None:
    (tmp_path / records.LOG_NAME).touch()
    with pytest.raises(Refused, match="is empty"):
        report.compose(str(tmp_path), {}, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.44, "0.4 s"),
        (47.4, "47 s"),
        (59.6, "1 min"),
        (600, "10 min"),
        (3600, "1 h"),
        (86400, "1 d"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations_for_people(seconds: float | None, text: str) -> None:
    assert render_html.span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "–"), (17, "17 B"), (2048, "2.0 KiB"), (5 * 1024**2, "5.0 MiB"), (1024**3, "1.0 GiB"), (3 * 1024**4, "3.0 TiB")]
)
def test_sizes_for_people(count: int | None, text: str) -> None:
    assert render_html.size(count) == text


def test_age_of_a_point_without_a_usable_time_is_unknown() -> None:
    from ansible_collections.resilient.platform.plugins.module_utils._evidence.assess import age_seconds

    assert age_seconds({}, utc_now()) is None and age_seconds({"taken_at": "x"}, utc_now()) is None


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_html, "JINJA2_ERROR", ImportError("No module named jinja2"))
    with pytest.raises(Exception, match="jinja2"):
        render_html.render({})
