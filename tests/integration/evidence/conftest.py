"""Real SeaweedFS and OpenBao for this directory."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import typing as t

import pytest

# By path and under a name of its own: other integration tests have a servers.py too.
_SPEC = importlib.util.spec_from_file_location("evidence_servers", pathlib.Path(__file__).with_name("servers.py"))
assert _SPEC is not None and _SPEC.loader is not None
servers = importlib.util.module_from_spec(_SPEC)
sys.modules["evidence_servers"] = servers
_SPEC.loader.exec_module(servers)


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, t.Any]]:
    """A running S3 server; the destination that describes its bucket."""
    server, destination = servers.seaweed(tmp_path_factory.mktemp("weed"))
    server.start()
    yield destination
    server.stop()


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[t.Any, dict[str, t.Any]]]:
    """A running OpenBao with KV and an AppRole; the server and the store that describes it."""
    server, store = servers.openbao(tmp_path_factory.mktemp("bao"))
    server.start()
    yield server, store
    server.stop()
