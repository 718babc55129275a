"""The hash chain: what is written can be read, and what was changed is named."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import records
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical
from ansible_collections.resilient.platform.plugins.module_utils._evidence.records import ChainBroken, Entry


def log_of(directory: pathlib.Path, count: int = 3) -> pathlib.Path:
    for number in range(1, count + 1):
        records.append(str(directory), "r1", [Entry("step", f"check{number}", "passed", facts={"n": number})])
    return directory / records.LOG_NAME


def test_records_are_numbered_and_chained(tmp_path: pathlib.Path) -> None:
    log_of(tmp_path)
    found = records.read_log(str(tmp_path))
    assert [record["sequence"] for record in found] == [1, 2, 3]
    assert found[0]["previous"] == records.GENESIS
    assert [record["previous"] for record in found[1:]] == [record["digest"] for record in found[:-1]]
    assert set(found[0]) == set(records.FIELDS)


def test_line_is_canonical_json(tmp_path: pathlib.Path) -> None:
    line = log_of(tmp_path, 1).read_bytes()
    assert line == canonical(json.loads(line)) + b"\n"


def test_whole_numbers_are_written_without_fraction(tmp_path: pathlib.Path) -> None:
    records.append(str(tmp_path), "r1", [Entry("s", "c", "passed", duration_seconds=2.0, actual=[1.5, 3.0], facts={"big": 1e300})])
    assert b'"actual":[1.5,3]' in (tmp_path / records.LOG_NAME).read_bytes()
    assert records.read_log(str(tmp_path))[0]["duration_seconds"] == 2


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_changed_byte_is_noticed_and_its_record_named(tmp_path: pathlib.Path, number: int) -> None:
    path = log_of(tmp_path)
    whole = path.read_bytes()
    lines = whole.split(b"\n")[:-1]
    start = sum(len(line) + 1 for line in lines[: number - 1])
    for offset in range(start, start + len(lines[number - 1])):
        changed = bytearray(whole)
        changed[offset] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises(ChainBroken) as caught:
            records.read_log(str(tmp_path))
        assert caught.value.details["record"] == number


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2]], 2),
        (lambda lines: [lines[0], lines[0], lines[1]], 2),
        (lambda lines: [lines[0], lines[2], lines[1]], 2),
        (lambda lines: [lines[0], b"", lines[1]], 2),
        (lambda lines: [lines[0], b"[]"], 2),
        (lambda lines: [lines[0].replace(b'"version":1', b'"version":2')], 1),
        (lambda lines: [lines[0].replace(b'"asset"', b' "asset"')], 1),
    ],
)
def test_missing_moved_and_foreign_records_are_named(tmp_path: pathlib.Path, change: t.Callable[[list[bytes]], list[bytes]], named: int) -> None:
    path = log_of(tmp_path)
    lines = change(path.read_bytes().split(b"\n")[:-1])
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.raises(ChainBroken, match=f"Record {named} "):
        records.read_log(str(tmp_path))


def test_record_of_another_run_is_refused_though_its_digest_is_right(tmp_path: pathlib.Path) -> None:
    path = log_of(tmp_path, 1)
    foreign = {**json.loads(path.read_bytes()), "run": "r2", "sequence": 2}
    foreign["previous"] = foreign["digest"]
    foreign["digest"] = records.digest_of(foreign)
    path.write_bytes(path.read_bytes() + canonical(foreign) + b"\n")
    with pytest.raises(ChainBroken, match="belongs to the run 'r2'"):
        records.read_log(str(tmp_path))


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_torn_last_line_is_left_out_and_cut_off_by_the_next_append(tmp_path: pathlib.Path, cut: int) -> None:
    path = log_of(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    assert len(records.read_log(str(tmp_path))) == 2
    records.append(str(tmp_path), "r1", [Entry("s", "after", "info")])
    found = records.read_log(str(tmp_path))
    assert [record["check"] for record in found] == ["check1", "check2", "log_repaired", "after"]
    assert "bytes of an unfinished last line" in found[2]["actual"]


def test_changed_log_is_not_added_to(tmp_path: pathlib.Path) -> None:
    path = log_of(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"check2", b"check9"))
    before = path.read_bytes()
    with pytest.raises(ChainBroken):
        records.append(str(tmp_path), "r1", [Entry("s", "c", "info")])
    assert path.read_bytes() == before


def test_finished_run_is_not_added_to(tmp_path: pathlib.Path) -> None:
    records.append(str(tmp_path), "r1", [Entry("run", "run_finished", "info")])
    with pytest.raises(Refused, match="is finished"):
        records.append(str(tmp_path), "r1", [Entry("s", "c", "info")])


def test_other_run_is_not_mixed_in(tmp_path: pathlib.Path) -> None:
    log_of(tmp_path, 1)
    with pytest.raises(Refused, match="the log of r1"):
        records.append(str(tmp_path), "r2", [Entry("s", "c", "info")])


def test_absent_log_is_an_error(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="Cannot read the evidence log"):
        records.read_log(str(tmp_path))


@pytest.mark.parametrize(
    "entry", [Entry("", "c", "info"), Entry("s", "", "info"), Entry("s", "c", "info", actual=float("nan")), Entry("s", "c", "info", actual=b"x")]
)
def test_entry_that_is_no_record_is_refused_before_the_first_write(tmp_path: pathlib.Path, entry: Entry) -> None:
    with pytest.raises(Refused):
        records.append(str(tmp_path), "r1", [Entry("s", "good", "info"), entry])
    assert not (tmp_path / records.LOG_NAME).exists()


def test_facts_are_merged_and_lists_replaced(tmp_path: pathlib.Path) -> None:
    for facts in ({"a": {"x": 1}, "l": [1]}, {"a": {"y": 2}, "l": [2]}, {"a": {"x": 3}, "b": 1}, {"b": {"c": 1}}):
        records.append(str(tmp_path), "r1", [Entry("s", "c", "info", facts=facts)])
    assert records.merge_facts(records.read_log(str(tmp_path))) == {"a": {"x": 3, "y": 2}, "l": [2], "b": {"c": 1}}


def test_step_is_done_when_it_finished_well(tmp_path: pathlib.Path) -> None:
    for step, check, outcome in [
        ("a", "step_finished", "passed"),
        ("b", "step_finished", "failed"),
        ("c", "step_started", "info"),
        ("a", "step_finished", "passed"),
    ]:
        records.append(str(tmp_path), "r1", [Entry(step, check, t.cast(records.Outcome, outcome))])
    assert records.steps_done(records.read_log(str(tmp_path))) == ["a"]


def test_clock_without_boot_id_is_comparable_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: t.Any, **_kwargs: t.Any) -> t.NoReturn:
        raise OSError

    monkeypatch.setattr("builtins.open", refuse)
    assert records.read_clock()["boot_id"] is None
