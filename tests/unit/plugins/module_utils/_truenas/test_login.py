"""Versions and log-ins, against the lab's double in each release: its API server is real, its SCRAM was written from the RFC."""

from __future__ import annotations

import datetime
import hashlib
import pathlib
import time
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import AuthenticationError, ConnectionFailed, PermissionDenied, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import login, scram, versions
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.errors import CredentialExpired, OtpRequired, StandbyNode
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Lost, Settings, served_versions
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from helpers.double import Double
from helpers.truenas import WATCH, Server, Step, job_update
from helpers.truenas import login as logged_in

from lab.nas.server import auth, ratelimit, session
from lab.nas.server.registry import VERSIONS, Method
from lab.nas.server.schema import NoArgs


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FAILURE_DELAY", 0.0)


@pytest.fixture(params=VERSIONS)
def nas(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> t.Iterator[Double]:
    with Double(tmp_path, request.param) as double:
        yield double


def client(nas: Double, **changes: t.Any) -> TrueNasClient:
    one = {"host": "127.0.0.1", "port": nas.connection["api_port"], "username": "automation", "api_key": nas.connection["api_key"], "protocol": "ws"}
    return TrueNasClient(Settings(**{**one, "timeout": 20, **changes}))


# -- versions ----------------------------------------------------------------------------------------------------------


def test_the_newest_version_of_each_release_is_spoken_and_told_by_it(nas: Double) -> None:
    newest = {"25.04": (25, 4, 2), "25.10": (25, 10, 5), "26": (26, 0, 0), "27": (27, 0, 0)}[nas.mw.version]
    with client(nas) as one:
        assert one.snapshots("query", [["dataset", "=", "tank/a"]], {}) == []
        assert (one.spoken, one.release) == (newest, newest)
        assert one.has("SCRAM") is (newest >= (26,)) and one.has("legacy_jobs") is (newest >= (25, 10))


def test_jobs_end_in_each_release(nas: Double) -> None:
    nas.mw.methods["test.job"] = Method("test.job", lambda call: "done", NoArgs, job=True)
    with client(nas) as one:
        job = one.job("test.job", interval=0.05, timeout=10)
        assert (job.state, job.result) == ("SUCCESS", "done")


def test_a_version_can_be_chosen_from_what_the_system_has(nas: Double) -> None:
    with client(nas, api_version="v25.04.1") as one:
        assert one.call("core.ping") == "pong"
        assert one.spoken == (25, 4, 1) and one.has("SCRAM") is False
        # Methods that a release dropped are gone in its older versions, too.
        assert one.snapshots("query", [["dataset", "=", "tank/a"]], {}) == []
    with pytest.raises(Refused, match=r"does not speak version v24\.10\.0 of its API; it has v25\.04\.0, "):
        client(nas, api_version="v24.10.0").call("core.ping")


@pytest.mark.parametrize(
    ("served", "wanted", "chosen"),
    [
        (["v25.10.2", "v25.04.1", "v25.10.0"], "current", "v25.10.2"),
        (["v27.0.0", "v27.0.1", "v28.0.0"], "current", "v27.0.1"),
        ([], "current", "current"),
        (["strange"], "v25.10.0", "v25.10.0"),
    ],
)
def test_the_newest_that_is_known_is_chosen(served: list[str], wanted: str, chosen: str) -> None:
    assert versions.choose(served, wanted, address="nas1:443") == chosen


def test_a_system_from_the_future_is_refused() -> None:
    with pytest.raises(Refused, match=r"knows versions up to 27\.0"):
        versions.choose(["v29.0.0"], "current", address="nas1:443")


def test_what_is_not_known_of_a_version_is_not_decided() -> None:
    assert versions.has(None, "SCRAM") is None and versions.parse("current") is None
    assert Server().client().has("legacy_jobs") is True and Server().client().has("SCRAM", otherwise=False) is False


def test_list_of_versions_that_is_none(nas: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = client(nas).settings
    assert served_versions(settings)[0] == "v25.04.0"
    monkeypatch.setattr("json.loads", lambda _text: {"no": "list"})
    assert served_versions(settings) == []
    with pytest.raises(ConnectionFailed, match="Cannot connect to ws://127.0.0.1:1/api/current"):
        served_versions(Settings(host="127.0.0.1", port=1, protocol="ws", timeout=2))


# -- log-ins -----------------------------------------------------------------------------------------------------------


def test_the_key_crosses_the_wire_only_where_there_is_no_scram(nas: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = session._parse
    monkeypatch.setattr(session, "_parse", lambda text: seen.append(text) or real(text))
    with client(nas) as one:
        assert one.call("auth.me")["pw_name"] == "automation"
        assert (one.logins, one.calls) == (1, 2 if nas.mw.version < "26" else 3)
    assert any(nas.connection["api_key"][3:] in text for text in seen) is (nas.mw.version < "26")


def test_refused_log_ins_are_told_apart_and_say_what_to_do(nas: Double) -> None:
    by_key = nas.mw.version >= "26"
    wrong = nas.connection["api_key"][:-1] + "-"
    with pytest.raises(AuthenticationError, match="wrong user name, key or password" if not by_key else "wrong, expired or revoked"):
        client(nas, api_key=wrong).call("core.ping")
    with pytest.raises(AuthenticationError):
        client(nas, api_key="no key at all").call("core.ping")
    poor = nas.key("poor", "nobody-special")
    with pytest.raises(AuthenticationError if by_key else PermissionDenied, match="Look at the keys" if by_key else "privilege with API access"):
        client(nas, username="nobody-special", api_key=poor).call("core.ping")
    with pytest.raises(PermissionDenied, match="privilege with API access"):
        client(nas, username="nobody-special", api_key="", password="pass-word").call("core.ping")
    with pytest.raises(OtpRequired, match="an API key needs no second factor"):
        client(nas, username="second-factor", api_key="", password="pass-word").call("core.ping")
    nas.mw.store.update("api_key", 1, {"expires_at": time.time() - 60})
    with pytest.raises(AuthenticationError if by_key else CredentialExpired, match="expired"):
        client(nas).call("core.ping")
    nas.mw.config["standby_of"] = ["10.0.0.2", "10.0.0.3"]
    with pytest.raises(StandbyNode, match="standby controller of a pair. Set api_host to the pair's virtual address; active now: 10.0.0.2, 10.0.0.3"):
        client(nas).call("core.ping")


def test_a_server_that_does_not_know_the_key_is_not_believed() -> None:
    def ask(data: dict[str, t.Any]) -> dict[str, t.Any]:
        nonce = data["rfc_str"].partition("r=")[2].partition(",")[0]
        if data["scram_type"] == "CLIENT_FIRST_MESSAGE":
            return {"result": {"response_type": "SCRAM_RESPONSE", "rfc_str": f"r={nonce}abc,s=c2FsdHNhbHRzYWx0c2FsdA==,i=50000"}}
        return {"result": {"response_type": "SCRAM_RESPONSE", "rfc_str": "v=AAAA"}}

    with pytest.raises(AuthenticationError, match="could not prove that it knows the API key"):
        login.by_scram(ask, Settings(host="nas1", username="u", api_key="1-k"), None)


@pytest.mark.parametrize(
    "reply", ["nonsense", "r=other,s=c2FsdA==,i=500000", "r=NONCE,s=c2FsdA==,i=500000", "r=NONCEx,s=c2FsdA==,i=4096", "r=NONCEx,s=!,i=500000"]
)
def test_a_first_message_that_no_true_server_sends_is_refused(reply: str) -> None:
    with pytest.raises(AuthenticationError, match="server's first SCRAM message"):
        scram.Exchange("u", "1-k", nonce="NONCE").final(reply)


def test_names_are_written_as_the_rfc_says() -> None:
    assert scram.Exchange("a=b,c", "12-k", nonce="N").first() == "n,,n=a=3Db=2Cc:12,r=N"
    assert scram.Exchange("a", "12-k", nonce="N", binding=b"x").first() == "p=tls-server-end-point,,n=a:12,r=N"


def _certificate(key: t.Any, digest: t.Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nas1")])
    now = datetime.datetime(2026, 11, 21)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    return made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, digest).public_bytes(Encoding.DER)


def test_the_endpoint_of_a_certificate_is_its_hash_by_its_own_signature() -> None:
    """RFC 5929, section 4.1."""
    curve, big = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    for key, digest, expected in ((curve, hashes.SHA256(), "sha256"), (curve, hashes.SHA384(), "sha384"), (big, hashes.SHA512(), "sha512")):
        der = _certificate(key, digest)
        assert scram.endpoint(der) == hashlib.new(expected, der).digest()
    assert scram.endpoint(_certificate(ed25519.Ed25519PrivateKey.generate(), None)) is None
    assert scram.endpoint(None) is None


def test_twenty_five_tasks_a_minute_get_through_only_slower(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """facts 1.2: 20 in a minute, then EBUSY after a delay. The minute is one of a clock that only sleeping moves."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(ratelimit.RateLimit.__init__, "__defaults__", (60.0, lambda: now[0]))
    monkeypatch.setattr("lab.nas.server.session.random.uniform", lambda low, high: 0.0)
    with Double(tmp_path, "25.10", rate_limit=20) as nas:
        waited = []
        for _unused in range(25):
            one = TrueNasClient(client(nas).settings, clock=lambda: now[0], sleep=sleep)
            with one:
                assert one.call("core.ping") == "pong"
            waited.append(one.waited)
    assert sum(waited[:20]) == 0 and 60 <= waited[20] <= 70 and sum(waited[21:]) == 0


def test_a_system_that_restarts_is_waited_for_while_a_job_runs() -> None:
    server = Server(
        WATCH,
        Step("replication.run", [1], lost=True, before=[job_update(7, "RUNNING")]),
        logged_in(),
        Step("core.get_jobs", [[["id", "=", 7]]], [{"id": 7, "state": "SUCCESS"}]),
    )
    one, away = server.client(), [0]
    real = one._connect

    def connect(settings: Settings) -> t.Any:
        if server.connections and away[0] < 20:
            away[0] += 1
            raise ConnectionFailed("connection refused")
        return real(settings)

    one._connect = connect
    assert one.job("replication.run", 1, what="apps").state == "SUCCESS"
    assert away[0] == 20 and server.now >= 20


def test_a_system_that_stays_away_is_an_error_after_three_minutes() -> None:
    server = Server(WATCH, Step("replication.run", [1], lost=True, before=[job_update(7, "RUNNING")]))
    one = server.client()
    real = one._connect

    def connect(settings: Settings) -> t.Any:
        if server.connections:
            raise ConnectionFailed("connection refused")
        return real(settings)

    one._connect = connect
    with pytest.raises(ConnectionFailed, match="refused"):
        one.job("replication.run", 1, what="apps", timeout=3600.0)
    assert 180 <= server.now < 200


class Dead:
    """A connection that broke while nobody looked."""

    def send(self, _text: str) -> None:
        raise Lost("reset")

    def close(self) -> None:
        pass


def test_a_connection_lost_while_its_options_are_set() -> None:
    one = Server(Step("core.ping", [], "pong")).client()
    one.call("core.ping")
    one._socket = t.cast(t.Any, Dead())
    with pytest.raises(ConnectionFailed, match="broke during core.set_options"):
        one.job("replication.run", 1)
