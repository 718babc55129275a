"""What a set of files should be: the pure half of host_files."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._host.files import Current, Line, Wanted, edit, plan


def wanted(**options: t.Any) -> Wanted:
    return Wanted.from_params({"path": "/etc/x", "state": "present", **options})


FILE = Current("file", "a\nb\n", "root", "root", 0o644)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"path": "etc/x"}, "not an absolute path"),
        ({"content": "", "lines": [{"match": "a"}]}, "exclude each other"),
        ({"content": "x", "state": "absent"}, "need state=present"),
        ({"mode": "0644", "max_mode": "0600"}, "mode and max_mode exclude"),
        ({"mode": "u=rw"}, "no octal mode"),
        ({"mode": "0899"}, "no octal mode"),
        ({"lines": [{"match": "("}]}, "no regular expression"),
        ({"lines": [{"match": "^b", "line": "a"}]}, "not matched by its own pattern"),
        ({"lines": [{"match": "a", "line": "a\nb"}]}, "not matched by its own pattern"),
    ],
)
def test_bad_input_is_refused(options: dict[str, t.Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        wanted(**options)


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        ("a\nb\n", [Line("^a", "a1")], "a1\nb\n"),
        ("a\na2\nb\n", [Line("^a", "a1")], "a1\nb\n"),
        ("b\n", [Line("^a", "a1")], "b\na1\n"),
        ("b", [Line("^a", "a1")], "b\na1\n"),
        ("", [Line("^a", "a1")], "a1\n"),
        ("a\nb\na\n", [Line("^a", None)], "b\n"),
        ("a\nb\n", [Line("^a", "b1 a"), Line("^b1", "b1")], "b1\nb\n"),
    ],
    ids=["replaced", "doubles dropped", "appended", "no end of line", "empty", "removed", "in order"],
)
def test_lines_are_edited(text: str, lines: list[Line], expected: str) -> None:
    assert edit(text, lines) == expected


def test_editing_twice_is_editing_once() -> None:
    lines = [Line(r"^#?\s*UMASK\s", "UMASK 027"), Line("^x=", "x=1")]
    once = edit("# UMASK 022\ny\n", lines)
    assert edit(once, lines) == once


def test_missing_file_is_created() -> None:
    step = plan(wanted(content="x\n", mode="0600"), Current())
    assert (step.create, step.content, step.mode, step.changed) == (True, "x\n", 0o600, True)


def test_same_content_and_mode_is_unchanged() -> None:
    assert not plan(wanted(content="a\nb\n", mode="0644", owner="root"), FILE).changed


def test_other_mode_alone_writes_no_content() -> None:
    step = plan(wanted(content="a\nb\n", mode="0600"), FILE)
    assert step.changed and step.content is None and step.mode == 0o600
    assert step.diff() == [
        {"before_header": "/etc/x (attributes)", "after_header": "/etc/x (attributes)", "before": {"mode": "0644"}, "after": {"mode": "0600"}}
    ]


def test_unset_attributes_are_left_alone() -> None:
    step = plan(wanted(content="c\n"), FILE)
    assert (step.owner, step.group, step.mode) == (None, None, None)
    assert step.diff() == [{"before_header": "/etc/x", "after_header": "/etc/x", "before": "a\nb\n", "after": "c\n"}]


@pytest.mark.parametrize(("have", "most", "then"), [(0o755, "0750", 0o750), (0o700, "0750", None), (0o4755, "0750", 0o750), (0o644, "0755", None)])
def test_max_mode_only_takes_bits_away(have: int, most: str, then: int | None) -> None:
    step = plan(wanted(state="existing", max_mode=most), Current("file", None, "root", "root", have))
    assert step.mode == then and step.changed is (then is not None)


def test_existing_is_satisfied_with_nothing() -> None:
    assert not plan(wanted(state="existing", mode="0600"), Current()).changed


def test_directory_is_created_and_shown() -> None:
    step = plan(wanted(state="directory"), Current())
    assert step.changed and step.diff()[0]["after"] == {"state": "directory"}
    assert not plan(wanted(state="directory"), Current("directory", None, "root", "root", 0o755)).changed


def test_absent_removes_a_file_once() -> None:
    step = plan(wanted(state="absent"), FILE)
    assert step.remove and step.diff()[0]["before"] == "a\nb\n"
    assert not plan(wanted(state="absent"), Current()).changed


@pytest.mark.parametrize(("state", "kind"), [("absent", "directory"), ("present", "directory"), ("directory", "file")])
def test_what_would_lose_something_is_refused(state: str, kind: str) -> None:
    with pytest.raises(Refused, match="directory"):
        plan(wanted(state=state), Current(kind, None, "root", "root", 0o755))


def test_lines_of_a_missing_file_are_refused_but_predicted() -> None:
    file = wanted(lines=[{"match": "^a", "line": "a"}])
    with pytest.raises(Refused, match="does not exist"):
        plan(file, Current())
    assert plan(file, Current(), predicting=True).content == "a\n"


def test_present_without_content_makes_an_empty_file_only() -> None:
    assert plan(wanted(), Current()).content == ""
    assert not plan(wanted(), FILE).changed
