"""A wait longer than ten seconds shows what it waits for and for how long: seen on the terminal of a real run."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from runs import ROOT

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("module", "options", "what"),
    [
        ("vault_unseal", "url=https://127.0.0.1:{port}", "the server at https://127.0.0.1:{port} to be unsealed and usable"),
        ("truenas_pool", "api_host=127.0.0.1 api_port={port} api_username=a api_key=k name=tank", "pool tank to be present at 127.0.0.1"),
    ],
)
def test_server_that_takes_its_time(module: str, options: str, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        port = silent.getsockname()[1]
        line = f"[localhost] waiting for {what.format(port=port)} (10 s so far)"
        program = pathlib.Path(sys.executable).with_name("ansible")
        environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "inventories/lab/ansible.cfg"), "PYTHONUNBUFFERED": "1"}
        argv = [str(program), "localhost", "-m", f"resilient.platform.{module}", "-a", options.format(port=port)]
        run = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        try:
            assert run.stdout is not None
            began, seen = time.monotonic(), ""
            while line not in seen and time.monotonic() - began < 60 and (text := run.stdout.readline()):
                seen += text
        finally:
            os.killpg(run.pid, signal.SIGKILL)  # its worker and the module too
            run.wait()
    assert line in seen
    assert time.monotonic() - began >= 10
