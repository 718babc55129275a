"""Checks requests against the API schema of Proxmox VE that fakepve ships: method, path, parameter names, types and formats."""

from __future__ import annotations

import typing as t

from fakepve import schema

# Every (method, template) that the tests of this process have sent; the conformance test reads it.
SEEN: set[tuple[str, str]] = set()


def complaints(method: str, path: str, params: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return what the server would say about a request, by parameter; nothing if it would accept it.

    Args:
        method: HTTP verb.
        path: Path below ``/api2/json/``.
        params: Decoded parameters of query or body; a list stands for a repeated key.
    """
    match = schema.load().match("/" + path)
    if match is None or method not in match.methods:
        return {"path": f"Method '{method} /{path}' not implemented"}
    SEEN.add((method, match.template))
    spec = match.methods[method].get("parameters")
    arrays = {name for name, one in ((spec or {}).get("properties") or {}).items() if one.get("type") == "array"}
    values = {name: [value] if name in arrays and not isinstance(value, list) else value for name, value in params.items()}
    _values, errors = schema.validate(spec, {**values, **match.params})
    return dict(errors)


def template(path: str) -> str | None:
    """Return the schema's path for *path* (below ``/api2/json/``), such as ``/nodes/{node}/qemu``."""
    match = schema.load().match("/" + path)
    return str(match.template) if match else None
