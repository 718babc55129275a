# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The properties of a dataset: which there are, how they are written, and how the server's three notations compare."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

GIB = 1024**3
INHERIT = "INHERIT"
ON_OFF = ("ON", "OFF", INHERIT)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": GIB, "T": 1024**4, "P": 1024**5}
_SIZE = re.compile(r"^(\d+)\s*([KMGTP]?)(?:I?B)?$")

COMPRESSIONS = frozenset(
    ["ON", "OFF", "LZ4", "GZIP", "GZIP-1", "GZIP-9", "ZSTD", "ZSTD-FAST", "ZLE", "LZJB", INHERIT]
    + [f"ZSTD-{level}" for level in range(1, 20)]
    + [f"ZSTD-FAST-{level}" for level in (*range(1, 11), *range(20, 110, 10), 500, 1000)]
)
CHECKSUMS = ("ON", "OFF", "FLETCHER2", "FLETCHER4", "SHA256", "SHA512", "SKEIN", "EDONR", "BLAKE3", INHERIT)
VOLBLOCKSIZES = ("512", "512B", "1K", "2K", "4K", "8K", "16K", "32K", "64K", "128K")

Kind = t.Literal["size", "block", "word", "number", "text"]


@dataclasses.dataclass(frozen=True)
class Field:
    """One property.

    Args:
        kind: ``size`` is bytes (0 for none), ``block`` a size that the API writes as ``128K``, ``word`` upper-case, ``number``, ``text``.
        of: The type of dataset that has it; empty for both.
        update: Whether it can be changed after creation.
        user: Whether ZFS keeps it as a user property, of which TrueNAS 25.10 and later cannot say whether it is inherited.
        choices: What it takes, where that is a short list.
    """

    kind: Kind
    of: str = ""
    update: bool = True
    user: bool = False
    choices: tuple[str, ...] = ()


FIELDS: dict[str, Field] = {
    "comments": Field("text", user=True),
    "sync": Field("word", choices=("STANDARD", "ALWAYS", "DISABLED", INHERIT)),
    "snapdev": Field("word", choices=("HIDDEN", "VISIBLE", INHERIT)),
    "compression": Field("word"),
    "exec": Field("word", "FILESYSTEM", choices=ON_OFF),
    "managedby": Field("text", user=True),
    "quota_warning": Field("number", user=True),
    "quota_critical": Field("number", user=True),
    "refquota_warning": Field("number", user=True),
    "refquota_critical": Field("number", user=True),
    "reservation": Field("size"),
    "refreservation": Field("size"),
    "special_small_block_size": Field("number"),
    "copies": Field("number"),
    "snapdir": Field("word", "FILESYSTEM", choices=("DISABLED", "VISIBLE", "HIDDEN", INHERIT)),
    "deduplication": Field("word", choices=("ON", "VERIFY", "OFF", INHERIT)),
    "checksum": Field("word", choices=CHECKSUMS),
    "readonly": Field("word", choices=ON_OFF),
    "aclmode": Field("word", "FILESYSTEM", choices=("PASSTHROUGH", "RESTRICTED", "DISCARD", INHERIT)),
    "acltype": Field("word", "FILESYSTEM", choices=("OFF", "NFSV4", "POSIX", INHERIT)),
    "atime": Field("word", "FILESYSTEM", choices=ON_OFF),
    "casesensitivity": Field("word", "FILESYSTEM", update=False, choices=("SENSITIVE", "INSENSITIVE", INHERIT)),
    "quota": Field("size", "FILESYSTEM"),
    "refquota": Field("size", "FILESYSTEM"),
    "recordsize": Field("block", "FILESYSTEM"),
    "volsize": Field("size", "VOLUME"),
    "volblocksize": Field("block", "VOLUME", update=False, choices=VOLBLOCKSIZES),
}
# Asked for at creation only; the server keeps nothing that could be compared.
CREATE_ONLY = ("share_type", "sparse", "force_size", "encryption", "inherit_encryption", "encryption_options", "create_ancestors")


def parse_size(value: str | int) -> int:
    """Return bytes for ``10G``, ``10 GiB``, ``10737418240`` or ``none``.

    Raises:
        Refused: it is none of these.
    """
    text = str(value).strip().upper()
    if text in ("NONE", "0", "NULL"):
        return 0
    match = _SIZE.match(text)
    if match is None:
        raise Refused(f"{value!r} is not a size.", hint="Write bytes, or a whole number with K, M, G, T or P, such as 10G.")
    return int(match.group(1)) * _UNITS[match.group(2)]


def format_block(size: int) -> str:
    """Return a block size as the API writes it: ``128K``, ``1M``, ``512``."""
    for unit, factor in (("M", 1024**2), ("K", 1024)):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def canonical(field: Field, value: t.Any) -> t.Any:
    """Return *value*, as a user or the server writes it, in the one form that is compared and sent.

    Raises:
        Refused: it is not of the field's kind.
    """
    if isinstance(value, str) and value.upper() == INHERIT:
        return INHERIT
    if field.kind == "size":
        return parse_size(value)
    if field.kind == "block":
        return "512" if str(value).upper() == "512B" else format_block(parse_size(value))
    if field.kind == "number":
        try:
            return int(value)
        except ValueError as exc:
            raise Refused(f"{value!r} is not a whole number.") from exc
    return str(value).upper() if field.kind == "word" else str(value)


def _read(field: Field, shown: t.Mapping[str, t.Any]) -> t.Any:
    raw = shown.get("rawvalue")
    if raw is None:
        raw = shown.get("parsed")
    if raw is None:
        return 0 if field.kind == "size" else None
    try:
        return canonical(field, raw)
    except Refused:
        # A value that this version of the collection does not know is shown as it is, and differs from everything.
        return str(raw)


def from_api(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return one entry of ``pool.dataset.query`` with plain values; ``sources`` says where each comes from."""
    found: dict[str, t.Any] = {
        "name": entry["id"],
        "type": entry.get("type"),
        "pool": entry.get("pool"),
        "mountpoint": entry.get("mountpoint"),
        "encrypted": bool(entry.get("encrypted")),
        "locked": bool(entry.get("locked")),
        "origin": (entry.get("origin") or {}).get("rawvalue") or None,
        "user_properties": {
            key: (shown.get("rawvalue") if isinstance(shown, dict) else shown) for key, shown in (entry.get("user_properties") or {}).items()
        },
        "sources": {},
    }
    for name, field in FIELDS.items():
        shown = entry.get(name)
        if isinstance(shown, dict):
            found[name] = _read(field, shown)
            found["sources"][name] = str(shown.get("source") or "NONE")
    for name in ("used", "available"):
        shown = entry.get(name)
        if isinstance(shown, dict):
            found[f"{name}_bytes"] = int(shown.get("rawvalue") or 0)
    return found
