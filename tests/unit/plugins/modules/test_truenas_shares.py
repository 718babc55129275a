"""truenas_nfs_share and truenas_smb_share against the double's API: rules of the real server, both notations of SMB."""

from __future__ import annotations

import importlib
import pathlib
import typing as t
from collections.abc import Iterator

import pytest
from helpers.double import Double
from helpers.modules import ModuleFailed


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.truenas_{name}")


NFS, SMB = module("nfs_share"), module("smb_share")


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> Iterator[Double]:
    with Double(tmp_path) as double:
        yield double


@pytest.fixture
def old(tmp_path: pathlib.Path) -> Iterator[Double]:
    with Double(tmp_path, "25.04") as double:
        yield double


def nfs(nas: Double, *shares: dict[str, t.Any], **rest: t.Any) -> dict[str, t.Any]:
    return nas.converge(NFS, {"shares": list(shares), **rest})


def smb(nas: Double, *shares: dict[str, t.Any]) -> dict[str, t.Any]:
    return nas.converge(SMB, {"shares": list(shares)})


def refused(nas: Double, which: t.Any, *shares: dict[str, t.Any]) -> str:
    """What a run and check mode refuse with, before anything is written."""
    said = []
    for check in (True, False):
        with pytest.raises(ModuleFailed) as caught:
            nas.run(which, {"shares": list(shares)}, check=check)
        assert caught.value.result["changed"] is False
        said.append(str(caught.value))
    assert said[0] == said[1]
    return said[0]


# -- NFS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["25.04", "25.10"])
def test_nfs_from_nothing_to_changed_to_gone(version: str, tmp_path: pathlib.Path) -> None:
    with Double(tmp_path, version) as nas:
        first = {"path": "/mnt/tank/a", "networks": ["192.0.2.9/24", "10.0.0.0/8"], "maproot_user": "root", "security": ["SYS"]}
        made = nfs(nas, first, {"path": "/mnt/tank/b"})
        one, two = made["shares"]
        assert one["networks"] == ["10.0.0.0/8", "192.0.2.0/24"] and one["maproot_user"] == "root" and one["enabled"] is True
        assert two["networks"] == [] and two["locked"] is False
        changed = nfs(nas, {"path": "/mnt/tank/a", "maproot_user": "", "mapall_user": "root", "mapall_group": "wheel", "ro": True, "comment": "x"})
        assert changed["diff"] == {
            "before": {"/mnt/tank/a.maproot_user": "root", "/mnt/tank/a.ro": False, "/mnt/tank/a.comment": ""},
            "after": {"/mnt/tank/a.mapall_user": "root", "/mnt/tank/a.mapall_group": "wheel", "/mnt/tank/a.ro": True, "/mnt/tank/a.comment": "x"},
            "before_header": "NFS shares",
            "after_header": "NFS shares",
        }
        gone = nfs(nas, {"path": "/mnt/tank/a", "state": "absent"})
        assert gone["shares"] == [] and gone["diff"]["before"]["/mnt/tank/a.state"] == "present"
        assert [share["path"] for share in nas.call("sharing.nfs.query")] == ["/mnt/tank/b"]


def test_nfs_shares_of_one_path_are_told_apart_by_their_comments(nas: Double) -> None:
    inside = {"path": "/mnt/tank/a", "comment": "inside", "networks": ["10.0.0.0/24"]}
    outside = {"path": "/mnt/tank/a", "comment": "outside", "networks": ["192.0.2.0/24"], "ro": True}
    assert [share["comment"] for share in nfs(nas, inside, outside)["shares"]] == ["inside", "outside"]
    changed = nfs(nas, {**outside, "ro": False})
    assert changed["diff"]["after"] == {"/mnt/tank/a (outside).ro": False}
    assert "give each its own comment" in refused(nas, NFS, inside, {**outside, "comment": "inside"})
    # Nobody can say which of two equal ones is meant.
    nas.mw.store.insert("sharing_nfs", {**nas.mw.store.table("sharing_nfs")[0]})
    nas.mw.store.table("sharing_nfs")[-1]["id"] = 99
    assert "ids 1, 99" in refused(nas, NFS, inside)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({"path": "/tank/a"}, "not below /mnt/<pool>"),
        ({"path": "/mnt/tank/a/"}, "shortest form"),
        ({"path": "/mnt/tank/../a"}, "shortest form"),
        ({"path": "/mnt/tank/.zfs/snapshot"}, "directory of snapshots"),
        ({"path": "/mnt/tank/none"}, "/mnt/tank/none: there is no such path"),
        ({"path": "/mnt/other/a"}, "/mnt/other/a: there is no such path"),
        ({"path": "/mnt/tank/a", "networks": ["10.0.0.300/8"]}, "10.0.0.300/8 is not a network"),
        ({"path": "/mnt/tank/a", "networks": ["0.0.0.0/0"]}, "an empty list says so"),
        ({"path": "/mnt/tank/a", "networks": ["10.0.0.0/8", "10.0.0.0/8"]}, "lists an entry twice"),
        ({"path": "/mnt/tank/a", "networks": ["10.0.0.0/8", "10.1.0.0/16"]}, "overlap"),
        ({"path": "/mnt/tank/a", "hosts": ["a b"]}, "has a space or quote"),
        ({"path": "/mnt/tank/a", "hosts": ["0.0.0.0"]}, "'*' says so"),
        ({"path": "/mnt/tank/a", "maproot_group": "wheel"}, "maproot_group needs maproot_user"),
        ({"path": "/mnt/tank/a", "mapall_user": "", "mapall_group": "wheel"}, "mapall_group needs mapall_user"),
        ({"path": "/mnt/tank/a", "maproot_user": "root", "mapall_user": "root"}, "exclude each other"),
    ],
)
def test_nfs_bad_input_is_refused_before_the_first_write(share: dict[str, t.Any], said: str, nas: Double) -> None:
    assert said in refused(nas, NFS, {"path": "/mnt/tank/b"}, share)
    assert nas.call("sharing.nfs.query") == []


def test_nfs_what_only_the_whole_shows(nas: Double) -> None:
    nfs(nas, {"path": "/mnt/tank/a", "networks": ["10.0.0.0/8"], "maproot_user": "root", "comment": "one"})
    assert "exclude each other; an empty string removes one" in refused(nas, NFS, {"path": "/mnt/tank/a", "mapall_user": "root"})
    two = [{"path": "/mnt/tank/a", "comment": name, "networks": [net]} for name, net in (("one", "10.0.0.0/8"), ("two", "10.3.0.0/16"))]
    assert "would reach the same clients (10.0.0.0/8)" in refused(nas, NFS, *two)
    assert "listed 2 times" in refused(nas, NFS, {"path": "/mnt/tank/b"}, {"path": "/mnt/tank/b"})


def test_nfs_what_the_server_alone_knows_is_its_error(nas: Double) -> None:
    with pytest.raises(ModuleFailed, match="User not found: ghost") as caught:
        nas.run(NFS, {"shares": [{"path": "/mnt/tank/b"}, {"path": "/mnt/tank/a", "maproot_user": "ghost"}]})
    assert caught.value.result["done"] == ["sharing.nfs.create /mnt/tank/b"]
    assert caught.value.result["error"]["errors"] == {"maproot_user": "User not found: ghost"}


def test_nfs_directory_in_a_dataset_and_paths_of_an_earlier_task(nas: Double, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnt/tank/a/sub").mkdir()
    monkeypatch.setattr("lab.nas.server.filesystem._checked", lambda path: tmp_path / path.lstrip("/"))
    assert nfs(nas, {"path": "/mnt/tank/a/sub"})["shares"][0]["path"] == "/mnt/tank/a/sub"
    args = {"shares": [{"path": "/mnt/tank/new"}], "assume_present": ["tank/new"]}
    assert nas.run(NFS, args, check=True)["changed"] is True


def test_nfs_many_shares_are_one_log_in_and_one_query(nas: Double) -> None:
    for number in range(50):
        nas.zfs.run("zfs", "create", f"tank/n{number}")
    shares = [{"path": f"/mnt/tank/n{number}"} for number in range(50)]
    nfs(nas, *shares)
    counted: list[int] = []
    real = NFS.client_from

    def counting(params: t.Any) -> t.Any:
        client = real(params)
        closing = client.close

        def close() -> None:
            counted[:] = [client.calls, client.logins]
            closing()

        client.close = close
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NFS, "client_from", counting)
        assert nas.run(NFS, {"shares": shares})["changed"] is False
        assert counted == [2, 1]


def test_nfs_info(nas: Double) -> None:
    nfs(nas, {"path": "/mnt/tank/b"}, {"path": "/mnt/tank/a"})
    info = module("nfs_share_info")
    assert [share["path"] for share in nas.run(info, {})["shares"]] == ["/mnt/tank/b", "/mnt/tank/a"]
    assert [share["id"] for share in nas.run(info, {"paths": ["/mnt/tank/a"]})["shares"]] == [2]


# -- SMB ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["25.04", "25.10"])
def test_smb_from_nothing_to_changed_to_gone(version: str, tmp_path: pathlib.Path) -> None:
    with Double(tmp_path, version) as nas:
        made = smb(nas, {"name": "files", "path": "/mnt/tank/a", "purpose": "LEGACY_SHARE", "options": {"hostsallow": ["b", "a"], "guestok": True}},
                   {"name": "plain", "path": "/mnt/tank/b", "comment": "hello"})  # fmt: skip
        assert made["shares"][0]["options"]["hostsallow"] == ["a", "b"] and made["shares"][0]["options"]["recyclebin"] is False
        assert (made["shares"][1]["purpose"], made["shares"][1]["comment"]) == ("DEFAULT_SHARE", "hello")
        changed = smb(nas, {"name": "FILES", "readonly": True, "options": {"guestok": False}, "audit": {"enable": True, "watch_list": ["z", "y"]}})
        share = changed["shares"][0]
        assert (share["name"], share["readonly"], share["audit"]["watch_list"]) == ("FILES", True, ["y", "z"])
        assert share["options"]["hostsallow"] == ["a", "b"], "options that are not named keep what they have"
        assert changed["diff"]["after"]["files.options.guestok"] is False
        moved = smb(nas, {"name": "files", "purpose": "MULTIPROTOCOL_SHARE", "path": "/mnt/tank/b"})
        assert (moved["shares"][0]["purpose"], moved["shares"][0]["path"]) == ("MULTIPROTOCOL_SHARE", "/mnt/tank/b")
        assert smb(nas, {"name": "files", "state": "absent"}, {"name": "plain", "state": "absent"})["shares"] == []
        assert nas.call("sharing.smb.query") == []


def test_smb_external_and_time_locked(nas: Double) -> None:
    made = smb(nas, {"name": "far", "purpose": "EXTERNAL_SHARE", "options": {"remote_path": ["SERVER\\SHARE"]}},
               {"name": "worm", "path": "/mnt/tank/a", "purpose": "TIME_LOCKED_SHARE", "options": {"grace_period": 60}})  # fmt: skip
    assert made["shares"][0]["path"] == "EXTERNAL" and made["shares"][1]["options"]["grace_period"] == 60
    assert smb(nas, {"name": "worm", "options": {"grace_period": 61}})["diff"]["after"] == {"worm.options.grace_period": 61}


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({"name": "a:b", "path": "/mnt/tank/a"}, "which Windows does not allow"),
        ({"name": "x" * 81, "path": "/mnt/tank/a"}, "1 to 80 characters"),
        ({"name": "Homes", "path": "/mnt/tank/a"}, "reserved"),
        ({"name": "a"}, "a new share needs a path"),
        ({"name": "a", "path": "/mnt/tank/none"}, "there is no such path"),
        ({"name": "a", "path": "/srv"}, "not below /mnt/<pool>"),
        ({"name": "a", "path": "EXTERNAL", "purpose": "DEFAULT_SHARE"}, "only an EXTERNAL_SHARE has the path EXTERNAL"),
        ({"name": "a", "path": "/mnt/tank/a", "purpose": "EXTERNAL_SHARE", "options": {"remote_path": ["A\\B"]}}, "the path of an EXTERNAL_SHARE is EXTERNAL"),
        ({"name": "a", "purpose": "EXTERNAL_SHARE"}, "needs options.remote_path"),
        ({"name": "a", "path": "/mnt/tank/a", "purpose": "DEFAULT_SHARE", "options": {"grace_period": 60}}, "grace_period does not belong to DEFAULT_SHARE"),
        ({"name": "a", "path": "/mnt/tank/a", "options": {"guestok": True}}, "guestok does not belong to DEFAULT_SHARE"),
        ({"name": "a", "path": "/mnt/tank/a", "audit": {"enable": True}}, "needs a watch_list or an ignore_list"),
        ({"name": "GOOD", "path": "/mnt/tank/a"}, "listed twice"),
    ],
)
def test_smb_bad_input_is_refused_before_the_first_write(share: dict[str, t.Any], said: str, nas: Double) -> None:
    assert said in refused(nas, SMB, {"name": "good", "path": "/mnt/tank/b"}, share)
    assert nas.call("sharing.smb.query") == []


def test_smb_option_of_another_purpose_on_an_existing_share(nas: Double) -> None:
    smb(nas, {"name": "files", "path": "/mnt/tank/a"})
    assert "options.guestok does not belong to DEFAULT_SHARE" in refused(nas, SMB, {"name": "files", "options": {"guestok": True}})


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ({"purpose": "EXTERNAL_SHARE", "options": {"remote_path": ["A\\B"]}}, "25.04 has no purpose EXTERNAL_SHARE"),
        ({"purpose": "TIME_LOCKED_SHARE", "path": "/mnt/tank/a", "options": {"grace_period": 60}}, "25.04 has no option grace_period"),
        ({"path": "/mnt/tank/a", "readonly": True}, "DEFAULT_SHARE of TrueNAS 25.04 always has readonly False"),
        ({"path": "/mnt/tank/a", "options": {"hostsallow": ["a"]}}, "always has hostsallow []"),
    ],
)
def test_smb_what_25_04_cannot_hold_is_refused(share: dict[str, t.Any], said: str, old: Double) -> None:
    assert said in refused(old, SMB, {"name": "a", **share})


def test_smb_25_04_change_that_its_purpose_would_undo(old: Double) -> None:
    smb(old, {"name": "a", "path": "/mnt/tank/a"})
    assert "always has readonly False" in refused(old, SMB, {"name": "a", "readonly": True})
    old.mw.store.set_value("smb_aapl_extensions", True)
    made = smb(old, {"name": "mac", "path": "/mnt/tank/b", "purpose": "TIMEMACHINE_SHARE", "options": {"auto_dataset_creation": True}})
    assert made["shares"][0]["options"]["auto_dataset_creation"] is True
    assert old.call("sharing.smb.query", [["name", "=", "mac"]])[0]["purpose"] == "ENHANCED_TIMEMACHINE"


def test_smb_notation_follows_the_pinned_version_where_no_share_tells(nas: Double) -> None:
    # The double has no adapters between versions, so only the plan is looked at: a 25.10 server pinned to 25.04 gets flat fields.
    with pytest.raises(ModuleFailed, match="25.04 has no purpose FCP_SHARE"):
        nas.run(SMB, {"api_version": "v25.04.2", "shares": [{"name": "a", "path": "/mnt/tank/a", "purpose": "FCP_SHARE"}]}, check=True)


def test_smb_what_the_server_alone_knows_is_its_error(nas: Double) -> None:
    with pytest.raises(ModuleFailed, match="Apple SMB2/3 protocol extension support is required"):
        nas.run(SMB, {"shares": [{"name": "mac", "path": "/mnt/tank/a", "purpose": "TIMEMACHINE_SHARE"}]})


def test_smb_info(nas: Double) -> None:
    smb(nas, {"name": "b", "path": "/mnt/tank/b"}, {"name": "a", "path": "/mnt/tank/a"})
    info = module("smb_share_info")
    assert [share["name"] for share in nas.run(info, {})["shares"]] == ["a", "b"]
    assert [share["name"] for share in nas.run(info, {"names": ["B"]})["shares"]] == ["b"]
