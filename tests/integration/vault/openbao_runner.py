"""Runs the modules of the collection against real nodes, and makes and stops these nodes."""

from __future__ import annotations

import importlib
import json
import pathlib
import typing as t

from helpers.modules import run_module
from openbao import Kms, Node, cluster, wait_for


class Vault:
    """Runs modules against one node."""

    def __init__(self, node: Node, *, token: str = "", directory: pathlib.Path) -> None:
        self.node = node
        self.token = token
        self.directory = directory

    def run(self, module: str, *, check: bool = False, at: Node | None = None, **options: t.Any) -> dict[str, t.Any]:
        """Run a module with this node's address and token unless the options say otherwise."""
        node = at or self.node
        main = importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.{module}").main
        defaults: dict[str, t.Any] = {"url": node.url, "wait_sleep": 0.2}
        if node.tls:
            defaults["ca_path"] = str(node.tls[0])
        if self.token:
            defaults["token"] = self.token
        if module in ("vault_raft_snapshot_verify", "vault_raft_recover"):  # work on files
            defaults = {}
        if "wait_spec" not in main.__globals__:
            defaults.pop("wait_sleep", None)
        return run_module(main, {**defaults, **options}, check=check, diff=True)

    def initialise(self, name: str = "init.json", **options: t.Any) -> Vault:
        """Initialise (and unseal) the node; return a runner with the root token."""
        path = self.directory / name
        self.run("vault_init", credentials_file=str(path), **options)
        content = json.loads(path.read_text(encoding="utf-8"))
        keys = {} if self.node.kms else {"keys_file": str(path)}
        self.run("vault_unseal", wait_timeout=60, **keys)
        wait_for(lambda: self.node.health() == 200, "the node to be active")
        return Vault(self.node, token=content["root_token"], directory=self.directory)

    def put(self, path: str, value: str) -> None:
        """Write one kv (version 2) value, outside of the code under test."""
        answer = self.node.call("POST", f"kv/data/{path}", {"data": {"value": value}}, token=self.token)
        assert answer.status_code == 200, answer.text

    def value(self, path: str, *, at: Node | None = None) -> str | None:
        """Read one kv value, ``None`` if there is none."""
        answer = (at or self.node).call("GET", f"kv/data/{path}", token=self.token)
        return str(answer.json()["data"]["data"]["value"]) if answer.status_code == 200 else None

    def enable_kv(self) -> None:
        """Enable the kv engine that the tests write to."""
        self.run("vault_secrets_engine", path="kv", type="kv", options={"version": "2"})


class Fleet:
    """Makes nodes and stops all of them at the end."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.nodes: list[Node] = []

    def make(self, *, kms: Kms | None = None, size: int = 1, prefix: str = "node", tls: t.Any = None, start: bool = True) -> list[Node]:
        made = cluster(self.directory, kms=kms, size=size, tls=tls, prefix=prefix)
        self.nodes += made
        for node in made if start else []:
            node.start()
        return made

    def vault(self, node: Node, token: str = "") -> Vault:
        return Vault(node, token=token, directory=self.directory)

    def stop(self) -> None:
        for node in self.nodes:
            node.stop(kill=True)
