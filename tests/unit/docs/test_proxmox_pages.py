"""The pages about Proxmox say what is so: every option of proxmox_kvm has its line, and every named test is there."""

from __future__ import annotations

import ast
import importlib
import pathlib
import re
import typing as t

import pytest
import yaml
from ansible.utils.collection_loader._collection_finder import _get_collection_path

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec, properties
from helpers.pages import exists, named_tests, page

MIGRATION = page("migration_proxmox_kvm.md")
FEATURES = (
    "create, clone, delete, power", "idempotent update", "create or update", "check mode", "diff", "waits for a restart", "digest",
    "smaller or other disk", "disk: resize", "disk: move", "disk: import", "cloud-init", "linked and full clone", "ids and names", "agent, an address",
    "many guests", "bulk start", "failed task", "snapshots and rollback", "pools and tags", "SDN, firewall, ACME, ceph", "HA", "vzdump: run",
    "vzdump: job", "vzdump: list", "restore", "restore verification", "rebuild after a disaster", "dynamic inventory", "agent connection plugin",
    "stateful tests", "API's schema",
)  # fmt: skip
# Options of community.proxmox 2.1, which the oldest supported ansible-core does not come with.
SINCE_2 = {"destroy_unreferenced_disks", "spice_enhancements", "virtiofs", "with_local_disks"}
COMPARISON = page("comparison_proxmox.md")


def rows() -> dict[str, str]:
    """The migration page's table."""
    table = MIGRATION.partition("## Every option")[2].partition("|---|---|")[2]
    return dict(re.findall(r"^\| `([a-z0-9_]+)` \| (.+) \|$", table, re.M))


def documented(name: str, path: str) -> dict[str, t.Any]:
    """A constant with YAML of a file of community.proxmox, as it is installed beside the tests."""
    importlib.import_module("ansible_collections.community.proxmox")
    source = pathlib.Path(_get_collection_path("community.proxmox"), path).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name and isinstance(node.value, ast.Constant):
            return t.cast(dict[str, t.Any], yaml.safe_load(str(node.value.value)))
    raise AssertionError(f"no {name} in {path}")


def test_every_option_of_proxmox_kvm_has_a_line() -> None:
    module = set(documented("DOCUMENTATION", "plugins/modules/proxmox_kvm.py")["options"])
    selection = set(documented("SELECTION", "plugins/doc_fragments/proxmox.py")["options"])
    assert len(module) > 80 and (module | selection | SINCE_2) == set(rows())


def test_connection_options_are_the_same() -> None:
    theirs = set(documented("DOCUMENTATION", "plugins/doc_fragments/proxmox.py")["options"]) - {"api_timeout"} | {"api_otp"}
    assert theirs - {"api_otp"} <= set(argspec.connection_spec().options)
    assert all(f"`{name}`" in MIGRATION for name in theirs)


def test_what_the_lines_name_is_there() -> None:
    ours = set(argspec.guest_options())
    for kvm, here in rows().items():
        for key in re.findall(r"options: \{([a-z0-9_]+):", here):
            if key not in ("efitype", "version"):
                assert properties.is_option_key(key), kvm
        for key in re.findall(r"^`([a-z_]+)[`:]", here):
            assert key in ours | {"wait_timeout", "present"}, kvm


@pytest.mark.parametrize("named", named_tests(COMPARISON))
def test_named_test_exists(named: str) -> None:
    assert exists(named)


def test_nothing_that_one_of_the_tools_does_is_left_out() -> None:
    """Each has a row, and there a Y, or the name of the collection to use for it."""
    lines = [[cell.strip() for cell in line.split("|")] for line in COMPARISON.splitlines() if line.startswith("| ")]
    ours = {cells[1]: cells[5] for cells in lines}
    for feature in FEATURES:
        found = [cell for name, cell in ours.items() if feature in name]
        assert found and all(cell.startswith(("Y", "use community.proxmox")) for cell in found), feature


def test_every_yes_has_its_test() -> None:
    for line in COMPARISON.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 8 and cells[5].startswith("Y"):
            assert "::" in cells[6], line
