from __future__ import annotations

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot
from helpers import truenas
from helpers.truenas import Server, Step

HAVE = {"tank/a@one": snapshot.from_api(truenas.snapshot("tank/a@one", "111"))}


def test_an_entry_becomes_plain_values() -> None:
    found = snapshot.from_api(truenas.snapshot("tank/a@one", "5488368625827383818", txg=42, resilient__id="7"))
    assert found == {
        "id": "tank/a@one",
        "dataset": "tank/a",
        "name": "one",
        "guid": "5488368625827383818",
        "createtxg": 42,
        "creation": "2023-11-14T22:13:20.000000Z",
        "referenced_bytes": 98304,
        "properties": {"resilient:id": "7"},
    }


def test_an_entry_with_few_properties() -> None:
    found = snapshot.from_api({"name": "tank/a@one", "dataset": "tank/a", "snapshot_name": "one", "properties": {"createtxg": {"rawvalue": "9"}, "x:y": "z"}})
    assert (found["guid"], found["createtxg"], found["creation"], found["properties"]) == (None, 9, None, {"x:y": "z"})
    assert snapshot.from_api({"name": "a@b", "dataset": "a", "snapshot_name": "b"})["createtxg"] is None


def test_missing_is_taken_and_existing_left_alone() -> None:
    items = snapshot.wanted(
        [
            {"dataset": "tank/a", "name": "one", "state": "present"},
            {"dataset": "tank/a", "name": "two", "state": "present", "recursive": True, "exclude": ["tank/a/x"], "properties": {"org.x:y": 1}},
        ]
    )
    made = snapshot.plan(items, HAVE, [])
    payload = {"dataset": "tank/a", "name": "two", "recursive": True, "exclude": ["tank/a/x"], "properties": {"org.x:y": "1"}}
    assert [(call.method, call.params) for call in made.calls] == [("snapshot:create", (payload,))]
    assert [one["id"] for one in made.predicted] == ["tank/a@one", "tank/a@two"]
    assert made.diff.after["tank/a@two.guid"] == "(assigned by the system)"


def test_deleted_with_its_options_and_absent_left_alone() -> None:
    items = snapshot.wanted([{"dataset": "tank/a", "name": name, "state": "absent", "recursive": True, "defer": True} for name in ("one", "gone")])
    made = snapshot.plan(items, HAVE, [])
    assert [(call.method, call.params) for call in made.calls] == [("snapshot:delete", ("tank/a@one", {"defer": True, "recursive": True}))]
    assert made.diff.before == {"tank/a@one.state": "present", "tank/a@one.guid": "111"}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"dataset": "tank/a", "name": "a@b"}, "not a name for a snapshot"),
        ({"dataset": "tank/a", "name": "b", "exclude": ["tank/a/x"]}, "exclude needs recursive"),
        ({"dataset": "tank/a", "name": "b", "properties": {"owner": "me"}}, "no colon"),
    ],
)
def test_bad_input_is_refused(item: dict[str, object], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        snapshot.wanted([item])


def test_missing_dataset_is_refused_before_anything_is_taken() -> None:
    server = Server(Step("pool.dataset.query", [[["id", "in", ["tank/a", "tank/b"]]], {}], [truenas.dataset("tank/a")]))
    items = snapshot.wanted([{"dataset": "tank/a", "name": "x"}, {"dataset": "tank/b", "name": "x"}, {"dataset": "tank/c", "name": "x", "state": "absent"}])
    missing = snapshot.missing_datasets(server.client(), items, {})
    assert missing == ["tank/b"]
    with pytest.raises(Refused, match="no dataset tank/b"):
        snapshot.plan(items, {}, missing)


def test_no_dataset_is_asked_for_when_nothing_is_taken() -> None:
    server = Server()
    assert snapshot.missing_datasets(server.client(), snapshot.wanted([{"dataset": "tank/a", "name": "one"}]), HAVE) == []


def test_one_snapshot_is_read_by_the_fast_filter() -> None:
    server = Server(Step("pool.snapshot.query", [[["id", "=", "tank/a@one"]], {}], [truenas.snapshot("tank/a@one", "1")]))
    assert list(snapshot.read(server.client(), [{"dataset": "tank/a", "name": "one"}])) == ["tank/a@one"]
    assert snapshot.read(Server().client(), []) == {}


def test_order_is_by_transaction_group_because_clocks_step_back() -> None:
    entries = [truenas.snapshot("tank/a@late", "1", txg=300, created=1000), truenas.snapshot("tank/a@early", "2", txg=200, created=2000)]
    server = Server(Step("pool.snapshot.query", result=entries))
    assert [one["name"] for one in snapshot.query(server.client(), [["id", "in", ["x", "y"]]])] == ["early", "late"]
