"""truenas_replication_verify from its parameters to its result, files and exit."""

from __future__ import annotations

import importlib
import json
import pathlib
import time
import typing as t

import pytest
from helpers import truenas
from helpers.modules import ModuleFailed, run_module
from helpers.truenas import CONNECTION, KEY, Server, Step, call_error

NAME = "auto-2026-11-21_05-00"


def snapshot(dataset: str, guid: int = 1) -> dict[str, t.Any]:
    return truenas.snapshot(f"{dataset}@{NAME}", str(guid), created=int(time.time()) - 60)


def first(*snapshots: dict[str, t.Any], tasks: list[dict[str, t.Any]] | None = None) -> list[Step]:
    asked = [Step("replication.query", result=tasks)] if tasks is not None else []
    return [*asked, Step("pool.dataset.query", result=[truenas.dataset("tank/apps")]), Step("pool.snapshot.query", result=list(snapshots))]


def second(*snapshots: dict[str, t.Any]) -> list[Step]:
    there = truenas.dataset("backup/apps", readonly=truenas.prop("on", True))
    return [Step("pool.dataset.query", result=[there]), Step("pool.snapshot.query", result=list(snapshots))]


def run(monkeypatch: pytest.MonkeyPatch, steps: list[Step], peer: list[Step] | None, *, check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    """Run the module against two scripted systems."""
    module = importlib.import_module("ansible_collections.resilient.platform.plugins.modules.truenas_replication_verify")
    servers = {"nas1": Server(*steps), "nas2": Server(*(peer or []))}

    def client_from(params: t.Any) -> t.Any:
        return servers[params["api_host"]].client(host=params["api_host"])

    monkeypatch.setattr(module, "client_from", client_from)
    other = {"peer": {**CONNECTION, "api_host": "nas2"}} if peer is not None else {}
    try:
        result = run_module(module.main, {**CONNECTION, **other, **args}, check=check)
    except ModuleFailed as exc:
        assert KEY not in json.dumps(exc.result)
        raise
    servers["nas1"].finished()
    assert KEY not in json.dumps(result) and result["changed"] is False
    return result


def task(**changes: t.Any) -> dict[str, t.Any]:
    return truenas.replication(1, "apps", **{"state": {"state": "FINISHED", "last_snapshot": f"tank/apps@{NAME}"}, **changes})


def test_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    files = {"json_path": str(tmp_path / "out.json"), "metrics_path": str(tmp_path / "out.prom")}
    found = run(monkeypatch, first(snapshot("tank/apps"), tasks=[task()]), second(snapshot("backup/apps")), **files)
    assert found["verdict"] == "verified" and found["calls"] == {"first": 4, "peer": 3}
    assert found["pairs"][0]["newest_common"]["guid"] == "1" and found["pairs"][0]["rpo_seconds"] in range(60, 70)
    assert json.loads((tmp_path / "out.json").read_text())["pairs"] == found["pairs"]
    assert "replicas_verified{" in (tmp_path / "out.prom").read_text() and (tmp_path / "out.prom").stat().st_mode & 0o777 == 0o644


def test_check_mode_says_the_same_and_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    found = run(monkeypatch, first(snapshot("tank/apps"), tasks=[task()]), second(snapshot("backup/apps")), check=True, json_path=str(tmp_path / "x"))
    assert found["verdict"] == "verified" and list(tmp_path.iterdir()) == []


def test_fails_with_all_reasons(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "out.json"
    steps = first(snapshot("tank/apps"), tasks=[task(enabled=False)])
    with pytest.raises(ModuleFailed) as caught:
        run(monkeypatch, steps, second(snapshot("backup/apps", 2)), replications=["apps", "none"], json_path=str(path))
    result = caught.value.result
    said = [[why["reason"] for why in one["reasons"]] for one in result["pairs"]]
    assert said == [["guid_mismatch", "no_common_snapshot", "task_disabled"], ["task_missing"]]
    assert result["msg"].startswith("2 of 2 replicas can't be relied on. tank/apps -> backup/apps: guid_mismatch (")
    assert "none -> ?: task_missing (there is no replication none)" in result["msg"]
    assert json.loads(path.read_text())["verdict"] == "failed", "the report is written before the task fails"


def test_the_play_can_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [{"source": "tank/apps", "target": "backup/apps", "max_age": 30}, {"source": "tank/apps", "target": "backup/none", "name_regex": "auto.*"}]
    found = run(monkeypatch, first(snapshot("tank/apps")), second(snapshot("backup/apps")), pairs=pairs, fail=False)
    assert [[why["reason"] for why in one["reasons"]] for one in found["pairs"]] == [["source_stale", "too_old"], ["target_missing"]]


def test_nothing_to_verify_is_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleFailed, match="Nothing was verified: nas1:443 has no replication"):
        run(monkeypatch, [Step("replication.query", result=[])], None)


def test_a_system_that_does_not_answer_is_in_the_metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "out.prom"
    path.write_text("old")
    with pytest.raises(ModuleFailed, match="Not authorized"):
        run(monkeypatch, [Step("replication.query", error=call_error(13, "EACCES", "Not authorized"))], None, metrics_path=str(path))
    assert 'replicas_verified{system="nas1:443"} 0' in path.read_text()


@pytest.mark.parametrize(("args", "text"), [
    ({"max_age": 0}, "max_age is 0"),
    ({"pairs": [{"source": "a", "target": "b", "max_age": -1}]}, "max_age is -1"),
    ({"pairs": [{"source": "a", "target": "b", "name_regex": "("}]}, "no regular expression"),
    ({"pairs": [{"source": "a", "target": "b"}], "replications": ["x"]}, "mutually exclusive"),
])  # fmt: skip
def test_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, args: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run(monkeypatch, [], None, **args)


def test_a_report_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    (tmp_path / "dir").mkdir()
    for path in ("none/out.json", "dir"):
        with pytest.raises(ModuleFailed, match="Cannot write"):
            run(monkeypatch, first(snapshot("tank/apps"), tasks=[task()]), second(snapshot("backup/apps")), json_path=str(tmp_path / path))
    assert [one.name for one in tmp_path.iterdir()] == ["dir"]
