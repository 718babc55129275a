"""The parts without input and output: query language, names, schedules, retention, properties, zpool's text."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from lab.nas.server import cron, ejson, naming, props, retention, zpool
from lab.nas.server.dataset_models import CreateArgs, UpdateArgs
from lab.nas.server.errors import MatchNotFound, ValidationErrors, errname
from lab.nas.server.query import filter_list
from lab.nas.server.schema import parse
from lab.nas.server.zfs import Snapshot, Value

ROWS: list[dict[str, Any]] = [
    {"id": 1, "name": "Alpha", "tags": ["x", "y"], "n": {"v": 3}, "none": None, "list": [{"a": 1}, {"a": 2}], "a.b": 1},
    {"id": 2, "name": "beta", "tags": [], "n": {"v": 1}, "none": 5, "list": []},
    {"id": 3, "name": "Gamma", "tags": ["z"], "n": {"v": 2}, "none": None, "list": [{"a": 2}]},
]


@pytest.mark.parametrize("filters, ids", [
    ([], [1, 2, 3]), ([["id", "=", 2]], [2]), ([["id", "!=", 2]], [1, 3]), ([["n.v", ">", 1], ["n.v", "<=", 2]], [3]),
    ([["name", "~", "[AG]"]], [1, 3]), ([["id", "in", [1, 3]]], [1, 3]), ([["id", "nin", [1, 3]]], [2]), ([["tags", "rin", "x"]], [1]),
    ([["tags", "rnin", "x"]], [2, 3]), ([["name", "^", "G"]], [3]), ([["name", "!^", "G"]], [1, 2]), ([["name", "$", "ta"]], [2]),
    ([["name", "!$", "ta"]], [1, 3]),
    ([["name", "C=", "alpha"]], [1]), ([["name", "C^", "BE"]], [2]), ([["name", "Cin", ["BETA", "gamma"]]], [2, 3]),
    ([["OR", [["id", "=", 1], ["name", "=", "beta"]]]], [1, 2]), ([["OR", [[["id", "=", 1], ["name", "=", "no"]], ["id", "=", 3]]]], [3]),
    ([["list.*.a", "=", 2]], [1, 3]), ([["list.0.a", "=", 2]], [3]), ([["none", "=", None]], [1, 3]), ([["none", ">", 1]], [2]), ([["a\\.b", "=", 1]], [1]),
    ([["missing", "=", None]], [1, 2, 3]),
])
def test_filters(filters: list[Any], ids: list[int]) -> None:
    assert [row["id"] for row in filter_list(ROWS, filters)] == ids


def test_options() -> None:
    assert filter_list(ROWS, [], {"count": True}) == 3
    assert [row["id"] for row in filter_list(ROWS, [], {"order_by": ["-n.v"]})] == [1, 3, 2]
    assert [row["id"] for row in filter_list(ROWS, [], {"order_by": ["nulls_first:none", "-id"]})] == [3, 1, 2]
    assert [row["id"] for row in filter_list(ROWS, [], {"order_by": ["none"]})][0] == 2
    assert filter_list(ROWS, [["id", "=", 1]], {"select": ["n.v", ["name", "title"], "missing"], "get": True}) == {"n": {"v": 3}, "title": "Alpha"}
    assert [row["id"] for row in filter_list(ROWS, [], {"offset": 1, "limit": 1})] == [2]
    with pytest.raises(MatchNotFound, match="ENOENT"):
        filter_list(ROWS, [["id", "=", 9]], {"get": True})


@pytest.mark.parametrize("bad", [[["id", "=="]], [["id", "??", 1]], ["id"], [["id", "~", "("]], [["id", ">", "x"]]])
def test_bad_filters_are_refused(bad: list[Any]) -> None:
    with pytest.raises(ValidationErrors):
        filter_list([{"id": 1}], bad)


def test_dates_on_the_wire() -> None:
    when = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    assert ejson.loads(ejson.dumps({"d": when, "s": {2, 1}})) == {"d": when, "s": {1, 2}}
    assert filter_list([{"d": when}], [["d.$date", ">=", "2026-01-01T00:00:00+00:00"]]) == [{"d": when}]
    assert errname(207) == "ENOTAUTHENTICATED" and errname(2) == "ENOENT" and errname(99999) == "EUNKNOWN"


def test_names() -> None:
    when = datetime.datetime(2026, 11, 21, 5, 4)
    schema = "auto-%Y-%m-%d_%H-%M"
    assert naming.parse(naming.make(schema, when), schema) == when
    assert naming.parse("auto-2026-11-21_5-4", schema) is None, "a name must be what the schema makes of its time"
    assert naming.parse("manual", schema) is None
    assert naming.parse(naming.make("s-%s", when), "s-%s") == when
    assert naming.parse_any("b-202611210504", [schema, "b-%Y%m%d%H%M"]) == when
    assert naming.problem(schema) is None and naming.problem("s-%s") is None
    assert "%H" in str(naming.problem("daily-%Y-%m-%d")) and "must only contain" in str(naming.problem("a/b"))


@pytest.mark.parametrize("schedule, when, due", [
    ({}, "2026-11-21 05:00", True), ({"minute": "*/15"}, "2026-11-21 05:45", True), ({"minute": "*/15"}, "2026-11-21 05:46", False),
    ({"minute": "0", "hour": "1-5/2"}, "2026-11-21 03:00", True), ({"minute": "0", "hour": "1-5/2"}, "2026-11-21 04:00", False),
    ({"minute": "00", "dow": "6"}, "2026-11-21 05:00", True), ({"minute": "00", "dow": "sat,sun"}, "2026-11-21 05:00", True),
    ({"minute": "00", "dow": "7"}, "2026-11-22 05:00", True), ({"minute": "00", "month": "jan"}, "2026-11-21 05:00", False),
    ({"minute": "00", "begin": "09:00", "end": "18:00"}, "2026-11-21 05:00", False),
    ({"minute": "00", "begin": "22:00", "end": "06:00"}, "2026-11-21 05:00", True),
])
def test_schedules(schedule: dict[str, str], when: str, due: bool) -> None:
    assert cron.due({"minute": "00", **schedule}, datetime.datetime.fromisoformat(when)) is due


@pytest.mark.parametrize("field, text", [("minute", "60"), ("hour", "x"), ("dom", "0"), ("dow", "5-3"), ("minute", "*/0")])
def test_bad_schedules(field: str, text: str) -> None:
    with pytest.raises(ValueError, match="cron syntax"):
        cron.values(field, text)


def _task(**options: Any) -> dict[str, Any]:
    return {"id": 1, "dataset": "tank", "recursive": True, "exclude": [], "naming_schema": "a-%Y-%m-%d_%H-%M", "lifetime_value": 1, "lifetime_unit": "DAY",
            "schedule": {"minute": "00"}, "enabled": True, **options}


def _snap(name: str, txg: int = 1, **properties: Value) -> Snapshot:
    return Snapshot(name, "g", 0, txg, properties)


def test_retention_goes_by_name_and_keeps_the_last() -> None:
    now = datetime.datetime(2026, 1, 10)
    owner = retention.owner_of_task(_task())
    snapshots = [_snap(f"tank@a-2026-01-0{day}_00-00") for day in (1, 2, 3)]
    snapshots += [_snap("tank@manual"), _snap("tank@a-2026-01-01_00-30"), _snap("tank/x@a-2026-01-01_00-00")]
    gone = [one.id for one in retention.expired([owner], snapshots, now)]
    assert gone == ["tank@a-2026-01-01_00-00", "tank@a-2026-01-02_00-00"]
    longer = retention.owner_of_task(_task(lifetime_unit="YEAR"))
    assert retention.expired([owner, longer], snapshots, now) == []
    holder = retention.Owner(_task(), ("a-%Y-%m-%d_%H-%M",), None, None, frozenset({"tank@a-2026-01-01_00-00"}))
    assert [one.id for one in retention.expired([owner, holder], snapshots, now)] == ["tank@a-2026-01-02_00-00"]


def test_retention_leaves_what_is_excluded_and_honours_fixed_dates() -> None:
    now = datetime.datetime(2026, 1, 10)
    owner = retention.owner_of_task(_task(exclude=["tank/x"]))
    assert retention.expired([owner], [_snap("tank/x@a-2026-01-01_00-00"), _snap("tank/x@a-2026-01-02_00-00")], now) == []
    fixed = {retention.DESTROY_AT: Value("2026-01-05T00:00:00", "local")}
    assert [one.id for one in retention.expired([], [_snap("tank@a", 1, **fixed), _snap("tank@b")], now)] == ["tank@a"]
    assert retention.lifetime(2, "MONTH") == datetime.timedelta(days=60) and retention.lifetime(1, "YEAR") == datetime.timedelta(days=365)


def test_properties_zfs_fuse_lacks_are_shadowed() -> None:
    assert props.to_zfs("compression", "ZSTD") == {"double:compression": "zstd", "compression": "lzjb"}
    assert props.to_zfs("compression", "GZIP") == {"double:compression": "gzip", "compression": "gzip"}
    assert props.to_zfs("compression", "INHERIT") == {"double:compression": None, "compression": None}
    assert props.to_zfs("recordsize", "1M") == {"double:recordsize": "1048576", "recordsize": "131072"}
    assert props.to_zfs("sync", "ALWAYS") == {"double:sync": "always"} and props.to_zfs("quota", 0) == {"quota": "none"}
    assert props.to_zfs("checksum", "BLAKE3") == {"double:checksum": "blake3", "checksum": "sha256"}
    shown = props.show({"quota": Value("0", "default"), "double:sync": Value("always", "inherited from tank"), "recordsize": Value("131072", "default"),
                        "compression": Value("lzjb", "local"), "double:compression": Value("zstd", "received"), "used": Value("2048", "-")})
    assert shown["quota"] == {"parsed": None, "rawvalue": "0", "value": None, "source": "DEFAULT", "source_info": None}
    assert shown["sync"] == {"parsed": "always", "rawvalue": "always", "value": "ALWAYS", "source": "INHERITED", "source_info": "tank"}
    assert shown["compression"]["value"] == "ZSTD" and shown["compression"]["source"] == "RECEIVED" and shown["used"]["value"] == "2 KiB"
    found = {"org.x:a": Value("1", "inherited from tank"), "double:sync": Value("always", "local"), "org.freenas:description": Value("c", "local")}
    assert props.user_properties(found, "25.10") == {"org.x:a": props.shape("1", "1", "1", "local")}
    assert props.user_properties(found, "25.04")["org.x:a"]["source"] == "INHERITED"


@pytest.mark.parametrize("data, attribute, text", [
    ({"name": "tank/a", "quota": 1}, "data.quota", "greater than or equal to 1073741824 or Input should be 0"),
    ({"name": "tank/a", "volsize": 1}, "data.volsize", "Extra inputs are not permitted"),
    ({"name": "tank/a", "type": "VOLUME"}, "data.volsize", "Field required"),
    ({"name": "tank/a", "copies": "2"}, "data.copies", "Input should be a valid integer or Input should be 'INHERIT'"),
    ({"name": "tank//a"}, "data.name", "valid dataset name"), ({"name": ""}, "data.name", "valid dataset name"),
    ({"name": "tank/a", "user_properties": [{"key": "nocolon", "value": "1"}]}, "data.user_properties.0.key", "String should match pattern"),
    ({"name": "tank/a", "sync": "standard"}, "data.sync", "Input should be 'STANDARD'"),
])
def test_parameters_are_strict(data: dict[str, Any], attribute: str, text: str) -> None:
    with pytest.raises(ValidationErrors) as caught:
        parse(CreateArgs, [data])
    assert [error[0] for error in caught.value.errors] == [attribute] and text in caught.value.errors[0][1]


def test_fields_that_were_not_given_stay_away() -> None:
    assert parse(UpdateArgs, ["tank/a", {"quota": None}]) == ["tank/a", {"quota": None}]
    assert "acltype" not in parse(CreateArgs, [{"name": "tank/a"}])[0] and parse(CreateArgs, [{"name": "tank/a"}])[0]["type"] == "FILESYSTEM"
    for refused in ("name", "type", "share_type", "encryption"):
        with pytest.raises(ValidationErrors, match="Extra inputs"):
            parse(UpdateArgs, ["tank/a", {refused: "x"}])


STATUS = """  pool: tank
 state: ONLINE
 scrub: scrub completed after 0h0m with 0 errors on Sat Nov 21 06:05:09 2026
config:

\tNAME              STATE     READ WRITE CKSUM
\ttank              ONLINE       0     0     0
\t  mirror-0        ONLINE       0     0     0
\t    /d/disks/sda  ONLINE       0     0     0
\t    /d/disks/sdb  DEGRADED     1     2     3
\tlogs
\t  /d/disks/sdc    ONLINE       0     0     0

errors: No known data errors
"""


def test_zpool_status_is_understood() -> None:
    found = zpool.topology(STATUS)
    assert [(one["type"], [leaf["disk"] for leaf in one["children"]]) for one in found["data"]] == [("MIRROR", ["sda", "sdb"])]
    assert found["data"][0]["children"][1]["stats"] == {"read_errors": 1, "write_errors": 2, "checksum_errors": 3}
    assert [one["disk"] for one in found["log"]] == ["sdc"] and not zpool.errors(STATUS)
    scan = zpool.scan(STATUS)
    assert scan is not None and scan["state"] == "FINISHED" and scan["errors"] == 0
    running = zpool.scan(" scrub: scrub in progress for 0h0m, 12.50% done, 0h1m to go")
    assert running is not None and running["state"] == "SCANNING" and running["percentage"] == 12.5
    assert zpool.scan(" scrub: none requested") is None
    assert props.parse_size("3.97G") == int(3.97 * 1024**3) and props.parse_size("512B") == 512
