"""Parameters of ``replication``, as 25.10 declares them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lab.nas.server.cron import Cron, TimeCron
from lab.nas.server.naming import Schema
from lab.nas.server.schema import Model, NonEmptyString, for_update

Transport = Literal["SSH", "SSH+NETCAT", "LOCAL"]
Unit = Literal["HOUR", "DAY", "WEEK", "MONTH", "YEAR"]
Port = Annotated[int, Field(ge=1, le=65535)]
Positive = Annotated[int, Field(ge=1)]


def _unique(value: list[int]) -> list[int]:
    if len(set(value)) != len(value):
        raise ValueError("Items must be unique")
    return value


class Lifetime(Model):
    """A lifetime of its own for snapshots that match a schedule."""

    schedule: Cron
    lifetime_value: Positive
    lifetime_unit: Unit


class Base(Model):
    """What stored and one-time tasks share."""

    direction: Literal["PUSH", "PULL"]
    transport: Transport
    ssh_credentials: int | None = None
    netcat_active_side: Literal["LOCAL", "REMOTE"] | None = None
    netcat_active_side_listen_address: str | None = None
    netcat_active_side_port_min: Port | None = None
    netcat_active_side_port_max: Port | None = None
    netcat_passive_side_connect_address: str | None = None
    sudo: bool = False
    source_datasets: Annotated[list[str], Field(min_length=1)]
    target_dataset: str
    recursive: bool
    exclude: list[str] = []
    properties: bool = True
    properties_exclude: list[NonEmptyString] = []
    properties_override: dict[str, str] = {}
    replicate: bool = False
    encryption: bool = False
    encryption_inherit: bool | None = None
    encryption_key: str | None = None
    encryption_key_format: Literal["HEX", "PASSPHRASE"] | None = None
    encryption_key_location: str | None = None
    periodic_snapshot_tasks: Annotated[list[int], AfterValidator(_unique)] = []
    naming_schema: list[Schema] = []
    also_include_naming_schema: list[Schema] = []
    name_regex: NonEmptyString | None = None
    restrict_schedule: TimeCron | None = None
    allow_from_scratch: bool = False
    readonly: Literal["SET", "REQUIRE", "IGNORE"] = "SET"
    hold_pending_snapshots: bool = False
    retention_policy: Literal["SOURCE", "CUSTOM", "NONE"]
    lifetime_value: Positive | None = None
    lifetime_unit: Unit | None = None
    lifetimes: list[Lifetime] = []
    compression: Literal["LZ4", "PIGZ", "PLZIP"] | None = None
    speed_limit: Positive | None = None
    large_block: bool = True
    embed: bool = False
    compressed: bool = True
    retries: Positive = 5
    logging_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] | None = None


class Create(Base):
    """A stored task."""

    name: NonEmptyString
    auto: bool
    schedule: TimeCron | None = None
    only_matching_schedule: bool = False
    enabled: bool = True


class CreateArgs(Model):
    """Arguments of create."""

    replication_create: Create


class UpdateArgs(Model):
    """Arguments of update."""

    id: int
    replication_update: for_update(Create, "ReplicationUpdate")  # type: ignore[valid-type]


class RunArgs(Model):
    """Arguments of run."""

    id: int
    really_run: bool = True


class Onetime(Base):
    """A task that is not stored."""

    exclude_mountpoint_property: bool = True
    only_from_scratch: bool = False
    mount: bool = True


class OnetimeArgs(Model):
    """Arguments of run_onetime."""

    replication_run_onetime: Onetime


class Restore(Model):
    """How to call the task that goes the other way."""

    name: NonEmptyString
    target_dataset: str


class RestoreArgs(Model):
    """Arguments of restore."""

    id: int
    replication_restore: Restore


class ListDatasetsArgs(Model):
    """Arguments of list_datasets."""

    transport: Transport
    ssh_credentials: int | None = None


class CreateDatasetArgs(Model):
    """Arguments of create_dataset."""

    dataset: str
    transport: Transport
    ssh_credentials: int | None = None


class Count(Model):
    """Which snapshots to count."""

    datasets: Annotated[list[str], Field(min_length=1)]
    naming_schema: list[Schema] = []
    name_regex: NonEmptyString | None = None
    transport: Transport
    ssh_credentials: int | None = None


class CountArgs(Model):
    """Arguments of count_eligible_manual_snapshots."""

    count_eligible_manual_snapshots: Count


class UnmatchedArgs(Model):
    """Arguments of target_unmatched_snapshots."""

    direction: Literal["PUSH", "PULL"]
    source_datasets: Annotated[list[str], Field(min_length=1)]
    target_dataset: str
    transport: Transport
    ssh_credentials: int | None = None


ONETIME_EXTRAS: dict[str, Any] = {"schedule": None, "only_matching_schedule": False, "auto": False, "enabled": True}
STORED_EXTRAS: dict[str, Any] = {"exclude_mountpoint_property": True, "only_from_scratch": False, "mount": True}
