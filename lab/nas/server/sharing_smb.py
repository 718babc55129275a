"""``sharing.smb``: 25.10 knows ``purpose`` with an ``options`` object of its own (``api/v25_10_2/smb.py``), 25.04 the same as flat fields
(``plugins/smb.py`` of stable/fangtooth). The older names that 25.10 still takes (``ro``, ``abe``, ``NO_PRESET`` ...) are refused here."""

from __future__ import annotations

import errno
import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from lab.nas.server.errors import ValidationErrors, invalid, not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import NOT_REQUIRED, IdArgs, Model, NonEmptyString, QueryArgs, for_update, parse
from lab.nas.server.sharing import check_path, is_locked

Entry = dict[str, Any]
TABLE = "sharing_smb"
_BAD = set('%<>*?|/\\+=;:",[]')
_RESERVED = {"global", "printers", "homes", "admin$", "ipc$"}


def _share_name(value: str) -> str:
    """``utils/smb.py``: validate_smb_share_name."""
    if value.casefold() in _RESERVED:
        raise ValueError(f"{value}: share name is reserved.")
    bad = sorted(_BAD & set(value))
    if bad:
        raise ValueError(f"{value}: share name contains the following invalid characters: {', '.join(bad)}")
    return value


def _remote(value: list[str]) -> list[str]:
    for one in value:
        if len(one.split("\\")) != 2 or one.startswith("\\") or one.endswith("\\"):
            raise ValueError(f"{one}: DFS proxy must be of format SERVER\\SHARE")
    return value


Name = Annotated[NonEmptyString, Field(max_length=80), AfterValidator(_share_name)]


class _Hosts(Model):
    hostsallow: list[str] = []
    hostsdeny: list[str] = []


class _Apple(_Hosts):
    aapl_name_mangling: bool = False


class _Legacy(_Apple):
    recyclebin: bool = False
    path_suffix: NonEmptyString | None = None
    guestok: bool = False
    streams: bool = True
    durablehandle: bool = True
    shadowcopy: bool = True
    fsrvp: bool = False
    home: bool = False
    acl: bool = True
    afp: bool = False
    timemachine: bool = False
    timemachine_quota: int = Field(default=0, ge=0, le=109951162777600)
    vuid: NonEmptyString | None = None
    auxsmbconf: str = ""


class _TimeMachine(_Hosts):
    timemachine_quota: int = Field(default=0, ge=0, le=109951162777600)
    auto_snapshot: bool = False
    auto_dataset_creation: bool = False
    dataset_naming_schema: NonEmptyString | None = None
    vuid: NonEmptyString | None = None


class _TimeLocked(_Apple):
    grace_period: int = Field(default=900, ge=60, le=86400 * 180)


class _Private(_Apple):
    dataset_naming_schema: NonEmptyString | None = None
    auto_quota: int = Field(default=0, ge=0)


class _External(Model):
    remote_path: Annotated[list[NonEmptyString], AfterValidator(_remote)]


class _Fcp(_Hosts):
    aapl_name_mangling: Literal[True] = True


OPTIONS: dict[str, type[Model]] = {
    "DEFAULT_SHARE": _Apple, "LEGACY_SHARE": _Legacy, "TIMEMACHINE_SHARE": _TimeMachine, "MULTIPROTOCOL_SHARE": _Apple, "TIME_LOCKED_SHARE": _TimeLocked,
    "PRIVATE_DATASETS_SHARE": _Private, "EXTERNAL_SHARE": _External, "VEEAM_REPOSITORY_SHARE": _Hosts, "FCP_SHARE": _Fcp}
_PARSERS = {purpose: type(f"{purpose}Args", (Model,), {"__annotations__": {"options": model}}) for purpose, model in OPTIONS.items()}


class Audit(Model):
    """Audit settings."""

    enable: bool = False
    watch_list: list[NonEmptyString] = []
    ignore_list: list[NonEmptyString] = []


class Share(Model):
    """A new share from 25.10 on; ``options`` are checked by purpose."""

    purpose: Literal["DEFAULT_SHARE", "LEGACY_SHARE", "TIMEMACHINE_SHARE", "MULTIPROTOCOL_SHARE", "TIME_LOCKED_SHARE", "PRIVATE_DATASETS_SHARE",
                     "EXTERNAL_SHARE", "VEEAM_REPOSITORY_SHARE", "FCP_SHARE"] = "DEFAULT_SHARE"
    name: Name
    path: NonEmptyString
    enabled: bool = True
    comment: str = ""
    readonly: bool = False
    browsable: bool = True
    access_based_share_enumeration: bool = False
    audit: Audit = Audit()
    options: dict[str, Any] | None = None


class FlatShare(Model):
    """A new share of 25.04."""

    purpose: Literal["NO_PRESET", "DEFAULT_SHARE", "TIMEMACHINE", "ENHANCED_TIMEMACHINE", "MULTI_PROTOCOL_NFS", "PRIVATE_DATASETS", "WORM_DROPBOX",
                     "VEEAM_REPOSITORY_SHARE"] = "DEFAULT_SHARE"
    path: NonEmptyString
    path_suffix: str = ""
    home: bool = False
    name: Name
    comment: str = ""
    ro: bool = False
    browsable: bool = True
    timemachine: bool = False
    timemachine_quota: int = 0
    recyclebin: bool = False
    guestok: bool = False
    abe: bool = False
    hostsallow: list[str] = []
    hostsdeny: list[str] = []
    aapl_name_mangling: bool = False
    acl: bool = True
    durablehandle: bool = True
    shadowcopy: bool = True
    streams: bool = True
    fsrvp: bool = False
    auxsmbconf: str = ""
    enabled: bool = True
    afp: bool = False
    audit: Audit = NOT_REQUIRED


# What a purpose of 25.04 sets, whatever the call says: plugins/smb_/constants.py, SMBSharePreset; its auxsmbconf is not stored (compress).
_PLAIN = {"path_suffix": "", "home": False, "timemachine": False, "recyclebin": False, "acl": True, "durablehandle": True, "shadowcopy": True,
          "streams": True, "fsrvp": False, "ro": False, "browsable": True, "abe": False, "hostsallow": [], "hostsdeny": [], "aapl_name_mangling": False}
PRESETS: dict[str, Entry] = {
    "NO_PRESET": {}, "DEFAULT_SHARE": _PLAIN, "TIMEMACHINE": {"path_suffix": "", "timemachine": True},
    "ENHANCED_TIMEMACHINE": {"path_suffix": "%U", "timemachine": True}, "MULTI_PROTOCOL_NFS": {"streams": True, "durablehandle": False},
    "PRIVATE_DATASETS": {"path_suffix": "%U"}, "WORM_DROPBOX": {"path_suffix": ""}, "VEEAM_REPOSITORY_SHARE": _PLAIN}


class _New(Model):
    data: Share


class _Change(Model):
    data: for_update(Share, "SmbShareUpdate")  # type: ignore[valid-type]


class _FlatNew(Model):
    sharingsmb_create: FlatShare


class _FlatChange(Model):
    sharingsmb_update: for_update(FlatShare, "FlatShareUpdate")  # type: ignore[valid-type]


class CreateArgs(Model):
    """Arguments of create, before the version decides."""

    data: dict[str, Any]


class UpdateArgs(Model):
    """Arguments of update, before the version decides."""

    id: int
    data: dict[str, Any]


def _show(mw: Middleware, entry: Entry) -> Entry:
    return {**entry, "locked": entry["path"] != "EXTERNAL" and is_locked(mw, entry["path"])}


@method("sharing.smb.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """All shares."""
    return filter_list([_show(call.mw, entry) for entry in call.mw.store.table(TABLE)], filters, options)


def _get(mw: Middleware, key: int) -> Entry:
    found = mw.store.find(TABLE, key)
    if found is None:
        raise not_found("SharingSMB", key)
    return found


@method("sharing.smb.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One share."""
    return _show(call.mw, _get(call.mw, key))


@method("sharing.smb.presets", until="25.09")
def presets(call: Call) -> Any:
    """What each purpose of 25.04 sets."""
    return {name: {"verbose_name": name, "params": params, "cluster": False} for name, params in PRESETS.items()}


def _nested(given: Entry, data: Entry) -> Entry:
    """``SharingSMBEntry.parse_nested``: purpose and options belong together; the purpose decides which options there are."""
    if "options" in given and "purpose" not in given:
        raise invalid("data", "You must set `purpose` if you set `options`.")
    if "purpose" not in data:
        return data
    purpose = data["purpose"]
    if purpose == "EXTERNAL_SHARE":
        if data.get("path", "EXTERNAL") != "EXTERNAL":
            raise invalid("data", 'You must set `path` to "EXTERNAL" for external shares.')
        if not data.get("options"):
            raise invalid("data", "External shares require explicit options configuration")
    try:
        return {**data, "options": parse(_PARSERS[purpose], [data.get("options") or {}])[0]}
    except ValidationErrors as exc:
        found = ValidationErrors()
        for attribute, message, code in exc.errors:
            found.add(f"data.{attribute}", message, code)
        raise found from exc


def _validate(mw: Middleware, schema: str, data: Entry, key: int | None = None) -> None:
    found = ValidationErrors()
    if any(other["name"].casefold() == data["name"].casefold() and other["id"] != key for other in mw.store.table(TABLE)):
        text = "Share with this name already exists." if mw.version < "25.10" else "Share names are case-insensitive and must be unique"
        found.add(f"{schema}.name", text, errno.EEXIST if mw.version < "25.10" else errno.EINVAL)
    if data["purpose"] != "EXTERNAL_SHARE":
        if data["path"].startswith("EXTERNAL"):
            found.add(f"{schema}.path", "External paths may only be set for shares with an EXTERNAL_SHARE purpose")
        else:
            check_path(mw, found, f"{schema}.path", data["path"])
    options = data.get("options", data)
    if data["purpose"] == "VEEAM_REPOSITORY_SHARE":
        found.add(f"{schema}.purpose", "Veeam repository shares require a TrueNAS enterprise license.")
    if data["purpose"] in ("TIMEMACHINE_SHARE", "FCP_SHARE", "TIMEMACHINE", "ENHANCED_TIMEMACHINE") and not mw.store.value("smb_aapl_extensions", False):
        found.add(f"{schema}.purpose", "Apple SMB2/3 protocol extension support is required by this parameter. "
                                       "This feature may be enabled in the general SMB server configuration.")
    if options.get("home") and any((other.get("options") or other).get("home") and other["id"] != key for other in mw.store.table(TABLE)):
        found.add(f"{schema}.options.home", "Only one share is allowed to be a home share.")
    audit = data.get("audit") or {}
    if audit.get("enable") and not audit.get("watch_list") and not audit.get("ignore_list"):
        found.add(f"{schema}.audit.enable", "Watch list or ignore list is required to enable auditing for an SMB share.")
    found.check()
    if "vuid" in options and options["vuid"] is None and data["purpose"] == "TIMEMACHINE_SHARE":
        options["vuid"] = str(uuid.uuid4())


@method("sharing.smb.create", CreateArgs)
def create(call: Call, given: Entry) -> Any:
    """Share a path."""
    mw = call.mw
    if mw.version < "25.10":
        data = parse(_FlatNew, [given])[0]
        data = {"audit": {"enable": False, "watch_list": [], "ignore_list": []}, **data, **PRESETS[data["purpose"]]}
    else:
        data = _nested(given, parse(_New, [given])[0])
    _validate(mw, "sharingsmb_create", data)
    return _show(mw, mw.store.insert(TABLE, data))


@method("sharing.smb.update", UpdateArgs)
def update(call: Call, key: int, given: Entry) -> Any:
    """Change a share. ``options`` are replaced as a whole, ``audit`` is merged."""
    mw, old = call.mw, _get(call.mw, key)
    if mw.version < "25.10":
        data = parse(_FlatChange, [given])[0]
        new = {**old, **data}
        new |= PRESETS[new["purpose"]]
    else:
        data = _nested(given, parse(_Change, [given])[0])
        new = {**old, **data}
    new["audit"] = {**old["audit"], **given.get("audit", {})}
    _validate(mw, "sharingsmb_update", new, key)
    return _show(mw, mw.store.update(TABLE, key, new))


@method("sharing.smb.delete", IdArgs)
def delete(call: Call, key: int) -> Any:
    """End a share; the data stays."""
    call.mw.store.delete(TABLE, _get(call.mw, key)["id"])
    return True
