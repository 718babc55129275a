"""The independent verifier: valid evidence is valid, and every change makes it invalid (both directions)."""

from __future__ import annotations

import base64
import json
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import records, signing, verify
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, pretty, sha256_hex

from helpers.evidence import good_run, make_keys

FILES = ("evidence.jsonl", "report.json", "report.html", "junit.xml", "metrics.prom", "evidence.dsse.json")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str, str]:
    directory = tmp_path_factory.mktemp("evidence")
    private, public = make_keys(tmp_path_factory.mktemp("keys"))
    return good_run(directory, private), private, public


@pytest.fixture
def finished(original: tuple[pathlib.Path, str, str], tmp_path: pathlib.Path) -> tuple[pathlib.Path, str]:
    shutil.copytree(original[0], tmp_path / "run")
    return tmp_path / "run", original[2]


def outcome(run_dir: pathlib.Path, public: str) -> tuple[str, str]:
    """Return the verdict and what the checks that are not green saw."""
    verdict, checks = verify.verify(str(run_dir), public)
    return verdict, "; ".join(f"{check['name']}: {check['actual']}" for check in checks if check["outcome"] != "passed")


def test_untouched_run_is_valid(finished: tuple[pathlib.Path, str]) -> None:
    assert outcome(*finished) == ("valid", "")


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_anywhere_makes_it_invalid(finished: tuple[pathlib.Path, str], name: str) -> None:
    path = finished[0] / name
    whole = path.read_bytes()
    step = 1 if name == "evidence.dsse.json" else max(1, len(whole) // 150)
    for offset in [*range(0, len(whole), step), len(whole) - 2]:
        changed = bytearray(whole)
        changed[offset] ^= 0x01
        path.write_bytes(changed)
        assert outcome(*finished)[0] == "invalid", f"{name} at {offset}: {whole[max(0, offset - 10) : offset + 10]!r}"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"\n", lambda data: b""])
def test_truncated_grown_and_emptied_files_are_invalid(finished: tuple[pathlib.Path, str], name: str, damage: t.Callable[[bytes], bytes]) -> None:
    path = finished[0] / name
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    if name == "evidence.dsse.json" and json_equal(path.read_bytes(), whole):
        return  # white space around the envelope is not part of what was signed
    assert outcome(*finished)[0] == "invalid"


def json_equal(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


@pytest.mark.parametrize(("name", "verdict"), [(name, "invalid") for name in FILES[:-1]] + [("evidence.dsse.json", "could_not_verify")])
def test_missing_file_is_not_valid(finished: tuple[pathlib.Path, str], name: str, verdict: str) -> None:
    (finished[0] / name).unlink()
    found, said = outcome(*finished)
    assert found == verdict
    assert name in said


def test_other_key_makes_it_invalid(finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    _private, other = make_keys(tmp_path, "other")
    verdict, said = outcome(finished[0], other)
    assert verdict == "invalid" and "not signed by this key" in said


def test_unusable_key_could_not_verify(finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "no.pem").write_text("no key")
    private, _public = make_keys(tmp_path, "mine")
    for path in (tmp_path / "absent", tmp_path / "no.pem", pathlib.Path(private)):
        assert outcome(finished[0], str(path))[0] == "could_not_verify"


def test_missing_cryptography_could_not_verify(finished: tuple[pathlib.Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "CRYPTOGRAPHY_ERROR", ImportError("no module named cryptography"))
    verdict, said = outcome(*finished)
    assert verdict == "could_not_verify" and "cryptography" in said


def test_absent_directory_could_not_verify(finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    assert outcome(tmp_path / "absent", finished[1])[0] == "could_not_verify"


def test_empty_directory_could_not_verify(finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    assert outcome(tmp_path / "empty", finished[1])[0] == "could_not_verify"


def test_unreadable_file_could_not_verify(finished: tuple[pathlib.Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    real = open

    def refuse(path: str, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if str(path).endswith("evidence.jsonl"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", refuse)
    verdict, said = outcome(*finished)
    assert verdict == "could_not_verify" and "Permission denied" in said


class Forger:
    """Somebody with the signing key who signs what is not true, or damages what the signature does not cover."""

    def __init__(self, run_dir: pathlib.Path, private: str) -> None:
        self.dir = run_dir
        self.key = signing.load_private_key(private)
        self.records = [json.loads(line) for line in (run_dir / "evidence.jsonl").read_bytes().splitlines()]
        self.report = json.loads((run_dir / "report.json").read_bytes())
        self.result = "PASSED"

    def rechain(self) -> None:
        previous = records.GENESIS
        for number, record in enumerate(self.records, start=1):
            record |= {"sequence": number, "previous": previous}
            record["digest"] = previous = records.digest_of(record)

    def write(self, **statement: t.Any) -> None:
        log = b"".join(canonical(record) + b"\n" for record in self.records)
        self.report["evidence"] |= {"sha256": sha256_hex(log), "records": len(self.records), "head": self.records[-1]["digest"]}
        self.sign(log, pretty(self.report), **statement)

    def sign(self, log: bytes, report: bytes, **statement: t.Any) -> None:
        (self.dir / "evidence.jsonl").write_bytes(log)
        (self.dir / "report.json").write_bytes(report)
        subjects = [("evidence.jsonl", sha256_hex(log)), ("report.json", sha256_hex(report))]
        signed = {**signing.statement(subjects, signing.TEST_RESULT, {"result": self.result}), **statement}
        (self.dir / "evidence.dsse.json").write_bytes(signing.seal(canonical(signed), self.key))


@pytest.fixture
def forger(finished: tuple[pathlib.Path, str], original: tuple[pathlib.Path, str, str]) -> Forger:
    return Forger(finished[0], original[1])


def test_forger_who_changes_nothing_is_valid(forger: Forger, finished: tuple[pathlib.Path, str]) -> None:
    forger.rechain()
    forger.write()
    assert outcome(*finished) == ("valid", "")


def test_signed_report_of_failure_is_valid_evidence(forger: Forger, finished: tuple[pathlib.Path, str]) -> None:
    forger.report["verdict"], forger.result = "failed", "FAILED"
    forger.write()
    assert outcome(*finished)[0] == "valid"


def change_outcome(forger: Forger) -> None:
    next(record for record in forger.records if record["check"] == "canary")["outcome"] = "failed"


def skip_required(forger: Forger) -> None:
    next(record for record in forger.records if record["check"] == "read_back")["outcome"] = "skipped"


def drop_data(forger: Forger) -> None:
    for record in forger.records:
        record["data"] = False


def drop_end(forger: Forger) -> None:
    forger.records.pop()


def claim_more(forger: Forger) -> None:
    forger.report["verdict"] = "failed"


def other_schema(forger: Forger) -> None:
    forger.report["version"] = 2


def no_verdict(forger: Forger) -> None:
    del forger.report["verdict"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_outcome, "prove/canary"),
        (skip_required, "backup/read_back"),
        (drop_data, "none, and the report says verified"),
        (drop_end, "records are missing at the end"),
        (claim_more, "the verdict failed"),
        (other_schema, "version 2"),
        (no_verdict, "is damaged"),
    ],
)
def test_signed_contradiction_is_invalid(forger: Forger, finished: tuple[pathlib.Path, str], change: t.Callable[[Forger], None], said: str) -> None:
    change(forger)
    forger.rechain()
    forger.write()
    verdict, found = outcome(*finished)
    assert verdict == "invalid" and said in found


def test_report_of_another_log_is_invalid(forger: Forger, finished: tuple[pathlib.Path, str]) -> None:
    forger.report["evidence"]["records"] += 1
    forger.sign((finished[0] / "evidence.jsonl").read_bytes(), pretty(forger.report))
    assert "a report of another log" in outcome(*finished)[1]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ({"predicateType": "https://example.com/other"}, "other"),
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "v0.1"),
        ({"subject": [{"name": "evidence.jsonl", "digest": {"sha256": "0" * 64}}]}, "subjects evidence.jsonl"),
    ],
)
def test_other_kind_of_statement_is_invalid(forger: Forger, finished: tuple[pathlib.Path, str], statement: dict[str, t.Any], said: str) -> None:
    forger.write(**statement)
    verdict, found = outcome(*finished)
    assert verdict == "invalid" and said in found


def test_subject_outside_the_directory_is_invalid(forger: Forger, finished: tuple[pathlib.Path, str]) -> None:
    forger.write(subject=[{"name": name, "digest": {"sha256": "0" * 64}} for name in ("../keys", "evidence.jsonl", "report.json")])
    verdict, found = outcome(*finished)
    assert verdict == "invalid" and "'../keys'" in found


def test_envelope_of_another_type_or_encoding_is_invalid(finished: tuple[pathlib.Path, str]) -> None:
    path = finished[0] / "evidence.dsse.json"
    envelope = json.loads(path.read_bytes())
    path.write_text(json.dumps({**envelope, "payloadType": "text/plain"}))
    assert "text/plain" in outcome(*finished)[1]
    path.write_text(json.dumps({**envelope, "extra": 1}))
    assert outcome(*finished)[0] == "invalid"


def test_chain_is_judged_without_a_signature(finished: tuple[pathlib.Path, str]) -> None:
    (finished[0] / "evidence.dsse.json").unlink()
    log = finished[0] / "evidence.jsonl"
    log.write_bytes(log.read_bytes().replace(b"read_back", b"read_bock"))
    verdict, said = outcome(*finished)
    assert verdict == "invalid" and "record 3 is wrong: digest" in said


@pytest.mark.parametrize("log", [b"", b"[]\n", b"null\n", b"{}\n"])
def test_log_that_is_none_is_invalid(finished: tuple[pathlib.Path, str], log: bytes) -> None:
    (finished[0] / "evidence.dsse.json").unlink()
    (finished[0] / "evidence.jsonl").write_bytes(log)
    assert outcome(*finished)[0] == "invalid"


def test_command_alone_needs_only_python_and_cryptography(finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    # -I: without the directory of the script, the environment, and the collection on the path.
    command = [sys.executable, "-I", verify.__file__, str(finished[0]), "--public-key", finished[1]]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "valid")
    done = subprocess.run([*command, "--json"], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "valid"
    path = finished[0] / "report.json"
    path.write_bytes(path.read_bytes().replace(b"verified", b"Verified"))
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "invalid")
    assert "changed after it was signed" in done.stdout and "Traceback" not in done.stderr


def test_command_as_a_script_in_its_own_directory(finished: tuple[pathlib.Path, str]) -> None:
    # Without -I the script's directory comes first on the path: no file in it may hide one of Python's.
    done = subprocess.run([sys.executable, verify.__file__, str(finished[0]), "--public-key", finished[1]], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_exit_status_2_if_it_could_not_verify(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([str(tmp_path / "absent"), "--public-key", "none"]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "could not verify"


def test_main_prints_json_and_text(finished: tuple[pathlib.Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([str(finished[0]), "--public-key", finished[1], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "valid"
    assert verify.main([str(finished[0]), "--public-key", finished[1]]) == 0
    assert "passed  chain:" in capsys.readouterr().out


def test_verifier_shares_no_code_with_the_writer() -> None:
    text = pathlib.Path(verify.__file__).read_text(encoding="utf-8")
    assert "ansible_collections" not in text and "import ansible" not in text
    text = text.replace("sys.stdout.write(", "")
    for verb in ("os.unlink", "os.rename", ".write(", '"w', '"ab', '"r+', "subprocess"):
        assert verb not in text, verb


def test_openssl_agrees(finished: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    """The commands of docs/schemas/README.md."""
    envelope = json.loads((finished[0] / "evidence.dsse.json").read_bytes())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    (tmp_path / "signed").write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    (tmp_path / "signature").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", finished[1], "-rawin", "-in", "signed", "-sigfile", "signature"]
    assert subprocess.run(command, check=False, capture_output=True, cwd=tmp_path).returncode == 0
    digest = next(item["digest"]["sha256"] for item in json.loads(payload)["subject"] if item["name"] == "evidence.jsonl")
    assert subprocess.run(["sha256sum", str(finished[0] / "evidence.jsonl")], check=True, capture_output=True, text=True).stdout.split()[0] == digest
