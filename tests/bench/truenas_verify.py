"""truenas_replication_verify against two synthetic systems: calls, seconds beside the systems' own, peak memory.

    python tests/bench/truenas_verify.py [--shape 500x1,500x10,50x1000] [--repeat 3] [--json FILE]

A shape is pairs x snapshots of each. The systems answer what the middleware answers to the calls of a verification, with the limit
and filters that pages need, over plaintext on loopback; they have no ZFS, because zfs-fuse would be most of the time. What they spend
on their answers is measured by themselves and shown beside. The module runs as a process of its own with its real argument handling.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import dataclasses
import json
import multiprocessing
import pathlib
import socket
import sys
import time
import typing as t

import aiohttp
from aiohttp import web
from common import cost, load_collection, machine, table

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import common
common.load_collection()
from helpers.modules import run_module
from ansible_collections.resilient.platform.plugins.modules import truenas_replication_verify as module
found = run_module(module.main, json.loads(sys.argv[2]))
print(found["verdict"], len(found["pairs"]), json.dumps(found["calls"]))
"""
KEY = "1-" + "k" * 64


class System:
    """One synthetic system with *pairs* datasets below *root* and *each* snapshots of every one, one an hour, the newest a minute old."""

    def __init__(self, root: str, pairs: int, each: int) -> None:
        self.names = [f"{root}/d{number:05}" for number in range(pairs)]
        self.each, self.seconds, self.calls, self.now = each, 0.0, 0, int(time.time())
        # Guids are the same on both systems, as after a replication.
        found = ((name, number, index) for number, name in enumerate(self.names) for index in range(each))
        self.snapshots = sorted((f"{name}@auto-{index:06}", number * each + index + 1, index) for name, number, index in found)
        self.ids = [one[0] for one in self.snapshots]

    def answer(self, method: str, params: list[t.Any]) -> t.Any:
        """Answer one call."""
        if method == "core.set_options":
            return {"legacy_jobs": False, "private_methods": False, "py_exceptions": False}
        if method == "auth.login_ex":
            return {"response_type": "SUCCESS"}
        if method == "pool.dataset.query":
            return [{"id": name, "type": "FILESYSTEM", "readonly": {"rawvalue": "on"}} for name in sorted(set(params[0][0][2]) & set(self.names))]
        if method == "pool.snapshot.query":
            return self._page(params[0], params[1])
        return None

    def _page(self, filters: list[t.Any], options: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        wanted = set(next(one[2] for one in filters if one[0] == "dataset"))
        after = next((one[2] for one in filters if one[0] == "id"), "")
        found = []
        for name, guid, index in self.snapshots[bisect.bisect_right(self.ids, after) :]:
            if len(found) == options["limit"]:
                break
            dataset, _at, short = name.partition("@")
            created = self.now - 60 - 3600 * (self.each - 1 - index)
            shown = {"guid": str(guid), "creation": str(created)}
            if dataset in wanted:
                found.append({"id": name, "dataset": dataset, "snapshot_name": short, "createtxg": str(1000 + guid), "properties": {
                    key: {"value": value, "rawvalue": value, "source": "NONE", "parsed": {"$date": created * 1000} if key == "creation" else value}
                    for key, value in shown.items()}})  # fmt: skip
        return found

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk to one client."""
        response = web.WebSocketResponse(max_msg_size=0)
        await response.prepare(request)
        async for message in response:
            began = time.perf_counter()
            call = json.loads(message.data)
            text = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": self.answer(call["method"], call["params"])})
            self.seconds += time.perf_counter() - began
            self.calls += 1
            await response.send_str(text)
        return response


def serve(root: str, pairs: int, each: int, port: int) -> None:
    """Run one system until it is ended."""
    system = System(root, pairs, each)

    async def spent(_request: web.Request) -> web.Response:
        found = [system.seconds, system.calls]
        system.seconds, system.calls = 0.0, 0
        return web.json_response(found)

    app = web.Application()
    app.router.add_get("/spent", spent)
    app.router.add_get("/api/{version}", system.serve)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=True)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def _get(port: int) -> tuple[float, int]:
    """Return the seconds and calls of a system since it was asked last."""
    async with aiohttp.ClientSession() as session:
        for _unused in range(200):
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/spent") as answer:
                    seconds, calls = await answer.json()
                    return float(seconds), int(calls)
            await asyncio.sleep(0.05)
    raise RuntimeError(f"nobody answers at port {port}")


@dataclasses.dataclass
class Row:
    """Figures of one shape."""

    pairs: int
    each: int
    calls: int
    seconds: float
    systems: float
    memory: float


def measure(pairs: int, each: int, repeat: int) -> Row:
    """Verify one shape, and return the best of *repeat* runs."""
    ports = [free_port(), free_port()]
    roots = ["tank", "backup"]
    systems = [multiprocessing.Process(target=serve, args=(root, pairs, each, port), daemon=True) for root, port in zip(roots, ports)]
    for system in systems:
        system.start()
    try:
        for port in ports:
            asyncio.run(_get(port))
        common = {"api_username": "automation", "api_key": KEY, "api_protocol": "ws", "api_host": "127.0.0.1"}
        listed = [{"source": f"tank/d{number:05}", "target": f"backup/d{number:05}"} for number in range(pairs)]
        args = {**common, "api_port": ports[0], "peer": {**common, "api_port": ports[1]}, "pairs": listed}
        command = [sys.executable, "-c", CHILD, str(pathlib.Path(__file__).parent), json.dumps(args)]
        rows = []
        for _unused in range(repeat):
            found = cost(command, f"verified {pairs}")
            rows.append((found, [asyncio.run(_get(port)) for port in ports]))
        done, spent = min(rows, key=lambda row: row[0].seconds)
        return Row(pairs, each, max(calls for _seconds, calls in spent), done.seconds, sum(seconds for seconds, _calls in spent), done.memory)
    finally:
        for system in systems:
            system.terminate()
            system.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="1x1,500x1,500x10,50x1000,1x50000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    load_collection()
    rows = [measure(*map(int, shape.split("x")), options.repeat) for shape in options.shape.split(",")]
    print(machine())
    shown = [(row.pairs, row.pairs * row.each, row.calls, f"{row.seconds:.2f}", f"{row.systems:.2f}", f"{row.memory:.0f}") for row in rows]
    print(table(["pairs", "snapshots on each side", "calls to each system", "seconds", "of them the systems' own", "peak MiB"], shown))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as stream:
            json.dump([dataclasses.asdict(row) for row in rows], stream)


if __name__ == "__main__":
    main()
