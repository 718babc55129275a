# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The independent verifier of a finished run; a module uses it, and it runs on its own:

    python3 verify.py RUN_DIR --public-key KEY.pem        exit status 0 valid, 1 invalid, 2 could not verify

It reads only, needs nothing but Python and the package cryptography, and shares no code with what writes evidence: the
rules are written down a second time here, from docs/schemas/README.md.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import sys
import typing as t

CRYPTOGRAPHY_ERROR: Exception | None = None
try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
except ImportError as exc:
    CRYPTOGRAPHY_ERROR = exc

LOG, REPORT, ENVELOPE = "evidence.jsonl", "report.json", "evidence.dsse.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
Verdict = t.Literal["valid", "invalid", "could_not_verify"]
Check = dict[str, t.Any]
EXIT = {"valid": 0, "invalid": 1, "could_not_verify": 2}


class Invalid(Exception):
    """The evidence is not what was signed. Arguments: expected, actual."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(actual)
        self.expected = expected
        self.actual = actual


class CannotVerify(Exception):
    """Something that is needed to judge is missing."""


def _read(run_dir: str, name: str) -> bytes | None:
    try:
        with open(os.path.join(run_dir, name), "rb") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as exc:
        raise CannotVerify(f"{name} cannot be read: {exc.strerror}") from exc


def _key(path: str) -> Ed25519PublicKey:
    if CRYPTOGRAPHY_ERROR is not None:
        raise CannotVerify(f"the Python package cryptography is missing: {CRYPTOGRAPHY_ERROR}")
    try:
        with open(path, "rb") as handle:
            key = load_pem_public_key(handle.read())
    except (OSError, ValueError) as exc:
        raise CannotVerify(f"{path} is no public key in PEM form that can be read") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise CannotVerify(f"{path} is no Ed25519 public key")
    return key


def check_signature(run_dir: str, public_key: str) -> tuple[dict[str, t.Any], str]:
    """Return the signed statement and what was seen.

    Raises:
        CannotVerify: no envelope or no key.
        Invalid: the envelope is damaged, or not signed by the key.
    """
    key = _key(public_key)
    data = _read(run_dir, ENVELOPE)
    if data is None:
        raise CannotVerify(f"there is no {ENVELOPE}: the run is not finished, or its signature was removed")
    try:
        envelope = json.loads(data)
        if set(envelope) != {"payloadType", "payload", "signatures"}:
            raise ValueError
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(item["sig"], validate=True) for item in envelope["signatures"] if set(item) == {"keyid", "sig"}]
        names = {item["keyid"] for item in envelope["signatures"] if item["keyid"]}
        statement = json.loads(payload)
        canonical_text = base64.b64encode(payload).decode() == envelope["payload"]
    except (ValueError, KeyError, TypeError) as exc:
        raise Invalid("a DSSE envelope", f"{ENVELOPE} is damaged") from exc
    if envelope["payloadType"] != PAYLOAD_TYPE or not canonical_text:
        raise Invalid(PAYLOAD_TYPE, f"payloadType {envelope['payloadType']!r} or a payload that is encoded in another way")
    own = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
    if names and own not in names:
        raise Invalid(f"a signature by the key {own[:16]}…", f"signed by {', '.join(sorted(str(name)[:16] for name in names))}…: not signed by this key")
    kind = PAYLOAD_TYPE.encode()
    signed = b"DSSEv1 " + str(len(kind)).encode() + b" " + kind + b" " + str(len(payload)).encode() + b" " + payload
    for signature in signatures:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return statement, "signed by the given key"
    raise Invalid("a signature by the given key", "not signed by this key, or changed afterwards")


def check_statement(statement: t.Mapping[str, t.Any]) -> str:
    """Return what the statement says the result is. Raises Invalid on an unknown kind of statement."""
    kinds = (statement.get("_type"), statement.get("predicateType"))
    if kinds != (STATEMENT, PREDICATE):
        raise Invalid(f"{STATEMENT}, {PREDICATE}", f"{kinds[0]}, {kinds[1]}")
    names = {item.get("name") for item in statement.get("subject", [])}
    if not {LOG, REPORT} <= names:
        raise Invalid(f"subjects {LOG} and {REPORT}", f"subjects {', '.join(sorted(map(str, names)))}")
    return f"result {statement.get('predicate', {}).get('result')}"


def check_subjects(run_dir: str, statement: t.Mapping[str, t.Any]) -> str:
    """Return how many files have the digest that was signed. Raises Invalid naming the first that has not."""
    for subject in statement["subject"]:
        name, expected = subject["name"], subject["digest"]["sha256"]
        if os.path.basename(name) != name:
            raise Invalid("file names", f"a subject called {name!r}")
        data = _read(run_dir, name)
        if data is None:
            raise Invalid(f"{name} with SHA-256 {expected}", f"{name} is missing")
        actual = hashlib.sha256(data).hexdigest()
        if actual != expected:
            raise Invalid(f"{name} with SHA-256 {expected}", f"{name} has SHA-256 {actual}: it was changed after it was signed")
    return f"{len(statement['subject'])} files are as they were signed"


def _canonical(value: t.Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def check_chain(data: bytes) -> list[dict[str, t.Any]]:
    """Return the records of the log *data*. Raises Invalid naming the first that is wrong."""
    records: list[dict[str, t.Any]] = []
    previous = "0" * 64
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        where = f"record {number}"
        try:
            record = json.loads(line)
            digest = hashlib.sha256(_canonical({key: value for key, value in record.items() if key != "digest"})).hexdigest()
            reasons = {
                "version": record["version"] == 1,
                "sequence": record["sequence"] == number,
                "previous": record["previous"] == previous,
                "digest": record["digest"] == digest and _canonical(record) == line,
                "run": record["run"] == (records[0]["run"] if records else record["run"]),
            }
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Invalid(f"{where} as it was written", f"{where} is no record") from exc
        wrong = [name for name, good in reasons.items() if not good]
        if wrong:
            raise Invalid(f"{where} as it was written", f"{where} is wrong: {', '.join(wrong)}")
        records.append(record)
        previous = digest
    torn = len(data) - data.rfind(b"\n") - 1
    if torn or not records:
        raise Invalid("a whole last record", f"{torn} bytes of an unfinished record at the end" if torn else "an empty log")
    if records[-1]["check"] != "run_finished":
        raise Invalid("run_finished as the last record", f"{records[-1]['check']}: records are missing at the end")
    return records


def check_report(data: bytes, log: bytes, records: t.Sequence[t.Mapping[str, t.Any]], statement: t.Mapping[str, t.Any]) -> str:
    """Return the report's verdict after comparing it with the log. Raises Invalid where they contradict each other."""
    try:
        report = json.loads(data)
        verdict, evidence, schema = report["verdict"], report["evidence"], (report["schema"], report["version"])
    except (ValueError, KeyError, TypeError) as exc:
        raise Invalid("a report", f"{REPORT} is damaged") from exc
    if schema != ("resilient.platform/report", 1):
        raise Invalid("resilient.platform/report version 1", f"{schema[0]} version {schema[1]}")
    for name, wanted in {"sha256": hashlib.sha256(log).hexdigest(), "records": len(records), "head": records[-1]["digest"]}.items():
        if evidence.get(name) != wanted:
            raise Invalid(f"a report of this log ({name} {wanted})", f"a report of another log ({name} {evidence.get(name)})")
    result = statement["predicate"].get("result")
    if (result == "PASSED") != (verdict == "verified"):
        raise Invalid(f"the result {result} that was signed", f"the verdict {verdict} in {REPORT}")
    if verdict == "verified":
        _nothing_failed(records)
    return f"verdict {verdict}"


def _nothing_failed(records: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    newest = {(record["step"], record["check"], record["asset"]): record for record in records}.values()
    for record in newest:
        if record["required"] and record["outcome"] in ("failed", "skipped"):
            raise Invalid(
                "no required check that failed or was skipped", f"{record['step']}/{record['check']} in record {record['sequence']}: {record['outcome']}"
            )
    if not any(record["data"] and record["outcome"] == "passed" for record in newest):
        raise Invalid("a check on data that passed", "none, and the report says verified")


class _Verification:
    """Runs one check after the other; after the first that is not good, those that need it are skipped."""

    def __init__(self) -> None:
        self.checks: list[Check] = []
        self.verdict: Verdict = "valid"

    def run(self, name: str, call: t.Callable[[], t.Any], says: t.Callable[[t.Any], str] = str) -> t.Any:
        try:
            value = call()
        except Invalid as exc:
            self.verdict = "invalid"
            self.checks.append({"name": name, "outcome": "failed", "expected": exc.expected, "actual": exc.actual})
        except CannotVerify as exc:
            if self.verdict == "valid":
                self.verdict = "could_not_verify"
            self.checks.append({"name": name, "outcome": "skipped", "expected": "", "actual": str(exc)})
        else:
            self.checks.append({"name": name, "outcome": "passed", "expected": "", "actual": says(value)})
            return value
        return None


def verify(run_dir: str, public_key: str) -> tuple[Verdict, list[Check]]:
    """Judge the finished run in *run_dir* with the PKIX public key in the file *public_key*; writes nothing.

    Returns:
        The verdict, and ``{name, outcome, expected, actual}`` of each check that was run.
    """
    if not os.path.isdir(run_dir):
        return "could_not_verify", [{"name": "run", "outcome": "skipped", "expected": "", "actual": f"there is no directory {run_dir}"}]
    work = _Verification()
    signed = work.run("signature", lambda: check_signature(run_dir, public_key), lambda value: str(value[1]))
    statement = signed[0] if signed else None
    if statement is not None:
        if work.run("statement", lambda: check_statement(statement)) is not None:
            work.run("files", lambda: check_subjects(run_dir, statement))
    log = work.run("log", lambda: _need(run_dir, LOG, statement), lambda value: f"{len(value)} bytes")
    records = work.run("chain", lambda: check_chain(log), lambda value: f"{len(value)} records, none missing") if log is not None else None
    if statement is not None and records is not None and log is not None:
        report = _read(run_dir, REPORT)
        if report is not None:
            work.run("report", lambda: check_report(report, log, records, statement))
    return work.verdict, work.checks


def _need(run_dir: str, name: str, statement: t.Any) -> bytes:
    data = _read(run_dir, name)
    if data is None:
        if statement is not None:
            raise Invalid(f"{name} as it was signed", f"{name} is missing")
        raise CannotVerify(f"there is no {name}")
    return data


def main(arguments: t.Sequence[str] | None = None) -> int:
    """Run as a command; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify the evidence of a run. Exit status: 0 valid, 1 invalid, 2 could not verify.")
    parser.add_argument("run_dir", help="directory with evidence.jsonl, report.json and evidence.dsse.json")
    parser.add_argument("--public-key", required=True, help="PKIX PEM file with the public half of the signing key")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args(arguments)
    verdict, checks = verify(options.run_dir, options.public_key)
    if options.json:
        lines = [json.dumps({"verdict": verdict, "checks": checks}, indent=2)]
    else:
        lines = [_line(check) for check in checks] + [verdict.replace("_", " ")]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return EXIT[verdict]


def _line(check: Check) -> str:
    wanted = f" (expected: {check['expected']})" if check["expected"] else ""
    return f"{check['outcome']:7} {check['name']}: {check['actual']}{wanted}"


if __name__ == "__main__":
    raise SystemExit(main())
