from __future__ import annotations

import pathlib

import pytest
import requests
from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    Refused,
)
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, new_session, normalise_url, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.errors import NotLeader, Unavailable
from helpers import vault
from helpers.vault import OTHER, URL, Script

script = vault.script


def client(**kwargs: object) -> VaultClient:
    return VaultClient(URL, token="tok", **kwargs)  # type: ignore[arg-type]


def test_token_namespace_and_trust_go_with_each_request(script: Script, tmp_path: pathlib.Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    script.expect("GET", "sys/policies/acl/a", body={"data": {"policy": "p"}}, token="tok")
    reply = client(verify=str(ca), namespace="team", timeout=7).get("sys/policies/acl/a", what="read")
    assert reply.data == {"policy": "p"}
    assert script.seen[0].headers["X-Vault-Namespace"] == "team"
    assert script.seen[0].headers["X-Vault-Request"] == "true"
    assert script.options[0]["verify"] == str(ca)
    assert script.options[0]["timeout"] == 7


def test_the_environment_decides_over_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://evil:1")
    assert new_session().trust_env is False


def test_a_missing_ca_file_is_refused() -> None:
    with pytest.raises(Refused, match="do not exist"):
        client(verify="/nowhere/ca.pem")


@pytest.mark.parametrize("url", ["vault:8200", "ftp://vault", "https://", ""])
def test_no_address_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="is not one of a Vault"):
        normalise_url(url)


def test_credentials_in_an_address_are_refused_without_being_shown() -> None:
    with pytest.raises(Refused) as refused:
        normalise_url("https://user:hunter2@vault:8200")
    assert "hunter2" not in str(refused.value)


def test_addresses_and_names_are_normalised() -> None:
    assert normalise_url(" https://vault:8200/ ") == "https://vault:8200"
    assert quote("/team a/role?/") == "team%20a/role%3F"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, ApiError), (401, AuthenticationError), (404, NotFound), (405, ApiError), (412, Conflict), (500, Unavailable), (503, Unavailable)],
)
def test_errors_are_typed_by_status_and_hold_the_servers_words(script: Script, status: int, kind: type[ApiError]) -> None:
    script.expect("POST", "sys/x", status, {"errors": ["first\n  thing", "second"]}, sent={"a": 1})
    with pytest.raises(kind) as raised:
        client().post("sys/x", {"a": 1}, what="write x")
    assert raised.value.kind == kind.__name__
    assert raised.value.message == f"Cannot write x at {URL}: {status} first thing; second (POST sys/x)."
    assert raised.value.status == status


def test_an_error_without_words_says_so_and_a_long_one_is_cut(script: Script) -> None:
    script.expect("GET", "a", 502).expect("GET", "a", 400, {"errors": ["x" * 700]}).expect("GET", "a", 400, ["odd"])
    with pytest.raises(Unavailable, match="502 without an explanation"):
        client().get("a", what="read a")
    with pytest.raises(ApiError) as raised:
        client().get("a", what="read a")
    assert len(raised.value.said) == 601
    with pytest.raises(ApiError, match="without an explanation"):
        client().get("a", what="read a")


@pytest.mark.parametrize(("lookup", "kind"), [(200, PermissionDenied), (403, AuthenticationError)])
def test_a_bad_token_and_a_missing_policy_are_told_apart(script: Script, lookup: int, kind: type[ApiError]) -> None:
    script.expect("GET", "a", 403, {"errors": ["permission denied"]}).expect("GET", "auth/token/lookup-self", lookup)
    with pytest.raises(kind) as raised:
        client().get("a", what="read a")
    assert raised.value.kind == kind.__name__


def test_a_403_stays_a_missing_policy_when_nothing_more_can_be_asked(script: Script) -> None:
    script.expect("GET", "a", 403).expect("GET", "auth/token/lookup-self", raises=requests.ConnectionError("gone"))
    with pytest.raises(PermissionDenied):
        client().get("a", what="read a")


def test_no_token_is_a_bad_token(script: Script) -> None:
    script.expect("DELETE", "a", 403, token="")
    with pytest.raises(AuthenticationError):
        VaultClient(URL).delete("a", what="delete a")


@pytest.mark.parametrize(
    ("exception", "text"),
    [
        (requests.exceptions.SSLError(Exception("wrapped", "x")), "certificate is not trusted.*Set ca_path"),
        (requests.exceptions.ConnectTimeout(), "no connection in time"),
        (requests.exceptions.ReadTimeout(), "may have been carried out"),
        (requests.exceptions.ConnectionError(OSError("refused")), r"no answer \(refused\)"),
        (OSError("broken"), "no answer"),
    ],
)
def test_no_answer_says_why(script: Script, exception: Exception, text: str) -> None:
    script.expect("PUT", "sys/init", raises=exception)
    with pytest.raises(ConnectionFailed, match=text):
        client().put("sys/init", {}, what="initialise")


def test_absent_is_none_and_empty_is_a_list(script: Script) -> None:
    script.expect("GET", "a", 404).expect("GET", "b?list=true", 404).expect("GET", "b?list=true", 200, {"data": {"keys": ["x", "y"]}})
    assert client().find("a", what="read a") is None
    assert client().list("b", what="list b") == []
    assert client().list("b", what="list b") == ["x", "y"]


def test_a_redirect_to_the_named_leader_is_followed_once(script: Script) -> None:
    location = {"Location": f"{OTHER}/v1/a"}
    script.expect("POST", "a", 307, headers=location).expect("GET", "sys/leader", body={"leader_address": OTHER})
    script.expect("POST", "a", 200, {"data": {"done": 1}}, url=OTHER, sent={"x": 1}, token="tok")
    assert client().post("a", {"x": 1}, what="write a").data == {"done": 1}
    script.expect("GET", "a", 307, headers=location).expect("GET", "sys/leader", body={"leader_address": OTHER})
    script.expect("GET", "a", 307, headers=location, url=OTHER)
    with pytest.raises(NotLeader, match="sends the request elsewhere"):
        client().find("a", what="read a")


@pytest.mark.parametrize("leader", ["", OTHER])
def test_the_token_goes_to_no_other_address(script: Script, leader: str) -> None:
    script.expect("GET", "a", 307, headers={"Location": "https://evil.test/v1/a?x"}).expect("GET", "sys/leader", body={"leader_address": leader})
    with pytest.raises(NotLeader, match="redirects to 'https://evil.test/v1/a'"):
        client().get("a", what="read a")


def test_a_leader_in_clear_is_refused(script: Script) -> None:
    with pytest.raises(Refused, match="in clear"):
        client().at("http://other.test:8200")
    assert VaultClient("http://a:1").at("http://b:1").url == "http://b:1"


def test_approle_login_yields_a_client_with_the_token(script: Script) -> None:
    script.expect("POST", "auth/machines/login", body={"auth": {"client_token": "fresh"}}, sent={"role_id": "r", "secret_id": "s"}, token="")
    assert VaultClient(URL).login_approle("r", "s", "machines").token == "fresh"


@pytest.mark.parametrize("status", [400, 403])
def test_a_refused_login_is_an_authentication_error_without_the_ids(script: Script, status: int) -> None:
    script.expect("POST", "auth/approle/login", status, {"errors": ["invalid role or secret ID"]})
    with pytest.raises(AuthenticationError, match="invalid role or secret ID.*secret id may have expired") as raised:
        VaultClient(URL).login_approle("role-xyz", "secret-xyz")
    assert "xyz" not in str(raised.value.as_result())


def test_a_login_at_a_sealed_node_says_so(script: Script) -> None:
    script.expect("POST", "auth/approle/login", 503, {"errors": ["Vault is sealed"]})
    with pytest.raises(Unavailable):
        VaultClient(URL).login_approle("r", "s")


def test_a_download_is_streamed(script: Script) -> None:
    script.expect("GET", "snap", content=iter([b"ab", b"cd"]))
    assert b"".join(client().download("snap", what="take")) == b"abcd"


def test_a_refused_download_is_a_typed_error(script: Script) -> None:
    script.expect("GET", "snap", 403, {"errors": ["permission denied"]}).expect("GET", "auth/token/lookup-self")
    with pytest.raises(PermissionDenied):
        list(client().download("snap", what="take"))


def test_a_download_that_breaks_off_is_an_error(script: Script) -> None:
    def pieces() -> object:
        yield b"ab"
        raise requests.packages.urllib3.exceptions.ProtocolError("Connection broken")  # type: ignore[attr-defined]

    script.expect("GET", "snap", content=pieces())  # type: ignore[arg-type]
    with pytest.raises(ConnectionFailed, match="the stream broke off"):
        list(client().download("snap", what="take"))
