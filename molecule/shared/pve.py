# Copyright (c) 2026 resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the lab's Proxmox VE without the collection, and waits for the tasks it starts.

``pve.py CONNECTION_JSON guests`` prints {name: {vmid, status, tags, lock, config, pending}};
``pve.py CONNECTION_JSON GET|PUT|POST|DELETE PATH [PARAMS_JSON]`` prints the answer, where PATH may hold {NAME} for a guest's id.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import typing as t

from proxmoxer import ProxmoxAPI


class Pve:
    """The API as the lab's own user."""

    def __init__(self, connection: str) -> None:
        lab = json.loads(pathlib.Path(connection).read_text(encoding="utf-8"))
        access = lab["proxmox"]
        self.api = ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                              token_value=access["token_secret"], verify_ssl=lab["ca_file"])
        self.node = self.api.nodes(access["node"])

    def list(self) -> list[dict[str, t.Any]]:
        """The guests that are no templates."""
        return [vm for vm in self.api.cluster.resources.get(type="vm") if not vm.get("template")]

    def guests(self) -> dict[str, t.Any]:
        """Everything that a change could have changed. Two guests of one name are an error, not one of the two."""
        found: dict[str, t.Any] = {}
        for vm in self.list():
            assert vm["name"] not in found, f"two guests are called {vm['name']}"
            qemu = self.node.qemu(vm["vmid"])
            pending = {line["key"]: line.get("pending", "(removed)") for line in qemu.pending.get() if "pending" in line or line.get("delete")}
            found[vm["name"]] = {"vmid": vm["vmid"], "status": vm["status"], "tags": sorted(filter(None, vm.get("tags", "").split(";"))),
                                 "lock": vm.get("lock", ""), "config": qemu.config.get(current=1), "pending": pending}
        return found

    def call(self, method: str, path: str, params: dict[str, t.Any]) -> t.Any:
        """Send one request; a task that does not end well is an error."""
        if "{" in path:
            path = path.format_map({vm["name"]: vm["vmid"] for vm in self.list()})
        answer = getattr(self.node(path), method.lower())(**params)
        if str(answer).startswith("UPID:"):
            while (task := self.node.tasks(answer).status.get())["status"] == "running":
                time.sleep(0.1)
            assert task["exitstatus"] == "OK", f"{method} {path}: {task['exitstatus']}"
        return answer


def main(connection: str, method: str, path: str = "", params: str = "{}") -> None:
    """Print the answer as JSON."""
    pve = Pve(connection)
    print(json.dumps(pve.guests() if method == "guests" else pve.call(method, path, json.loads(params))))


if __name__ == "__main__":
    main(*sys.argv[1:])
