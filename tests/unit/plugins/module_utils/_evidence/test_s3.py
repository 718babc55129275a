"""S3 by the real minio client against scripted answers.

The answers were taken from SeaweedFS 4.48 (tests/integration/evidence asks the real one); the codes are those of
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    Refused,
)
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations, s3
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import MissingLibrary

from helpers.evidence import Exchange, ScriptedServer

XML = {"Content-Type": "application/xml"}
SECRET = "planted-secret-key"


def destination(url: str, **options: t.Any) -> destinations.Destination:
    return destinations.build(
        {
            "name": "offsite",
            "type": "s3",
            "endpoint": url,
            "bucket": "backups",
            "prefix": "site",
            "access_key": "KEY",
            "secret_key": SECRET,
            "timeout": 2,
            **options,
        }
    )


def error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>said {code}</Message><Resource>/x</Resource><RequestId>1</RequestId></Error>'.encode()


def listing(*keys: str) -> bytes:
    items = "".join(f"<Contents><Key>{key}</Key><Size>1</Size><ETag>x</ETag><LastModified>2026-11-21T05:45:00.000Z</LastModified></Contents>" for key in keys)
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return f'<?xml version="1.0"?><ListBucketResult {space}><Name>backups</Name><IsTruncated>false</IsTruncated>{items}</ListBucketResult>'.encode()


def test_put_read_size_and_list_use_the_prefix(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    script = [
        Exchange("PUT", "/backups/site/a/1.snap", headers={"ETag": '"x"'}),
        Exchange("GET", "/backups/site/a/1.snap", body=b"content"),
        Exchange("HEAD", "/backups/site/a/1.snap", headers={"Content-Length": "7", "Last-Modified": "Sat, 21 Nov 2026 05:45:00 GMT", "ETag": '"x"'}),
        Exchange("GET", "/backups", body=listing("site/a/1.snap", "site/a/"), headers=XML),
        Exchange("DELETE", "/backups/site/a/1.snap", status=204),
    ]
    with ScriptedServer(*script) as server:
        place = destination(server.url)
        place.put("a/1.snap", str(tmp_path / "x"))
        assert b"".join(place.read("a/1.snap")) == b"content"
        assert place.size("a/1.snap") == 7
        assert place.list("a/") == ["a/1.snap"]
        place.remove("a/1.snap")
        assert b"content" in server.seen[0][2] and "prefix=site%2Fa%2F" in server.seen[3][1]
        assert place.location("a/1.snap") == f"{server.url}/backups/site/a/1.snap"


@pytest.mark.parametrize(
    ("code", "status", "kind", "hint"),
    [
        ("InvalidAccessKeyId", 403, AuthenticationError, "access_key"),
        ("SignatureDoesNotMatch", 403, AuthenticationError, "secret_key"),
        ("AccessDenied", 403, PermissionDenied, "Allow this key"),
        ("NoSuchBucket", 404, NotFound, "Create the bucket"),
        ("NoSuchKey", 404, NotFound, "which keys"),
        ("MalformedXML", 400, ApiError, "server's log"),
    ],
)
def test_errors_are_typed_and_say_what_to_do(code: str, status: int, kind: type[ApiError], hint: str) -> None:
    with ScriptedServer(Exchange("GET", "/backups/site/k", status, error(code), XML)) as server:
        with pytest.raises(kind) as caught:
            list(destination(server.url).read("k"))
        assert code in caught.value.message and hint in caught.value.hint and SECRET not in str(caught.value)
        assert caught.value.kind == kind.__name__


@pytest.mark.parametrize(
    ("head", "then", "kind"),
    [
        (404, listing(), None),
        (404, error("NoSuchBucket"), NotFound),
        (403, error("InvalidAccessKeyId"), AuthenticationError),
        (403, listing(), PermissionDenied),
    ],
)
def test_head_without_a_reason_is_looked_into(head: int, then: bytes, kind: type[ApiError] | None) -> None:
    script = [Exchange("HEAD", "/backups/site/k", head), Exchange("GET", "/backups", 200 if b"List" in then else head, then, XML)]
    with ScriptedServer(*script) as server:
        if kind is None:
            assert destination(server.url).size("k") is None
        else:
            with pytest.raises(kind):
                destination(server.url).size("k")


def test_server_that_is_down() -> None:
    with pytest.raises(ConnectionFailed, match="no connection") as caught:
        destination("http://127.0.0.1:1").check()
    assert "endpoint" in caught.value.hint


def test_plain_server_behind_https_endpoint_is_a_matter_of_certificates() -> None:
    with ScriptedServer() as server, pytest.raises(ConnectionFailed):
        destination(server.url.replace("http:", "https:")).check()


def test_certificate_that_is_not_trusted_has_its_own_hint() -> None:
    place = t.cast(s3.S3Destination, destination("https://127.0.0.1:1"))
    wrong = s3.urllib3.exceptions.MaxRetryError(t.cast(t.Any, None), "/", s3.urllib3.exceptions.SSLError("certificate verify failed"))
    assert "ca_path" in place._unreachable("x", wrong).hint


@pytest.mark.parametrize("name", ["b", "a/b", "-ab", "a" * 64])
def test_name_that_is_no_bucket_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="cannot be the name of a bucket"):
        destination("http://127.0.0.1:1", bucket=name)


def test_server_that_does_not_speak_s3() -> None:
    with ScriptedServer(Exchange("GET", "/backups", body=b"<html></html>", headers=XML)) as server:
        with pytest.raises(ApiError, match="not that of an S3 server"):
            destination(server.url).list("")


@pytest.mark.parametrize("url", ["127.0.0.1:9000", "ftp://x", "https://", "https://host/bucket"])
def test_endpoint_that_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="no URL of a server"):
        destination(url)


def test_absent_ca_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(Refused, match="does not exist"):
        destination("https://127.0.0.1:1", ca_path="/nonexistent/ca.pem")


def test_unsafe_prefix_is_refused() -> None:
    with pytest.raises(Refused):
        destination("https://127.0.0.1:1", prefix="../x")


def test_certificates_can_be_ignored_on_request() -> None:
    place = t.cast(s3.S3Destination, destination("https://127.0.0.1:1", validate_certs=False, prefix=""))
    assert place.client._http.connection_pool_kw["ssl_context"].verify_mode == 0
    assert place.prefix == ""


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "MINIO_ERROR", ImportError("No module named minio"))
    with pytest.raises(MissingLibrary, match="minio"):
        destination("https://127.0.0.1:1")
