"""A role's variables, evaluated as Ansible would, without a host."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLES = pathlib.Path(__file__).resolve().parents[3] / "roles"


def role_variables(role: str) -> dict[str, t.Any]:
    """Return defaults and vars of *role*, not yet evaluated."""
    loader = DataLoader()
    files = [ROLES / role / "defaults/main.yml", *sorted((ROLES / role / "vars").rglob("*.yml"))]
    merged: dict[str, t.Any] = {}
    for path in files:
        if path.is_file():
            merged.update(loader.load_from_file(str(path), trusted_as_template=True) or {})
    return merged


def evaluate(name: str, variables: dict[str, t.Any], *, basedir: pathlib.Path | None = None) -> t.Any:
    """Return the value of the variable *name*."""
    loader = DataLoader()
    if basedir is not None:
        loader.set_basedir(str(basedir))
    return Templar(loader=loader, variables=variables).template(variables[name])
