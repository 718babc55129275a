"""Whether a real run did what the check before it said, and nothing else."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from runs import Key, Run

# Tasks of the real run that cannot be tried before others are done, and the task of the check that names them instead.
NAMED_BY = {
    "integrity | Make the first database, at low priority": "integrity | Say that the first database would be made",
    "tls_authority | *": "tls | Say what would be issued",
    "tls_node | *": "tls | Say what would be issued",
    "install_file | Unpack *": "install_file | Copy the server, some 50 MB for each host",
    "start_nodes | *": "start | Say what the real run would do with a cluster that is not there yet",
    "initialise | *": "start | Say what the real run would do with a cluster that is not there yet",
    "bootstrap | *": "start | Say what the real run would do with a cluster that is not there yet",
}
# Files that come with packages which the run itself installs: nobody knows before what they will hold.
PACKAGED = ("/usr/bin/as", "/usr/bin/ld", "/etc/default/debsums", "/etc/default/sysstat")
PLACEHOLDER = re.compile(r"\([a-z][a-z ]*\)")


def naming(task: str) -> str | None:
    """Return the task of the check that names *task* of a real run."""
    return next((named for pattern, named in NAMED_BY.items() if fnmatch.fnmatch(task, pattern)), None)


def same(predicted: Any, real: Any) -> bool:
    """Compare two values; a placeholder stands for whatever the server or the run makes."""
    if isinstance(predicted, dict) and isinstance(real, dict):
        return predicted.keys() == real.keys() and all(same(predicted[key], real[key]) for key in predicted)
    if isinstance(predicted, list) and isinstance(real, list):
        return len(predicted) == len(real) and all(map(same, predicted, real))
    if isinstance(predicted, str) and isinstance(real, str) and PLACEHOLDER.search(predicted):
        pattern = ".+".join(re.escape(part) for part in PLACEHOLDER.split(predicted))
        return re.fullmatch(pattern, real, re.DOTALL) is not None
    return bool(predicted == real)


def block(diff: Any, label: str) -> Any:
    """Reduce the diff of a blockinfile task to the block of *label*: each item finds the blocks of those before it."""
    part = diff[0] if isinstance(diff, list) else diff
    found = re.search(rf"# BEGIN {re.escape(label)}\n.*# END {re.escape(label)}\n", part["after"], re.DOTALL)
    return found.group() if found else None


def by_file(diff: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what files hold afterwards, without those that packages bring."""
    return {part["after_header"]: part["after"] for part in diff if not part["after_header"].startswith(PACKAGED)}


def differences(check: Run, real: Run) -> list[str]:
    """Return what the check did not say, said otherwise, or said in vain; empty if it told the truth."""
    found = []
    for key, diff in real.changes.items():
        host, task, label = key
        if (named := naming(task)) is not None:
            if not any(other[1] == named for other in check.changes):
                found.append(f"not named: {key}")
        elif key not in check.changes:
            found.append(f"not predicted: {key}: {diff}")
        elif not agree(key, check.changes[key], diff):
            found.append(f"predicted otherwise: {key}: {check.changes[key]} became {diff}")
    names = set(NAMED_BY.values())
    found += [f"in vain: {key}" for key in check.changes if key not in real.changes and key[1] not in names]
    return found


def agree(key: Key, predicted: Any, real: Any) -> bool:
    """Say whether two diffs of one task are the same."""
    if key[1].startswith("known_hosts"):
        return same(block(predicted, key[2]), block(real, key[2]))
    if isinstance(real, list) and all("after_header" in part for part in real):
        return same(by_file(predicted), by_file(real))
    return same(predicted, real)
