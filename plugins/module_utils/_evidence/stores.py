# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Stores that canaries are written to and found in again: a Vault KV engine, and a file on a dataset."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, fsync_directory
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import need

HVAC_ERROR: Exception | None = None
try:
    import hvac
    import hvac.exceptions
    import requests
except ImportError as exc:
    HVAC_ERROR = exc

Line = dict[str, t.Any]


class StoreError(PlatformError):
    """A store did not take or give a record."""


class Store(t.Protocol):
    """What every kind of store can do."""

    name: str
    asset: str

    def write(self, series: str, record: Line, *, first: bool) -> None:
        """Write *record* and return when the store has acknowledged it; *first* if none of the series was acknowledged before."""

    def read(self, series: str) -> list[Line | None]:
        """Return every record of *series* that the store holds; None for one that is no record."""


class FileStore:
    """A file of JSON lines in ``<path>/canary/``, flushed to the disk line by line.

    The file is opened for each record: an open file would keep its pool from being exported.

    Args:
        name: Name of the store.
        asset: The asset that it stands for.
        path: A directory that exists, such as the mount point of a dataset.
    """

    def __init__(self, name: str, asset: str, path: str) -> None:
        self.name = name
        self.asset = asset
        self.path = path
        self._device: int | None = None

    def _file(self, series: str) -> str:
        return os.path.join(self.path, "canary", f"{series}.jsonl")

    def write(self, series: str, record: Line, *, first: bool) -> None:
        """Append *record* and fsync. A file system that went away is an error, never made up for by a new file below it."""
        path = self._file(series)
        try:
            device = os.stat(self.path).st_dev
            if self._device is not None and device != self._device:
                raise StoreError(f"{self.path} is on another file system than before: the dataset is gone.", hint="Mount it again.")
            if not os.path.exists(path):
                if not first:
                    raise StoreError(f"{path} held acknowledged records and is gone.", hint="Restore the dataset; it is not begun anew.")
                os.makedirs(os.path.dirname(path), exist_ok=True)
            self._append(path, canonical(record) + b"\n")
        except OSError as exc:
            raise StoreError(f"Cannot write to {path}: {exc.strerror}.", hint="Look at the dataset and who may write to it.") from exc
        self._device = device

    @staticmethod
    def _append(path: str, line: bytes) -> None:
        new = not os.path.exists(path)
        with open(path, "a+b", buffering=0) as handle:
            size = handle.seek(0, os.SEEK_END)
            if size:
                handle.seek(size - 1)
                if handle.read(1) != b"\n":  # torn by a kill and never acknowledged: the next record starts on a new line
                    line = b"\n" + line
            if handle.write(line) != len(line):
                raise OSError(28, "only a part of the record was written")
            os.fsync(handle.fileno())
        if new:
            fsync_directory(os.path.dirname(path))
            fsync_directory(os.path.dirname(os.path.dirname(path)))

    def read(self, series: str) -> list[Line | None]:
        """Return the records in the file; a store without the file holds none."""
        if not os.path.isdir(self.path):
            raise StoreError(f"The directory {self.path} does not exist.", hint="Mount or restore the dataset.")
        try:
            with open(self._file(series), "rb") as handle:
                return [_parse(line) for line in handle.read().split(b"\n") if line]
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise StoreError(f"Cannot read {self._file(series)}: {exc.strerror}.", hint="Look at the dataset and who may read it.") from exc


def _parse(line: bytes) -> Line | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class VaultKvStore:
    """A KV engine (version 2) of Vault or OpenBao; one key for each record: ``<path>/<series>/<sequence, 8 digits>``.

    Args:
        name: Name of the store.
        asset: The asset that it stands for.
        options: ``url`` or ``urls`` (asked one after the other), ``ca_path, validate_certs, namespace, mount_point, path,
            timeout``, and ``token``, ``role_id`` with ``secret_id``, or ``credentials_file`` (JSON with the latter two).
    """

    def __init__(self, name: str, asset: str, options: t.Mapping[str, t.Any]) -> None:
        need("hvac", HVAC_ERROR)
        self.name = name
        self.asset = asset
        self.urls: list[str] = list(options.get("urls") or [])
        if options.get("url"):
            self.urls.insert(0, options["url"])
        if not self.urls:
            raise Refused(f"The store {name!r} has no url.", hint="Give url or urls.")
        self.mount_point: str = options.get("mount_point") or "kv"
        self.path: str = (options.get("path") or "canary").strip("/")
        self._options = options
        self._client: t.Any = None

    def _credentials(self) -> dict[str, str]:
        path = self._options.get("credentials_file")
        if not path:
            return {key: self._options[key] for key in ("token", "role_id", "secret_id") if self._options.get(key)}
        try:
            with open(path, encoding="utf-8") as handle:
                data = json.load(handle)
            return {"role_id": data["role_id"], "secret_id": data["secret_id"]}
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StoreError(f"{path} holds no role_id and secret_id.", hint=f"Check credentials_file of the store {self.name!r}.") from exc

    def _connect(self, url: str) -> t.Any:
        verify: t.Any = self._options.get("ca_path") or True
        if self._options.get("validate_certs") is False:
            verify = False
        client = hvac.Client(url=url, verify=verify, timeout=self._options.get("timeout") or 5, namespace=self._options.get("namespace"))
        credentials = self._credentials()
        if "token" in credentials:
            client.token = credentials["token"]
        elif {"role_id", "secret_id"} <= credentials.keys():
            client.auth.approle.login(role_id=credentials["role_id"], secret_id=credentials["secret_id"])
        else:
            raise Refused(f"The store {self.name!r} has no credentials.", hint="Give token, role_id and secret_id, or credentials_file.")
        return client

    def _call(self, doing: str, call: t.Callable[[t.Any], t.Any], *, leader: bool = False) -> t.Any:
        """Call with the client that worked last, else with each node in turn."""
        said: list[str] = []
        if self._client is not None:
            try:
                return call(self._client)
            except hvac.exceptions.InvalidPath:
                raise
            except (hvac.exceptions.VaultError, requests.RequestException) as exc:
                said.append(f"{self._client.url}: {_brief(exc)}")  # the token expired or the node is gone: log in again
                self._client = None
        for url in self.urls:
            try:
                client = self._connect(url)
                # A standby can answer with old data and status 200; only the leader knows what is there.
                if leader and len(self.urls) > 1 and not _leads(client):
                    said.append(f"{url}: not the leader")
                    continue
                result = call(client)
            except hvac.exceptions.InvalidPath:
                self._client = client
                raise
            except (hvac.exceptions.VaultError, requests.RequestException) as exc:
                said.append(f"{url}: {_brief(exc)}")
                continue
            self._client = client
            return result
        raise StoreError(f"Cannot {doing} in the store {self.name!r}: {'; '.join(said)}.", hint="Look at the nodes, the seal, and the AppRole's policy.")

    def write(self, series: str, record: Line, *, first: bool) -> None:
        """Write *record*; the cluster has committed it when this returns."""
        name = f"{self.path}/{series}/{record['sequence']:08d}"
        try:
            self._call("write", lambda client: client.secrets.kv.v2.create_or_update_secret(path=name, secret=record, mount_point=self.mount_point))
        except hvac.exceptions.InvalidPath as exc:
            raise StoreError(f"There is no KV engine (version 2) at {self.mount_point!r} of the store {self.name!r}.", hint="Mount it.") from exc

    def read(self, series: str) -> list[Line | None]:
        """Return the newest version of every key of *series*, from the leader."""
        folder = f"{self.path}/{series}"
        self._client = None
        try:
            listed = self._call("list records", lambda client: client.secrets.kv.v2.list_secrets(path=folder, mount_point=self.mount_point), leader=True)
        except hvac.exceptions.InvalidPath:
            return []
        return [self._read_one(f"{folder}/{name}", name) for name in listed["data"]["keys"] if not name.endswith("/")]

    def _read_one(self, path: str, name: str) -> Line | None:
        try:
            answer = self._call(
                "read a record",
                lambda client: client.secrets.kv.v2.read_secret_version(path=path, mount_point=self.mount_point, raise_on_deleted_version=True),
            )
        except hvac.exceptions.InvalidPath:
            return None  # deleted: the key is listed, its data is gone
        value = answer["data"]["data"]
        # A record that was copied to another key is not where it belongs.
        sequence = value.get("sequence") if isinstance(value, dict) else None
        return value if isinstance(sequence, int) and f"{sequence:08d}" == name else None


def _leads(client: t.Any) -> bool:
    status = client.sys.read_leader_status()
    return bool(status.get("is_self")) or not status.get("ha_enabled", True)


def _brief(exc: BaseException) -> str:
    if isinstance(exc, requests.exceptions.SSLError):
        return "the certificate is not trusted (check ca_path)"
    if isinstance(exc, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(exc, requests.RequestException):
        return "no connection"
    errors = getattr(exc, "errors", None) or [str(exc)]
    return " ".join(" ".join(map(str, errors)).split())[:200] or type(exc).__name__


def build(options: t.Mapping[str, t.Any]) -> Store:
    """Return the store that the module option *options* describes; contacts nothing.

    Raises:
        Refused: an option is missing.
    """
    asset = options.get("asset") or options["name"]
    if options["type"] == "vault_kv":
        return VaultKvStore(options["name"], asset, options)
    if not options.get("path") or not os.path.isabs(options["path"]):
        raise Refused(f"The store {options['name']!r} is a file without an absolute path.", hint="Give the directory as path.")
    return FileStore(options["name"], asset, options["path"])
