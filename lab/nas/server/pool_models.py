"""Parameters of ``pool``'s writing methods."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PositiveInt, StringConstraints

from lab.nas.server.dataset_models import EncryptionOptions
from lab.nas.server.schema import Model, NonEmptyString


def _no_space(value: str) -> str:
    if any(character.isspace() for character in value):
        raise ValueError("Pool name must not contain whitespace")
    return value


PoolName = Annotated[NonEmptyString, AfterValidator(_no_space), StringConstraints(max_length=50)]


class DataVdev(Model):
    """A data vdev. DRAID is missing: zfs-fuse has none."""

    type: Literal["RAIDZ1", "RAIDZ2", "RAIDZ3", "MIRROR", "STRIPE"]
    disks: list[str]


class MirrorVdev(Model):
    """A special, dedup or log vdev."""

    type: Literal["MIRROR", "STRIPE"]
    disks: list[str]


class CacheVdev(Model):
    """A cache vdev."""

    type: Literal["STRIPE"]
    disks: list[str]


class Topology(Model):
    """The vdevs of a new pool."""

    data: Annotated[list[DataVdev], Field(min_length=1)]
    special: list[MirrorVdev] = []
    dedup: list[MirrorVdev] = []
    cache: list[CacheVdev] = []
    log: list[MirrorVdev] = []
    spares: list[str] = []


class Create(Model):
    """A new pool."""

    name: PoolName
    encryption: bool = False
    dedup_table_quota: Literal["AUTO", "CUSTOM"] | None = "AUTO"
    dedup_table_quota_value: PositiveInt | None = None
    deduplication: Literal["ON", "VERIFY", "OFF"] | None = None
    checksum: Literal["ON", "OFF", "FLETCHER2", "FLETCHER4", "SHA256", "SHA512", "SKEIN", "EDONR", "BLAKE3"] | None = None
    encryption_options: EncryptionOptions = EncryptionOptions()
    topology: Topology
    allow_duplicate_serials: bool = False


class CreateArgs(Model):
    """Arguments of create."""

    data: Create


class ExportOptions(Model):
    """Options of export."""

    cascade: bool = False
    restart_services: bool = False
    destroy: bool = False


class ExportArgs(Model):
    """Arguments of export."""

    id: int
    options: ExportOptions = ExportOptions()


class Import(Model):
    """Which pool to import, and under which name."""

    guid: str
    name: PoolName | None = None
    enable_attachments: bool = False


class ImportArgs(Model):
    """Arguments of import_pool."""

    pool_import: Import


class ScrubArgs(Model):
    """Arguments of scrub."""

    id: int
    action: Literal["START", "STOP", "PAUSE"] = "START"


class ScrubByNameArgs(Model):
    """Arguments of pool.scrub.scrub."""

    name: str
    action: Literal["START", "STOP", "PAUSE"] = "START"


class ChoicesArgs(Model):
    """Arguments of filesystem_choices."""

    types: list[Any] = ["FILESYSTEM", "VOLUME"]
