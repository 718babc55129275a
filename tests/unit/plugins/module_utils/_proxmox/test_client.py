"""The client at the wire: what it sends, which errors it raises, and what it sends twice."""

from __future__ import annotations

import pathlib
import ssl
import typing as t

import pytest
import requests
from helpers import proxmox
from helpers.proxmox import Exchange, Wire, get, post

from ansible_collections.resilient.platform.plugins.module_utils import _errors as errors
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import client as client_module
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import errors as proxmox_errors
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient, TicketAuth

# The fixture; pytest finds it by its name.
wire = proxmox.wire


@pytest.fixture(autouse=True)
def any_path(request: pytest.FixtureRequest) -> None:
    """The client knows no paths: these tests use short ones that no API has."""
    if "wire" in request.fixturenames:
        request.getfixturevalue("wire").validates = False


TOKEN = Connection(host="pve.example.com", user="automation@pve", token_id="ci", token_secret="s3cret", ca_path="/ca.pem")
PASSWORD = Connection(host="pve.example.com", user="root@pam", password="hunter2")
TICKET = {"ticket": "PVE:root@pam:1::x", "CSRFPreventionToken": "csrf", "username": "root@pam"}


def reset(text: str = "Connection reset by peer") -> Exception:
    return requests.exceptions.ConnectionError(ConnectionResetError(104, text))


def refused() -> Exception:
    from urllib3.connection import HTTPSConnection
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    inner = NewConnectionError(HTTPSConnection("pve.example.com"), "Connection refused")
    return requests.exceptions.ConnectionError(MaxRetryError(t.cast(t.Any, None), "/x", inner))


def test_token_is_sent_and_nothing_logs_in(wire: Wire) -> None:
    wire.expect(get("version", {"version": "9.1"}))
    assert ProxmoxClient(TOKEN).get("version") == {"version": "9.1"}
    assert wire.headers[0]["Authorization"] == "PVEAPIToken=automation@pve!ci=s3cret"
    assert "CSRFPreventionToken" not in wire.headers[0]


def test_token_id_may_name_its_owner(wire: Wire) -> None:
    wire.expect(get("version"))
    ProxmoxClient(Connection(host="h", user="x@pve", token_id="other@pve!ci", token_secret="s")).get("version")
    assert wire.headers[0]["Authorization"] == "PVEAPIToken=other@pve!ci=s"


def test_password_logs_in_once_and_writes_carry_the_csrf_token(wire: Wire) -> None:
    wire.expect(post("access/ticket", TICKET, params={"username": "root@pam", "password": "hunter2"}), get("version"), post("x"))
    client = ProxmoxClient(PASSWORD)
    client.get("version")
    client.post("x")
    assert wire.headers[1]["Cookie"] == "PVEAuthCookie=PVE:root@pam:1::x"
    assert "CSRFPreventionToken" not in wire.headers[1]
    assert wire.headers[2]["CSRFPreventionToken"] == "csrf"
    assert client.requests_sent == 3


def test_wrong_password_is_asked_once_and_says_what_to_check(wire: Wire) -> None:
    wire.expect(post("access/ticket", status=401, reason="authentication failure"))
    with pytest.raises(errors.AuthenticationError) as caught:
        ProxmoxClient(PASSWORD).get("version")
    assert "does not accept the credentials of user root@pam" in str(caught.value)
    assert "api_password" in caught.value.hint and "hunter2" not in str(caught.value)


def test_second_factor_is_answered_with_the_way_out(wire: Wire) -> None:
    wire.expect(post("access/ticket", {**TICKET, "NeedTFA": 1}))
    with pytest.raises(errors.AuthenticationError, match="Use an API token"):
        ProxmoxClient(PASSWORD).get("version")


def test_expired_ticket_is_renewed_once(wire: Wire) -> None:
    wire.expect(post("access/ticket", TICKET, times=2), get("version", status=401, reason="permission denied - invalid PVE ticket"), get("version", 1))
    assert ProxmoxClient(PASSWORD).get("version") == 1


def test_ticket_that_is_never_accepted_fails(wire: Wire) -> None:
    wire.expect(post("access/ticket", TICKET, times=2), get("version", status=401, reason="No ticket", times=2))
    with pytest.raises(errors.AuthenticationError):
        ProxmoxClient(PASSWORD).get("version")


def test_old_ticket_is_renewed_before_it_ends() -> None:
    now, logins = [0.0], []
    auth = TicketAuth(lambda: (logins.append(1) or "t", "c"), True, clock=lambda: now[0])  # type: ignore[func-returns-value]
    auth.get_cookies()
    now[0] = 3000.0
    auth.get_cookies()
    assert len(logins) == 1
    now[0] = 3700.0
    auth.get_cookies()
    assert len(logins) == 2


def test_wrong_token_is_not_tried_again(wire: Wire) -> None:
    wire.expect(get("version", status=401, reason="Authentication failed!"))
    with pytest.raises(errors.AuthenticationError, match="token automation@pve!ci"):
        ProxmoxClient(TOKEN).get("version")


def test_certificate_is_checked_against_the_given_ca_whatever_the_environment_says(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/environment.pem")
    wire.expect(get("version"), post("access/ticket", TICKET), get("version"))
    ProxmoxClient(TOKEN).get("version")
    ProxmoxClient(PASSWORD).get("version")
    assert wire.verify == ["/ca.pem", "/environment.pem", "/environment.pem"]


def test_unchecked_certificate_stays_unchecked(wire: Wire) -> None:
    wire.expect(get("version"))
    ProxmoxClient(Connection(host="h", token_id="a", token_secret="b", ca_path="/ca.pem", validate_certs=False)).get("version")
    assert wire.verify == [False]


def test_parameters_of_a_delete_go_into_the_query(wire: Wire) -> None:
    wire.expect(Exchange("DELETE", "nodes/pve1/qemu/100", {"purge": 1, "destroy-unreferenced-disks": 1}))
    ProxmoxClient(TOKEN).delete("nodes/pve1/qemu/100", {"purge": 1, "destroy-unreferenced-disks": 1})


def test_unset_parameters_are_not_sent_and_lists_are_repeated(wire: Wire) -> None:
    wire.expect(post("nodes/pve1/qemu/100/agent/exec", params={"command": ["cloud-init", "status"]}))
    ProxmoxClient(TOKEN).post("nodes/pve1/qemu/100/agent/exec", command=["cloud-init", "status"], nothing=None)


# Status lines of pve-manager, qemu-server and pve-guest-common.
ANSWERS: list[tuple[int, str, dict[str, str] | None, type[errors.ApiError]]] = [
    (403, "Permission check failed (/vms/100, VM.Config.Memory)", None, errors.PermissionDenied),
    (404, "Not found", None, errors.NotFound),
    (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist", None, errors.NotFound),
    (500, "checksum mismatch (file change by other user?)", None, proxmox_errors.DigestMismatch),
    (500, "detected modified configuration - file changed by other user? Try again.", None, proxmox_errors.DigestMismatch),
    (500, "unable to create VM 101: config file already exists", None, proxmox_errors.AlreadyExists),
    (500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", None, proxmox_errors.AlreadyExists),
    (500, "VM is locked (backup)", None, proxmox_errors.Locked),
    (500, "VM 100 is running - destroy failed", None, proxmox_errors.StillRunning),
    (500, "QEMU guest agent is not running", None, proxmox_errors.AgentNotReady),
    (500, "VM 100 qmp command 'guest-ping' failed - got timeout", None, proxmox_errors.AgentNotReady),
    (500, "VM 100 is not running", None, proxmox_errors.AgentNotReady),
    (500, "No QEMU guest agent configured", None, proxmox_errors.AgentMissing),
    (500, "cluster not ready - no quorum?", None, errors.Conflict),
    (500, "something else", None, errors.ApiError),
    (400, "Parameter verification failed.", {"memory": "type check ('integer') failed - got 'x'"}, errors.ApiError),
    (400, "Parameter verification failed.", {"vmid": "VM 100 already exists"}, proxmox_errors.AlreadyExists),
    (595, "No route to host", None, errors.ConnectionFailed),
]


@pytest.mark.parametrize(("status", "said", "fields", "kind"), ANSWERS)
def test_answer_becomes_a_typed_error(wire: Wire, status: int, said: str, fields: dict[str, str] | None, kind: type[errors.ApiError]) -> None:
    wire.expect(post("nodes/pve1/qemu/100/config", status=status, reason=said, errors=fields))
    with pytest.raises(errors.ApiError) as caught:
        ProxmoxClient(TOKEN).post("nodes/pve1/qemu/100/config")
    assert caught.value.kind == kind.__name__
    assert caught.value.status == status and caught.value.said == said
    assert "POST /nodes/pve1/qemu/100/config" in str(caught.value)
    for key, text in (fields or {}).items():
        assert f"{key}: {text}" in str(caught.value) and caught.value.errors == fields


def test_forbidden_names_the_privilege_and_who_needs_it(wire: Wire) -> None:
    wire.expect(get("x", status=403, reason="Permission check failed (/vms/100, VM.Audit)"), get("y", status=403, reason="no"))
    with pytest.raises(errors.PermissionDenied, match="Give token automation@pve!ci the privilege VM.Audit on /vms/100"):
        ProxmoxClient(TOKEN).get("x")
    with pytest.raises(errors.PermissionDenied, match="the privileges that this needs"):
        ProxmoxClient(TOKEN).get("y")


def test_reading_is_tried_again(wire: Wire) -> None:
    wire.expect(get("version", raises=reset()), get("version", status=596, reason="Connection timed out"), get("version", 1))
    assert ProxmoxClient(TOKEN).get("version") == 1


def test_reading_is_given_up_at_last(wire: Wire) -> None:
    wire.expect(get("version", raises=reset(), times=4))
    with pytest.raises(errors.ConnectionFailed, match="No answer from https://pve.example.com:8006 to GET /version: Connection reset"):
        ProxmoxClient(TOKEN).get("version")


@pytest.mark.parametrize(
    "broken", [{"raises": reset()}, {"status": 596, "reason": "Connection timed out"}, {"raises": requests.exceptions.ReadTimeout("slow")}]
)
def test_writing_without_an_answer_is_never_sent_twice(wire: Wire, broken: dict[str, t.Any]) -> None:
    wire.expect(post("nodes/pve1/qemu", **broken))
    with pytest.raises(proxmox_errors.WriteUnanswered):
        ProxmoxClient(TOKEN).post("nodes/pve1/qemu")


@pytest.mark.parametrize("exc", [refused(), requests.exceptions.ConnectTimeout("slow")])
def test_writing_that_never_left_says_so(wire: Wire, exc: Exception) -> None:
    wire.expect(post("nodes/pve1/qemu", raises=exc))
    with pytest.raises(errors.ConnectionFailed) as caught:
        ProxmoxClient(TOKEN).post("nodes/pve1/qemu")
    assert not isinstance(caught.value, proxmox_errors.WriteUnanswered)
    assert "pveproxy" in caught.value.hint


def test_refused_connection_reads_as_such(wire: Wire) -> None:
    wire.expect(get("version", raises=refused(), times=4))
    with pytest.raises(errors.ConnectionFailed, match=r"to GET /version: .*Connection refused\."):
        ProxmoxClient(TOKEN).get("version")


@pytest.mark.parametrize("said", ["got no worker upid - start worker failed", "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"])
def test_writing_that_was_not_begun_is_sent_again(wire: Wire, said: str) -> None:
    wire.expect(post("nodes/pve1/qemu", status=500, reason=said), post("nodes/pve1/qemu", "UPID"))
    assert ProxmoxClient(TOKEN).post("nodes/pve1/qemu") == "UPID"


@pytest.mark.parametrize(
    ("code", "said"), [(10, "has expired"), (62, "is another host's"), (64, "is another host's"), (20, "is not signed by an authority")]
)
def test_certificate_that_is_not_accepted_is_said_why_and_never_tried_again(wire: Wire, code: int, said: str) -> None:
    cause = ssl.SSLCertVerificationError("certificate verify failed")
    cause.verify_code, cause.verify_message = code, "openssl's words"
    wire.expect(get("version", raises=requests.exceptions.SSLError(cause)))
    with pytest.raises(proxmox_errors.CertificateRejected) as caught:
        ProxmoxClient(TOKEN).get("version")
    assert said in str(caught.value) and "openssl's words" in str(caught.value) and caught.value.hint


def test_tls_that_fails_otherwise_is_a_rejected_certificate_too() -> None:
    exc = requests.exceptions.SSLError(ssl.SSLError(1, "wrong version number"))
    assert "wrong version number" in str(proxmox_errors.from_tls(exc, method="GET", path="x", url="https://h"))


def test_ca_path_that_is_no_file_is_refused_at_once(wire: Wire) -> None:
    wire.expect(get("version", raises=OSError("Could not find a suitable TLS CA certificate bundle")))
    with pytest.raises(errors.Refused, match="Cannot use ca_path /ca.pem"):
        ProxmoxClient(TOKEN).get("version")


def test_page_of_a_proxy_is_not_taken_for_an_answer(wire: Wire) -> None:
    wire.expect(get("version", body=b"<html>"))
    with pytest.raises(errors.ApiError, match="not JSON"):
        ProxmoxClient(TOKEN).get("version")


def test_error_page_of_a_proxy_names_its_status(wire: Wire) -> None:
    wire.expect(get("version", body=b"<html>", status=502, reason="Bad Gateway"))
    with pytest.raises(errors.ApiError, match=r"failed with 502: Bad Gateway\."):
        ProxmoxClient(TOKEN).get("version")


def test_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LIBRARY_MISSING", "no module")
    with pytest.raises(errors.PlatformError, match="proxmoxer"):
        ProxmoxClient(TOKEN)


def test_adapter_keeps_as_many_connections_as_there_are_requests() -> None:
    assert client_module.adapter(7)._pool_maxsize == 7


def test_ipv6_host_is_bracketed_in_the_url() -> None:
    assert Connection(host="2001:db8::1").url == "https://[2001:db8::1]:8006"


def test_secrets_do_not_stand_in_a_connections_text() -> None:
    assert "hunter2" not in repr(PASSWORD) and "s3cret" not in repr(TOKEN)


def test_every_file_says_that_it_is_private() -> None:
    for path in pathlib.Path(t.cast(str, client_module.__file__)).parent.glob("*.py"):
        assert "# Private to resilient.platform" in path.read_text(encoding="utf-8"), path
