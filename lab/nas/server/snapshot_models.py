"""Parameters of ``pool.snapshot``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from lab.nas.server import naming
from lab.nas.server.schema import NOT_REQUIRED, Model, NonEmptyString, QueryOptions


class InstanceArgs(Model):
    """Arguments of get_instance."""

    id: str
    options: QueryOptions = QueryOptions()


class Create(Model):
    """A new snapshot, named or by schema: exactly one of the two."""

    dataset: NonEmptyString
    name: NonEmptyString = NOT_REQUIRED
    naming_schema: naming.Schema = NOT_REQUIRED
    recursive: bool = False
    exclude: list[str] = []
    vmware_sync: bool = False
    properties: dict[str, Any] = {}


class CreateArgs(Model):
    """Arguments of create."""

    data: Create


class DeleteOptions(Model):
    """Options of delete."""

    defer: bool = False
    recursive: bool = False


class DeleteArgs(Model):
    """Arguments of delete."""

    id: str
    options: DeleteOptions = DeleteOptions()


class RecursiveOptions(Model):
    """Options of hold and release."""

    recursive: bool = False


class HoldArgs(Model):
    """Arguments of hold and release."""

    id: str
    options: RecursiveOptions = RecursiveOptions()


class Clone(Model):
    """A clone to make."""

    snapshot: NonEmptyString
    dataset_dst: NonEmptyString
    dataset_properties: dict[str, Any] = {}


class CloneArgs(Model):
    """Arguments of clone."""

    data: Clone


class RollbackOptions(Model):
    """Options of rollback."""

    recursive: bool = False
    recursive_clones: bool = False
    force: bool = False
    recursive_rollback: bool = False


class RollbackArgs(Model):
    """Arguments of rollback."""

    id: str
    options: RollbackOptions = RollbackOptions()


class UserProperty(Model):
    """A user property of a snapshot."""

    key: Annotated[str, StringConstraints(pattern=".*:.*")]
    value: str


class Update(Model):
    """What can be changed of a snapshot."""

    user_properties_update: list[UserProperty] = []
    user_properties_remove: list[str] = []


class UpdateArgs(Model):
    """Arguments of update."""

    id: str
    data: Update


class RenameOptions(Model):
    """Options of rename."""

    new_name: NonEmptyString
    force: bool = False


class RenameArgs(Model):
    """Arguments of rename."""

    id: NonEmptyString
    options: RenameOptions
