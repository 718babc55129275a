# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Manifests: one for each backup run, signed, chained by SHA-256, in every destination.

A manifest is the predicate of an in-toto Statement in a DSSE envelope. Its subjects are the manifest itself and every
backup file with a digest, so ``cosign verify-blob-attestation`` can tell of a single file that it belongs to the backup.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ConnectionFailed, PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, parse_time, sha256_hex
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import Destination, read_small

if t.TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SCHEMA = "resilient.platform/manifest"
VERSION = 1
PREDICATE = "urn:resilient-platform:manifest:v1"
_KEY = re.compile(r"/manifests/(\d{8})\.dsse\.json$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
KINDS = ("vault_raft_snapshot", "zfs_snapshot")
_FIELDS = {"schema", "version", "environment", "run_id", "sequence", "created_at", "previous_sha256", "recovery_points"}
_POINT_FIELDS = {"asset", "kind", "id", "taken_at", "size_bytes", "sha256", "details", "newest_canary", "copies"}
Manifest = dict[str, t.Any]


class ManifestWrong(PlatformError):
    """A manifest cannot be trusted; ``details`` name it."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A manifest whose signature is good.

    Args:
        manifest: What it says.
        sha256: Digest of its canonical JSON, which the next one carries.
        source: Name of the destination.
        location: Where it lies there.
    """

    manifest: Manifest
    sha256: str
    source: str
    location: str

    def as_result(self) -> dict[str, t.Any]:
        """Return the module's ``manifest``."""
        return {**self.manifest, "sha256": self.sha256, "source": self.source, "location": self.location}


def key_for(environment: str, sequence: int) -> str:
    """Return the key of manifest number *sequence*."""
    return f"{environment}/manifests/{sequence:08d}.dsse.json"


def digest_of(manifest: Manifest) -> str:
    """Return the digest by which the next manifest names *manifest*."""
    return sha256_hex(canonical(manifest))


def check_points(points: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Refuse recovery points that a rebuild could not use.

    Raises:
        Refused: says which point and what is wrong with it.
    """
    if not points:
        raise Refused("A manifest without recovery points would say that nothing has to be backed up.", hint="Give recovery_points.")
    seen: set[tuple[str, str]] = set()
    for number, point in enumerate(points, start=1):
        where = f"Recovery point {number} ({point.get('asset')}, {point.get('id')})"
        problem = _point_problem(point)
        if problem:
            raise Refused(f"{where} {problem}. Nothing was written.", hint="See docs/schemas/manifest-v1.schema.json.")
        if (point["asset"], point["id"]) in seen:
            raise Refused(f"{where} is there twice. Nothing was written.", hint="Give each recovery point once.")
        seen.add((point["asset"], point["id"]))


def _point_problem(point: t.Mapping[str, t.Any]) -> str:
    unknown, missing = set(point) - _POINT_FIELDS, {"asset", "kind", "id", "taken_at"} - set(point)
    if unknown or missing:
        return f"has the unknown field {sorted(unknown)[0]!r}" if unknown else f"lacks {sorted(missing)[0]!r}"
    if point["kind"] not in KINDS:
        return f"has the kind {point['kind']!r}; known are {', '.join(KINDS)}"
    try:
        parse_time(point["taken_at"])
    except Refused as exc:
        return f"has no usable taken_at: {exc.message}"
    sha256 = point.get("sha256")
    if point["kind"] == "vault_raft_snapshot" and sha256 is None:
        return "is a file without sha256"
    if sha256 is not None and not _SHA256.match(str(sha256)):
        return "has a sha256 that is none"
    for copy in point.get("copies") or []:
        if sha256 is not None and copy.get("read_back_sha256") != sha256:
            return f"has a copy at {copy.get('destination')!r} that was not read back with its SHA-256"
    if sha256 is not None and not point.get("copies"):
        return "has no copies"
    return ""


def make(environment: str, run_id: str | None, points: t.Sequence[t.Mapping[str, t.Any]], before: Found | None, created_at: str) -> Manifest:
    """Return the manifest that follows *before*."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "environment": environment,
        "run_id": run_id,
        "sequence": before.manifest["sequence"] + 1 if before else 1,
        "created_at": created_at,
        "previous_sha256": before.sha256 if before else None,
        "recovery_points": [dict(point) for point in points],
    }


def seal(manifest: Manifest, key: Ed25519PrivateKey) -> bytes:
    """Return *manifest* as a signed envelope."""
    subjects = [("manifest", digest_of(manifest))]
    for point in manifest["recovery_points"]:
        subjects += [(f"{copy['destination']}:{copy['key']}", point["sha256"]) for copy in point.get("copies") or [] if point.get("sha256")]
    return signing.seal(canonical(signing.statement(subjects, PREDICATE, manifest)), key)


def unseal(data: bytes, key: Ed25519PublicKey, environment: str, sequence: int, where: str) -> Manifest:
    """Return the manifest in the envelope *data*.

    Raises:
        SignatureWrong: truncated, or not signed by *key*.
        ManifestWrong: signed, but not what lies here should be: another environment, number, schema or version.
    """
    payload = signing.unseal(data, key, where)
    statement = json.loads(payload)
    manifest = statement.get("predicate")
    if statement.get("predicateType") != PREDICATE or not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ManifestWrong(f"{where} is signed, but is no manifest.", hint="Remove it from the place of manifests.")
    if manifest.get("version") != VERSION or set(manifest) != _FIELDS:
        raise ManifestWrong(f"{where} has version {manifest.get('version')!r}; this release reads {VERSION}.", hint="Use the release that wrote it.")
    said = (manifest["environment"], manifest["sequence"])
    if said != (environment, sequence):
        raise ManifestWrong(f"{where} is the manifest {said[1]} of the environment {said[0]!r}: it was copied to this place.", hint="Remove it.")
    return manifest


@dataclasses.dataclass
class Chain:
    """What the destinations hold.

    Args:
        newest: The newest manifest.
        at: Names of the destinations that hold it.
        unreachable: What went wrong at destinations that could not be asked.
        untrusted: What is wrong with a manifest at a destination while another destination has that one, or a newer one, intact.
    """

    newest: Found | None = None
    at: list[str] = dataclasses.field(default_factory=list)
    unreachable: dict[str, str] = dataclasses.field(default_factory=dict)
    untrusted: dict[str, str] = dataclasses.field(default_factory=dict)


def sequences(destination: Destination, environment: str) -> list[int]:
    """Return the numbers of all manifests at *destination*, in order."""
    found = (_KEY.search(key) for key in destination.list(f"{environment}/manifests/"))
    return sorted(int(match.group(1)) for match in found if match)


def load(destination: Destination, environment: str, sequence: int, key: Ed25519PublicKey) -> Found:
    """Return manifest number *sequence* at *destination*; raises if it is absent or cannot be trusted."""
    name = key_for(environment, sequence)
    location = destination.location(name)
    where = f"The manifest {location} (destination {destination.name!r})"
    manifest = unseal(read_small(destination, name), key, environment, sequence, where)
    return Found(manifest, digest_of(manifest), destination.name, location)


def _check_link(destination: Destination, numbers: t.Sequence[int], newest: Found, environment: str, key: Ed25519PublicKey) -> None:
    before = newest.manifest["sequence"] - 1
    if before not in numbers:
        return  # removed by retention
    previous = load(destination, environment, before, key)
    if previous.sha256 != newest.manifest["previous_sha256"]:
        raise ManifestWrong(
            f"{newest.location} does not follow {previous.location}: one of them was replaced.",
            hint="Compare both with the copies at other destinations before you use them.",
        )


def find_newest(destinations: t.Sequence[Destination], environment: str, key: Ed25519PublicKey, *, need_all: bool) -> Chain:
    """Return the newest manifest over all *destinations*.

    An older one is never taken because the newest cannot be trusted: that would make a rollback as easy as damage. An intact copy of the same
    one, or a newer one, at another destination is.

    Args:
        destinations: Where to look.
        environment: Name of the platform.
        key: Public half of the signing key.
        need_all: Whether a destination that cannot be asked or trusted is an error; else one that can is enough.

    Raises:
        ManifestWrong, SignatureWrong: names the manifest that cannot be trusted.
        ConnectionFailed: no destination could be asked.
    """
    chain = Chain()
    wrong: list[tuple[int, str, PlatformError]] = []
    for destination in destinations:
        try:
            numbers = sequences(destination, environment)
        except PlatformError as exc:
            if need_all:
                raise
            chain.unreachable[destination.name] = exc.message
            continue
        if not numbers:
            continue
        try:
            found = load(destination, environment, numbers[-1], key)
            _check_link(destination, numbers, found, environment, key)
        except (ManifestWrong, signing.SignatureWrong) as exc:
            if need_all:
                raise
            wrong.append((numbers[-1], destination.name, exc))
            continue
        _take(chain, found)
    for number, name, problem in wrong:
        if chain.newest is None or chain.newest.manifest["sequence"] < number:
            raise problem
        chain.untrusted[name] = problem.message
    if destinations and len(chain.unreachable) == len(destinations):
        raise ConnectionFailed(f"No destination could be asked for manifests: {'; '.join(chain.unreachable.values())}", hint="Bring one of them back.")
    return chain


def _take(chain: Chain, found: Found) -> None:
    number = found.manifest["sequence"]
    known = chain.newest.manifest["sequence"] if chain.newest else 0
    if chain.newest is not None and number == known and found.sha256 != chain.newest.sha256:
        raise ManifestWrong(
            f"{found.location} and {chain.newest.location} have the same number and different content.",
            hint="Two backups of one environment ran at the same time. Remove the manifest that you do not trust.",
        )
    if number > known:
        chain.newest, chain.at = found, [found.source]
    elif number == known:
        chain.at.append(found.source)


def find_one(destinations: t.Sequence[Destination], environment: str, sequence: int, key: Ed25519PublicKey) -> Chain:
    """Return manifest number *sequence*, compared over all *destinations* that hold it; see ``find_newest``."""
    chain = Chain()
    for destination in destinations:
        try:
            if sequence in sequences(destination, environment):
                _take(chain, load(destination, environment, sequence, key))
        except (ManifestWrong, signing.SignatureWrong):
            raise
        except PlatformError as exc:
            chain.unreachable[destination.name] = exc.message
    return chain
