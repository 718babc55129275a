"""``iscsi.*``: what the real server refuses, with the place that says so (all in plugins/iscsi_)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError
from helpers.double import GIB, Double


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> Iterator[Double]:
    """A NAS with two zvols, a portal, and the first zvol as LUN of a target that is in use."""
    with Double(tmp_path) as double:
        for name in ("one", "two"):
            double.call("pool.dataset.create", {"name": f"tank/a/{name}", "type": "VOLUME", "volsize": GIB})
        double.call("iscsi.portal.create", {"listen": [{"ip": "127.0.0.1"}]})
        double.call("iscsi.extent.create", {"name": "one", "disk": "zvol/tank/a/one", "serial": "s1"})
        double.call("iscsi.target.create", {"name": "t1", "alias": "first", "groups": [{"portal": 1}]})
        double.call("iscsi.targetextent.create", {"target": 1, "extent": 1})
        double.call("lab.iscsi_session", "t1", "iqn.x")
        yield double


def _refused(nas: Double, method: str, *params: Any) -> str:
    with pytest.raises(ApiError) as caught:
        nas.call(method, *params)
    return caught.value.message


REFUSALS: list[tuple[str, list[Any], str]] = [
    # portal.py: __validate; deletion of what is not there: service/crud_service.py
    ("iscsi.portal.create", [{"listen": []}], "iscsiportal_create.listen: At least one listen entry is required."),
    ("iscsi.portal.create", [{"listen": [{"ip": "127.0.0.1"}]}], "iscsiportal_create.listen: '127.0.0.1' IP is already in use."),
    ("iscsi.portal.create", [{"listen": [{"ip": "192.0.2.200"}]}], "IP 192.0.2.200 not configured on this system."),
    ("iscsi.portal.create", [{"listen": [{"ip": "x"}]}], "iscsi_portal_create.listen.0.ip"),
    ("iscsi.portal.update", [1, {"listen": []}], "iscsiportal_update.listen: At least one listen entry is required."),
    ("iscsi.initiator.delete", [9], "iSCSITargetAuthorizedInitiator 9 does not exist"),
    # extents.py: clean_name, clean_serial, clean_type_and_path
    ("iscsi.extent.create", [{"name": 'a"b', "disk": "zvol/tank/a/two"}], "iscsi_extent_create.name: Double quotes are not allowed"),
    ("iscsi.extent.create", [{"name": "one", "disk": "zvol/tank/a/two"}], "iscsi_extent_create.name: Extent name must be unique"),
    ("iscsi.extent.create", [{"name": "two", "disk": "zvol/tank/a/two", "serial": "s1"}], "Serial number must be unique"),
    ("iscsi.extent.create", [{"name": "two", "disk": "zvol/tank/a/two", "serial": "s" * 21}], "Extent serial can not exceed 20 characters"),
    ("iscsi.extent.create", [{"name": "two"}], "iscsi_extent_create.disk: This field is required"),
    ("iscsi.extent.create", [{"name": "two", "disk": "tank/a/two"}], 'Disk name must start with "zvol/"'),
    ("iscsi.extent.create", [{"name": "two", "disk": "zvol/tank/a"}], "Device '/dev/zvol/tank/a' for volume 'tank/a' does not exist"),
    ("iscsi.extent.create", [{"name": "two", "disk": "zvol/tank/a/one"}], "Disk currently in use by extent one"),
    ("iscsi.extent.create", [{"name": "two", "disk": "zvol/tank/a/two", "blocksize": 8192}], "iscsi_extent_create.blocksize"),
    ("iscsi.extent.create", [{"name": "two", "disk": "zvol/tank/a/two", "naa": "0x1"}], "Extra inputs are not permitted"),
    ("iscsi.extent.create", [{"name": "two", "type": "FILE", "path": "/mnt/tank/f"}], "This double has extents of type DISK only"),
    ("iscsi.extent.delete", [1], "Associated target(s) iqn.2005-10.org.freenas.ctl:t1 is in use."),
    # targets.py: validate_name, __validate, do_delete
    ("iscsi.target.create", [{"name": "T_1"}], "iscsi_target_create.name"),
    ("iscsi.target.create", [{"name": "t1"}], "iscsi_target_create.name: Target with this name already exists"),
    ("iscsi.target.create", [{"name": "t2", "alias": "first"}], "iscsi_target_create.alias: Alias already exists"),
    ("iscsi.target.create", [{"name": "t2", "alias": "target"}], "target is a reserved word"),
    ("iscsi.target.create", [{"name": "t2", "alias": 'a"'}], "iscsi_target_create.alias: Double quotes are not allowed"),
    ("iscsi.target.create", [{"name": "t2", "mode": "FC"}], "iscsi_target_create.mode: Fibre Channel not enabled"),
    ("iscsi.target.create", [{"name": "t2", "groups": [{"portal": 9}]}], "iscsi_target_create.groups.0.portal: 9 Portal not found in database"),
    ("iscsi.target.create", [{"name": "t2", "groups": [{"portal": 1}, {"portal": 1}]}], "Portal 1 cannot be duplicated on a target"),
    ("iscsi.target.create", [{"name": "t2", "groups": [{"portal": 1, "initiator": 9}]}], "9 Initiator not found in database"),
    ("iscsi.target.create", [{"name": "t2", "groups": [{"portal": 1, "authmethod": "CHAP"}]}], "Authentication group is required"),
    ("iscsi.target.create", [{"name": "t2", "groups": [{"portal": 1, "authmethod": "CHAP_MUTUAL", "auth": 3}]}], "Authentication group not found"),
    ("iscsi.target.create", [{"name": "t2", "auth_networks": ["10.0.0.1/8"]}], "is not a valid IPv4 or IPv6 network"),
    ("iscsi.target.delete", [1], "Target t1 is in use."),
    # target_to_extent.py: validate, do_delete
    ("iscsi.targetextent.create", [{"target": 1, "extent": 1}], "iscsi_targetextent_create.extent: Extent is already in use."),
    ("iscsi.targetextent.create", [{"target": 1, "extent": 2, "lunid": 0}], "LUN ID is already being used for this target."),
    ("iscsi.targetextent.create", [{"target": 1, "extent": 2, "lunid": 16383}], "LUN ID must be a positive integer and lower than 16382"),
    ("iscsi.targetextent.update", [1, {"lunid": -1}], "iscsi_targetextent_update.lunid: LUN ID must be a positive integer"),
    ("iscsi.targetextent.delete", [1], "Associated target iqn.2005-10.org.freenas.ctl:t1 is in use."),
]


@pytest.mark.parametrize(("method", "params", "said"), REFUSALS)
def test_refusals(method: str, params: list[Any], said: str, nas: Double) -> None:
    assert said in _refused(nas, method, *params)


def test_a_credential_without_peer_is_not_for_mutual_chap(nas: Double) -> None:
    assert "data.secret" in _refused(nas, "iscsi.auth.create", {"tag": 3, "user": "u", "secret": "short"})
    nas.call("iscsi.auth.create", {"tag": 3, "user": "u", "secret": "s" * 12})
    group = {"portal": 1, "authmethod": "CHAP_MUTUAL", "auth": 3}
    assert "does not support CHAP Mutual" in _refused(nas, "iscsi.target.update", 1, {"groups": [group]})


def test_luns_are_numbered_from_the_lowest_free_one(nas: Double) -> None:
    nas.call("iscsi.extent.create", {"name": "two", "disk": "zvol/tank/a/two"})
    assert nas.call("iscsi.targetextent.update", 1, {"lunid": 1})["lunid"] == 1
    assert nas.call("iscsi.targetextent.create", {"target": 1, "extent": 2})["lunid"] == 0


def test_force_takes_it_from_under_a_session(nas: Double) -> None:
    assert nas.call("iscsi.target.delete", 1, True, True) is True
    assert nas.call("iscsi.extent.query") == [] and nas.call("iscsi.targetextent.query") == []


def test_an_extent_says_read_only_to_its_zvol_and_deleting_the_zvol_takes_extent_and_target(nas: Double) -> None:
    # extents.py: do_update; fs_attachment_delegate.py: delete (orphaned targets go, too)
    assert nas.call("iscsi.extent.update", 1, {"ro": True})["ro"] is True
    assert nas.call("pool.dataset.query", [["id", "=", "tank/a/one"]])[0]["readonly"]["parsed"] is True
    assert nas.call("pool.dataset.attachments", "tank/a/one") == [{"type": "iSCSI Extent", "service": "iscsitarget", "attachments": ["one"]}]
    nas.call("pool.dataset.delete", "tank/a/one")
    assert nas.call("iscsi.target.query") == [] and nas.call("iscsi.extent.query") == []


def test_deleting_a_portal_takes_the_groups_that_name_it(nas: Double) -> None:
    nas.call("iscsi.portal.delete", 1)
    assert nas.call("iscsi.target.get_instance", 1)["groups"] == []


def test_25_04_has_no_product_id(tmp_path: pathlib.Path) -> None:
    with Double(tmp_path, "25.04") as nas:
        nas.call("pool.dataset.create", {"name": "tank/a/one", "type": "VOLUME", "volsize": GIB})
        extent = {"name": "one", "disk": "zvol/tank/a/one"}
        assert "Extra inputs are not permitted" in _refused(nas, "iscsi.extent.create", {**extent, "product_id": "x"})
        assert "product_id" not in nas.call("iscsi.extent.create", extent)
