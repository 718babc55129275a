"""The example inventory is what users copy: every variable in it has to exist, and every setting that has no default has to be in it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "inventories" / "example"


def specs() -> dict[str, dict[str, t.Any]]:
    """Options of all roles."""
    found: dict[str, dict[str, t.Any]] = {}
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found.update(entry.get("options") or {})
    return found


def assigned(path: pathlib.Path) -> set[str]:
    return set(yaml.safe_load(path.read_text()) or {})


SET = {name: path.relative_to(EXAMPLE).as_posix() for path in EXAMPLE.glob("group_vars/*/*.yml") for name in assigned(path)}
CODE = "\n".join(path.read_text() for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml"))
# Connection variables are Ansible's own.
ANSIBLE = {"ansible_user", "ansible_ssh_common_args", "ansible_ssh_private_key_file"}


@pytest.mark.parametrize("name", sorted(SET))
def test_variable_of_the_example_is_read_somewhere(name: str) -> None:
    known = name in specs() or name in ANSIBLE or re.search(rf"\b{name}\b", CODE)
    assert known, f"{SET[name]} sets {name}, which no role or playbook reads"


def test_platform_variables_without_a_default_are_in_the_example() -> None:
    """A playbook that reads a ``platform_*`` variable bare needs it from the inventory."""
    read = set(re.findall(r"\bplatform_\w+(?<!_)\b", CODE))
    optional = set(re.findall(r"\b(platform_\w+)\s*\|\s*default\(", CODE)) | set(re.findall(r"\b(platform_\w+) is (?:not )?defined", CODE))
    facts = set(re.findall(r"^\s+(platform_\w+):", CODE, re.MULTILINE)) | {"platform_run"}  # made by a task, not by the inventory
    groups = set(re.findall(r"groups\['(platform_\w+)'\]", CODE)) | {"platform_guests", "platform_controller", "platform_endpoints"}
    missing = {name for name in read - optional - facts - groups - set(SET) if not name.startswith("platform_lab")}
    assert not missing, f"read without a default and not in inventories/example: {sorted(missing)}"


def leaves(node: t.Any, name: str = "") -> t.Iterator[tuple[str, t.Any]]:
    """Return every value that is no collection, with the key above it."""
    children = node.items() if isinstance(node, dict) else [(name, value) for value in node] if isinstance(node, list) else None
    if children is None:
        yield name, node
    for key, value in children or ():
        yield from leaves(value, key)


def test_inventory_resolves_and_holds_no_secret(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(["ansible-inventory", "-i", str(EXAMPLE), "--list"], capture_output=True, text=True, check=True, cwd=tmp_path,
                          env={**os.environ, "ANSIBLE_CONFIG": ""})
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert {"localhost", "pve1", "nas-a", "nas-b", "vault-1", "vault-2", "vault-3"} == set(hosts)
    for name, value in leaves(hosts):
        if re.search(r"(secret|secret_key|token|api_key|password)$", name):
            assert "lookup(" in str(value), f"{name} is written down in the example"
