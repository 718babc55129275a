"""truenas_iscsi_volume against the double's API: one declaration is a zvol, an extent, a LUN, a target, a portal and initiators."""

from __future__ import annotations

import importlib
import json
import pathlib
import typing as t
from collections.abc import Iterator

import pytest
from helpers.double import GIB, Double
from helpers.modules import ModuleFailed


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.truenas_{name}")


VOLUME, INFO = module("iscsi_volume"), module("iscsi_volume_info")
DB = {"dataset": "tank/a/db", "volsize": "10G", "sparse": True, "portal": ["127.0.0.1"], "initiators": ["iqn.b", "iqn.a"]}
SERVICES = ("extent", "target", "targetextent", "portal", "initiator")


@pytest.fixture(params=["25.04", "25.10"])
def nas(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Double]:
    with Double(tmp_path, request.param) as double:
        yield double


@pytest.fixture
def one(tmp_path: pathlib.Path) -> Iterator[Double]:
    with Double(tmp_path) as double:
        yield double


def volumes(nas: Double, *items: dict[str, t.Any]) -> dict[str, t.Any]:
    return nas.converge(VOLUME, {"volumes": list(items)})


def counts(nas: Double) -> list[int]:
    """How many extents, targets, LUNs, portals and groups of initiators there are."""
    return [len(nas.mw.store.table(f"iscsi_{service}")) for service in SERVICES]


def refused(nas: Double, *items: dict[str, t.Any]) -> str:
    """What check mode and a run refuse with; nothing is written."""
    before, said = json.dumps([nas.mw.store.table(f"iscsi_{service}") for service in SERVICES]), []
    for check in (True, False):
        with pytest.raises(ModuleFailed) as caught:
            nas.run(VOLUME, {"volumes": list(items)}, check=check)
        assert caught.value.result["changed"] is False
        said.append(str(caught.value))
    assert before == json.dumps([nas.mw.store.table(f"iscsi_{service}") for service in SERVICES])
    assert said[0] == said[1]
    return said[0]


def test_from_nothing_to_served_to_gone(nas: Double) -> None:
    made = volumes(nas, DB)["volumes"][0]
    assert (made["volsize"], made["target"], made["iqn"], made["lun"]) == (10 * GIB, "db", "iqn.2005-10.org.freenas.ctl:db", 0)
    assert made["groups"] == [{"portal": ["127.0.0.1"], "initiators": ["iqn.a", "iqn.b"], "authmethod": "NONE", "auth": None}]
    assert nas.call("pool.dataset.query", [["id", "=", "tank/a/db"]])[0]["type"] == "VOLUME"
    grown = volumes(nas, {"dataset": "tank/a/db", "volsize": "20G", "ro": True, "alias": "database", "lun": 3, "auth_networks": ["10.0.0.0/8"]})
    assert grown["volumes"][0]["lun"] == 3 and grown["volumes"][0]["ro"] is True and grown["volumes"][0]["volsize"] == 20 * GIB
    assert grown["diff"]["before"] == {"tank/a/db.volsize": 10 * GIB, "tank/a/db.extent.ro": False, "tank/a/db.lun": 0, "target db.auth_networks": []}
    gone = volumes(nas, {"dataset": "tank/a/db", "state": "absent"})
    assert gone["volumes"] == [] and gone["diff"]["before"]["target db.state"] == "present"
    assert counts(nas) == [0, 0, 0, 1, 0], "the portal stays, what this module made for the target goes"
    assert nas.zfs.exists("tank/a/db"), "the data stays"
    assert volumes(nas, {"dataset": "tank/a/db", "state": "absent", "remove_volume": True})["changed"] is True
    assert not nas.zfs.exists("tank/a/db")


def test_an_unchanged_volume_is_eight_calls_whatever_the_number(one: Double) -> None:
    items = [{**DB, "dataset": f"tank/a/v{number}", "portal": ["127.0.0.1"]} for number in range(20)]
    assert len(volumes(one, *items)["volumes"]) == 20
    assert counts(one) == [20, 20, 20, 1, 1], "portal and initiators are shared"
    with one.client() as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(VOLUME, "client_from", lambda _params: client)
        assert one.run(VOLUME, {"volumes": items})["changed"] is False
        assert (client.calls, client.logins) == (8, 1)


def test_two_volumes_of_one_target_and_the_target_goes_with_the_last(one: Double) -> None:
    both = [{**DB, "target": "vms"}, {"dataset": "tank/a/log", "volsize": "1G", "target": "vms", "extent": "journal", "blocksize": 4096}]
    made = volumes(one, *both)["volumes"]
    assert [(volume["target"], volume["lun"]) for volume in made] == [("vms", 0), ("vms", 1)]
    assert made[1]["blocksize"] == 4096 and made[1]["groups"] == made[0]["groups"]
    third = {"dataset": "tank/a/more", "volsize": "1G", "target": "vms", "lun": 7}
    assert volumes(one, third)["volumes"][0]["lun"] == 7
    volumes(one, {"dataset": "tank/a/db", "state": "absent"})
    assert [target["name"] for target in one.call("iscsi.target.query")] == ["vms"]
    volumes(one, {"dataset": "tank/a/log", "state": "absent", "remove_volume": True}, {"dataset": "tank/a/more", "state": "absent"})
    assert counts(one) == [0, 0, 0, 1, 0]


def test_sessions_are_shown_and_refused_without_force(one: Double) -> None:
    volumes(one, DB)
    one.call("lab.iscsi_session", "db", "iqn.client")
    assert "iqn.client (192.0.2.1) use the target db" in refused(one, {"dataset": "tank/a/db", "state": "absent"})
    assert one.run(INFO, {})["volumes"][0]["sessions"] == ["iqn.client (192.0.2.1)"]
    gone = volumes(one, {"dataset": "tank/a/db", "state": "absent", "force": True, "remove_volume": True})
    assert gone["diff"]["before"]["tank/a/db.sessions"] == ["iqn.client (192.0.2.1)"]
    assert counts(one) == [0, 0, 0, 1, 0] and not one.zfs.exists("tank/a/db")


def test_a_failure_in_the_middle_says_how_far_it_came_and_the_next_run_ends_it(one: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server refuses the alias; zvol, portal, initiators and extent are there by then.
    volumes(one, {**DB, "dataset": "tank/a/other", "alias": "taken"})
    with pytest.raises(ModuleFailed, match="Alias already exists") as caught:
        one.run(VOLUME, {"volumes": [{**DB, "alias": "taken"}]})
    assert caught.value.result["done"] == ["pool.dataset.create tank/a/db", "iscsi.extent.create db"]
    assert volumes(one, {**DB, "alias": "free"})["changed"] is True
    assert counts(one) == [2, 2, 2, 1, 1]


def test_existing_objects_are_adopted(one: Double) -> None:
    one.call("pool.dataset.create", {"name": "tank/a/db", "type": "VOLUME", "volsize": 10 * GIB})
    portal = one.call("iscsi.portal.create", {"listen": [{"ip": "0.0.0.0"}]})
    extent = one.call("iscsi.extent.create", {"name": "by hand", "disk": "zvol/tank/a/db"})
    target = one.call("iscsi.target.create", {"name": "byhand", "groups": [{"portal": portal["id"]}]})
    one.call("iscsi.targetextent.create", {"target": target["id"], "extent": extent["id"]})
    plain = {"dataset": "tank/a/db", "volsize": "10G"}
    assert one.run(VOLUME, {"volumes": [plain]})["changed"] is False
    changed = volumes(one, {**plain, "initiators": ["iqn.a"], "extent": "renamed"})
    assert changed["diff"]["after"]["target byhand.initiators"] == ["iqn.a"] and changed["volumes"][0]["extent"] == "renamed"
    assert volumes(one, {**plain, "initiators": []})["volumes"][0]["groups"][0]["initiators"] == []
    # The only portal is taken for a new target, too.
    assert volumes(one, {"dataset": "tank/a/two", "volsize": "1G"})["volumes"][0]["groups"][0]["portal"] == ["0.0.0.0"]


def test_chap(one: Double) -> None:
    one.call("iscsi.auth.create", {"tag": 5, "user": "me", "secret": "s" * 12})
    assert volumes(one, {**DB, "authmethod": "CHAP", "auth": 5})["volumes"][0]["groups"][0]["auth"] == 5
    off = volumes(one, {**DB, "authmethod": "NONE"})
    assert off["volumes"][0]["groups"][0]["auth"] is None and off["diff"]["before"]["target db.auth"] == 5


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"dataset": "tank"}, "dataset is pool/path"),
        ({"dataset": "tank/a/Under_score", "volsize": "1G"}, "name one"),
        ({"dataset": "tank/a/x"}, "a VOLUME needs volsize"),
        ({"dataset": "tank/a/x", "volsize": "1000"}, "not a multiple of volblocksize"),
        ({"dataset": "tank/none/x", "volsize": "1G"}, "tank/none does not exist"),
        ({"dataset": "tank/a/x", "volsize": "90G"}, "more than 80 %"),
        ({"dataset": "tank/b", "volsize": "1G"}, "it is a FILESYSTEM and cannot become a VOLUME"),
        ({"dataset": "tank/a/x", "volsize": "1G", "extent": 'a"b'}, "no double quotes"),
        ({"dataset": "tank/a/x", "volsize": "1G", "serial": "s" * 21}, "more than 20 characters"),
        ({"dataset": "tank/a/x", "volsize": "1G", "lun": 16383}, "lun is 0 to 16382"),
        ({"dataset": "tank/a/x", "volsize": "1G", "portal": ["nowhere"]}, "nowhere is not an address"),
        ({"dataset": "tank/a/x", "volsize": "1G", "portal": []}, "portal lists no address"),
        ({"dataset": "tank/a/x", "volsize": "1G", "auth_networks": ["10.0.0.1/8"]}, "10.0.0.1/8 is not a network"),
        ({"dataset": "tank/a/x", "volsize": "1G", "authmethod": "CHAP"}, "authmethod CHAP needs auth"),
        ({"dataset": "tank/a/x", "volsize": "1G", "portal": ["127.0.0.1", "0.0.0.0"]}, "127.0.0.1 belongs to a portal with other addresses"),
        ({"dataset": "tank/a/x", "volsize": "1G", "extent": "db"}, "an extent db of something else"),
        ({"dataset": "tank/b/db", "volsize": "1G", "extent": "x"}, "there is a target db already"),
        ({"dataset": "tank/a/x", "volsize": "1G", "target": "db", "lun": 0}, "LUN 0 of the target db is taken"),
        ({"dataset": "tank/a/db", "volsize": "9G"}, "volsize cannot shrink"),
        ({"dataset": "tank/a/db", "blocksize": 4096}, "makes what is on the volume unreadable"),
        ({"dataset": "tank/a/db", "target": "other"}, "it is a LUN of the target db"),
    ],
)
def test_bad_input_is_refused_before_the_first_write(item: dict[str, t.Any], said: str, one: Double) -> None:
    volumes(one, DB)
    assert said in refused(one, item)


def test_what_only_the_list_shows_is_refused(one: Double) -> None:
    a, b = {"dataset": "tank/a/x", "volsize": "1G"}, {"dataset": "tank/b/x", "volsize": "1G"}
    assert "would share the target x" in refused(one, a, b)
    assert "listed twice" in refused(one, a, a)
    assert "a lun is given twice" in refused(one, {**a, "target": "t", "lun": 1}, {**b, "target": "t", "lun": 1})
    assert "initiators differs between its volumes" in refused(one, {**a, "target": "t", "initiators": ["a"]}, {**b, "target": "t", "initiators": []})
    assert "there are 0 portals" in refused(one, a)


def test_a_target_with_several_groups_is_left_to_its_owner(one: Double) -> None:
    volumes(one, DB)
    target = one.mw.store.table("iscsi_target")[0]
    target["groups"].append({"portal": 9, "initiator": None, "authmethod": "NONE", "auth": None})
    assert "target db has 2 groups" in refused(one, DB)
    assert one.run(VOLUME, {"volumes": [{"dataset": "tank/a/db", "volsize": "10G"}]})["changed"] is False


def test_a_dataset_that_an_earlier_task_would_have_made(one: Double) -> None:
    args = {"volumes": [{**DB, "dataset": "tank/new/x"}], "assume_present": ["tank/new"]}
    assert one.run(VOLUME, args, check=True)["volumes"][0]["iqn"] == "iqn.2005-10.org.freenas.ctl:x"
    with pytest.raises(ModuleFailed, match="tank/new does not exist"):
        one.run(VOLUME, args)


def test_info_of_what_is_and_is_not_exported(one: Double) -> None:
    assert one.run(INFO, {})["volumes"] == []
    volumes(one, DB)
    one.call("pool.dataset.create", {"name": "tank/a/spare", "type": "VOLUME", "volsize": GIB})
    found = one.run(INFO, {"datasets": ["tank/a/spare", "tank/a/db", "tank/none"]})["volumes"]
    assert [(volume["dataset"], volume["target"], volume["volsize"]) for volume in found] == [("tank/a/db", "db", 10 * GIB), ("tank/a/spare", None, GIB)]
    assert [volume["dataset"] for volume in one.run(INFO, {})["volumes"]] == ["tank/a/db"]
