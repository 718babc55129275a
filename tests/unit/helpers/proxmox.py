"""A transport below the Proxmox client that plays a script and refuses every call that is not in it.

The client's own session, authentication, encoding and error mapping are all exercised: what is compared is the method, the path
and the decoded parameters of the HTTP request.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
import typing as t
import urllib.parse

import pytest
import requests
from helpers import pve_calls, pve_schema

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import make, tasks
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import client as client_module

API = "/api2/json/"
CONNECTION = {"api_host": "pve.example.com", "api_user": "automation@pve", "api_token_id": "ci", "api_token_secret": "s3cret-token"}


@dataclasses.dataclass
class Exchange:
    """One expected request and its answer. ``params=None`` accepts any parameters; ``raises`` breaks the connection."""

    method: str
    path: str
    params: dict[str, t.Any] | None = None
    data: t.Any = None
    status: int = 200
    reason: str = "OK"
    errors: dict[str, str] | None = None
    raises: Exception | None = None
    times: int = 1
    body: bytes | None = None


class Wire(requests.adapters.BaseAdapter):
    """Plays exchanges; every request is checked against the API's schema.

    Those with the same method and path are used in their order; others may come in any order (threads).
    """

    def __init__(self, *exchanges: Exchange) -> None:
        super().__init__()
        self.left: dict[tuple[str, str], collections.deque[Exchange]] = collections.defaultdict(collections.deque)
        self.seen: list[tuple[str, str, dict[str, t.Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.verify: list[t.Any] = []
        # Tests of the client itself send what no API has.
        self.validates = True
        self._lock = threading.Lock()
        self.expect(*exchanges)

    def expect(self, *exchanges: Exchange) -> None:
        """Add to the script."""
        for exchange in exchanges:
            self.left[(exchange.method, exchange.path)].extend([exchange] * exchange.times)

    @property
    def writes(self) -> list[tuple[str, str, dict[str, t.Any]]]:
        """All requests that were no GETs."""
        return [call for call in self.seen if call[0] != "GET"]

    def done(self) -> None:
        """Fail if anything in the script was not asked for."""
        unused = [key for key, queue in self.left.items() if queue]
        assert unused == [], f"never asked for: {unused}"

    def send(self, request: t.Any, stream: bool = False, timeout: t.Any = None, verify: t.Any = True, cert: t.Any = None, proxies: t.Any = None) -> t.Any:
        """Answer one request, called by the session."""
        url = urllib.parse.urlsplit(request.url)
        path = urllib.parse.unquote(url.path).removeprefix(API)
        body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        assert not (request.method in ("GET", "DELETE") and body), "a body on GET or DELETE is refused with 501"
        params: dict[str, t.Any] = {}
        for key, value in urllib.parse.parse_qsl(url.query or body, keep_blank_values=True):
            params[key] = value if key not in params else [*(params[key] if isinstance(params[key], list) else [params[key]]), value]
        if self.validates:
            assert not (said := pve_schema.complaints(request.method, path, params)), f"{request.method} /{path} {params}: {said}"
            assert not (said_of_it := pve_calls.complaint(request.method, path)), said_of_it
        with self._lock:
            self.seen.append((request.method, path, params))
            self.headers.append(dict(request.headers))
            self.verify.append(verify)
            queue = self.left.get((request.method, path))
            assert queue, f"unexpected {request.method} {path} {params}"
            exchange = queue.popleft()
        if exchange.params is not None:
            assert params == {key: str(value) if not isinstance(value, list) else value for key, value in exchange.params.items()}, path
        if exchange.raises:
            raise exchange.raises
        response = requests.Response()
        response.status_code, response.reason, response.url, response.request = exchange.status, exchange.reason, request.url, request
        answer = {"data": exchange.data, **({"errors": exchange.errors} if exchange.errors else {})}
        response._content = json.dumps(answer).encode() if exchange.body is None else exchange.body
        return response

    def close(self) -> None:
        """Required by requests."""


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Wire]:
    """A wire under every client made in the test; at the end everything expected must have been asked for."""
    transport = Wire()
    monkeypatch.setattr(client_module, "adapter", lambda _pool: transport)
    monkeypatch.setattr(client_module, "RETRY_AFTER", (0.0, 0.0, 0.0))
    monkeypatch.setattr(tasks, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(make, "MADE_PAUSE", 0.0)
    for name in ("HOST", "PORT", "USER", "PASSWORD", "TOKEN_ID", "TOKEN_SECRET", "VALIDATE_CERTS", "CA_PATH"):
        monkeypatch.delenv(f"PROXMOX_{name}", raising=False)
    yield transport
    transport.done()


def get(path: str, data: t.Any = None, **kwargs: t.Any) -> Exchange:
    """A read."""
    return Exchange("GET", path, data=data, **kwargs)


def post(path: str, data: t.Any = None, **kwargs: t.Any) -> Exchange:
    """A POST."""
    return Exchange("POST", path, data=data, **kwargs)


# -- what the server says; shapes from the API viewer (cluster/resources, qemu/{vmid}/pending, qemu/{vmid}/config) ------------

NODE = {"id": "node/pve1", "type": "node", "node": "pve1", "status": "online"}
NODE2 = {"id": "node/pve2", "type": "node", "node": "pve2", "status": "offline"}
STORAGE = {"id": "storage/pve1/local-lvm", "type": "storage", "storage": "local-lvm", "node": "pve1", "content": "images,rootdir", "status": "available"}
ISO_STORAGE = {"id": "storage/pve1/local", "type": "storage", "storage": "local", "node": "pve1", "content": "iso,backup", "status": "available"}


def guest(vmid: int, name: str, status: str = "stopped", **more: t.Any) -> dict[str, t.Any]:
    """A line of cluster/resources."""
    line = {"id": f"qemu/{vmid}", "type": "qemu", "vmid": vmid, "name": name, "node": "pve1", "status": status, "template": 0}
    return {**line, "maxcpu": 1, "maxmem": 536870912, **more}


TEMPLATE = guest(9000, "debian12", template=1)
TEMPLATE_CONFIG = {
    "boot": "order=scsi0",
    "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom,size=4M",
    "memory": "512",
    "meta": "creation-qemu=10.0.2,ctime=1763000000",
    "name": "debian12",
    "net0": "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0",
    "ostype": "l26",
    "scsi0": "local-lvm:base-9000-disk-0,size=8G",
    "scsihw": "virtio-scsi-pci",
    "smbios1": "uuid=0c4b1d3e-0000-0000-0000-000000000000",
    "template": "1",
    "vmgenid": "11111111-0000-0000-0000-000000000000",
}


def clone_of_template(vmid: int, name: str, **more: str) -> dict[str, str]:
    """The configuration of a linked clone: own address, own volume, own ids."""
    values = {key: value for key, value in TEMPLATE_CONFIG.items() if key not in ("template", "vmgenid", "meta")}
    values.update(
        name=name,
        net0=f"virtio=BC:24:11:00:00:{vmid % 100:02d},bridge=vmbr0",
        scsi0=f"local-lvm:base-9000-disk-0/vm-{vmid}-disk-0,size=8G",
        ide2=f"local-lvm:vm-{vmid}-cloudinit,media=cdrom,size=4M",
        vmgenid="22222222-0000-0000-0000-000000000000",
    )
    return {**values, **more}


def pending(values: dict[str, str], **waiting: str | None) -> list[dict[str, t.Any]]:
    """The answer of GET pending: *waiting* are new values, None for a key that goes."""
    lines: list[dict[str, t.Any]] = []
    for key in sorted({*values, *waiting}):
        line: dict[str, t.Any] = {"key": key}
        if key in values:
            line["value"] = values[key]
        if key in waiting:
            line.update({"delete": 1} if waiting[key] is None else {"pending": waiting[key]})
        lines.append(line)
    return lines


def resources(*guests: dict[str, t.Any], **kwargs: t.Any) -> Exchange:
    """GET cluster/resources with a node, two storages and *guests*."""
    return get("cluster/resources", [NODE, NODE2, STORAGE, ISO_STORAGE, *guests], **kwargs)


def upid(kind: str, vmid: int, number: int = 1, node: str = "pve1") -> str:
    """A task's id."""
    return f"UPID:{node}:{number:08X}:00001B58:6B013207:{kind}:{vmid}:automation@pve!ci:"


def task(kind: str, vmid: int, exit_status: str = "OK", number: int = 1, **kwargs: t.Any) -> Exchange:
    """The status of an ended task."""
    one = upid(kind, vmid, number)
    return get(f"nodes/pve1/tasks/{one}/status", {"status": "stopped", "exitstatus": exit_status, "upid": one}, **kwargs)
