"""truenas_restore_test against scripted systems: what it reads, what it leaves, and how it ends."""

from __future__ import annotations

import hashlib
import http.client
import importlib
import io
import json
import pathlib
import signal
import time
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, ConnectionFailed, NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import content, download, restore_test, scratch
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Settings
from helpers import truenas
from helpers.modules import ModuleFailed, run_module
from helpers.truenas import ANY, CONNECTION, KEY, Server, Step, call_error

MARKED = {scratch.MARK: {"rawvalue": "true"}}
ONE = hashlib.sha256(b"one").hexdigest()
NAME = "auto-2026-11-21_05-00"


class Web:
    """A web server's side of downloads: answers in order; an exception breaks the connection."""

    def __init__(self, *answers: tuple[int, bytes] | Exception) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []
        self.closed = 0

    def request(self, _verb: str, path: str) -> None:
        self.paths.append(path)

    def getresponse(self) -> t.Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        made = io.BytesIO(answer[1])
        made.status = answer[0]  # type: ignore[attr-defined]
        return made

    def close(self) -> None:
        self.closed += 1


def ask(path: str = "/mnt/x/file") -> Step:
    return Step("core.download", ["filesystem.get", [path], "file", False], [7, "/_download/7?auth_token=t"])


def fetch(server: Server, web: Web, path: str = "/mnt/x/file") -> bytes:
    with server.client() as client, download.Downloads(client, connect=lambda _settings: t.cast(http.client.HTTPConnection, web)) as downloads:
        try:
            return b"".join(content.ByApi(client, downloads).read(path))
        finally:
            server.finished()


def test_a_download() -> None:
    web = Web((200, b"content"))
    assert fetch(Server(ask()), web) == b"content" and web.paths == ["/_download/7?auth_token=t"] and web.closed == 1


@pytest.mark.parametrize(("status", "kind"), [(401, ApiError), (410, NotFound)])
def test_a_refused_download_shows_no_token(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind, match=f"HTTP status {status}") as caught:
        fetch(Server(ask()), Web((status, b"")))
    assert "auth_token" not in str(caught.value)


def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    with pytest.raises(ConnectionFailed, match="broke off: gone"):
        fetch(Server(ask()), Web(OSError("gone")))


def test_a_kept_connection_that_was_closed_is_made_anew() -> None:
    web = Web((200, b"a"), http.client.RemoteDisconnected(), (200, b"b"))
    server = Server(ask("/mnt/a"), ask("/mnt/b"), ask("/mnt/b"))
    with server.client() as client, download.Downloads(client, connect=lambda _settings: t.cast(http.client.HTTPConnection, web)) as downloads:
        reader = content.ByApi(client, downloads)
        assert [b"".join(reader.read(path)) for path in ("/mnt/a", "/mnt/b")] == [b"a", b"b"]


def test_connections_follow_the_session() -> None:
    assert isinstance(download.connect(Settings("nas1")), http.client.HTTPSConnection)
    assert not isinstance(download.connect(Settings("localhost", protocol="ws")), http.client.HTTPSConnection)


def test_a_file_that_comes_short_is_not_read() -> None:
    class Short:
        def files(self, path: str) -> t.Iterator[tuple[str, int]]:
            yield from (("bad", 9), ("good", 3))

        def read(self, path: str) -> t.Iterator[bytes]:
            yield b"one"

    assert content.digests(Short(), "/mnt/x") == ({"good": ONE}, {"bad": "/mnt/x/bad came with 3 of 9 bytes."}, 3)


def test_files_of_a_directory(tmp_path: pathlib.Path) -> None:
    (tmp_path / "tank/a/sub").mkdir(parents=True)
    (tmp_path / "tank/a/sub/file").write_bytes(b"one")
    (tmp_path / "tank/a/link").symlink_to("sub/file")
    assert content.digests(content.ByDirectory(str(tmp_path)), "/mnt/tank/a") == ({"sub/file": ONE}, {}, 3)
    with pytest.raises(Refused, match="does not show /mnt/tank/b"):
        content.digests(content.ByDirectory(str(tmp_path)), "/mnt/tank/b")


@pytest.mark.parametrize("text", ["x", f"{ONE}  /etc/passwd", f"{ONE}  ../up", f"{ONE} file", f"{ONE}  ."])
def test_manifests_that_are_none(text: str) -> None:
    with pytest.raises(Refused):
        content.parse_manifest(text, where="m")


def test_a_manifest_of_sha256sum() -> None:
    assert content.parse_manifest(f"{ONE}  ./a b\n\n\\{ONE} *c\\nd\\\\e\n", where="m") == {"a b": ONE, "c\nd\\e": ONE}


def parent(*clones: str, **fields: t.Any) -> Step:
    children = [truenas.dataset(name) for name in clones]
    entry = truenas.dataset("backup/restore-test", children=children, **{"user_properties": MARKED, **fields})
    return Step("pool.dataset.query", [[["id", "=", "backup/restore-test"]], {}], [entry])


NO_PARENT = Step("pool.dataset.query", [[["id", "=", "backup/restore-test"]], {}], [])
HISTORY = [
    Step("pool.dataset.query", ANY, [truenas.dataset("backup/apps")]),
    Step("pool.snapshot.query", result=[truenas.snapshot(f"backup/apps@{NAME}", "1")]),
]
CLONE = Step("pool.snapshot.clone", ANY, True)
MADE = Step("pool.dataset.create", [{"name": "backup/restore-test", "user_properties": [{"key": scratch.MARK, "value": "true"}]}], {})
GONE = Step("pool.dataset.query", ANY, [])
THERE = Step("pool.dataset.query", ANY, [truenas.dataset("x", mountpoint="/mnt/x")])
DELETE = Step("pool.dataset.delete", ANY, True)
LISTING = Step("filesystem.listdir", ["/mnt/x", [], {"select": ["name", "type", "size"]}], [
    {"name": "file", "type": "FILE", "size": 3}, {"name": "sub", "type": "DIRECTORY", "size": 2}, {"name": "link", "type": "SYMLINK", "size": 1}])  # fmt: skip
BELOW = Step("filesystem.listdir", ["/mnt/x/sub", [], {"select": ["name", "type", "size"]}], [])
REMOVED = [THERE, DELETE, GONE]
TEST = [NO_PARENT, NO_PARENT, *HISTORY, NO_PARENT, MADE, CLONE, THERE, LISTING, BELOW, ask(), *REMOVED, NO_PARENT]


def run(monkeypatch: pytest.MonkeyPatch, steps: list[Step], *answers: tuple[int, bytes] | Exception, check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    """Run the module against one scripted system and its web server."""
    module = importlib.import_module("ansible_collections.resilient.platform.plugins.modules.truenas_restore_test")
    server = Server(*steps)
    server.patch(monkeypatch)
    assert download.Downloads.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(download.Downloads.__init__.__kwdefaults__, "connect", lambda _settings: Web(*answers))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(scratch, "PATIENCE", 0.0)
    options = {**CONNECTION, "dataset": "backup/apps", **({} if {"manifest_path", "source"} & set(args) else {"manifest": {"file": ONE}}), **args}
    try:
        result = run_module(module.main, options, check=check, diff=True)
    except ModuleFailed as exc:
        assert KEY not in json.dumps(exc.result)
        raise
    server.finished()
    return result


def test_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, TEST, (200, b"one"))
    assert (found["verdict"], found["changed"], found["bytes"], found["snapshot"]["guid"]) == ("verified", False, 3, "1")
    assert set(found["phases"]) == {"clone", "read", "clean"} and found["rto_seconds"] >= 0 and "manifest" not in found


def test_changed_content_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "manifest"
    path.write_text(f"{ONE}  file\n{ONE}  other\n")
    with pytest.raises(ModuleFailed, match=r"not what it should be \(missing, changed\)") as caught:
        run(monkeypatch, TEST, (200, b"0ne"), manifest_path=str(path))
    assert caught.value.result["changed_files"] == ["file"] and caught.value.result["missing"] == ["other"]
    assert run(monkeypatch, TEST, (200, b"0ne"), manifest_path=str(path), fail=False)["reasons"] == ["missing", "changed"]


def test_nothing_expected_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, TEST, (200, b"one"), manifest={}, allow_extra=True, fail=False)["reasons"] == ["empty"]


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, TEST, (410, b""), fail=False)
    assert found["reasons"] == ["unreadable"] and "410" in found["unreadable"]["file"]


def test_check_mode_tells_the_snapshot_and_the_leftovers(monkeypatch: pytest.MonkeyPatch) -> None:
    old, young = "backup/restore-test/test-1000000000-00000000", f"backup/restore-test/test-{int(time.time())}-00000000"
    planned = run(monkeypatch, [parent(old, young), *HISTORY], check=True)
    assert (planned["verdict"], planned["leftovers_removed"], planned["leftovers_present"], planned["changed"]) == ("not_tested", [old], [young], True)
    steps = [parent(old, young), *REMOVED, parent(young), *HISTORY, parent(young), *TEST[6:-1], parent(young)]
    done = run(monkeypatch, steps, (200, b"one"))
    assert done["diff"] == planned["diff"] and done["leftovers_removed"] == [old]


def test_a_clone_that_stays_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*TEST[:11], THERE, Step("pool.dataset.delete", ANY, error=call_error(16, "EBUSY", "dataset is busy"))]
    with pytest.raises(ModuleFailed, match="could not be deleted: .*dataset is busy") as caught:
        run(monkeypatch, steps, (200, b"one"))
    assert caught.value.result["error"]["type"] == "NotClean" and caught.value.result["error"]["left"][0].startswith("backup/restore-test/test-")
    with pytest.raises(ModuleFailed, match="the server says it is deleted"):
        run(monkeypatch, [*TEST[:11], THERE, DELETE, THERE], (200, b"one"))


def test_a_busy_clone_is_tried_again() -> None:
    server = Server(THERE, Step("pool.dataset.delete", ANY, error=call_error(16, "EBUSY", "busy")), GONE)
    with server.client() as client:
        scratch.Scratch(client, "backup/restore-test", sleep=server.sleep, clock=server.clock).remove("backup/restore-test/x")
    server.finished()
    assert server.slept == [1.0]


def test_a_lost_answer_to_the_clone_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*TEST[:6], Step("pool.snapshot.clone", ANY, lost=True), truenas.options(), truenas.login(), *REMOVED]
    with pytest.raises(ModuleFailed, match="broke during pool.snapshot.clone"):
        run(monkeypatch, steps)


def test_a_locked_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [*TEST[:7], Step("pool.dataset.query", ANY, [truenas.dataset("x", mountpoint=None, locked=True)]), *REMOVED, NO_PARENT]
    with pytest.raises(ModuleFailed, match="is not mounted. It is locked."):
        run(monkeypatch, steps)


def test_the_last_one_out_removes_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, [*TEST[:-1], parent(), *REMOVED], (200, b"one"))


@pytest.mark.parametrize(("args", "steps", "text"), [
    ({"scratch": "tank/x"}, [], "must be below the pool backup"),
    ({"scratch": "backup/apps/x"}, [], "must not be in backup/apps"),
    ({"manifest": {"a": "short"}}, [], "no SHA-256: a"),
    ({"manifest_path": "/none"}, [], "Cannot read /none"),
    ({"source": "tank/apps"}, [], "missing parameter"),
    ({}, [parent(user_properties={})], "was not made by a restore test"),
    ({}, [NO_PARENT, NO_PARENT, GONE], "no dataset backup/apps"),
    ({}, [NO_PARENT, NO_PARENT, HISTORY[0], Step("pool.snapshot.query", result=[])], "no snapshot of backup/apps"),
    ({"snapshot": "x"}, TEST[:4], "does not have x"),
])  # fmt: skip
def test_refused_before_anything_is_cloned(monkeypatch: pytest.MonkeyPatch, args: dict[str, t.Any], steps: list[Step], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run(monkeypatch, steps, **args)


def test_the_original_is_read_by_guid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its snapshot may have another name; what cannot be read of it ends the test."""
    reads: list[str] = []

    def history(dataset: str, *pairs: tuple[str, int]) -> restore_test.History:
        made = restore_test.History(dataset)
        for index, (name, guid) in enumerate(pairs):
            made.add(restore_test.Snapshot(name, guid, index, index))
        return made

    class Fake:
        def __init__(self, dataset: str, *pairs: tuple[str, int]) -> None:
            self.dataset, self.made = dataset, history(dataset, *pairs)

        def history(self) -> restore_test.History:
            return self.made

    lost: dict[str, str] = {}

    def read(system: t.Any, snapshot: str, phases: dict[str, float]) -> tuple[dict[str, str], dict[str, str], int]:
        reads.append(snapshot)
        phases.update(clone=1.0, read=2.0)
        return {"file": ONE}, dict(lost), 3

    monkeypatch.setattr(restore_test, "read_clone", read)
    copy, source = t.cast(t.Any, Fake("b/a", ("one", 1), ("own", 9))), t.cast(t.Any, Fake("t/a", ("renamed", 1), ("new", 2)))
    found = restore_test.run(copy, source, None, name=None, allow_extra=False)
    assert reads == ["t/a@renamed", "b/a@one"] and found["verdict"] == "verified" and found["rto_seconds"] == 3.0
    lost["file"] = "short"
    with pytest.raises(ApiError, match="1 files of the source could not be read"):
        restore_test.run(copy, source, None, name=None, allow_extra=False)


def test_a_signal_ends_by_an_exception() -> None:
    module = importlib.import_module("ansible_collections.resilient.platform.plugins.modules.truenas_restore_test")
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        module.interrupted(signal.SIGTERM, None)
