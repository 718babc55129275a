"""Parameters of ``pool.dataset``'s writing methods, as 25.10 declares them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from lab.nas.server.schema import NOT_REQUIRED, Model, NonEmptyString, for_update

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.:/-]*")
OnOff = Literal["ON", "OFF", "INHERIT"]
Percent = Annotated[int, Field(ge=0, le=100)] | Literal["INHERIT"]
Quota = Annotated[int, Field(ge=1024**3)] | Literal[0] | None
Compression = Literal[
    "ON", "OFF", "LZ4", "GZIP", "GZIP-1", "GZIP-9", "ZSTD", "ZSTD-FAST", "ZLE", "LZJB", "ZSTD-1", "ZSTD-2", "ZSTD-3", "ZSTD-4", "ZSTD-5", "ZSTD-6",
    "ZSTD-7", "ZSTD-8", "ZSTD-9", "ZSTD-10", "ZSTD-11", "ZSTD-12", "ZSTD-13", "ZSTD-14", "ZSTD-15", "ZSTD-16", "ZSTD-17", "ZSTD-18", "ZSTD-19",
    "ZSTD-FAST-1", "ZSTD-FAST-2", "ZSTD-FAST-3", "ZSTD-FAST-4", "ZSTD-FAST-5", "ZSTD-FAST-6", "ZSTD-FAST-7", "ZSTD-FAST-8", "ZSTD-FAST-9",
    "ZSTD-FAST-10", "ZSTD-FAST-20", "ZSTD-FAST-30", "ZSTD-FAST-40", "ZSTD-FAST-50", "ZSTD-FAST-60", "ZSTD-FAST-70", "ZSTD-FAST-80", "ZSTD-FAST-90",
    "ZSTD-FAST-100", "ZSTD-FAST-500", "ZSTD-FAST-1000", "INHERIT"]


def _dataset_name(value: Any) -> Any:
    """Refuse what ZFS would refuse."""
    good = isinstance(value, str) and _NAME.fullmatch(value) and "//" not in value and not value.endswith("/")
    if isinstance(value, str) and not good:
        raise ValueError("Please provide a valid dataset name according to ZFS standards")
    return value


DatasetName = Annotated[NonEmptyString, BeforeValidator(_dataset_name)]


class UserProperty(Model):
    """A user property to set."""

    key: Annotated[str, Field(pattern=".*:.*")]
    value: str


class UserPropertyUpdate(Model):
    """A user property to set or remove."""

    key: Annotated[str, Field(pattern=".*:.*")]
    value: str = NOT_REQUIRED
    remove: bool = NOT_REQUIRED


class EncryptionOptions(Model):
    """How a new encryption root is encrypted."""

    generate_key: bool = False
    pbkdf2iters: int = Field(default=350000, ge=100000)
    algorithm: Literal["AES-128-CCM", "AES-192-CCM", "AES-256-CCM", "AES-128-GCM", "AES-192-GCM", "AES-256-GCM"] = "AES-256-GCM"
    passphrase: Annotated[str, Field(min_length=8)] | None = None
    key: Annotated[str, Field(min_length=64, max_length=64)] | None = None


class Changeable(Model):
    """Fields that both kinds share and that can be changed later."""

    comments: str = "INHERIT"
    sync: Literal["STANDARD", "ALWAYS", "DISABLED", "INHERIT"] = "INHERIT"
    snapdev: Literal["HIDDEN", "VISIBLE", "INHERIT"] = NOT_REQUIRED
    compression: Compression = "INHERIT"
    exec: OnOff = "INHERIT"
    managedby: NonEmptyString = "INHERIT"
    quota_warning: Percent = "INHERIT"
    quota_critical: Percent = "INHERIT"
    refquota_warning: Percent = "INHERIT"
    refquota_critical: Percent = "INHERIT"
    reservation: int = NOT_REQUIRED
    refreservation: int = NOT_REQUIRED
    special_small_block_size: int | Literal["INHERIT"] = NOT_REQUIRED
    copies: int | Literal["INHERIT"] = "INHERIT"
    snapdir: Literal["DISABLED", "VISIBLE", "HIDDEN", "INHERIT"] = "INHERIT"
    deduplication: Literal["ON", "VERIFY", "OFF", "INHERIT"] = "INHERIT"
    checksum: Literal["ON", "OFF", "FLETCHER2", "FLETCHER4", "SHA256", "SHA512", "SKEIN", "EDONR", "BLAKE3", "INHERIT"] = "INHERIT"
    readonly: OnOff = "INHERIT"
    user_properties: list[UserProperty] = []
    create_ancestors: bool = False


class FilesystemFields(Changeable):
    """Fields of file systems that can be changed later."""

    aclmode: Literal["PASSTHROUGH", "RESTRICTED", "DISCARD", "INHERIT"] = NOT_REQUIRED
    acltype: Literal["OFF", "NFSV4", "POSIX", "INHERIT"] = NOT_REQUIRED
    atime: OnOff = NOT_REQUIRED
    quota: Quota = NOT_REQUIRED
    refquota: Quota = NOT_REQUIRED
    recordsize: str = NOT_REQUIRED


class _Created(Model):
    name: DatasetName
    share_type: Literal["GENERIC", "MULTIPROTOCOL", "NFS", "SMB", "APPS"] = "GENERIC"
    encryption_options: EncryptionOptions = EncryptionOptions()
    encryption: bool = False
    inherit_encryption: bool = True


class CreateFilesystem(FilesystemFields, _Created):
    """A new file system."""

    type: Literal["FILESYSTEM"] = "FILESYSTEM"
    casesensitivity: Literal["SENSITIVE", "INSENSITIVE", "INHERIT"] = NOT_REQUIRED


class CreateVolume(Changeable, _Created):
    """A new volume."""

    type: Literal["VOLUME"] = "VOLUME"
    force_size: bool = NOT_REQUIRED
    sparse: bool = NOT_REQUIRED
    volsize: int
    volblocksize: Literal["512", "512B", "1K", "2K", "4K", "8K", "16K", "32K", "64K", "128K"] = NOT_REQUIRED


def _kind(value: Any) -> str:
    kind = value.get("type", "FILESYSTEM") if isinstance(value, dict) else "FILESYSTEM"
    return "VOLUME" if kind == "VOLUME" else "FILESYSTEM"


class CreateArgs(Model):
    """Arguments of create."""

    data: Annotated[Annotated[CreateFilesystem, Tag("FILESYSTEM")] | Annotated[CreateVolume, Tag("VOLUME")], Discriminator(_kind)]


class _AllFields(FilesystemFields):
    volsize: int = NOT_REQUIRED
    force_size: bool = NOT_REQUIRED
    user_properties_update: list[UserPropertyUpdate] = NOT_REQUIRED


Update = for_update(_AllFields, "PoolDatasetUpdate")


class UpdateArgs(Model):
    """Arguments of update."""

    id: str
    data: Update  # type: ignore[valid-type]


class DeleteOptions(Model):
    """Options of delete."""

    recursive: bool = False
    force: bool = False


class DeleteArgs(Model):
    """Arguments of delete."""

    id: str
    options: DeleteOptions = DeleteOptions()


class RenameOptions(Model):
    """Options of rename."""

    new_name: DatasetName
    recursive: bool = False
    force: bool = False


class RenameArgs(Model):
    """Arguments of rename."""

    id: str
    data: RenameOptions
