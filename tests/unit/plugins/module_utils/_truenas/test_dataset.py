from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Conflict, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import dataset
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan
from ansible_collections.resilient.platform.plugins.module_utils._truenas.properties import from_api
from helpers import truenas
from helpers.truenas import Server, Step, prop

ROOT = {"tank": from_api(truenas.dataset("tank"))}


def have(*entries: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**ROOT, **{entry["id"]: from_api(entry) for entry in entries}}


def plan(current: dict[str, t.Any], *items: dict[str, t.Any], losses: dict[str, t.Any] | None = None, assumed: tuple[str, ...] = ()) -> Plan:
    return dataset.plan(dataset.wanted(list(items)), current, losses or {}, assumed)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"name": "tank/a", "quota": "500M"}, "at least 1 GiB"),
        ({"name": "tank/a", "refquota": "1073741823"}, "at least 1 GiB"),
        ({"name": "tank/a", "quota": "lots"}, "is not a size"),
        ({"name": "tank/a", "quota": "INHERIT"}, "cannot be inherited"),
        ({"name": "tank//a"}, "the name is not"),
        ({"name": "tank/a@b"}, "the name is not"),
        ({"name": "tank/a", "type": "FILESYSTEM", "volsize": "1G"}, "not a property of a FILESYSTEM"),
        ({"name": "tank/a", "type": "VOLUME", "volsize": "1G", "quota": "2G"}, "not a property of a VOLUME"),
        ({"name": "tank/a", "type": "VOLUME", "volsize": "20000"}, "not a multiple of volblocksize"),
        ({"name": "tank/a", "type": "VOLUME", "volsize": "0"}, "more than 0"),
        ({"name": "tank/a", "readonly": "MAYBE"}, "not one of ON, OFF"),
        ({"name": "tank/a", "compression": "BZIP2"}, "is not known"),
        ({"name": "tank/a", "copies": "two"}, "not a whole number"),
        ({"name": "tank/a", "quota_warning": "101"}, "not a percentage"),
        ({"name": "tank/a", "acltype": "POSIX", "aclmode": "PASSTHROUGH"}, "must be DISCARD"),
        ({"name": "tank/a", "acltype": "NFSV4", "aclmode": "DISCARD"}, "must not be DISCARD"),
        ({"name": "tank/a", "user_properties": {"owner": "me"}}, "no colon"),
        ({"name": "tank", "state": "absent"}, "goes with its pool only"),
    ],
)
def test_bad_input_is_refused_without_a_server(item: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        dataset.wanted([item])


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(Refused) as caught:
        dataset.wanted([{"name": "tank/a", "quota": "1M"}, {"name": "tank/b", "compression": "x"}])
    assert "tank/a" in caught.value.message and "tank/b" in caught.value.message


def test_a_name_that_is_listed_twice() -> None:
    with pytest.raises(Refused, match="listed twice: tank/a"):
        dataset.wanted([{"name": "tank/a"}, {"name": "tank/a"}])


def test_volume_of_the_right_size_is_taken() -> None:
    item = {"name": "tank/v", "type": "VOLUME", "volsize": "1G", "volblocksize": "16K", "sparse": True}
    made = plan(ROOT, item)
    assert made.calls[0].params[0] == {"name": "tank/v", "type": "VOLUME", "volsize": 1024**3, "volblocksize": "16K", "sparse": True}


def test_volume_needs_a_size() -> None:
    with pytest.raises(Refused, match="needs volsize"):
        plan(ROOT, {"name": "tank/v", "type": "VOLUME"})


def test_created_from_the_top_with_declared_values_only() -> None:
    made = plan(ROOT, {"name": "tank/a/b", "quota": "2G", "user_properties": {"org.x:y": 1, "org.x:gone": None}}, {"name": "tank/a", "atime": "OFF"})
    assert [call.params[0] for call in made.calls] == [
        {"name": "tank/a", "type": "FILESYSTEM", "atime": "OFF"},
        {"name": "tank/a/b", "type": "FILESYSTEM", "quota": 2 * 1024**3, "user_properties": [{"key": "org.x:y", "value": "1"}]},
    ]
    assert [one["name"] for one in made.predicted] == ["tank/a/b", "tank/a"]
    assert made.diff.before == {"tank/a.state": "absent", "tank/a/b.state": "absent"}
    assert made.diff.after["tank/a/b.quota"] == 2 * 1024**3


def test_encryption_options_are_sent_and_never_shown() -> None:
    options = {"passphrase": "correct horse", "key": None, "pbkdf2iters": 400000}
    made = plan(ROOT, {"name": "tank/a", "encryption": True, "inherit_encryption": False, "encryption_options": options})
    assert made.calls[0].params[0]["encryption_options"] == {"passphrase": "correct horse", "pbkdf2iters": 400000}
    assert "correct horse" not in repr(made)


@pytest.mark.parametrize(
    ("current", "item", "reason"),
    [
        (ROOT, {"name": "other/a"}, "other does not exist"),
        (ROOT, {"name": "other"}, "no such pool"),
        (ROOT, {"name": "tank/x/a"}, "tank/x does not exist"),
        (have(truenas.dataset("tank/ro", readonly=prop("on"))), {"name": "tank/ro/a"}, "tank/ro is read-only"),
        (have(truenas.dataset("tank/a")), {"name": "tank/a", "type": "VOLUME", "volsize": "1G"}, "cannot become a VOLUME"),
        (have(truenas.dataset("tank/a")), {"name": "tank/a", "encryption": True}, "not encrypted"),
        (have(truenas.dataset("tank/a")), {"name": "tank/a", "casesensitivity": "INSENSITIVE"}, "after creation"),
        (
            have(truenas.dataset("tank/v", type="VOLUME", volsize=prop("2147483648"))),
            {"name": "tank/v", "type": "VOLUME", "volsize": "1G"},
            "cannot shrink",
        ),
    ],
)
def test_the_impossible_is_refused_before_anything_is_written(current: dict[str, t.Any], item: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(current, item)


def test_ancestors_can_be_made_by_the_server() -> None:
    assert plan(ROOT, {"name": "tank/x/a", "create_ancestors": True}).calls[0].params[0]["create_ancestors"] is True


def test_what_is_as_declared_is_left_alone() -> None:
    entry = truenas.dataset("tank/a", quota=prop("5368709120", 5368709120), comments=prop("hi"), user_properties={"org.x:y": prop("1")})
    item = {"name": "tank/a", "type": "FILESYSTEM", "quota": "5G", "comments": "hi", "recordsize": "128K", "readonly": "OFF", "copies": "1"}
    item.update(compression="LZ4", refquota="0", user_properties={"org.x:y": 1, "org.x:none": None}, casesensitivity="SENSITIVE", share_type="NFS")
    made = plan(have(entry), item)
    assert not made.changed
    assert not made.diff.changed


def test_only_what_differs_is_sent() -> None:
    entry = truenas.dataset("tank/a", quota=prop("5368709120", 5368709120))
    made = plan(have(entry), {"name": "tank/a", "quota": "0", "readonly": "ON", "recordsize": "128K", "sync": "ALWAYS"})
    assert made.calls[0].params == ("tank/a", {"sync": "ALWAYS", "readonly": "ON", "quota": 0})
    assert made.diff.before == {"tank/a.sync": "STANDARD", "tank/a.readonly": "OFF", "tank/a.quota": 5368709120}
    assert made.diff.after == {"tank/a.sync": "ALWAYS", "tank/a.readonly": "ON", "tank/a.quota": 0}
    assert made.predicted[0]["readonly"] == "ON"


def test_inherit_changes_only_what_is_local() -> None:
    entry = truenas.dataset("tank/a", compression=prop("zstd"), readonly=prop("on", source="RECEIVED"))
    made = plan(have(entry), {"name": "tank/a", "compression": "INHERIT", "atime": "INHERIT", "sync": "INHERIT", "readonly": "INHERIT", "comments": "INHERIT"})
    assert made.calls[0].params[1] == {"compression": "INHERIT", "readonly": "INHERIT"}


def test_inherit_of_what_zfs_keeps_as_a_user_property_compares_with_the_parent() -> None:
    current = {"tank": from_api(truenas.dataset("tank", comments=prop("all"))), "tank/a": from_api(truenas.dataset("tank/a", comments=prop("all")))}
    assert not plan(current, {"name": "tank/a", "comments": "INHERIT"}).changed
    current["tank/a"]["comments"] = "own"
    assert plan(current, {"name": "tank/a", "comments": "INHERIT"}).changed


def test_volume_grows_by_force() -> None:
    entry = truenas.dataset("tank/v", type="VOLUME", volsize=prop("1073741824"))
    made = plan(have(entry), {"name": "tank/v", "type": "VOLUME", "volsize": "2G", "force_size": True})
    assert made.calls[0].params[1] == {"volsize": 2 * 1024**3, "force_size": True}


def test_user_properties_are_added_changed_and_removed_one_by_one() -> None:
    entry = truenas.dataset("tank/a", user_properties={"org.x:a": prop("1"), "org.x:b": prop("2"), "csi:keep": prop("3")})
    made = plan(have(entry), {"name": "tank/a", "user_properties": {"org.x:a": "9", "org.x:b": None, "org.x:c": "new"}})
    changes = [{"key": "org.x:a", "value": "9"}, {"key": "org.x:b", "remove": True}, {"key": "org.x:c", "value": "new"}]
    assert made.calls[0].params[1] == {"user_properties_update": changes}
    assert made.predicted[0]["user_properties"] == {"org.x:a": "9", "csi:keep": "3", "org.x:c": "new"}
    assert made.diff.before["tank/a.user_properties.org.x:b"] == "2"


def test_user_properties_that_are_not_listed_go_only_when_asked() -> None:
    entry = truenas.dataset("tank/a", user_properties={"csi:keep": prop("3")})
    made = plan(have(entry), {"name": "tank/a", "user_properties": {}, "purge_user_properties": True})
    assert made.calls[0].params[1] == {"user_properties_update": [{"key": "csi:keep", "remove": True}]}


LOSS: dict[str, t.Any] = {"children": [], "snapshots": 0, "clones": [], "holds": [], "attachments": {}}


def test_delete_of_an_empty_dataset() -> None:
    made = plan(have(truenas.dataset("tank/a")), {"name": "tank/a", "state": "absent"}, losses={"tank/a": LOSS})
    assert made.calls[0].params == ("tank/a", {"recursive": False, "force": False})
    assert made.diff.before == {"tank/a.state": "present"}


def test_delete_of_what_is_not_there_is_nothing() -> None:
    assert not plan(ROOT, {"name": "tank/a", "state": "absent"}).changed


@pytest.mark.parametrize(
    ("loss", "allowed", "reason"),
    [
        ({**LOSS, "children": ["tank/a/b"]}, {}, "1 children"),
        ({**LOSS, "snapshots": 3}, {}, "3 snapshots"),
        ({**LOSS, "attachments": {"NFS Share": ["/mnt/tank/a"]}}, {"recursive": True}, "NFS Share: /mnt/tank/a"),
        ({**LOSS, "clones": ["tank/c"]}, {"recursive": True, "force": True}, "tank/c was cloned from its snapshots; promote or delete it first"),
        ({**LOSS, "snapshots": 1, "holds": ["tank/a@x"]}, {"recursive": True, "force": True}, "tank/a@x is held; let go of the hold first"),
    ],
)
def test_delete_refuses_to_take_more_with_it_than_allowed(loss: dict[str, t.Any], allowed: dict[str, bool], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan(have(truenas.dataset("tank/a")), {"name": "tank/a", "state": "absent", **allowed}, losses={"tank/a": loss})


def test_delete_shows_what_goes_with_it() -> None:
    loss = {**LOSS, "children": ["tank/a/b"], "snapshots": 3, "attachments": {"NFS Share": ["/mnt/tank/a"]}}
    item = {"name": "tank/a", "state": "absent", "recursive": True, "allow_attachments": True, "force": True}
    made = plan(have(truenas.dataset("tank/a")), item, losses={"tank/a": loss})
    assert made.diff.before == {"tank/a.state": "present", **{f"tank/a.{key}": value for key, value in loss.items() if value}}
    assert made.calls[0].params[1] == {"recursive": True, "force": True}


def test_children_are_deleted_before_parents() -> None:
    items = [{"name": "tank/a", "state": "absent"}, {"name": "tank/a/b", "state": "absent"}]
    losses = {"tank/a": {**LOSS, "children": ["tank/a/b"]}, "tank/a/b": LOSS}
    made = plan(have(truenas.dataset("tank/a"), truenas.dataset("tank/a/b")), *items, losses=losses)
    assert [call.what for call in made.calls] == ["tank/a/b", "tank/a"]


def test_a_pool_that_check_mode_would_have_made_is_assumed() -> None:
    made = plan({}, {"name": "tank", "atime": "OFF"}, {"name": "tank/a"}, assumed=("tank",))
    assert [call.method for call in made.calls] == ["pool.dataset.update", "pool.dataset.create"]
    with pytest.raises(Refused):
        plan({}, {"name": "tank/a"})


def test_two_hundred_names_are_one_call() -> None:
    server = Server(Step("pool.dataset.query", result=[truenas.dataset("tank")]))
    found = dataset.read(server.client(), dataset.wanted([{"name": f"tank/{number}"} for number in range(200)]))
    assert list(found) == ["tank"]
    server.finished()
    assert server.seen[-1][1][0][0][:2] == ["id", "in"]


def test_names_that_do_not_fit_into_a_message_are_one_call_too() -> None:
    server = Server(Step("pool.dataset.query", [[["pool", "in", ["tank"]]], {"extra": {"flat": True, "retrieve_children": True}}], []))
    dataset.read(server.client(), dataset.wanted([{"name": f"tank/{number:0100}"} for number in range(1000)]))
    server.finished()


def test_clones_are_deleted_before_what_they_were_cloned_from() -> None:
    items = [{"name": "tank/a", "state": "absent", "recursive": True}, {"name": "tank/c", "state": "absent"}]
    losses = {"tank/a": {**LOSS, "snapshots": 1, "clones": ["tank/c"]}, "tank/c": LOSS}
    made = plan(have(truenas.dataset("tank/a"), truenas.dataset("tank/c", origin=prop("tank/a@x"))), *items, losses=losses)
    assert [call.what for call in made.calls] == ["tank/c", "tank/a"]


def test_what_lies_below_is_read_for_deletions() -> None:
    filters = [["OR", [["id", "in", ["tank", "tank/a"]], ["id", "^", "tank/a/"], ["origin.rawvalue", "^", "tank/a@"], ["origin.rawvalue", "^", "tank/a/"]]]]
    server = Server(Step("pool.dataset.query", [filters, {"extra": {"flat": True, "retrieve_children": True}}], []))
    dataset.read(server.client(), dataset.wanted([{"name": "tank/a", "state": "absent"}]))
    server.finished()


def test_impact_asks_for_attachments_and_snapshots() -> None:
    server = Server(
        Step("pool.dataset.attachments", ["tank/a"], [{"type": "NFS Share", "service": "nfs", "attachments": ["/mnt/tank/a"]}]),
        Step("pool.snapshot.query", [[["OR", [["dataset", "=", "tank/a"], ["dataset", "^", "tank/a/"]]]], {"count": True}], 2),
        Step(
            "pool.snapshot.query",
            [
                [["pool", "=", "tank"], ["OR", [["dataset", "=", "tank/a"], ["dataset", "^", "tank/a/"]]], ["holds", "!=", {}]],
                {"select": ["id", "holds"], "extra": {"holds": True, "properties": ["userrefs"]}},
            ],
            [{"id": "tank/a@x", "holds": {"truenas": 1}}],
        ),
    )
    items = dataset.wanted([{"name": "tank/a", "state": "absent"}, {"name": "tank/gone", "state": "absent"}])
    clone = truenas.dataset("tank/c", origin=prop("tank/a/b@x"))
    found = dataset.impact(server.client(), items, have(truenas.dataset("tank/a"), truenas.dataset("tank/a/b"), clone))
    attached = {"NFS Share": ["/mnt/tank/a"]}
    assert found == {"tank/a": {"children": ["tank/a/b"], "snapshots": 2, "clones": ["tank/c"], "holds": ["tank/a@x"], "attachments": attached}}


def test_a_dataset_that_survives_its_deletion_is_an_error() -> None:
    with pytest.raises(Conflict, match="still there"):
        dataset.confirm_gone([{"name": "tank/a", "state": "absent"}], have(truenas.dataset("tank/a")))
    dataset.confirm_gone([{"name": "tank/a", "state": "absent"}], ROOT)
