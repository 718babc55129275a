# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""``peers.json``: a raft cluster that has lost its quorum gets a new list of members, written beside its data.

The server reads the file when it starts and deletes it. What one survivor had not yet agreed on with the others becomes true, so
this is for clusters that cannot come back otherwise. Works on the node, with what ansible-core brings: nothing is installed there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tempfile
import typing as t
import urllib.error

from ansible.module_utils.urls import open_url

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

_SEALED_OR_UP = {200: "active", 429: "standby", 472: "dr_secondary", 473: "performance_standby", 501: "not_initialised", 503: "sealed"}
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):(\d{1,5})")


@dataclasses.dataclass(frozen=True)
class Seen:
    """One look at a node. ``down`` means that nothing listens there."""

    url: str
    state: str
    leader_address: str = ""

    @property
    def holds_data(self) -> bool:
        """Whether a server with data runs there. An empty one is in nobody's way."""
        return self.state not in ("down", "not_initialised")


def _get(url: str, path: str, *, timeout: int, validate_certs: bool, ca_path: str | None) -> tuple[int, dict[str, t.Any]]:
    try:
        with open_url(f"{url}/v1/{path}", timeout=timeout, validate_certs=validate_certs, ca_path=ca_path, use_proxy=False) as reply:
            status, raw = int(reply.status), reply.read()
    except urllib.error.HTTPError as exc:
        status, raw = exc.code, exc.read()
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    return status, body if isinstance(body, dict) else {}


def look(url: str, *, timeout: int, validate_certs: bool, ca_path: str | None) -> Seen:
    """Ask one node how it is.

    Raises:
        Refused: something answers that cannot be understood: it may be a living node.
    """
    options: dict[str, t.Any] = {"timeout": timeout, "validate_certs": validate_certs, "ca_path": ca_path}
    try:
        status, body = _get(url, "sys/health", **options)
        leader = str(_get(url, "sys/leader", **options)[1].get("leader_address") or "") if body.get("initialized") and not body.get("sealed") else ""
    except (urllib.error.URLError, OSError) as exc:
        reason = getattr(exc, "reason", exc)
        if isinstance(reason, (ConnectionRefusedError, TimeoutError)) or getattr(reason, "errno", None) in (110, 111, 113):
            return Seen(url, "down")
        raise Refused(f"Cannot tell whether {url} lives: {reason}.", hint="Correct the address or ca_path: a node that lives forbids this.") from exc
    return Seen(url, _SEALED_OR_UP.get(status, f"status {status}"), leader)


def check_peers(peers: t.Sequence[t.Mapping[str, t.Any]], node_id: str) -> None:
    """Refuse a list of members that the server would refuse, or that makes no cluster with this node."""
    ids = [str(peer["id"]) for peer in peers]
    addresses = [str(peer["address"]) for peer in peers]
    for name, values in (("id", ids), ("address", addresses)):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice or "" in values:
            raise Refused(f"peers has the {name} {', '.join(twice) or 'of nobody'} twice or empty.")
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if not match or not 0 < int(match[2]) < 65536:
            raise Refused(f"{address!r} is no cluster address.", hint="Write it as host:8201; it is the cluster port, not the API's.")
    mine = next((peer for peer in peers if str(peer["id"]) == node_id), None)
    if mine is None:
        raise Refused(f"peers does not have {node_id}, the node it is written for.", hint=f"It has: {', '.join(ids) or 'nobody'}.")
    if all(peer.get("non_voter") for peer in peers):
        raise Refused("None of peers votes.", hint="At least one of them has non_voter=false.")


def check_quorum_is_gone(seen: t.Sequence[Seen], urls: t.Sequence[str]) -> None:
    """Refuse while a quorum lives, or while a server with data still runs.

    Raises:
        Refused: naming who lives.
    """
    alive = [node for node in seen if node.holds_data]
    leader = next((node for node in alive if node.state == "active"), None)
    unsealed = [node for node in alive if node.state != "sealed"]
    details = {"nodes": [dataclasses.asdict(node) for node in seen]}
    if leader is not None or len(unsealed) > len(urls) // 2:
        who = f"{leader.url} leads" if leader else f"{', '.join(node.url for node in unsealed)} are up"
        raise Refused(
            f"A quorum of the {len(urls)} nodes lives ({who}): a new list of members would split the cluster.",
            hint="Remove or replace single members with vault_raft_peer.",
            details=details,
        )
    if alive:
        raise Refused(
            f"{', '.join(f'{node.url} ({node.state})' for node in alive)} still runs: all have to be stopped before the first starts with the new list.",
            hint="Stop the servers on all nodes, write the same list on each survivor, then start them.",
            details=details,
        )


def plan_file(data_dir: str) -> tuple[str, os.stat_result]:
    """Return the path of ``peers.json`` and the owner that it has to have.

    Raises:
        Refused: there is no raft data.
    """
    database = os.path.join(data_dir, "raft", "raft.db")
    try:
        owner = os.stat(database)
    except OSError as exc:
        raise Refused(f"Cannot look at {database}: {exc.strerror}.", hint="data_dir is the path of the raft storage stanza; run with become.") from exc
    return os.path.join(data_dir, "raft", "peers.json"), owner


def text_of(peers: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    """Return the file's content; the same for the same members, in whatever order they are given."""
    rows = [{"id": str(peer["id"]), "address": str(peer["address"]), "non_voter": bool(peer.get("non_voter"))} for peer in peers]
    return json.dumps(sorted(rows, key=lambda row: str(row["id"])), indent=2) + "\n"


def read_text(path: str) -> str:
    """Return what is there, empty if nothing is."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise Refused(f"Cannot read {path}: {exc.strerror}.", hint="Run with become.") from exc


def write(path: str, text: str, owner: os.stat_result) -> None:
    """Put the file there, whole, with the owner of the data.

    Raises:
        Refused: it cannot be written.
    """
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".peers-", dir=os.path.dirname(path))
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chown(temporary, owner.st_uid, owner.st_gid)
        os.replace(temporary, path)
    except OSError as exc:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise Refused(f"Cannot write {path}: {exc.strerror}.", hint="Run with become; check space.") from exc
