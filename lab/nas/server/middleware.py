"""What every method works with: configuration, database, ZFS, jobs and events of one NAS."""

from __future__ import annotations

import asyncio
import errno
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.nas.server.errors import CallError
from lab.nas.server.jobs import Job, JobManager
from lab.nas.server.registry import Method, methods
from lab.nas.server.store import Store
from lab.nas.server.zfs import Zfs

if TYPE_CHECKING:
    from lab.nas.server.session import Session


class Middleware:
    """One NAS. ``loop`` is set once the server runs; before it, events go nowhere."""

    def __init__(self, config: dict[str, Any], zfs: Zfs | None = None) -> None:
        self.config = config
        self.dir = Path(config["dir"])
        self.zfs = zfs or Zfs()
        self.store = Store(self.dir / "db.json")
        self._settle()
        self.jobs = JobManager(self.dir / "jobs.json", self.publish)
        self.methods: dict[str, Method] = methods(config["version"])
        self.sessions: set[Session] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        # Where the pools are mounted, as this process sees it.
        self.mnt = Path(config.get("mnt", "/mnt"))

    def _settle(self) -> None:
        """After a restart a task is as it was when it ended last: what ran is kept nowhere (plugins/zettarepl_/state.py, set_state and load_state)."""
        for table in ("snapshottask", "replication"):
            for task in self.store.table(table):
                if (task.get("state") or {}).get("state") in ("RUNNING", "WAITING"):
                    self.store.update(table, task["id"], {"state": self.store.value(f"settled:{table}:{task['id']}")})

    @property
    def version(self) -> str:
        """The release it plays, like 25.10."""
        return str(self.config["version"])

    def publish(self, collection: str, message: str, key: Any, fields: dict[str, Any]) -> None:
        """Send an event to the sessions that subscribed to it; may be called from any thread."""
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._deliver, collection, message, key, fields)

    def _deliver(self, collection: str, message: str, key: Any, fields: dict[str, Any]) -> None:
        params = {"msg": message, "collection": collection, "id": key, "fields": fields}
        for session in list(self.sessions):
            if session.subscribed_to(collection):
                session.send({"jsonrpc": "2.0", "method": "collection_update", "params": params})

    def peers(self) -> list[dict[str, Any]]:
        """Return the configurations of all NASes of the lab: who answers at which address and SSH port."""
        return [json.loads(Path(path).read_text()) for path in self.config["peers"] if Path(path).exists()]

    def exports_changed(self) -> None:
        """Called whenever the NFS shares may have changed."""

    def start_job(self, name: str, arguments: list[Any], call: Call | None = None) -> Job:
        """Start a job method with parsed arguments."""
        method = self.methods[name]
        call = call or Call(self)
        if method.output and "output" not in call.extra:
            raise CallError("Pipe 'output' is not open", errno.EINVAL)
        lock = method.lock.format(*arguments) if method.lock else None
        credentials = call.session.credential_summary() if call.session else {"type": "INTERNAL", "data": {}}

        def run(job: Job) -> Any:
            return method.function(Call(self, call.session, call.message_id, job, call.extra), *arguments)

        return self.jobs.start(name, [_hide(argument) for argument in arguments], run, lock=lock, message_id=call.message_id,
                               credentials=credentials, abortable=method.abortable)


_SECRETS = ("password", "api_key", "private_key", "passphrase", "encryption_key", "key", "token")


def _hide(value: Any) -> Any:
    """Replace secrets in what a job record shows of its arguments."""
    if isinstance(value, dict):
        return {key: "********" if key in _SECRETS and isinstance(item, str) else _hide(item) for key, item in value.items()}
    return [_hide(item) for item in value] if isinstance(value, list) else value


@dataclass
class Call:
    """The context of one call: who calls (None: the NAS itself), the request's id, the job if it is one."""

    mw: Middleware
    session: Session | None = None
    message_id: Any = None
    job: Job | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def progress(self, percent: float | None, description: str) -> None:
        """Report progress if this is a job."""
        if self.job:
            self.job.set_progress(percent, description)
