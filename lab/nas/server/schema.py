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


def parse(model: type[Model], params: list[Any]) -> list[Any]:
    """Validate positional parameters; returns them as plain data in the model's order. ValidationErrors."""
    names = list(model.model_fields)
    if len(params) > len(names):
        found = ValidationErrors()
        found.add(None, f"Too many arguments (expected {len(names)}, found {len(params)})")
        raise found
    try:
        parsed = model(**dict(zip(names, params, strict=False)))
    except ValidationError as exc:
        raise _collect(exc) from exc
    return [dump(getattr(parsed, name)) for name in names]
