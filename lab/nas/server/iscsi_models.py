"""Parameters of ``iscsi.*``: ``api/v25_10_2/iscsi_*.py``; 25.04 has the same but for an extent's ``product_id``."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lab.nas.server.schema import NOT_REQUIRED, Model, NonEmptyString, for_update


def _address(value: str) -> str:
    ipaddress.ip_address(value)
    return value


class Listen(Model):
    """An address of a portal. The port is that of ``iscsi.global``."""

    ip: Annotated[NonEmptyString, AfterValidator(_address)]


class Portal(Model):
    """A new portal."""

    listen: list[Listen]
    comment: str = ""


class PortalArgs(Model):
    """Arguments of portal.create."""

    iscsi_portal_create: Portal


class PortalUpdateArgs(Model):
    """Arguments of portal.update."""

    id: int
    iscsi_portal_update: for_update(Portal, "IscsiPortalUpdate")  # type: ignore[valid-type]


class Initiator(Model):
    """A new group of initiators; an empty list lets everybody in."""

    initiators: list[str] = []
    comment: str = ""


class InitiatorArgs(Model):
    """Arguments of initiator.create."""

    iscsi_initiator_create: Initiator


class InitiatorUpdateArgs(Model):
    """Arguments of initiator.update."""

    id: int
    iscsi_initiator_update: for_update(Initiator, "IscsiInitiatorUpdate")  # type: ignore[valid-type]


class Auth(Model):
    """A new CHAP credential."""

    tag: int
    user: str
    secret: Annotated[str, Field(min_length=12, max_length=16)]
    peeruser: str = ""
    peersecret: str = ""
    discovery_auth: Literal["NONE", "CHAP", "CHAP_MUTUAL"] = "NONE"


class AuthArgs(Model):
    """Arguments of auth.create."""

    data: Auth


class Extent(Model):
    """A new extent."""

    name: Annotated[NonEmptyString, Field(max_length=64)]
    type: Literal["DISK", "FILE"] = "DISK"
    disk: str | None = None
    serial: str | None = None
    path: str | None = None
    filesize: str | int = "0"
    blocksize: Literal[512, 1024, 2048, 4096] = 512
    pblocksize: bool = False
    avail_threshold: Annotated[int, Field(ge=1, le=99)] | None = None
    comment: str = ""
    insecure_tpc: bool = True
    xen: bool = False
    rpm: Literal["UNKNOWN", "SSD", "5400", "7200", "10000", "15000"] = "SSD"
    ro: bool = False
    enabled: bool = True
    product_id: Annotated[NonEmptyString, Field(max_length=16)] | None = NOT_REQUIRED


class ExtentArgs(Model):
    """Arguments of extent.create."""

    iscsi_extent_create: Extent


class ExtentUpdateArgs(Model):
    """Arguments of extent.update."""

    id: int
    iscsi_extent_update: for_update(Extent, "IscsiExtentUpdate")  # type: ignore[valid-type]


class ExtentDeleteArgs(Model):
    """Arguments of extent.delete."""

    id: int
    remove: bool = False
    force: bool = False


class Group(Model):
    """Who reaches a target where."""

    portal: int
    initiator: int | None = None
    authmethod: Literal["NONE", "CHAP", "CHAP_MUTUAL"] = "NONE"
    auth: int | None = None


class TargetParameters(Model):
    """Parameters of a target."""

    QueuedCommands: Literal[32, 128] | None = None


class Target(Model):
    """A new target."""

    name: Annotated[NonEmptyString, Field(pattern=r"^[-a-z0-9\.:]+$", max_length=120)]
    alias: str | None = None
    mode: Literal["ISCSI", "FC", "BOTH"] = "ISCSI"
    groups: list[Group] = []
    auth_networks: list[str] = []
    iscsi_parameters: TargetParameters | None = NOT_REQUIRED


class TargetArgs(Model):
    """Arguments of target.create."""

    iscsi_target_create: Target


class TargetUpdateArgs(Model):
    """Arguments of target.update."""

    id: int
    iscsi_target_update: for_update(Target, "IscsiTargetUpdate")  # type: ignore[valid-type]


class TargetDeleteArgs(Model):
    """Arguments of target.delete."""

    id: int
    force: bool = False
    delete_extents: bool = False


class Mapping(Model):
    """A new LUN."""

    target: int
    lunid: int | None = None
    extent: int


class MappingArgs(Model):
    """Arguments of targetextent.create."""

    iscsi_target_to_extent_create: Mapping


class MappingUpdateArgs(Model):
    """Arguments of targetextent.update."""

    id: int
    iscsi_target_to_extent_update: for_update(Mapping, "IscsiTargetToExtentUpdate")  # type: ignore[valid-type]


class MappingDeleteArgs(Model):
    """Arguments of targetextent.delete."""

    id: int
    force: bool = False


class SessionArgs(Model):
    """Arguments of the double's own ``lab.iscsi_session``."""

    target: NonEmptyString
    initiator: NonEmptyString
    present: bool = True


