"""The lab's TrueNAS double in this process: its real API server on loopback, with ZFS in memory in place of zfs-fuse.

For modules whose behaviour is in the server's rules and not in ZFS. What it refuses is what ``lab/nas/server`` refuses.
"""

from __future__ import annotations

import asyncio
import pathlib
import threading
import time
import typing as t

from aiohttp import web
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Settings

from helpers.modules import run_module
from lab.nas.server import app, auth
from lab.nas.server.middleware import Middleware
from lab.nas.server.secret import hash_key, new_key
from lab.nas.server.zfs import Snapshot, Value, Zfs, ZfsError

GIB = 1024**3
# Keys are hashed slowly on purpose; tests need not do it for each log-in and each double.
_checked: dict[tuple[str, str], bool] = {}
_first: list[tuple[str, dict[str, t.Any]]] = []
_check_key = auth.check_key


def _check_once(text: str, stored: dict[str, t.Any]) -> bool:
    key = (text, stored["salt"])
    if key not in _checked:
        _checked[key] = _check_key(text, stored)
    return _checked[key]


_NATIVE = {
    "mounted": "yes", "readonly": "off", "atime": "on", "exec": "on", "used": "24576", "available": str(100 * GIB), "quota": "0", "refquota": "0",
    "reservation": "0", "refreservation": "0", "copies": "1", "creation": "1760000000", "compressratio": "1.00x", "origin": "-", "snapdir": "hidden",
    "dedup": "off", "casesensitivity": "sensitive", "recordsize": "131072", "aclmode": "discard", "checksum": "on", "compression": "on",
    "usedbychildren": "0", "usedbydataset": "24576", "usedbyrefreservation": "0", "usedbysnapshots": "0", "xattr": "on",
}  # fmt: skip


class MemoryZfs(Zfs):
    """Datasets and snapshots with local properties; the commands that the double's dataset service runs."""

    def __init__(self, mnt: pathlib.Path, *names: str) -> None:
        super().__init__()
        self.mnt = mnt
        self.local: dict[str, dict[str, str]] = {}
        self.taken: dict[str, list[Snapshot]] = {}
        for name in names:
            self._make(name, {})

    def _make(self, name: str, options: dict[str, str]) -> None:
        self.local[name] = options
        self.taken[name] = []
        (self.mnt / name).mkdir(parents=True, exist_ok=True)

    def run(self, *argv: str) -> str:
        verb, rest, name = argv[1], list(argv[2:-1]), argv[-1]
        if verb == "create":
            options = dict(text.split("=", 1) for flag, text in zip(rest, rest[1:], strict=False) if flag == "-o")
            self._make(name, options)
        elif verb == "set":
            key, _equals, value = rest[0].partition("=")
            self.local[name][key] = value
        elif verb == "inherit":
            self.local[name].pop(rest[0], None)
        elif verb in ("mount", "unmount"):
            self.local[name]["mounted"] = "yes" if verb == "mount" else "no"
        elif verb == "destroy":
            for one in self.datasets(name):
                del self.local[one], self.taken[one]
        else:
            raise ZfsError(f"{argv} is not in this ZFS")
        return ""

    def get(self, *names: str, properties: str = "all") -> dict[str, dict[str, Value]]:
        found = {}
        for name in names:
            values = {key: Value(text, "default") for key, text in {**_NATIVE, "mountpoint": f"/mnt/{name}"}.items()}
            for above in ["/".join(name.split("/")[:count]) for count in range(1, name.count("/") + 2)]:
                source = "local" if above == name else f"inherited from {above}"
                values |= {key: Value(text, source) for key, text in self.local.get(above, {}).items() if above == name or ":" in key}
            found[name] = values
        return found

    def exists(self, name: str) -> bool:
        return name in self.local

    def datasets(self, below: str | None = None) -> list[str]:
        return sorted(name for name in self.local if below is None or name == below or name.startswith(f"{below}/"))

    def snapshots(self, dataset: str | None = None, *, recursive: bool = False, properties: str = "") -> list[Snapshot]:
        names = self.datasets(dataset) if recursive or dataset is None else [dataset]
        return [one for name in names for one in self.taken[name]]

    def pools(self) -> dict[str, str]:
        return {name: "ONLINE" for name in self.local if "/" not in name}


class Double:
    """A running double. ``url`` parts are in ``connection``, as module options."""

    def __init__(self, directory: pathlib.Path, version: str = "25.10", **config: t.Any) -> None:
        mnt = directory / "mnt"
        values = {
            "name": "nas-a", "dir": str(directory), "mnt": str(mnt), "address": "127.0.0.1", "ports": {"api": 1, "plain": 2, "ssh": 3}, "version": version,
            "rate_limit": 0, "scheduler": False, "disks": ["sda"], "username": "automation", "password": "pass-word", "peers": [], "ca": None, **config,
        }  # fmt: skip
        self.zfs = MemoryZfs(mnt, "tank", "tank/a", "tank/b")
        self.mw = Middleware(values, self.zfs)
        self.connection: dict[str, t.Any] = {
            "api_host": "127.0.0.1", "api_protocol": "ws", "api_username": "automation", "api_key": self.key("lab", "automation"), "api_timeout": 20,
        }  # fmt: skip
        self.calls: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def key(self, name: str, username: str) -> str:
        """Make an API key, past the API."""
        number = self.mw.store.next_id("api_key")
        if number > 1 or not _first:
            text = new_key(number)[1]
            kept = hash_key(text)
            if number == 1:
                _first.append((text, kept))
        else:
            text, kept = _first[0]
        entry = {"id": number, "name": name, "username": username, "revoked": False, "revoked_reason": None, "expires_at": None, "created_at": time.time()}
        self.mw.store.table("api_key").append({**kept, **entry})
        return text

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.mw.loop = self._loop
        runner = web.AppRunner(app.build(self.mw, tls=False), access_log=None, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
        self.connection["api_port"] = runner.addresses[0][1]
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def __enter__(self) -> Double:
        auth.check_key = _check_once
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        auth.check_key = _check_key
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def client(self) -> TrueNasClient:
        """A client of the collection on this double."""
        one = self.connection
        return TrueNasClient(Settings(host="127.0.0.1", port=one["api_port"], username="automation", api_key=one["api_key"], protocol="ws", timeout=20))

    def call(self, method: str, *params: t.Any) -> t.Any:
        """Call a method of the API."""
        with self.client() as client:
            return client.call(method, *params)

    def run(self, module: t.Any, args: dict[str, t.Any], *, check: bool = False) -> dict[str, t.Any]:
        """Run a module's ``main`` against it."""
        return run_module(module.main, {**self.connection, **args}, check=check, diff=True)

    def converge(self, module: t.Any, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Run in check mode, for real, and again: the foretold difference is the real one, and the second run changes nothing."""
        foretold = self.run(module, args, check=True)
        done = self.run(module, args)
        assert foretold["changed"] is done["changed"]
        assert foretold.get("diff") == done.get("diff")
        again = self.run(module, args)
        assert again["changed"] is False, again
        return done
