"""Properties: how the API names and shows them, and which of them zfs-fuse can really hold.

What zfs-fuse lacks (LZ4, ZSTD, sync, ACL types, ...) is kept in a user property ``double:<name>`` beside the nearest real
value: it inherits and replicates like the real thing, and the API shows it as if it were.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.nas.server.zfs import Value

SHADOW = "double:"
# API name -> ZFS property
NATIVE = {
    "deduplication": "dedup", "atime": "atime", "casesensitivity": "casesensitivity", "checksum": "checksum", "exec": "exec", "compression": "compression",
    "compressratio": "compressratio", "origin": "origin", "quota": "quota", "refquota": "refquota", "reservation": "reservation",
    "refreservation": "refreservation", "copies": "copies", "snapdir": "snapdir", "readonly": "readonly", "recordsize": "recordsize", "used": "used",
    "usedbychildren": "usedbychildren", "usedbydataset": "usedbydataset", "usedbyrefreservation": "usedbyrefreservation",
    "usedbysnapshots": "usedbysnapshots", "available": "available", "creation": "creation", "aclmode": "aclmode", "xattr": "xattr",
}
# API name -> what it is when nothing is set
SHADOWED = {"sync": "standard", "acltype": "posix", "aclmode": "discard", "snapdev": "hidden", "special_small_block_size": "0",
            "compression": "lz4", "checksum": "on", "recordsize": "131072", "xattr": "sa"}
USER = {"comments": "org.freenas:description", "managedby": "org.truenas:managedby", "quota_warning": "org.freenas:quota_warning",
        "quota_critical": "org.freenas:quota_critical", "refquota_warning": "org.freenas:refquota_warning",
        "refquota_critical": "org.freenas:refquota_critical"}
SIZES = {"quota", "refquota", "reservation", "refreservation"}
_USAGE = {"used", "usedbychildren", "usedbydataset", "usedbyrefreservation", "usedbysnapshots", "available"}
_BOOLEANS = {"atime", "exec", "readonly"}
RECORDSIZES = ["512", "512B", *(f"{2 ** power}K" for power in range(10)), "1M", "2M", "4M", "8M", "16M"]
COMPRESSIONS = ["ON", "OFF", "LZ4", "GZIP", "GZIP-1", "GZIP-9", "ZLE", "LZJB", "ZSTD", "ZSTD-FAST", *(f"ZSTD-{level}" for level in range(1, 20)),
                *(f"ZSTD-FAST-{level}" for level in (*range(1, 11), *range(20, 100, 10), 100, 500, 1000))]
CHECKSUMS = ["ON", "OFF", "FLETCHER2", "FLETCHER4", "SHA256", "SHA512", "SKEIN", "EDONR", "BLAKE3"]
Properties = Mapping[str, Value]


def bytes_text(number: int) -> str:
    """Return a size as people read it: 1 GiB."""
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.4g} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def parse_size(text: str) -> int:
    """Return the bytes of a size like 512, 128K, 1M or zpool's 3.97G."""
    found = re.fullmatch(r"([\d.]+)([BKMGTP]?)B?", text.strip().upper())
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(float(found[1]) * 1024 ** "BKMGTP".index(found[2] or "B"))


def _size_text(number: int) -> str:
    """Return a block size as the API shows it: 128K."""
    for power, unit in ((2, "M"), (1, "K")):
        if number % 1024**power == 0 and number >= 1024**power:
            return f"{number // 1024**power}{unit}"
    return str(number)


def _source(text: str) -> tuple[str, str | None]:
    if text.startswith("inherited from "):
        return "INHERITED", text.removeprefix("inherited from ")
    return {"local": "LOCAL", "default": "DEFAULT", "received": "RECEIVED", "temporary": "TEMPORARY"}.get(text, "NONE"), None


def shape(parsed: Any, raw: str, value: str | None, source: str) -> dict[str, Any]:
    """Return a property as the API shows it."""
    kind, info = _source(source)
    return {"parsed": parsed, "rawvalue": raw, "value": value, "source": kind, "source_info": info}


def _show(name: str, raw: str, source: str) -> dict[str, Any]:
    if name in SIZES | _USAGE:
        number = 0 if raw in ("none", "-") else int(raw)
        null = name in SIZES and number == 0
        return shape(None if null else number, str(number), None if null else bytes_text(number), source)
    if name in ("recordsize", "special_small_block_size"):
        number = int(raw)
        return shape(number, raw, _size_text(number), source)
    if name in _BOOLEANS:
        return shape(raw == "on", raw, raw.upper(), source)
    if name == "creation":
        when = datetime.datetime.fromtimestamp(int(raw), datetime.timezone.utc)
        return shape(when, raw, when.strftime("%a %b %d %H:%M %Y"), source)
    if name == "copies":
        return shape(int(raw), raw, raw, source)
    if name in ("compressratio", "origin"):
        text = "" if raw == "-" else raw
        return shape(text.rstrip("x") if name == "compressratio" else text, text, text, source)
    return shape(raw, raw, raw.upper(), source)


def show(found: Properties) -> dict[str, Any]:
    """Return all properties of a dataset in the API's shape, by the API's names."""
    shown: dict[str, Any] = {}
    for name in [*NATIVE, *(name for name in SHADOWED if name not in NATIVE)]:
        shadow = found.get(SHADOW + name)
        native = found.get(NATIVE.get(name, ""))
        if shadow is not None:
            shown[name] = _show(name, shadow.value, shadow.source)
        elif native is not None and (name not in SHADOWED or native.source != "default"):
            shown[name] = _show(name, native.value, native.source)
        elif name in SHADOWED:
            shown[name] = _show(name, SHADOWED[name], "default")
    for name, key in USER.items():
        if key in found:
            value = found[key].value
            shown[name] = shape(int(value) if value.isdigit() and name.endswith(("warning", "critical")) else value, value, value, found[key].source)
    return shown


def user_properties(found: Properties, version: str) -> dict[str, Any]:
    """Return the user's own properties. Since 25.10 the API says LOCAL for all of them, inherited or not."""
    result = {}
    for key, value in found.items():
        if ":" in key and not key.startswith(SHADOW) and key not in USER.values() and "@" not in key:
            source = value.source if version < "25.10" else "local"
            result[key] = shape(value.value, value.value, value.value, source)
    return result


def _nearest(name: str, value: str) -> str | None:
    """Return the value that zfs-fuse can hold in place of one it cannot; None: leave the real property alone."""
    if name == "compression":
        return value if value in ("on", "off", "zle", "lzjb") or value.startswith("gzip") else "lzjb"
    if name == "checksum":
        return value if value in ("on", "off", "fletcher2", "fletcher4", "sha256") else "sha256"
    if name == "recordsize":
        return str(min(int(value), 131072))
    return None


def _size(value: Any) -> str:
    return str(value) if value else "none"


_TO_ZFS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(SIZES, _size), "recordsize": lambda value: str(parse_size(value)), "special_small_block_size": str, "copies": str,
    "snapdir": lambda value: "hidden" if value == "DISABLED" else str(value).lower(),
}


def to_zfs(name: str, value: Any) -> dict[str, str | None]:
    """Return what to set for one field of the API: ZFS properties and values, None to inherit."""
    if name in USER:
        return {USER[name]: None if value == "INHERIT" else str(value)}
    if name not in SHADOWED and name not in NATIVE:
        raise KeyError(name)
    if value == "INHERIT":
        real = {NATIVE[name]: None} if name in NATIVE and name not in ("aclmode", "xattr") else {}
        return {**real, SHADOW + name: None} if name in SHADOWED else {**real}
    text = _TO_ZFS.get(name, lambda item: str(item).lower())(value)
    if name not in SHADOWED:
        return {NATIVE[name]: text}
    near = _nearest(name, text)
    return {SHADOW + name: text, **({NATIVE[name]: near} if near is not None else {})}
