# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What a set of files should be and what has to be done for it: pure functions over what was read from disk."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

STATES = ("present", "existing", "directory", "absent")


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of a file: whatever matches ``match`` becomes ``line``; without a ``line`` the matches are removed."""

    match: str
    line: str | None


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One file or directory as it should be. ``None`` means: leave that as it is."""

    path: str
    state: str = "present"
    content: str | None = None
    lines: tuple[Line, ...] = ()
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    max_mode: int | None = None
    validate: str | None = None

    @classmethod
    def from_params(cls, params: dict[str, t.Any]) -> Wanted:
        """Return the wanted file of one entry of the ``files`` option.

        Raises:
            Refused: a mode that is no octal number, a pattern that is no regular expression, or options that exclude each other.
        """
        path = params["path"]
        lines = tuple(Line(entry["match"], entry.get("line")) for entry in params.get("lines") or ())
        content = params.get("content")
        if not path.startswith("/"):
            raise Refused(f"Cannot manage '{path}': it is not an absolute path.")
        if content is not None and lines:
            raise Refused(f"Cannot manage {path}: content and lines exclude each other.", hint="Give the whole content or single lines.")
        if (content is not None or lines) and params["state"] != "present":
            raise Refused(f"Cannot manage {path}: content and lines need state=present, not {params['state']}.")
        if params.get("mode") is not None and params.get("max_mode") is not None:
            raise Refused(f"Cannot manage {path}: mode and max_mode exclude each other.")
        for line in lines:
            check_line(path, line)
        return cls(
            path=path,
            state=params["state"],
            content=content,
            lines=lines,
            owner=params.get("owner"),
            group=params.get("group"),
            mode=parse_mode(path, params.get("mode")),
            max_mode=parse_mode(path, params.get("max_mode")),
            validate=params.get("validate"),
        )


@dataclasses.dataclass(frozen=True)
class Current:
    """One file or directory as it is. ``kind`` is file, directory or None (not there)."""

    kind: str | None = None
    content: str | None = None
    owner: str | None = None
    group: str | None = None
    mode: int | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What has to be done for one file."""

    path: str
    create: bool = False
    remove: bool = False
    content: str | None = None
    before: str = ""
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    attributes_before: dict[str, str] = dataclasses.field(default_factory=dict)
    attributes_after: dict[str, str] = dataclasses.field(default_factory=dict)
    validate: str | None = None

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return self.create or self.remove or self.content is not None or bool(self.attributes_after)

    def diff(self) -> list[dict[str, t.Any]]:
        """Return the entries for the module's ``diff``: one for the text, one for owner, group and mode."""
        entries: list[dict[str, t.Any]] = []
        if self.content is not None or self.remove:
            entries.append({"before_header": self.path, "after_header": self.path, "before": self.before, "after": self.content or ""})
        if self.attributes_after or (self.create and self.content is None):
            header = f"{self.path} (attributes)"
            before: dict[str, str] = self.attributes_before if not self.create else {}
            entries.append({"before_header": header, "after_header": header, "before": before, "after": self.attributes_after or {"state": "directory"}})
        return entries


def parse_mode(path: str, text: str | None) -> int | None:
    """Return an octal mode such as ``0640`` as a number.

    Raises:
        Refused: it is no octal number up to 7777.
    """
    if text is None:
        return None
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise Refused(f"Cannot manage {path}: '{text}' is no octal mode.", hint='Quote it, such as "0640".')
    return int(text, 8)


def check_line(path: str, line: Line) -> None:
    """Refuse a line that would be added again on each run because its own pattern does not match it."""
    try:
        pattern = re.compile(line.match)
    except re.error as exc:
        raise Refused(f"Cannot edit {path}: '{line.match}' is no regular expression ({exc}).") from exc
    if line.line is not None and ("\n" in line.line or not pattern.search(line.line)):
        text = f"Cannot edit {path}: the line '{line.line}' is not matched by its own pattern '{line.match}'."
        raise Refused(text, hint="It would be added again on each run.")


def edit(text: str, lines: t.Iterable[Line]) -> str:
    """Return *text* with *lines* in place: the first match is replaced, further matches are dropped, a missing line goes to the end."""
    result = text.splitlines()
    for line in lines:
        pattern = re.compile(line.match)
        hits = [number for number, old in enumerate(result) if pattern.search(old)]
        if line.line is None:
            result = [old for number, old in enumerate(result) if number not in hits]
        elif hits:
            result[hits[0]] = line.line
            result = [old for number, old in enumerate(result) if number not in hits[1:]]
        else:
            result.append(line.line)
    return "".join(f"{line}\n" for line in result)


def plan(wanted: Wanted, current: Current, *, predicting: bool = False) -> Plan:
    """Return what turns *current* into *wanted*.

    Args:
        wanted: What should be.
        current: What is.
        predicting: Check mode. A file to edit that a package has yet to bring is then taken as empty.

    Raises:
        Refused: what is there cannot become what is wanted without losing something.
    """
    path = wanted.path
    if wanted.state == "absent":
        return plan_removal(path, current)
    if wanted.state == "existing" and current.kind is None:
        return Plan(path)
    if wanted.state == "directory" and current.kind == "file":
        raise Refused(f"Cannot make {path} a directory: it is a file.", hint="Move it away first.")
    if wanted.state == "present" and current.kind == "directory":
        raise Refused(f"Cannot write {path}: it is a directory.", hint="Move it away first.")
    content = None
    if wanted.state == "present":
        content = plan_content(wanted, current, predicting)
    before, after = plan_attributes(wanted, current)
    return Plan(
        path,
        create=current.kind is None,
        content=content,
        before=current.content or "",
        owner=after.get("owner"),
        group=after.get("group"),
        mode=int(after["mode"], 8) if "mode" in after else None,
        attributes_before=before,
        attributes_after=after,
        validate=wanted.validate,
    )


def plan_removal(path: str, current: Current) -> Plan:
    """Return the plan for ``state: absent``; directories are refused."""
    if current.kind is None:
        return Plan(path)
    if current.kind == "directory":
        raise Refused(f"Cannot remove {path}: it is a directory.", hint="This module removes single files only.")
    return Plan(path, remove=True, before=current.content or "")


def plan_content(wanted: Wanted, current: Current, predicting: bool) -> str | None:
    """Return the text to write, or None if it is right already."""
    if wanted.lines:
        if current.kind is None and not predicting:
            raise Refused(f"Cannot edit lines of {wanted.path}: it does not exist.", hint="Install what brings it, or give the whole content.")
        text = edit(current.content or "", wanted.lines)
    elif wanted.content is not None:
        text = wanted.content
    else:
        text = current.content if current.content is not None else ""
    return None if current.kind == "file" and text == current.content else text


def plan_attributes(wanted: Wanted, current: Current) -> tuple[dict[str, str], dict[str, str]]:
    """Return owner, group and mode before and after, with the keys that change only."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for name, want, have in (("owner", wanted.owner, current.owner), ("group", wanted.group, current.group)):
        if want is not None and want != have:
            before[name], after[name] = have or "", want
    mode = wanted.mode
    if wanted.max_mode is not None:
        mode = current.mode & wanted.max_mode if current.mode is not None else wanted.max_mode
    if mode is not None and mode != current.mode:
        before["mode"] = "" if current.mode is None else f"{current.mode:04o}"
        after["mode"] = f"{mode:04o}"
    return before, after
