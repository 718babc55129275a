"""Parameters: strict pydantic models that refuse unknown fields, and errors named as the middleware names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, create_model

from lab.nas.server.errors import ValidationErrors


class _NotRequired:
    """The default of a field that may be absent and then stays absent."""

    def __repr__(self) -> str:
        return "<not required>"


NOT_REQUIRED: Any = _NotRequired()
NonEmptyString = Annotated[str, StringConstraints(min_length=1)]
_UNION_PART = re.compile(r"[A-Z]|.*[\[(\-]|(int|str|none|bool|float|dict)$")


class Model(BaseModel):
    """Base of all parameters: nothing is converted, nothing unknown is let through."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class QueryOptions(Model):
    """Options of every query."""

    extra: dict[str, Any] = {}
    order_by: list[str] = []
    select: list[str | list[str]] = []
    count: bool = False
    get: bool = False
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=0, ge=0, le=10000)
    force_sql_filters: bool = False


class QueryArgs(Model):
    """Arguments of every query."""

    filters: list[Any] = []
    options: QueryOptions = QueryOptions()


class NoArgs(Model):
    """Arguments of a method without any."""


class IdArgs(Model):
    """Arguments of a method on an entry with a number."""

    id: int


class NameArgs(Model):
    """Arguments of a method on an entry with a name."""

    id: str


@cache
def for_update(base: type[Model], name: str, exclude: tuple[str, ...] = ()) -> type[Model]:
    """Return a model with the same fields, none of them required; ``exclude`` are refused."""
    fields: dict[str, Any] = {key: (Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation, NOT_REQUIRED)
                              for key, info in base.model_fields.items() if key not in exclude}
    return create_model(name, __base__=Model, **fields)


def dump(value: Any) -> Any:
    """Return plain data, without the fields that were not given and have no default."""
    if isinstance(value, BaseModel):
        items = ((name, getattr(value, name)) for name in type(value).model_fields)
        return {name: dump(item) for name, item in items if item is not NOT_REQUIRED}
    if isinstance(value, (list, tuple)):
        return [dump(item) for item in value]
    return {key: dump(item) for key, item in value.items()} if isinstance(value, dict) else value


def _attribute(location: Iterable[int | str]) -> str:
    """Name the field an error belongs to; the branches of unions are not part of the name."""
    return ".".join(str(part) for part in location if isinstance(part, int) or not _UNION_PART.match(part))


def _collect(exc: ValidationError) -> ValidationErrors:
    """Group by attribute: where each branch of a union has its complaint, they are joined by 'or'."""
    grouped: dict[str, list[str]] = {}
    for error in exc.errors():
        message = error["msg"].removeprefix("Value error, ")
        known = grouped.setdefault(_attribute(error["loc"]), [])
        if message not in known:
            known.append(message)
    found = ValidationErrors()
    for attribute, messages in grouped.items():
        found.add(attribute, " or ".join(messages))
    return found


# The names of their parameter in the older of the middleware's two schemas, which these services had up to 25.04
# (branch stable/fangtooth: plugins/pool_/dataset.py, plugins/replication.py, plugins/zfs_/snapshot.py, schema/dict_schema.py).
_OLD_NAMES = {
    "pool.dataset.create": "pool_dataset_create", "pool.dataset.update": "pool_dataset_update", "pool.dataset.delete": "dataset_delete",
    "replication.create": "replication_create", "replication.update": "replication_update", "zfs.snapshot.create": "snapshot_create"}
_OLD_TEXTS = {"Extra inputs are not permitted": "Field was not expected", "Field required": "attribute required"}


def old_name(method: str) -> str | None:
    """Return what the older schema calls the parameter of a method, or None for one that left it before 25.04."""
    return _OLD_NAMES.get(method)


def _in_old_style(found: ValidationErrors, name: str) -> ValidationErrors:
    """Rename ``data.quota`` to ``pool_dataset_create.quota``, in the older schema's words."""
    renamed = ValidationErrors()
    for attribute, message, code in found.errors:
        first, dot, rest = str(attribute or "").partition(".")
        renamed.add(f"{name}{dot}{rest}" if first in ("data", "options") else attribute, _OLD_TEXTS.get(message, message), code)
    return renamed


def parse(model: type[Model], params: list[Any], *, old: str | None = None) -> list[Any]:
    """Validate positional parameters; returns them as plain data in the model's order. ValidationErrors.

    ``old`` names the parameter in the older schema, if errors shall look as that one's did.
    """
    names = list(model.model_fields)
    if len(params) > len(names):
        found = ValidationErrors()
        found.add(None, f"Too many arguments (expected {len(names)}, found {len(params)})")
        raise found
    try:
        parsed = model(**dict(zip(names, params, strict=False)))
    except ValidationError as exc:
        raise (_in_old_style(_collect(exc), old) if old else _collect(exc)) from exc
    return [dump(getattr(parsed, name)) for name in names]
