"""Parameters of ``pool.snapshottask``."""

from __future__ import annotations

from typing import Literal

from lab.nas.server import cron, naming
from lab.nas.server.schema import NOT_REQUIRED, Model, for_update


class Create(Model):
    """A new task."""

    dataset: str
    recursive: bool = False
    lifetime_value: int = 2
    lifetime_unit: Literal["HOUR", "DAY", "WEEK", "MONTH", "YEAR"] = "WEEK"
    enabled: bool = True
    exclude: list[str] = []
    naming_schema: naming.Schema = "auto-%Y-%m-%d_%H-%M"
    allow_empty: bool = True
    schedule: cron.TimeCron = cron.TimeCron()


class _Update(Create):
    fixate_removal_date: bool = NOT_REQUIRED


class CreateArgs(Model):
    """Arguments of create."""

    data: Create


class UpdateArgs(Model):
    """Arguments of update."""

    id: int
    data: for_update(_Update, "PeriodicSnapshotTaskUpdate")  # type: ignore[valid-type]


class PreviewArgs(Model):
    """Arguments of update_will_change_retention_for."""

    id: int
    data: for_update(Create, "PeriodicSnapshotTaskPreview")  # type: ignore[valid-type]


class DeleteOptions(Model):
    """Options of delete."""

    fixate_removal_date: bool = False


class DeleteArgs(Model):
    """Arguments of delete."""

    id: int
    options: DeleteOptions = DeleteOptions()
