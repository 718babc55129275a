"""truenas_api_key against the double's API: made once, replaced in time, never for who may delete, never shown."""

from __future__ import annotations

import importlib
import json
import pathlib
import stat
import time
import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError
from helpers.double import Double
from helpers.modules import ModuleFailed


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.truenas_{name}")


KEY, INFO = module("api_key"), module("api_key_info")
DAY = 86400.0


@pytest.fixture(params=["25.04", "25.10"])
def nas(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Double]:
    with Double(tmp_path / "nas", request.param) as double:
        yield double


def test_key_is_made_once_written_privately_and_cannot_delete(nas: Double, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "key"
    made = nas.converge(KEY, {"name": "rep", "username": "replicator", "key_file": str(path)})
    text = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and text not in json.dumps(made)
    assert [(one["name"], one["state"], one["days_left"]) for one in made["keys"]] == [("rep", "valid", 364)]
    nas.connection |= {"api_username": "replicator", "api_key": text}
    call = module("call")
    assert nas.run(call, {"method": "pool.dataset.query"})["result"]
    for method in ("pool.dataset.delete", "pool.snapshot.delete", "sharing.nfs.delete", "iscsi.target.query"):
        with pytest.raises(ModuleFailed, match="Not authorized|does not exist"):
            nas.run(call, {"method": method, "params": ["tank/a"]})
    assert nas.zfs.exists("tank/a")


def test_rotation_overlaps_and_then_ends_the_old_key(nas: Double, tmp_path: pathlib.Path) -> None:
    args = {"name": "rep", "username": "replicator", "key_file": str(tmp_path / "key"), "expires_in": 90}
    nas.converge(KEY, args)
    table = nas.mw.store.table("api_key")
    table[1]["expires_at"] = time.time() + 10 * DAY
    renewed = nas.converge(KEY, args)
    assert [(one["name"], one["state"]) for one in renewed["keys"]] == [("rep", "valid"), ("rep (2)", "valid")]
    table[2]["created_at"] -= 8 * DAY
    ended = nas.converge(KEY, args)
    assert [one["name"] for one in ended["keys"]] == ["rep (2)"] and ended["diff"]["before"] == {"rep.state": "valid"}
    table[1]["revoked"] = True
    assert [one["name"] for one in nas.converge(KEY, args)["keys"]] == ["rep (2)", "rep (3)"]
    assert nas.run(KEY, {**args, "rotate": True})["keys"][-1]["name"] == "rep (4)"
    assert nas.converge(KEY, {**args, "state": "absent"})["keys"] == []
    assert [one["name"] for one in nas.call("api_key.query")] == ["lab"]


def test_text_is_returned_only_where_it_is_not_shown(nas: Double) -> None:
    args = {"name": "rep", "username": "replicator", "expires_in": 0}
    with pytest.raises(ModuleFailed, match="would be shown"):
        nas.run(KEY, args)
    made = nas.run(KEY, {**args, "_ansible_no_log": True})
    assert made["key"].startswith("2-") and made["keys"][0]["days_left"] is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"name": "a", "username": "automation"}, "automation may delete data .FULL_ADMIN."),
        ({"name": "a", "username": "nobody-special"}, "has no privilege"),
        ({"name": "a", "username": "ghost"}, "there is no account ghost"),
        ({"name": "lab", "username": "replicator"}, "lab belongs to automation"),
        ({"name": "lab", "username": "automation", "state": "absent"}, "is the one of this session"),
        ({"name": "a", "username": "replicator", "key_file": "/nowhere/key"}, "not a directory that can be written to"),
    ],
)
def test_bad_input_is_refused(args: dict[str, t.Any], said: str, nas: Double) -> None:
    for check in (True, False):
        with pytest.raises(ModuleFailed, match=said):
            nas.run(KEY, {"_ansible_no_log": True, **args}, check=check)
    assert len(nas.call("api_key.query")) == 1


def test_info_tells_state_and_what_the_account_may_do(nas: Double) -> None:
    nas.key("old", "replicator")
    nas.mw.store.update("api_key", 2, {"expires_at": time.time() - DAY})
    nas.key("burnt", "replicator")
    nas.mw.store.update("api_key", 3, {"revoked": True, "revoked_reason": "Attempt to use over an insecure transport"})
    found = nas.run(INFO, {})["keys"]
    assert [(one["name"], one["state"], one["may_delete"]) for one in found] == [("lab", "valid", True), ("old", "expired", False), ("burnt", "revoked", False)]
    assert [one["id"] for one in nas.run(INFO, {"usernames": ["automation"]})["keys"]] == [1]


def test_the_double_refuses_what_truenas_refuses(nas: Double) -> None:
    # plugins/api_key/crud.py (do_create), plugins/api_key/internal.py (validate_api_key_data)
    past = {"$date": int((time.time() - DAY) * 1000)}
    for data, said in (
        ({"name": "x", "username": "ghost"}, "User does not exist."),
        ({"name": "x", "username": "nobody-special"}, "User lacks privilege role membership."),
        ({"name": "x", "username": "replicator", "expires_at": past}, "Expiration date is in the past"),
        ({"name": "lab", "username": "replicator"}, "name must be unique"),
    ):
        with pytest.raises(ApiError, match=said):
            nas.call("api_key.create", data)
