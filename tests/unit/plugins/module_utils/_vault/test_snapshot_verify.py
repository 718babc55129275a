from __future__ import annotations

import gzip
import hashlib
import json
import pathlib
import random
import resource
import typing as t
import zlib

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._vault import snapshot_archive, snapshot_state
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_file import inspect, version_key
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_state import BadState, StateWalker, read_seal
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_verify import Verification, verify
from helpers.vault import RECOVERY, SEAL_SHAMIR, SEAL_TRANSIT, WRAPPED_KEY, entry, pack, snapshot_members, state_of, varint, write_snapshot


def put(path: pathlib.Path, data: bytes) -> Verification:
    """Write *data* and verify it against its own digest, so that only other checks can fail."""
    path.write_bytes(data)
    return verify(str(path), expected_sha256=hashlib.sha256(data).hexdigest())


def failed(verification: Verification) -> set[str]:
    return {check.name for check in verification.checks if check.outcome == "failed"}


def with_sums(members: dict[str, bytes]) -> dict[str, bytes]:
    """Rewrite the checksums of a tampered snapshot."""
    sums = "".join(f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in ("state.bin", "meta.json"))
    return {**members, "SHA256SUMS": sums.encode()}


def test_a_whole_snapshot_is_verified_and_tells_what_it_needs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.snap"
    digest = write_snapshot(path)
    result = verify(str(path), expected_sha256=digest.upper(), expected_size_bytes=path.stat().st_size, minimum_index=50)
    assert result.verdict == "verified", result.reasons()
    assert result.snapshot is not None
    found = result.snapshot.as_dict()
    assert (found["index"], found["term"], found["version"], found["entries"]) == (50, 3, "2.7.2", 7)
    assert found["seal"] == {"type": "transit", "shares": 1, "threshold": 1, "key_id": "v1", "recovery_shares": 5, "recovery_threshold": 3}
    assert found["peers"] == [{"id": "a", "address": "127.0.0.1:8201", "voter": True}]
    assert found["keys_by_prefix"] == {"core/": 3, "core/hsm/": 1, "core/versions/": 2, "logical/9543a1a1/": 1}
    assert found["archived_at"] == "2026-11-21T05:52:46.000000Z"
    assert found["sha256"] == digest
    json.dumps(found)


def test_a_shamir_seal_has_no_key_id(tmp_path: pathlib.Path) -> None:
    write_snapshot(tmp_path / "x", SEAL_SHAMIR)
    seal = inspect(str(tmp_path / "x")).seal
    assert seal is not None
    assert (seal.type, seal.shares, seal.threshold, seal.key_id, seal.recovery_shares) == ("shamir", 3, 2, None, None)


def test_without_a_digest_the_verdict_is_open(tmp_path: pathlib.Path) -> None:
    write_snapshot(tmp_path / "x")
    result = verify(str(tmp_path / "x"))
    assert result.verdict == "could_not_verify"
    assert "nothing outside of the file" in result.reasons()


def test_a_file_that_cannot_be_read_is_not_verified(tmp_path: pathlib.Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        result = verify(str(path), expected_sha256="0" * 64)
        assert (result.verdict, result.snapshot) == ("could_not_verify", None)
        assert str(path) in result.reasons()


def test_digest_size_and_index_are_compared(tmp_path: pathlib.Path) -> None:
    write_snapshot(tmp_path / "x")
    result = verify(str(tmp_path / "x"), expected_sha256="0" * 64, expected_size_bytes=1, minimum_index=51)
    assert failed(result) == {"digest", "size", "index"}
    assert result.verdict == "failed"


def test_every_cut_is_found(tmp_path: pathlib.Path) -> None:
    data = pack(snapshot_members())
    for length in [*range(0, len(data), 97), len(data) - 1]:
        assert "archive" in failed(put(tmp_path / "x", data[:length])), length


def test_every_flipped_bit_is_found_by_the_digest_and_all_but_the_gzip_header_without_it(tmp_path: pathlib.Path) -> None:
    data = pack(snapshot_members())
    digest = hashlib.sha256(data).hexdigest()
    chance = random.Random(20261121)
    for _round in range(400):
        position = chance.randrange(len(data))
        bad = bytearray(data)
        bad[position] ^= 1 << chance.randrange(8)
        (tmp_path / "x").write_bytes(bad)
        assert verify(str(tmp_path / "x"), expected_sha256=digest).verdict == "failed"
        if position >= 10:
            assert verify(str(tmp_path / "x")).verdict == "failed", position


@pytest.mark.parametrize("seed", range(20))
def test_garbage_is_a_verdict_and_no_exception(tmp_path: pathlib.Path, seed: int) -> None:
    chance = random.Random(seed)
    noise = chance.randbytes(chance.randrange(5000))
    for data in (
        noise,
        gzip.compress(noise),
        pack({**snapshot_members(), "meta.json": noise}),
        pack(with_sums({**snapshot_members(), "state.bin": noise})),
    ):
        assert put(tmp_path / "x", data).verdict == "failed"


def test_rewritten_sums_are_caught_by_the_digest_from_outside_only(tmp_path: pathlib.Path) -> None:
    original = write_snapshot(tmp_path / "x")
    members = snapshot_members()
    state = bytearray(members["state.bin"])
    state[-1] ^= 1
    forged = pack(with_sums({**members, "state.bin": bytes(state)}))
    (tmp_path / "x").write_bytes(forged)
    assert verify(str(tmp_path / "x")).verdict == "could_not_verify"
    assert failed(verify(str(tmp_path / "x"), expected_sha256=original)) == {"digest"}


def without(name: str) -> dict[str, bytes]:
    return {key: value for key, value in snapshot_members().items() if key != name}


META = json.loads(snapshot_members()["meta.json"])


def meta(**changes: t.Any) -> dict[str, bytes]:
    return with_sums({**snapshot_members(), "meta.json": json.dumps({**META, **changes}).encode()})


def state(data: bytes) -> dict[str, bytes]:
    return snapshot_members(data)


CASES: dict[str, tuple[bytes, set[str]]] = {
    "no sealed sums": (pack(without("SHA256SUMS.sealed")), {"sealed_sums"}),
    "empty sealed sums": (pack({**snapshot_members(), "SHA256SUMS.sealed": b""}), {"sealed_sums"}),
    "no sums": (pack(without("SHA256SUMS")), {"sums"}),
    "sums of nothing": (pack({**snapshot_members(), "SHA256SUMS": b""}), {"sums"}),
    "sums no sums": (pack({**snapshot_members(), "SHA256SUMS": b"hello\n"}), {"sums"}),
    "sums twice": (pack({**snapshot_members(), "SHA256SUMS": snapshot_members()["SHA256SUMS"] * 2}), {"sums"}),
    "wrong sums": (pack({**snapshot_members(), "SHA256SUMS": snapshot_members(state_of(SEAL_SHAMIR))["SHA256SUMS"]}), {"sums"}),
    "no meta": (pack(without("meta.json")), {"sums", "meta"}),
    "meta no object": (pack(with_sums({**snapshot_members(), "meta.json": b"[]"})), {"meta"}),
    "meta deep": (pack(with_sums({**snapshot_members(), "meta.json": b"[" * 100000})), {"meta"}),
    "meta without index": (pack(meta(Index=None)), {"meta"}),
    "meta negative": (pack(meta(Index=-1)), {"meta"}),
    "meta zero": (pack(meta(Index=0)), {"meta"}),
    "meta boolean": (pack(meta(Term=True)), {"meta"}),
    "meta size": (pack(meta(Size=1)), {"meta"}),
    "no state": (pack(without("state.bin")), {"sums", "state", "seal"}),
    "empty state": (pack(state(b"")), {"state", "seal"}),
    "state cut": (pack(state(state_of()[:-7])), {"state"}),
    "state cut in a head": (pack(state(state_of() + b"\x20\x0a")), {"state"}),
    "state with a foreign field": (pack(state(state_of() + b"\x04\x1a\x02ab")), {"state"}),
    "state with a foreign second field": (pack(state(state_of() + b"\x08\x0a\x02ab\x1a\x02cd")), {"state"}),
    "state with a value too long": (pack(state(state_of() + b"\x08\x0a\x02ab\x12\x09cd")), {"state"}),
    "state with a key too long": (pack(state(state_of() + varint(200000) + b"\x0a" + varint(100000) + b"k" * 199996)), {"state"}),
    "state with a key beyond its entry": (pack(state(state_of() + b"\x04\x0a\x7fab")), {"state"}),
    "state with an endless length": (pack(state(state_of() + b"\xff" * 12)), {"state"}),
    "no seal": (pack(state(entry(b"core/keyring", b"x"))), {"seal"}),
    "seal no json": (pack(state(entry(b"core/seal-config", b"{x"))), {"seal"}),
    "seal without shares": (pack(state(entry(b"core/seal-config", b'{"type":"shamir"}'))), {"seal"}),
    "seal with odd shares": (pack(state(entry(b"core/seal-config", b'{"secret_shares":"3","secret_threshold":2}'))), {"seal"}),
    "a stranger": (pack({**snapshot_members(), "evil.sh": b"x"}), {"archive"}),
    "a path": (pack({"../../etc/passwd": b"x", **snapshot_members()}), {"archive", "sealed_sums", "sums", "meta", "state", "seal"}),
    "a member twice": (pack([*snapshot_members().items(), ("meta.json", b"{}")]), {"archive"}),
    "large sums": (pack({**snapshot_members(), "SHA256SUMS": b"x" * 70000}), {"archive", "sealed_sums", "sums"}),
    "something behind": (pack(snapshot_members(), tail=b"extra"), {"archive"}),
    "something behind the stream": (pack(snapshot_members()) + b"extra", {"archive"}),
    "a second stream": (pack(snapshot_members()) + gzip.compress(b"x"), {"archive"}),
    "no tar": (gzip.compress(b"x" * 2000), {"archive", "sealed_sums", "sums", "meta", "state", "seal"}),
    "nothing": (b"", {"archive", "sealed_sums", "sums", "meta", "state", "seal"}),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_named_by_the_check_that_finds_it(tmp_path: pathlib.Path, case: str) -> None:
    data, expected = CASES[case]
    assert failed(put(tmp_path / "x", data)) == expected


def test_a_directory_in_the_archive_is_refused(tmp_path: pathlib.Path) -> None:
    data = bytearray(gzip.decompress(pack(snapshot_members())))
    data[156:157] = b"5"  # type flag of the first member: directory
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + 8 * 32 + sum(data[156:512]))
    assert "archive" in failed(put(tmp_path / "x", gzip.compress(bytes(data))))


def test_recompressed_and_extended_archives_are_accepted(tmp_path: pathlib.Path) -> None:
    members = snapshot_members()
    assert put(tmp_path / "x", gzip.compress(gzip.decompress(pack(members)), 9)).verdict == "verified"
    assert put(tmp_path / "x", pack(members, pax=True)).verdict == "verified"


def test_an_oversized_extended_header_is_refused(tmp_path: pathlib.Path) -> None:
    raw = bytearray(gzip.decompress(pack(snapshot_members(), pax=True)))
    raw[124:136] = b"%011o\0" % 90000
    raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + 8 * 32 + sum(raw[156:512]))
    result = put(tmp_path / "x", gzip.compress(bytes(raw)))
    assert "oversized extended header" in result.reasons()


def test_an_extended_header_without_a_size_leaves_the_size_alone(tmp_path: pathlib.Path) -> None:
    raw = gzip.decompress(pack(snapshot_members(), pax=True)).replace(b"size=", b"siez=")
    result = put(tmp_path / "x", gzip.compress(raw))
    assert result.verdict == "verified", result.reasons()


def test_a_small_file_that_unpacks_to_much_takes_little_memory(tmp_path: pathlib.Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    block = b"\0" * (1024 * 1024)
    head = gzip.decompress(pack(snapshot_members()))[:-1024]
    data = packer.compress(head) + b"".join(packer.compress(block) for _round in range(400)) + packer.flush()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    put(tmp_path / "x", data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024


def test_the_walk_does_not_depend_on_how_the_file_is_cut() -> None:
    data = state_of(extra={b"logical/u/" + b"n" * 200: b"v" * 5000, b"sys/empty": b"", b"flat": b"x"})
    whole = StateWalker()
    whole.feed(data)
    whole.finish()
    for size in (1, 2, 3, 7, 64, 999, 4096):
        walker = StateWalker()
        for start in range(0, len(data), size):
            walker.feed(data[start : start + size])
        walker.finish()
        assert (walker.entries, walker.kept, walker.keys_by_prefix(), walker.size) == (
            whole.entries,
            whole.kept,
            whole.keys_by_prefix(),
            len(data),
        ), size
    assert whole.entries == 10
    assert whole.keys_by_prefix()["/"] == 1


def test_many_prefixes_are_folded() -> None:
    walker = StateWalker()
    for number in range(2000):
        walker.feed(entry(b"logical/%d/x" % number, b"v"))
    walker.feed(entry(b"sys/policy/x", b"v"))
    counts = walker.keys_by_prefix()
    assert sum(counts.values()) == 2001
    assert len(counts) <= snapshot_state.MAX_PREFIXES
    with pytest.raises(BadState, match="different first segments"):
        for number in range(2000):
            walker.feed(entry(b"%d/x" % number, b"v"))


def test_a_large_seal_configuration_is_not_kept() -> None:
    walker = StateWalker()
    walker.feed(entry(b"core/seal-config", b"{" * 70000))
    assert walker.kept == {}


@pytest.mark.parametrize(
    ("blob", "expected"),
    [
        (WRAPPED_KEY, "v1"),
        (b"\x08\x01" + WRAPPED_KEY, "v1"),
        (b"\n\x02xx*\x05\x08\x01\x1a\x01k", "k"),
        (b"\n\x02xx", None),
        (b"\x0d\x00\x00\x00\x00", None),
        (b"\n", None),
        (b"\xff" * 12, None),
        (b"", None),
    ],
)
def test_the_key_id_is_read_from_the_wrapped_key(blob: bytes, expected: str | None) -> None:
    kept = {"core/seal-config": SEAL_TRANSIT, "core/hsm/barrier-unseal-keys": blob, "core/recovery-config": RECOVERY}
    assert read_seal(kept).key_id == expected


def test_a_recovery_configuration_in_base64_is_read() -> None:
    import base64

    kept = {"core/seal-config": SEAL_TRANSIT, "core/recovery-config": base64.b64encode(RECOVERY)}
    assert read_seal(kept).recovery_shares == 5


def test_versions_are_ordered_by_number() -> None:
    assert sorted(["2.10.0", "2.7.2", "1.19.0+ent", "2.7.2-rc1"], key=version_key) == ["1.19.0+ent", "2.7.2", "2.7.2-rc1", "2.10.0"]
    assert version_key("") == ()


def test_a_time_out_of_range_is_none(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_snapshot(tmp_path / "x")
    real = snapshot_archive.tarfile.TarInfo.frombuf

    def late(*args: t.Any) -> t.Any:
        info = real(*args)
        info.mtime = 1e300
        return info

    monkeypatch.setattr(snapshot_archive.tarfile.TarInfo, "frombuf", late)
    assert inspect(str(tmp_path / "x")).archived_at is None
