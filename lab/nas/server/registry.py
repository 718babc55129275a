"""Which methods there are: name, parameters, since which version, job or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.nas.server.schema import Model, NoArgs

VERSIONS = ("25.04", "25.10", "26", "27")
_SERVED = ("v25.04.0", "v25.04.1", "v25.04.2", "v25.10.0", "v25.10.1", "v25.10.2", "v25.10.5", "v26.0.0", "v27.0.0")
# The API versions that a server of each version serves, newest last, as GET /api/versions lists them: old ones stay.
API_VERSIONS = {"25.04": list(_SERVED[:3]), "25.10": list(_SERVED[:7]), "26": list(_SERVED[:8]), "27": list(_SERVED)}
Function = Callable[..., Any]


@dataclass(frozen=True)
class Method:
    """A method of the API. ``function`` is called with the call's context and the parsed arguments. ``output``: a job that writes a file."""

    name: str
    function: Function
    args: type[Model]
    job: bool = False
    abortable: bool = False
    public: bool = False
    unlimited: bool = False
    since: str = "25.04"
    until: str = "99"
    lock: str | None = None
    output: bool = False

    def offered_by(self, version: str) -> bool:
        """Say whether a server of this version has it."""
        return self.since <= version <= self.until


_METHODS: list[Method] = []


def method(name: str, args: type[Model] = NoArgs, **options: Any) -> Callable[[Function], Function]:
    """Register a function as a method. Options are the fields of ``Method``."""

    def register(function: Function) -> Function:
        _METHODS.append(Method(name, function, args, **options))
        return function

    return register


def methods(version: str) -> dict[str, Method]:
    """Return the methods that a server of this version offers, by name."""
    return {one.name: one for one in _METHODS if one.offered_by(version)}
