# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The two notations of SMB shares: from 25.10 on a purpose has options of its own, in 25.04 everything is a flat field.

A declaration is always in the newer notation. The server of 25.04 keeps none of it apart from flat fields, and sets
some of them by purpose whatever the call says, so what it cannot hold is refused instead of changing on every run.
"""

from __future__ import annotations

import typing as t

Share = dict[str, t.Any]
_HOSTS = ("hostsallow", "hostsdeny")
_APPLE = ("aapl_name_mangling", *_HOSTS)
_LEGACY = (
    "recyclebin", "path_suffix", "guestok", "streams", "durablehandle", "shadowcopy", "fsrvp", "home", "acl", "afp", "timemachine",
    "timemachine_quota", "vuid", "auxsmbconf",
)  # fmt: skip
OPTIONS: dict[str, tuple[str, ...]] = {
    "DEFAULT_SHARE": _APPLE,
    "LEGACY_SHARE": (*_APPLE, *_LEGACY),
    "TIMEMACHINE_SHARE": ("timemachine_quota", "auto_snapshot", "auto_dataset_creation", "dataset_naming_schema", "vuid", *_HOSTS),
    "MULTIPROTOCOL_SHARE": _APPLE,
    "TIME_LOCKED_SHARE": ("grace_period", *_APPLE),
    "PRIVATE_DATASETS_SHARE": ("dataset_naming_schema", "auto_quota", *_APPLE),
    "EXTERNAL_SHARE": ("remote_path",),
    "VEEAM_REPOSITORY_SHARE": _HOSTS,
    "FCP_SHARE": _APPLE,
}
COMMON = ("path", "comment", "enabled", "readonly", "browsable", "access_based_share_enumeration", "audit")
_RENAMED = {"readonly": "ro", "access_based_share_enumeration": "abe"}
# Purposes of 25.04; ENHANCED_TIMEMACHINE is TIMEMACHINE_SHARE with auto_dataset_creation.
_OLD_PURPOSES = {
    "LEGACY_SHARE": "NO_PRESET",
    "DEFAULT_SHARE": "DEFAULT_SHARE",
    "TIMEMACHINE_SHARE": "TIMEMACHINE",
    "MULTIPROTOCOL_SHARE": "MULTI_PROTOCOL_NFS",
    "PRIVATE_DATASETS_SHARE": "PRIVATE_DATASETS",
    "TIME_LOCKED_SHARE": "WORM_DROPBOX",
    "VEEAM_REPOSITORY_SHARE": "VEEAM_REPOSITORY_SHARE",
}
_NEW_PURPOSES = {**{old: new for new, old in _OLD_PURPOSES.items()}, "ENHANCED_TIMEMACHINE": "TIMEMACHINE_SHARE"}
_OLD_OPTIONS = frozenset((*_APPLE, *_LEGACY)) - {"vuid"}
# What DEFAULT_SHARE and VEEAM_REPOSITORY_SHARE of 25.04 reset at every write.
_RESET = {"readonly": False, "browsable": True, "access_based_share_enumeration": False, "hostsallow": [], "hostsdeny": [], "aapl_name_mangling": False}
_RESETTING = ("DEFAULT_SHARE", "VEEAM_REPOSITORY_SHARE")
LISTS = ("hostsallow", "hostsdeny", "watch_list", "ignore_list")


def canonical(name: str, value: t.Any) -> t.Any:
    """Return an option in the form that is compared: the order of clients and groups does not count."""
    return sorted(value) if name in LISTS and isinstance(value, list) else value


def _plain(values: t.Mapping[str, t.Any]) -> Share:
    return {name: canonical(name, value) for name, value in values.items()}


def from_api(entry: t.Mapping[str, t.Any]) -> Share:
    """Return one share in the newer notation, whichever the server has."""
    flat = "options" not in entry
    purpose = str(entry.get("purpose") or "NO_PRESET")
    found: Share = {"id": entry["id"], "name": entry["name"], "purpose": _NEW_PURPOSES.get(purpose, purpose) if flat else purpose}
    for name in COMMON:
        found[name] = entry.get(_RENAMED.get(name, name) if flat else name)
    found["audit"] = _plain(found["audit"] or {})
    if flat:
        options = {name: entry[name] for name in OPTIONS.get(found["purpose"], ()) if name in entry and name in _OLD_OPTIONS}
        if found["purpose"] == "TIMEMACHINE_SHARE":
            options["auto_dataset_creation"] = purpose == "ENHANCED_TIMEMACHINE"
    else:
        options = {name: value for name, value in (entry["options"] or {}).items() if name != "purpose"}
    found["options"] = _plain(options)
    found["locked"] = entry.get("locked")
    return found


def old_problems(share: t.Mapping[str, t.Any]) -> list[str]:
    """Return what of a share, as it is wanted, a server of 25.04 cannot hold."""
    purpose, options = share.get("purpose") or "DEFAULT_SHARE", share.get("options") or {}
    if purpose not in _OLD_PURPOSES:
        return [f"TrueNAS 25.04 has no purpose {purpose}"]
    missing = sorted(set(options) - _OLD_OPTIONS - ({"auto_dataset_creation"} if purpose == "TIMEMACHINE_SHARE" else set()))
    found = [f"TrueNAS 25.04 has no option {name}" for name in missing]
    if purpose in _RESETTING:
        given = {**{name: share[name] for name in _RESET if name in share}, **options}
        fixed = [name for name, value in _RESET.items() if name in given and canonical(name, given[name]) != value]
        found += [f"{purpose} of TrueNAS 25.04 always has {name} {_RESET[name]}; LEGACY_SHARE can have another" for name in fixed]
    return found


def to_api(share: t.Mapping[str, t.Any], *, flat: bool) -> Share:
    """Return what is sent for the fields of *share*; with ``purpose`` whenever there are options, as the server wants it."""
    sent = {(_RENAMED.get(name, name) if flat else name): value for name, value in share.items() if name not in ("options", "purpose")}
    if "purpose" not in share:
        return sent
    options = dict(share.get("options") or {})
    if not flat:
        return {**sent, "purpose": share["purpose"], "options": options}
    enhanced = options.pop("auto_dataset_creation", False) and share["purpose"] == "TIMEMACHINE_SHARE"
    return {**sent, "purpose": "ENHANCED_TIMEMACHINE" if enhanced else _OLD_PURPOSES[share["purpose"]], **options}
