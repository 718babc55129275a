"""``sharing.nfs`` and ``sharing.smb``: what the real server refuses, with the place that says so."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from lab.nas.server.middleware import Middleware

from .conftest import FakeZfs, Scenario, Wire

Talk = Callable[[Scenario], None]
PATH = {"path": "/mnt/tank/a"}


@pytest.fixture
def release() -> str:
    """One release; the tests of another one say so."""
    return "25.10"


@pytest.fixture(autouse=True)
def datasets(mw: Middleware, tmp_path: pathlib.Path) -> None:
    assert isinstance(mw.zfs, FakeZfs)
    mw.zfs.names = {name: [] for name in ("tank", "tank/a", "tank/a/b", "tank/c")}
    mw.mnt = tmp_path / "mnt"


async def _refused(wire: Wire, method: str, *params: Any) -> list[tuple[str, str]]:
    """Return the attributes and messages that a call is refused with."""
    error = await wire.error(method, *params)
    return [(one[0], one[1]) for one in error["data"]["extra"] or [["", error["data"]["reason"], 0]]]


# plugins/nfs_/validators.py (confirm_unique, sanitize_networks, sanitize_hosts) and plugins/nfs.py (validate*).
NFS_REFUSALS = [
    ({**PATH, "paths": ["/mnt/tank/a"]}, "data.paths", "Extra inputs are not permitted"),
    ({"path": "/etc"}, "sharingnfs_create.path", "The path must reside within a pool mount point"),
    ({"path": "/mnt/other/x"}, "sharingnfs_create.path", "The path must reside within a pool mount point"),
    ({"path": "EXTERNAL:x"}, "sharingnfs_create.path", "Path is external to TrueNAS."),
    ({"path": "/mnt/tank/gone"}, "", "[ENOENT] Path /mnt/tank/gone not found"),
    ({**PATH, "networks": ["x"]}, "sharingnfs_create.networks", "The following do not appear to be valid IPv4 or IPv6 networks: x"),
    ({**PATH, "networks": ["::/0"]}, "sharingnfs_create.networks", "Do not use ::/0 to represent all-networks."),
    ({**PATH, "networks": ["10.0.0.0/8", "10.0.0.0/8"]}, "sharingnfs_create.networks", "Entries must be unique"),
    ({**PATH, "networks": ["10.0.0.0/8", "10.1.0.0/16"]}, "sharingnfs_create.networks", "ERROR - Overlapped subnets"),
    ({**PATH, "hosts": ['a"b']}, "sharingnfs_create.hosts", "Cannot contain spaces or quotes"),
    ({**PATH, "hosts": ["0.0.0.0"]}, "sharingnfs_create.hosts", "Do not use 0.0.0.0 to represent all-hosts."),
    ({**PATH, "maproot_group": "wheel"}, "sharingnfs_create.maproot_user", "This field is required when map group is specified"),
    ({**PATH, "mapall_user": "root", "mapall_group": "no"}, "sharingnfs_create.mapall_group", "Group not found: no"),
    ({**PATH, "maproot_user": "root", "mapall_user": "root"}, "sharingnfs_create.mapall_user", "maproot_user disqualifies mapall_user"),
    ({**PATH, "security": ["KRB5"]}, "sharingnfs_create.security", "require NFSv4 to be enabled: KRB5."),
    ({**PATH, "security": ["krb5"]}, "data.security.0", "Input should be"),
    ({**PATH, "expose_snapshots": True}, "sharingnfs_create.expose_snapshots", "This is an enterprise feature"),
]


@pytest.mark.parametrize(("data", "attribute", "message"), NFS_REFUSALS)
def test_nfs_refusals(data: dict[str, Any], attribute: str, message: str, talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.login()
        found = await _refused(wire, "sharing.nfs.create", data)
        assert any(name == attribute and message in text for name, text in found), found
        assert await wire.call("sharing.nfs.query") == []

    talk(scenario)


def test_nfs_networks_are_made_cidr_and_one_path_may_have_several_shares(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.login()
        made = await wire.call("sharing.nfs.create", {**PATH, "networks": ["192.0.2.7/24"], "hosts": ["one"]})
        assert made["networks"] == ["192.0.2.0/24"] and made["locked"] is False and made["aliases"] == []
        again = await _refused(wire, "sharing.nfs.create", {**PATH, "networks": ["192.0.2.0/24", "192.0.3.0/24"], "hosts": ["one"]})
        assert [name for name, _text in again] == ["sharingnfs_create.networks", "sharingnfs_create.hosts"]
        other = await wire.call("sharing.nfs.create", {**PATH, "networks": ["192.0.3.0/24"]})
        assert "overlaps network" in (await _refused(wire, "sharing.nfs.update", other["id"], {"networks": ["192.0.0.0/16"]}))[0][1]
        assert (await _refused(wire, "sharing.nfs.get_instance", 9))[0][1] == "SharingNFS 9 does not exist"
        assert await wire.call("sharing.nfs.delete", other["id"]) is True

    talk(scenario)


def test_nfs_of_25_04_has_a_limit_of_entries(config: dict[str, Any], mw: Middleware, talk: Talk) -> None:
    config["version"] = "25.04"  # api/v25_04_0/nfs.py: MAX_NUM_NFS_HOSTS

    async def scenario(wire: Wire) -> None:
        await wire.login()
        found = await _refused(wire, "sharing.nfs.create", {**PATH, "hosts": [f"h{number}" for number in range(43)]})
        assert found == [("data.hosts", "List should have at most 42 items after validation, not 43")]

    talk(scenario)


def test_dataset_attachments_name_shares_and_deletion_takes_them(talk: Talk, mw: Middleware) -> None:
    # plugins/nfs_/fs_attachment_delegate.py, plugins/smb.py (SMBFSAttachmentDelegate), plugins/pool_/dataset.py (do_delete).
    from lab.nas.server import attachments

    async def scenario(wire: Wire) -> None:
        await wire.login()
        await wire.call("sharing.nfs.create", {"path": "/mnt/tank/a/b"})
        await wire.call("sharing.nfs.create", {"path": "/mnt/tank/c", "enabled": False})
        await wire.call("sharing.smb.create", {"name": "s", "path": "/mnt/tank/a"})

    talk(scenario)
    assert attachments.show(mw, "tank/a") == [
        {"type": "NFS Share", "service": "nfs", "attachments": ["/mnt/tank/a/b"]}, {"type": "SMB Share", "service": "cifs", "attachments": ["s"]}]
    attachments.delete(mw, "tank")
    assert [one["path"] for one in mw.store.table("sharing_nfs")] == ["/mnt/tank/c"], "what is switched off stays"
    assert mw.store.table("sharing_smb") == []


# api/v25_10_2/smb.py (parse_nested, check_purpose_options, ...Opt), utils/smb.py (validate_smb_share_name), plugins/smb.py (validate).
SMB = {"name": "s", "path": "/mnt/tank/a"}
SMB_REFUSALS = [
    ({**SMB, "hostsallow": ["a"]}, "data.hostsallow", "Extra inputs are not permitted"),
    ({**SMB, "options": {}}, "data", "You must set `purpose` if you set `options`."),
    ({**SMB, "purpose": "DEFAULT_SHARE", "options": {"guestok": True}}, "data.options.guestok", "Extra inputs are not permitted"),
    ({**SMB, "purpose": "TIME_LOCKED_SHARE", "options": {"grace_period": 59}}, "data.options.grace_period", "greater than or equal to 60"),
    ({**SMB, "purpose": "WORM_DROPBOX"}, "data.purpose", "Input should be"),
    ({**SMB, "purpose": "EXTERNAL_SHARE", "options": {"remote_path": ["A\\B"]}}, "data", 'You must set `path` to "EXTERNAL" for external shares.'),
    ({**SMB, "path": "EXTERNAL", "purpose": "EXTERNAL_SHARE"}, "data", "External shares require explicit options configuration"),
    ({**SMB, "path": "EXTERNAL", "purpose": "EXTERNAL_SHARE", "options": {"remote_path": ["AB"]}}, "data.options.remote_path", "must be of format"),
    ({**SMB, "path": "EXTERNAL", "purpose": "EXTERNAL_SHARE", "options": {"remote_path": ["\\B"]}}, "data.options.remote_path", "must be of format"),
    ({**SMB, "path": "EXTERNAL"}, "sharingsmb_create.path", "External paths may only be set for shares with an EXTERNAL_SHARE purpose"),
    ({**SMB, "name": "a/b"}, "data.name", "invalid characters: /"),
    ({**SMB, "name": "printers"}, "data.name", "printers: share name is reserved."),
    ({**SMB, "purpose": "VEEAM_REPOSITORY_SHARE"}, "sharingsmb_create.purpose", "require a TrueNAS enterprise license"),
    ({**SMB, "purpose": "FCP_SHARE"}, "sharingsmb_create.purpose", "Apple SMB2/3 protocol extension support is required"),
    ({**SMB, "audit": {"enable": True}}, "sharingsmb_create.audit.enable", "Watch list or ignore list is required"),
]


@pytest.mark.parametrize(("data", "attribute", "message"), SMB_REFUSALS)
def test_smb_refusals(data: dict[str, Any], attribute: str, message: str, talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.login()
        found = await _refused(wire, "sharing.smb.create", data)
        assert any(name == attribute and message in text for name, text in found), found
        assert await wire.call("sharing.smb.query") == []

    talk(scenario)


def test_smb_options_are_replaced_and_names_are_unique_without_case(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.login()
        made = await wire.call("sharing.smb.create", {**SMB, "purpose": "LEGACY_SHARE", "options": {"guestok": True, "home": True}})
        assert made["options"]["guestok"] is True and made["options"]["streams"] is True
        assert "must be unique" in (await _refused(wire, "sharing.smb.create", {**SMB, "name": "S"}))[0][1]
        home = {**SMB, "name": "t", "purpose": "LEGACY_SHARE", "options": {"home": True}}
        assert "Only one share" in (await _refused(wire, "sharing.smb.create", home))[0][1]
        changed = await wire.call("sharing.smb.update", made["id"], {"purpose": "LEGACY_SHARE", "options": {"recyclebin": True}})
        assert changed["options"]["guestok"] is False and changed["options"]["recyclebin"] is True
        assert (await _refused(wire, "sharing.smb.update", made["id"], {"options": {}}))[0][1] == "You must set `purpose` if you set `options`."
        assert (await wire.call("sharing.smb.get_instance", made["id"]))["locked"] is False
        assert (await _refused(wire, "sharing.smb.delete", 7))[0][1] == "SharingSMB 7 does not exist"

    talk(scenario)


def test_smb_of_25_04_is_flat_and_its_purpose_wins(config: dict[str, Any], talk: Talk) -> None:
    config["version"] = "25.04"  # plugins/smb_/utils.py of stable/fangtooth: apply_presets

    async def scenario(wire: Wire) -> None:
        await wire.login()
        assert ("sharingsmb_create.options", "Extra inputs are not permitted") in await _refused(wire, "sharing.smb.create", {**SMB, "options": {}})
        made = await wire.call("sharing.smb.create", {**SMB, "ro": True, "hostsallow": ["a"]})
        assert made["ro"] is False and made["hostsallow"] == [] and "options" not in made
        free = await wire.call("sharing.smb.create", {**SMB, "name": "t", "purpose": "NO_PRESET", "ro": True, "hostsallow": ["a"]})
        assert free["ro"] is True and free["hostsallow"] == ["a"]
        assert (await wire.call("sharing.smb.update", made["id"], {"purpose": "NO_PRESET", "abe": True}))["abe"] is True
        assert "Share with this name already exists." in (await _refused(wire, "sharing.smb.create", SMB))[0][1]

    talk(scenario)
