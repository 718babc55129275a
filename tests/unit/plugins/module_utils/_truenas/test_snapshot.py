from __future__ import annotations

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot
from helpers import truenas
from helpers.truenas import Server, Step

HAVE = {"tank/a@one": snapshot.from_api(truenas.snapshot("tank/a@one", "111"))}

NAMES = {"extra": {"properties": [], "retrieve_children": False, "retrieve_user_props": False}}


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
        "held": False,
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
            {"dataset": "tank/a", "name": "two", "state": "present", "recursive": True, "exclude": ["tank/a/x"]},
            {"dataset": "tank/b", "name": "two", "state": "present", "properties": {"org.x:y": 1}, "hold": True},
        ]
    )
    made = snapshot.plan(items, HAVE, [])
    assert [(call.method, call.params) for call in made.calls] == [
        ("snapshot:create", ({"dataset": "tank/a", "name": "two", "recursive": True, "exclude": ["tank/a/x"]},)),
        ("snapshot:create", ({"dataset": "tank/b", "name": "two", "recursive": False, "properties": {"org.x:y": "1"}},)),
        ("snapshot:hold", ("tank/b@two", {"recursive": False})),
    ]
    assert [(one["id"], one["held"]) for one in made.predicted] == [("tank/a@one", False), ("tank/a@two", False), ("tank/b@two", True)]
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
        ({"dataset": "tank/a", "name": "b", "recursive": True, "exclude": ["tank/a/x"], "properties": {"a:b": "c"}}, "cannot set properties where exclude"),
        ({"dataset": "tank/a", "name": "b", "state": "absent", "hold": True}, "cannot be absent and held"),
    ],
)
def test_bad_input_is_refused(item: dict[str, object], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        snapshot.wanted([item])


def test_missing_dataset_is_refused_before_anything_is_taken() -> None:
    server = Server(Step("pool.dataset.query", [[["id", "in", ["tank/a", "tank/b"]]], NAMES], [truenas.dataset("tank/a")]))
    items = snapshot.wanted([{"dataset": "tank/a", "name": "x"}, {"dataset": "tank/b", "name": "x"}, {"dataset": "tank/c", "name": "x", "state": "absent"}])
    missing = snapshot.missing_datasets(server.client(), items, {})
    assert missing == ["tank/b"]
    with pytest.raises(Refused, match="no dataset tank/b"):
        snapshot.plan(items, {}, missing)


def test_no_dataset_is_asked_for_when_nothing_is_taken() -> None:
    server = Server()
    assert snapshot.missing_datasets(server.client(), snapshot.wanted([{"dataset": "tank/a", "name": "one"}]), HAVE) == []


def test_one_snapshot_is_read_by_the_fast_filter() -> None:
    server = Server(Step("pool.snapshot.query", [[["id", "=", "tank/a@one"]], {"extra": {"holds": True}}], [truenas.snapshot("tank/a@one", "1")]))
    assert list(snapshot.read(server.client(), [{"dataset": "tank/a", "name": "one"}])) == ["tank/a@one"]
    assert snapshot.read(Server().client(), []) == {}


def test_order_is_by_transaction_group_because_clocks_step_back() -> None:
    entries = [truenas.snapshot("tank/a@late", "1", txg=300, created=1000), truenas.snapshot("tank/a@early", "2", txg=200, created=2000)]
    server = Server(Step("pool.snapshot.query", result=entries))
    assert [one["name"] for one in snapshot.query(server.client(), [["id", "in", ["x", "y"]]])] == ["early", "late"]


def test_many_are_read_by_their_datasets_because_a_name_that_is_missing_empties_the_answer_of_26() -> None:
    """truenas/middleware, plugins/pool_/snapshot.py (27.0.0-BETA.1): ZFSPathNotFoundException gives []."""
    items = [{"dataset": name, "name": "one"} for name in ("tank/a", "tank/b", "tank/gone")]
    properties = ["guid", "creation", "createtxg", "referenced", "userrefs"]
    server = Server(
        Step("pool.dataset.query", [[["id", "in", ["tank/a", "tank/b", "tank/gone"]]], NAMES], [truenas.dataset("tank/a"), truenas.dataset("tank/b")]),
        Step(
            "pool.snapshot.query",
            [
                [["dataset", "in", ["tank/a", "tank/b"]], ["snapshot_name", "in", ["one"]]],
                {"extra": {"holds": True, "retention": True, "properties": properties}},
            ],
            [{**truenas.snapshot("tank/b@one", "2"), "holds": {"truenas": 1}, "user_properties": {"org.x:y": "1"}}],
        ),
        session=False,
    )
    client = server.client(api_key="", password="secret")
    server.steps.insert(0, Step("auth.login_ex", result={"response_type": "SUCCESS"}))
    server.versions = ["v25.10.5", "v26.0.0"]
    found = snapshot.read(client, items)
    assert list(found) == ["tank/b@one"]
    assert (found["tank/b@one"]["held"], found["tank/b@one"]["properties"]) == (True, {"org.x:y": "1"})


def test_a_held_snapshot_goes_only_when_the_hold_may_go() -> None:
    held = {"tank/a@one": {**HAVE["tank/a@one"], "held": True}}
    item = {"dataset": "tank/a", "name": "one", "state": "absent"}
    with pytest.raises(Refused, match="tank/a@one is held; hold: false lets go of it"):
        snapshot.plan([item], held, [])
    made = snapshot.plan([{**item, "hold": False}], held, [])
    assert [call.method for call in made.calls] == ["snapshot:release", "snapshot:delete"]
    assert made.diff.before == {"tank/a@one.held": True, "tank/a@one.state": "present", "tank/a@one.guid": "111"}


def test_hold_comes_and_goes() -> None:
    item = {"dataset": "tank/a", "name": "one", "state": "present", "recursive": True}
    made = snapshot.plan([{**item, "hold": True}], HAVE, [])
    assert [(call.method, call.params) for call in made.calls] == [("snapshot:hold", ("tank/a@one", {"recursive": True}))]
    assert made.predicted[0]["held"] is True and made.diff.after == {"tank/a@one.held": True}
    held = {"tank/a@one": {**HAVE["tank/a@one"], "held": True}}
    assert [call.method for call in snapshot.plan([{**item, "hold": False}], held, []).calls] == ["snapshot:release"]
    assert snapshot.plan([{**item, "hold": True}], held, []).calls == []
