# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Walks ``state.bin`` of a raft snapshot: protobuf messages ``{1: key, 2: value}``, each behind its length.

Keys are in clear, values are encrypted by the barrier but for a few that tell what a restore needs. The walk holds one
key at a time, so memory does not grow with the file.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import typing as t

MAX_KEY = 64 * 1024  # bytes; Vault's own limit is half of that
MAX_KEPT = 64 * 1024  # bytes of a value that we look at
MAX_PREFIXES = 512  # two path segments each; beyond that only the first one counts
_KEPT = {b"core/seal-config", b"core/recovery-config", b"core/hsm/barrier-unseal-keys"}
_VERSIONS = b"core/versions/"
_KEY_TAG = 0x0A
_VALUE_TAG = 0x12


class BadState(Exception):
    """The file is not a sequence of keys and values; the text says where."""


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a protobuf varint and the position behind it.

    Raises:
        IndexError: the data ends inside it.
        BadState: it is longer than 10 bytes.
    """
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
        if shift > 63:
            raise BadState("a length of more than 10 bytes")


class StateWalker:
    """Feed it the pieces of the file, then call ``finish``."""

    def __init__(self) -> None:
        self.entries = 0
        self.size = 0
        self.kept: dict[str, bytes] = {}
        self.versions: list[str] = []
        self._counts: dict[bytes, int] = {}
        self._rest = b""
        self._skip = 0

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            BadState: it cannot be the continuation of such a file.
        """
        self.size += len(piece)
        if self._skip >= len(piece):
            self._skip -= len(piece)
            return
        data = self._rest + piece[self._skip :] if self._rest else piece[self._skip :] if self._skip else piece
        self._skip = 0
        self._rest = self._walk(data)

    def finish(self) -> None:
        """Raise ``BadState`` unless the file ended behind a whole entry."""
        if self._rest or self._skip:
            raise BadState(f"it ends inside of entry {self.entries + (1 if self._rest else 0)}")

    def _walk(self, data: bytes) -> bytes:
        """Consume whole entries (or the head of one whose value nobody wants) and return what is left."""
        position, start, end, entries, counts = 0, 0, len(data), self.entries, self._counts
        try:
            while position < end:
                start = position
                # One byte is the common case of a length; the call costs more than the rest of the loop.
                length, at = varint(data, position)
                stop = at + length
                if data[at] != _KEY_TAG:
                    raise BadState(f"entry {entries + 1} does not begin with a key")
                size = data[at + 1]
                at += 2
                if size >= 0x80:
                    size, at = varint(data, at - 1)
                if size > MAX_KEY or at + size > stop:
                    raise BadState(f"entry {entries + 1} has a key of {size} bytes")
                value = at + size
                if value > end:
                    raise IndexError
                key = data[at:value]
                if value < stop:
                    if data[value] != _VALUE_TAG:
                        raise BadState(f"entry {entries + 1} holds something that is neither key nor value")
                    length, value = varint(data, value + 1)
                    if value + length != stop:
                        raise BadState(f"entry {entries + 1} has a value of {length} bytes, {stop - value} would fit")
                if key[:5] == b"core/" and stop - value <= MAX_KEPT and key in _KEPT:
                    if stop > end:
                        raise IndexError
                    self.kept[key.decode()] = data[value:stop]
                elif key.startswith(_VERSIONS):
                    self.versions.append(key[len(_VERSIONS) :].decode("utf-8", "replace")[:40])
                entries += 1
                slash = key.find(b"/", key.find(b"/") + 1) + 1
                prefix = key[:slash] if slash else key[: key.find(b"/") + 1]
                counts[prefix] = counts.get(prefix, 0) + 1
                if len(counts) > MAX_PREFIXES:
                    self._fold()
                position = stop
        except IndexError:
            self.entries = entries
            return data[start:]
        self.entries = entries
        self._skip = position - end
        return b""

    def _fold(self) -> None:
        """Add the counts of second segments to their first ones, to stay within ``MAX_PREFIXES``."""
        counts: dict[bytes, int] = {}
        for prefix, count in self._counts.items():
            short = prefix[: prefix.find(b"/") + 1]
            counts[short] = counts.get(short, 0) + count
        if len(counts) > MAX_PREFIXES // 2:
            raise BadState(f"it has more than {MAX_PREFIXES // 2} different first segments of keys")
        self._counts.clear()
        self._counts.update(counts)

    def keys_by_prefix(self) -> dict[str, int]:
        """Return how many keys there are below each prefix (one or two segments)."""
        return {prefix.decode("utf-8", "replace") or "/": count for prefix, count in sorted(self._counts.items())}


@dataclasses.dataclass(frozen=True)
class Seal:
    """What a restore needs in order to unseal, as the snapshot says it in clear."""

    type: str
    shares: int
    threshold: int
    key_id: str | None = None
    recovery_shares: int | None = None
    recovery_threshold: int | None = None


def read_seal(kept: t.Mapping[str, bytes]) -> Seal:
    """Return the seal from the kept values.

    Raises:
        BadState: the seal configuration is missing or no such thing.
    """
    config = _config(kept, "core/seal-config")
    if config is None:
        raise BadState("it holds no core/seal-config: no server could unseal it")
    recovery = _config(kept, "core/recovery-config")
    return Seal(
        type=str(config.get("type") or "shamir"),
        shares=config["secret_shares"],
        threshold=config["secret_threshold"],
        key_id=_key_id(kept.get("core/hsm/barrier-unseal-keys", b"")),
        recovery_shares=recovery["secret_shares"] if recovery else None,
        recovery_threshold=recovery["secret_threshold"] if recovery else None,
    )


def _config(kept: t.Mapping[str, bytes], key: str) -> dict[str, t.Any] | None:
    """Return a seal configuration, which lies there as JSON or, in Vault's recovery case, as base64 of it."""
    raw = kept.get(key)
    if raw is None:
        return None
    try:
        text = raw if raw.lstrip().startswith(b"{") else base64.b64decode(raw, validate=True)
        config = json.loads(text)
        if not all(isinstance(config[name], int) for name in ("secret_shares", "secret_threshold")):
            raise TypeError(key)
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise BadState(f"its {key} is no seal configuration") from exc
    return dict(config)


def _key_id(blob: bytes) -> str | None:
    """Return field 3 (key id) of field 5 (key info) of a wrapped key: ``v1`` for transit, the configured id for static."""
    info = _field(blob, 5)
    key_id = _field(info, 3) if info else None
    return key_id.decode("utf-8", "replace") if key_id else None


def _field(message: bytes, number: int) -> bytes | None:
    """Return a length-delimited field of a small protobuf message; ``None`` if it is not there or the message is odd."""
    position = 0
    try:
        while position < len(message):
            tag, position = varint(message, position)
            if tag & 7 == 0:
                position = varint(message, position)[1]
                continue
            if tag & 7 != 2:
                return None
            length, position = varint(message, position)
            if tag >> 3 == number:
                return message[position : position + length]
            position += length
    except (IndexError, BadState):
        return None
    return None
