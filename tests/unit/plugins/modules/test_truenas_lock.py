"""truenas_dataset_lock against the double's API (state of encryption only), and its check of keys that were put away."""

from __future__ import annotations

import importlib
import json
import pathlib
import typing as t
from collections.abc import Iterator

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError
from helpers.double import Double
from helpers.modules import ModuleFailed


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.truenas_{name}")


LOCK, INFO = module("dataset_lock"), module("dataset_lock_info")
KEY, WORDS, OTHER = "ab" * 32, "correct horse", "battery staple"


def encrypted(name: str, **options: t.Any) -> dict[str, t.Any]:
    return {"name": name, "encryption": True, "inherit_encryption": False, "encryption_options": options}


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> Iterator[Double]:
    """tank/p has a passphrase, tank/p/c is in it, tank/p/own has another; tank/k has a key that TrueNAS keeps."""
    with Double(tmp_path) as double:
        double.call("pool.dataset.create", encrypted("tank/p", passphrase=WORDS))
        double.call("pool.dataset.create", {"name": "tank/p/c"})
        double.call("pool.dataset.create", encrypted("tank/p/own", passphrase=OTHER))
        double.call("pool.dataset.create", encrypted("tank/k", key=KEY))
        double.call("sharing.nfs.create", {"path": "/mnt/tank/p/c"})
        yield double


def lock(nas: Double, *items: dict[str, t.Any]) -> dict[str, t.Any]:
    result = nas.converge(LOCK, {"datasets": list(items)})
    assert WORDS not in json.dumps(result) and OTHER not in json.dumps(result)
    return result


def refused(nas: Double, item: dict[str, t.Any]) -> str:
    said = []
    for check in (True, False):
        with pytest.raises(ModuleFailed) as caught:
            nas.run(LOCK, {"datasets": [item]}, check=check)
        assert caught.value.result["changed"] is False
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


def test_lock_shows_what_stops_and_unlock_brings_all_of_it_back(nas: Double) -> None:
    locked = lock(nas, {"name": "tank/p", "state": "locked"})
    assert locked["datasets"][0]["locked"] is True
    assert locked["diff"]["before"] == {
        "tank/p.locked": False, "tank/p.unlocked_below": ["tank/p/c", "tank/p/own"], "tank/p.served": ["NFS Share /mnt/tank/p/c"],
    }  # fmt: skip
    assert nas.call("sharing.nfs.query")[0]["locked"] is True
    assert nas.call("pool.dataset.query", [["id", "=", "tank/p/c"]])[0]["mountpoint"] is None
    opened = lock(nas, {"name": "tank/p", "state": "unlocked", "passphrase": WORDS})
    assert opened["unlocked"] == ["tank/p", "tank/p/c"] and nas.call("sharing.nfs.query")[0]["locked"] is False
    below = lock(nas, {"name": "tank/p", "state": "unlocked", "recursive": True, "keys": [{"name": "tank/p/own", "passphrase": OTHER}]})
    assert below["unlocked"] == ["tank/p/own"]


def test_wrong_or_missing_keys_are_refused_before_anything_changes(nas: Double) -> None:
    lock(nas, {"name": "tank/p", "state": "locked"})
    assert "tank/p: Provided key is invalid" in refused(nas, {"name": "tank/p", "state": "unlocked", "passphrase": "wrong words"})
    assert "tank/p: Key not provided" in refused(nas, {"name": "tank/p", "state": "unlocked"})
    both = {"name": "tank/p", "state": "unlocked", "passphrase": WORDS, "recursive": True}
    assert "tank/p/own: Key not provided" in refused(nas, both)
    assert nas.mw.store.value("locked_roots") == ["tank/p", "tank/p/own"]


def test_a_job_that_succeeds_with_datasets_left_locked_is_a_failure(nas: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the summary foretold is no longer true: the key was changed in between.
    lock(nas, {"name": "tank/p", "state": "locked"})
    util = importlib.import_module("ansible_collections.resilient.platform.plugins.module_utils._truenas.lock")
    good = [{"name": name, "locked": True, "unlock_successful": True, "unlock_error": None} for name in ("tank/p", "tank/p/own")]
    monkeypatch.setattr(util, "summary", lambda *_args, **_rest: good)
    keys = {"passphrase": WORDS, "recursive": True, "keys": [{"name": "tank/p/own", "passphrase": "not this one"}]}
    with pytest.raises(ModuleFailed, match="left datasets locked: tank/p/own: Invalid Key") as caught:
        nas.run(LOCK, {"datasets": [{"name": "tank/p", "state": "unlocked", **keys}]})
    assert caught.value.result["changed"] is True
    assert caught.value.result["error"]["failed"] == {"tank/p/own": {"error": "Invalid Key", "skipped": []}}
    assert "not this one" not in json.dumps(caught.value.result)


def test_what_lies_in_the_way_needs_force(nas: Double, tmp_path: pathlib.Path) -> None:
    lock(nas, {"name": "tank/p/own", "state": "locked"})
    (tmp_path / "mnt/tank/p/own/file").touch()
    item = {"name": "tank/p/own", "state": "unlocked", "passphrase": OTHER}
    assert "directory is not empty" in refused(nas, item)
    assert lock(nas, {**item, "force": True})["unlocked"] == ["tank/p/own"]


def test_a_whole_pool_is_unlocked_through_its_root(nas: Double) -> None:
    lock(nas, {"name": "tank/p", "state": "locked"})
    keys = [{"name": "tank/p", "passphrase": WORDS}, {"name": "tank/p/own", "passphrase": OTHER}]
    assert lock(nas, {"name": "tank", "state": "unlocked", "recursive": True, "keys": keys})["unlocked"] == ["tank/p", "tank/p/c", "tank/p/own"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"name": "tank/none", "state": "locked"}, "there is no dataset tank/none"),
        ({"name": "tank/a", "state": "locked"}, "tank/a: it is not encrypted"),
        ({"name": "tank/a", "state": "unlocked"}, "tank/a: it is not encrypted"),
        ({"name": "tank/k", "state": "locked"}, "only what has a passphrase can be locked"),
        ({"name": "tank/p/c", "state": "locked"}, "its key is that of tank/p"),
        ({"name": "tank/p", "state": "unlocked", "key": "short"}, "a key is 64 hexadecimal digits"),
        ({"name": "tank/p", "state": "unlocked", "key": KEY, "passphrase": "x"}, "exclude each other"),
        ({"name": "tank/p", "state": "unlocked", "keys": [{"name": "tank/k", "key": KEY}]}, "tank/k in keys is not below it"),
    ],
)
def test_bad_input_is_refused(item: dict[str, t.Any], said: str, nas: Double) -> None:
    assert said in refused(nas, item)


def test_child_of_a_locked_root_names_the_root(nas: Double) -> None:
    lock(nas, {"name": "tank/p", "state": "locked"})
    assert "its key is that of tank/p; unlock that" in refused(nas, {"name": "tank/p/c", "state": "unlocked"})


def test_info_says_whether_the_keys_that_were_put_away_fit(nas: Double) -> None:
    plain = nas.run(INFO, {})
    assert {one["name"]: one["escrow"] for one in plain["roots"]} == {"tank/k": "database_only", "tank/p": "unknown", "tank/p/own": "unknown"}
    assert [one["name"] for one in plain["datasets"]] == ["tank/k", "tank/p", "tank/p/c", "tank/p/own"]
    keys = [{"name": "tank/k", "key": KEY}, {"name": "tank/p", "passphrase": WORDS}, {"name": "tank/p/own", "passphrase": "forgotten"}]
    found = nas.run(INFO, {"keys": keys, "names": ["tank/p"]})
    assert {one["name"]: one["escrow"] for one in found["roots"]} == {"tank/p": "verified", "tank/p/own": "wrong"}
    assert {one["name"]: one["escrow"] for one in nas.run(INFO, {"keys": keys})["roots"]}["tank/k"] == "verified"


# -- the double: plugins/pool_/dataset_encryption_*.py, plugins/pool_/dataset.py (do_create) --------------------------------


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("pool.dataset.create", [{**encrypted("tank/x", passphrase=WORDS), "inherit_encryption": True}], "Must be disabled when encryption is enabled."),
        ("pool.dataset.create", [encrypted("tank/x")], "Please provide a key or select generate_key"),
        ("pool.dataset.create", [encrypted("tank/x", key=KEY, generate_key=True)], "Only one of key, generate_key must be provided."),
        ("pool.dataset.create", [encrypted("tank/x", key=KEY, passphrase=WORDS)], "Must be disabled when dataset is to be encrypted with passphrase."),
        ("pool.dataset.create", [encrypted("tank/p/x", key=KEY)], "Passphrase encrypted datasets cannot have children encrypted with a key."),
        ("pool.dataset.create", [{"name": "tank/p/x", "inherit_encryption": False}], "Cannot create an unencrypted dataset within an encrypted dataset"),
        ("pool.dataset.change_key", ["tank/a", {"key": KEY}], "Dataset is not encrypted"),
        ("pool.dataset.inherit_parent_encryption_properties", ["tank/a"], "Dataset tank/a is not encrypted"),
        ("pool.dataset.inherit_parent_encryption_properties", ["tank/p/c"], "Dataset tank/p/c is not an encryption root"),
        ("pool.dataset.inherit_parent_encryption_properties", ["tank/p"], "This operation requires the parent dataset to be encrypted"),
        ("pool.dataset.export_key", ["tank/p"], "Specified dataset does not have its own encryption key."),
        ("pool.dataset.lock", ["tank/a"], "tank/a is not encrypted"),
        ("pool.dataset.lock", ["tank/k"], "Only datasets which are encrypted with passphrase can be locked"),
        ("pool.dataset.lock", ["tank/p/c"], "Please lock tank/p. Only encryption roots can be locked."),
        ("pool.dataset.unlock", ["tank/p", {}], "tank/p dataset is not locked"),
        ("pool.dataset.unlock", ["tank/p", {"datasets": [{"name": "tank/p"}]}], "Passphrase or key must be specified for tank/p"),
        ("pool.dataset.unlock", ["tank/p", {"datasets": [{"name": "tank/p", "key": KEY, "passphrase": "x"}]}], "Must not be specified when passphrase"),
        ("pool.dataset.encryption_summary", ["tank/p", {"datasets": [{"name": "x", "key": KEY, "passphrase": "x"}]}], "Must not be specified"),
    ],
)
def test_the_double_refuses_what_truenas_refuses(method: str, params: list[t.Any], said: str, nas: Double) -> None:
    with nas.client() as client, pytest.raises(ApiError) as caught:
        if method in ("pool.dataset.create", "pool.dataset.inherit_parent_encryption_properties"):
            client.call(method, *params)
        else:
            client.job(method, *params, interval=0.05)
    assert said in caught.value.message


def test_the_double_locks_parents_and_children_as_truenas_does(nas: Double) -> None:
    with nas.client() as client:
        assert client.job("pool.dataset.export_key", "tank/k", interval=0.05).result == KEY
        client.job("pool.dataset.lock", "tank/p", interval=0.05)
        for method, params, said in (
            ("pool.dataset.lock", ["tank/p"], "Dataset tank/p is already locked"),
            ("pool.dataset.unlock", ["tank/p/own", {"datasets": [{"name": "tank/p/own", "passphrase": OTHER}]}], "has locked parents tank/p"),
            ("pool.dataset.unlock", ["tank/p", {}], "Please specify key for tank/p"),
            ("pool.dataset.unlock", ["tank/p/c", {}], "Only encryption roots can be unlocked"),
            ("pool.dataset.change_key", ["tank/p", {"key": KEY}], "Dataset must be unlocked before key can be changed"),
        ):
            with pytest.raises(ApiError) as caught:
                client.job(method, *params, interval=0.05)
            assert said in caught.value.message
        result = client.job("pool.dataset.unlock", "tank/p", {"recursive": True, "datasets": [{"name": "tank/p", "passphrase": "no"}]}, interval=0.05).result
        assert result == {"unlocked": [], "failed": {"tank/p": {"error": "Invalid Key", "skipped": ["tank/p/own"]}}}
        with pytest.raises(ApiError, match="tank/p must be unlocked to create tank/p/new"):
            client.call("pool.dataset.create", {"name": "tank/p/new"})
        client.job("pool.dataset.unlock", "tank/p", {"datasets": [{"name": "tank/p", "passphrase": WORDS}]}, interval=0.05)
        client.job("pool.dataset.unlock", "tank/p/own", {"datasets": [{"name": "tank/p/own", "passphrase": OTHER}]}, interval=0.05)
        client.call("pool.dataset.inherit_parent_encryption_properties", "tank/p/own")
        assert client.query("pool.dataset", [["id", "=", "tank/p/own"]])[0]["encryption_root"] == "tank/p"
        client.job("pool.dataset.change_key", "tank/k", {"passphrase": WORDS}, interval=0.05)
        assert client.query("pool.dataset", [["id", "=", "tank/k"]])[0]["key_format"]["value"] == "PASSPHRASE"
        client.call("pool.dataset.delete", "tank/p", {"recursive": True})
    assert list(nas.mw.store.value("encryption")) == ["tank/k"]
