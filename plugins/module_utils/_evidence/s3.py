# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""A bucket of an S3 server as destination, by the minio package."""

from __future__ import annotations

import os
import re
import ssl
import typing as t
import urllib.parse

from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    Refused,
)
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import check_key
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import need

MINIO_ERROR: Exception | None = None
try:
    import urllib3
    from minio import Minio
    from minio.error import MinioException, S3Error
except ImportError as exc:
    MINIO_ERROR = exc

_BUCKET = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")
_CHUNK = 1024 * 1024
_BAD_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidClientTokenId"})
T = t.TypeVar("T")


class S3Destination:
    """A bucket, or a prefix of one.

    Args:
        name: Name of the destination.
        client: A minio client.
        bucket: The bucket, which must exist.
        prefix: Put before every key.
        endpoint: Its URL, for messages.
    """

    def __init__(self, name: str, client: Minio, bucket: str, prefix: str, endpoint: str) -> None:
        self.name = name
        self.client = client
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.endpoint = endpoint

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> S3Destination:
        """Build one from the module's ``destination`` option; contacts nothing.

        Raises:
            Refused: an option is missing or wrong.
        """
        need("minio", MINIO_ERROR)
        name = options["name"]
        missing = [key for key in ("endpoint", "bucket", "access_key", "secret_key") if not options.get(key)]
        if missing:
            raise Refused(
                f"The destination {name!r} (S3) lacks {', '.join(missing)}.",
                hint="Give them in the destination; the keys also by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )
        if not _BUCKET.match(options["bucket"]):
            raise Refused(f"{options['bucket']!r} of the destination {name!r} cannot be the name of a bucket.", hint="Use 3 to 63 letters, digits and .-.")
        url = urllib.parse.urlsplit(options["endpoint"])
        if url.scheme not in ("http", "https") or not url.netloc or url.path.strip("/"):
            raise Refused(f"The endpoint {options['endpoint']!r} of the destination {name!r} is no URL of a server.", hint="Give https://host:port.")
        if options.get("prefix"):
            check_key(options["prefix"].strip("/"))
        client = Minio(
            endpoint=url.netloc,
            access_key=options["access_key"],
            secret_key=options["secret_key"],
            secure=url.scheme == "https",
            region=options.get("region") or "us-east-1",
            http_client=_pool(options),
        )
        return cls(name, client, options["bucket"], options.get("prefix") or "", options["endpoint"])

    def location(self, key: str) -> str:
        """Return the URL of *key*, without credentials."""
        return f"{self.endpoint.rstrip('/')}/{self.bucket}/{self.prefix}{key}"

    def _call(self, doing: str, call: t.Callable[[], T]) -> T:
        try:
            return call()
        except S3Error as exc:
            raise self._translate(doing, exc) from exc
        except ValueError as exc:
            text = f"Cannot {doing} at {self.endpoint} (destination {self.name!r}): the answer is not that of an S3 server ({exc})."
            raise ApiError(text, path=self.endpoint, hint="Check the endpoint.") from exc
        except (urllib3.exceptions.HTTPError, MinioException, OSError) as exc:
            raise self._unreachable(doing, exc) from exc

    def _translate(self, doing: str, exc: S3Error) -> ApiError:
        code, said = exc.code or "", exc.message or exc.code or ""
        text = f"Cannot {doing} at {self.endpoint} (destination {self.name!r}, bucket {self.bucket!r}): {code} {said}".strip().rstrip(".") + "."
        if code in _BAD_CREDENTIALS:
            return AuthenticationError(text, said=said, path=self.bucket, hint="Check access_key and secret_key of the destination.")
        if code == "NoSuchBucket":
            return NotFound(text, said=said, path=self.bucket, hint="Create the bucket (with versioning or object lock if you can); it is not created here.")
        if code in ("NoSuchKey", "NoSuchObject", "ResourceNotFound"):
            return NotFound(text, said=said, path=self.bucket, hint="Look which keys the destination holds.")
        if code in ("AccessDenied", "AllAccessDisabled"):
            return PermissionDenied(text, said=said, path=self.bucket, hint="Allow this key to list, get and put objects in the bucket.")
        return ApiError(text, said=said, path=self.bucket, hint="Look at the server's log.")

    def _unreachable(self, doing: str, exc: BaseException) -> ConnectionFailed:
        reason = getattr(exc, "reason", None) or exc
        text = f"Cannot {doing} at {self.endpoint} (destination {self.name!r}): no connection ({reason})."
        hint = "Check the endpoint, the network and the firewall."
        if isinstance(reason, (ssl.SSLError, urllib3.exceptions.SSLError)):
            hint = "Its certificate is not trusted: give ca_path with the CA that signed it, or check that the endpoint's name is in it."
        return ConnectionFailed(text, path=self.endpoint, hint=hint)

    def check(self) -> None:
        """Raise if the server, the credentials or the bucket are not good."""
        # Listing, because HEAD on a bucket has no body that would say why it was refused.
        self._call("list the bucket", lambda: next(iter(self.client.list_objects(self.bucket, prefix=f"{self.prefix}.none", recursive=False)), None))

    def put(self, key: str, source: str) -> None:
        """Put *source* as *key*; the server shows it when it is whole."""
        name = self.prefix + check_key(key)
        self._call(f"put {key}", lambda: self.client.fput_object(self.bucket, name, source))

    def read(self, key: str) -> t.Iterator[bytes]:
        """Yield the content of *key*."""
        name = self.prefix + check_key(key)
        response = self._call(f"read {key}", lambda: self.client.get_object(self.bucket, name))
        try:
            while chunk := self._call(f"read {key}", lambda: response.read(_CHUNK)):
                yield chunk
        finally:
            response.close()
            response.release_conn()

    def size(self, key: str) -> int | None:
        """Return the size of *key*."""
        name = self.prefix + check_key(key)
        try:
            return self._call(f"look at {key}", lambda: self.client.stat_object(self.bucket, name)).size
        except (NotFound, PermissionDenied) as exc:
            # The answer to HEAD has no body: it tells neither an absent bucket from an absent key nor wrong from forbidden.
            self.check()
            if isinstance(exc, NotFound):
                return None
            raise

    def remove(self, key: str) -> None:
        """Remove *key*; what is not there is no error."""
        name = self.prefix + check_key(key)
        self._call(f"remove {key}", lambda: self.client.remove_object(self.bucket, name))

    def list(self, prefix: str) -> list[str]:
        """Return all keys that begin with *prefix*."""
        names = self._call(
            f"list {prefix}",
            lambda: [item.object_name or "" for item in self.client.list_objects(self.bucket, prefix=self.prefix + prefix, recursive=True)],
        )
        return sorted(name[len(self.prefix) :] for name in names if not name.endswith("/"))


def _pool(options: t.Mapping[str, t.Any]) -> urllib3.PoolManager:
    ca_path = options.get("ca_path")
    if ca_path and not os.path.exists(ca_path):
        raise Refused(f"The CA file {ca_path} of the destination {options['name']!r} does not exist.", hint="Give the PEM file of the CA as ca_path.")
    verify = options.get("validate_certs", True)
    context = ssl.create_default_context(
        cafile=ca_path if ca_path and os.path.isfile(ca_path) else None, capath=ca_path if ca_path and os.path.isdir(ca_path) else None
    )
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return urllib3.PoolManager(
        ssl_context=context,
        timeout=urllib3.Timeout(connect=float(options.get("timeout") or 10), read=60),
        retries=urllib3.Retry(total=2, backoff_factor=0.3, status_forcelist=[500, 502, 503, 504]),
    )
