"""A scripted TrueNAS: it answers exactly the calls that a test expects, in their order, and refuses any other.

The shapes are those of truenas/middleware (api/v25_10_2, api/base/server/ws_handler/rpc.py), not of the lab's double.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Lost, Settings

KEY = "1-" + "k" * 64
ANY: t.Any = object()
# The least that modules without a case in test_truenas_modules.py must be given.
REQUIRED: dict[str, dict[str, t.Any]] = {
    "api_key": {"name": "a", "username": "replicator"},
    "call": {"method": "core.ping"},
    "config_backup": {"path": "/tmp/configuration"},
    "dataset_lock": {"datasets": [{"name": "tank/a", "state": "locked"}]},
    "iscsi_volume": {"volumes": [{"dataset": "tank/v"}]},
    "nfs_share": {"shares": [{"path": "/mnt/tank/a"}]},
    "restore_test": {"dataset": "tank/a", "manifest": {}},
    "smb_share": {"shares": [{"name": "a", "path": "/mnt/tank/a"}]},
}


def call_error(number: int, name: str, reason: str, *, kind: str = "CallError") -> dict[str, t.Any]:
    """The error of a method that failed (-32001)."""
    data = {"error": number, "errname": name, "reason": f"[{name}] {reason}", "trace": {"class": kind}, "extra": None}
    return {"code": -32001, "message": "Method call error", "data": data}


def validation_error(*extra: tuple[str, str, int]) -> dict[str, t.Any]:
    """The error of parameters that were refused (-32602); also what "not found" looks like."""
    reason = "\n".join(f"[EINVAL] {attribute}: {message}" for attribute, message, _number in extra)
    return {"code": -32602, "message": "Invalid params", "data": {"error": 22, "errname": "EINVAL", "reason": reason, "extra": [list(one) for one in extra]}}


METHOD_MISSING = {"code": -32601, "message": "Method does not exist"}


@dataclasses.dataclass
class Step:
    """One expected call and its answer.

    Args:
        method: Its name.
        params: Its parameters, or ANY.
        result: What it returns, unless
        error: it fails, or
        lost: the connection breaks after the request, or
        silent: nothing comes.
        before: Notifications that come before the answer; ``{request}`` in them is the request's number.
    """

    method: str
    params: t.Any = ANY
    result: t.Any = None
    error: dict[str, t.Any] | None = None
    lost: bool = False
    silent: bool = False
    before: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)

    def body(self) -> dict[str, t.Any]:
        """What of the answer follows from the call."""
        return {"error": self.error} if self.error else {"result": self.result}


def options(*, legacy: bool = False) -> Step:
    """The first call of a session. 25.04 does not know the option."""
    if legacy:
        return Step("core.set_options", error=validation_error(("options.legacy_jobs", "Extra inputs are not permitted", 22)))
    return Step("core.set_options", [{"legacy_jobs": False}], {"legacy_jobs": False, "private_methods": False, "py_exceptions": False})


def login(response: str = "SUCCESS", **rest: t.Any) -> Step:
    """The log-in."""
    data = {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": KEY, "login_options": {"user_info": False}}
    return Step("auth.login_ex", [data], {"response_type": response, **rest})


WATCH = Step("core.subscribe", ["core.get_jobs"], "c0ffee")


class Server:
    """Plays *steps*. ``connect`` is what a client opens connections with."""

    def __init__(self, *steps: Step, session: bool = True, legacy: bool = False) -> None:
        # The options of a connection are set when the first job comes: whenever that is, it is answered, and no test has to say so.
        self.steps = [*([login()] if session else []), *(step for step in steps if step.method != "core.set_options")]
        self.legacy = legacy
        self.versions: list[str] = []
        self.seen: list[tuple[str, list[t.Any]]] = []
        self.connections = 0
        self.closed = 0
        self.now = 0.0
        self.slept: list[float] = []
        self._frames: list[str | None | Lost] = []

    # What a client is given.
    def connect(self, _settings: Settings) -> Server:
        self.connections += 1
        self._frames = []
        return self

    def served(self, _settings: Settings) -> list[str]:
        return self.versions

    def certificate(self) -> bytes | None:
        return None

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    # A socket.
    def send(self, text: str) -> None:
        message = json.loads(text)
        assert message["jsonrpc"] == "2.0"
        assert isinstance(message["params"], list)
        self.seen.append((message["method"], message["params"]))
        if message["method"] == "core.set_options":
            self._frames.append(json.dumps({"jsonrpc": "2.0", "id": message["id"], **options(legacy=self.legacy).body()}))
            return
        assert self.steps, f"unexpected call {message['method']} {message['params']}"
        step = self.steps.pop(0)
        assert message["method"] == step.method, f"{message['method']} instead of {step.method}"
        if step.params is not ANY:
            assert message["params"] == step.params
        for notification in step.before:
            self._frames.append(json.dumps(notification).replace('"{request}"', str(message["id"])))
        if step.lost:
            self._frames.append(Lost("connection reset"))
        elif not step.silent:
            self._frames.append(json.dumps({"jsonrpc": "2.0", "id": message["id"], **step.body()}))

    def receive(self, timeout: float) -> str | None:
        if not self._frames:
            self.now += max(timeout, 0.001)
            return None
        frame = self._frames.pop(0)
        if isinstance(frame, Lost):
            raise frame
        return frame

    def close(self) -> None:
        self.closed += 1

    # For tests.
    def client(self, **settings: t.Any) -> TrueNasClient:
        """A client on this server, with its clock."""
        values = {"host": "nas1", "username": "automation", "api_key": KEY, **settings}
        doors = {"connect": self.connect, "served": self.served, "clock": self.clock, "sleep": self.sleep}
        return TrueNasClient(Settings(**values), jitter=lambda low, _high: low, **doors)

    def patch(self, monkeypatch: t.Any) -> None:
        """Let every client of a module connect to this server."""
        defaults = TrueNasClient.__init__.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "connect", self.connect)
        monkeypatch.setitem(defaults, "served", self.served)
        monkeypatch.setitem(defaults, "sleep", self.sleep)

    def finished(self) -> None:
        """Check that every expected call was made."""
        assert not self.steps, f"not called: {[step.method for step in self.steps]}"

    @property
    def writes(self) -> list[str]:
        """The methods that were called beside reading and the session."""
        quiet = ("query", "set_options", "login_ex", "subscribe", "get_jobs", "attachments", "details")
        return [method for method, _params in self.seen if method.rpartition(".")[2] not in quiet]


CONNECTION = {"api_host": "nas1", "api_username": "automation", "api_key": KEY}


def prop(raw: str, parsed: t.Any = None, source: str = "LOCAL") -> dict[str, t.Any]:
    """A property as pool.dataset.query shows it."""
    return {"rawvalue": raw, "value": raw.upper(), "parsed": parsed if parsed is not None else raw, "source": source, "source_info": None}


def dataset(name: str, **changes: t.Any) -> dict[str, t.Any]:
    """An entry of pool.dataset.query."""
    entry = {
        "id": name,
        "name": name,
        "pool": name.partition("/")[0],
        "type": "FILESYSTEM",
        "mountpoint": f"/mnt/{name}",
        "encrypted": False,
        "locked": False,
        "children": [],
        "user_properties": {},
        "quota": {"rawvalue": "0", "parsed": None, "value": None, "source": "DEFAULT", "source_info": None},
        "refquota": {"rawvalue": "0", "parsed": None, "value": None, "source": "DEFAULT", "source_info": None},
        "reservation": {"rawvalue": "0", "parsed": None, "value": None, "source": "DEFAULT", "source_info": None},
        "compression": prop("lz4", source="INHERITED"),
        "readonly": prop("off", False, "DEFAULT"),
        "recordsize": prop("131072", 131072, "DEFAULT"),
        "atime": prop("off", False, "INHERITED"),
        "sync": prop("standard", source="DEFAULT"),
        "copies": prop("1", 1, "DEFAULT"),
        "casesensitivity": prop("sensitive", source="NONE"),
        "used": prop("98304", 98304, "NONE"),
        "available": prop("1000000", 1000000, "NONE"),
    }
    return {**entry, **changes}


def snapshot(name: str, guid: str, *, txg: int = 100, created: int = 1700000000, **properties: str) -> dict[str, t.Any]:
    """An entry of pool.snapshot.query."""
    owner, _at, short = name.partition("@")
    shown = {"guid": prop(guid, int(guid), "NONE"), "referenced": prop("98304", 98304, "NONE")}
    shown["creation"] = prop(str(created), {"$date": created * 1000}, "NONE")
    shown.update({key.replace("__", ":"): prop(value) for key, value in properties.items()})
    return {
        "id": name,
        "name": name,
        "dataset": owner,
        "snapshot_name": short,
        "pool": owner.partition("/")[0],
        "type": "SNAPSHOT",
        "createtxg": str(txg),
        "properties": shown,
    }


def snapshot_task(number: int, name: str, **changes: t.Any) -> dict[str, t.Any]:
    """An entry of pool.snapshottask.query."""
    entry = {
        "id": number,
        "dataset": name,
        "recursive": False,
        "lifetime_value": 2,
        "lifetime_unit": "WEEK",
        "enabled": True,
        "exclude": [],
        "naming_schema": "auto-%Y-%m-%d_%H-%M",
        "allow_empty": True,
        "schedule": {"minute": "00", "hour": "*", "dom": "*", "month": "*", "dow": "*", "begin": "00:00", "end": "23:59"},
        "vmware_sync": False,
        "state": {"state": "PENDING"},
    }
    return {**entry, **changes}


def replication(number: int, name: str, **changes: t.Any) -> dict[str, t.Any]:
    """An entry of replication.query: credentials and snapshot tasks are expanded."""
    entry = {
        "id": number,
        "name": name,
        "direction": "PUSH",
        "transport": "SSH",
        "ssh_credentials": {"id": 2, "name": "nas2", "type": "SSH_CREDENTIALS", "attributes": "********"},
        "netcat_active_side": None,
        "netcat_active_side_listen_address": None,
        "netcat_active_side_port_min": None,
        "netcat_active_side_port_max": None,
        "netcat_passive_side_connect_address": None,
        "sudo": False,
        "source_datasets": ["tank/apps"],
        "target_dataset": "backup/apps",
        "recursive": True,
        "exclude": [],
        "properties": True,
        "properties_exclude": [],
        "properties_override": {},
        "replicate": False,
        "encryption": False,
        "encryption_inherit": None,
        "encryption_key": None,
        "encryption_key_format": None,
        "encryption_key_location": None,
        "periodic_snapshot_tasks": [snapshot_task(1, "tank/apps")],
        "naming_schema": [],
        "also_include_naming_schema": [],
        "name_regex": None,
        "auto": True,
        "schedule": None,
        "restrict_schedule": None,
        "only_matching_schedule": False,
        "allow_from_scratch": False,
        "readonly": "SET",
        "hold_pending_snapshots": False,
        "retention_policy": "CUSTOM",
        "lifetime_value": 2,
        "lifetime_unit": "WEEK",
        "lifetimes": [],
        "compression": None,
        "speed_limit": None,
        "large_block": True,
        "embed": False,
        "compressed": True,
        "retries": 5,
        "logging_level": None,
        "enabled": True,
        "state": {"state": "PENDING"},
        "job": None,
        "has_encrypted_dataset_keys": False,
    }
    return {**entry, **changes}


def pool(name: str, *disks: str, status: str = "ONLINE") -> dict[str, t.Any]:
    """An entry of pool.query: a mirror of *disks*."""
    leaves = [{"type": "DISK", "disk": disk, "path": f"/dev/{disk}1", "guid": str(index), "children": []} for index, disk in enumerate(disks)]
    topology = {"data": [{"type": "MIRROR", "name": "mirror-0", "children": leaves}], "log": [], "cache": [], "spare": [], "special": [], "dedup": []}
    return {
        "id": 1,
        "name": name,
        "guid": "9912431783236489124",
        "status": status,
        "path": f"/mnt/{name}",
        "healthy": status == "ONLINE",
        "warning": False,
        "status_detail": None,
        "size": 4000,
        "allocated": 1000,
        "free": 3000,
        "topology": topology if status == "ONLINE" else None,
    }


def job_update(number: int, state: str, **fields: t.Any) -> dict[str, t.Any]:
    """A notification about the job of the request that is being answered."""
    record = {"id": number, "state": state, "message_ids": ["{request}"], "progress": {"percent": 10, "description": "working"}, **fields}
    return {"jsonrpc": "2.0", "method": "collection_update", "params": {"msg": "changed", "collection": "core.get_jobs", "id": number, "fields": record}}
