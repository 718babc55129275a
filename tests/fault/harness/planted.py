"""The secrets that the lab put into every input, and what they look like when they leak."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import typing as t
import urllib.parse

from lab.state import LabState

_NAMES = re.compile(r"password|secret|token|api_key|recovery_keys|^keys", re.IGNORECASE)
# Named like secrets, and none: they are shown on purpose.
_PUBLIC = {"token_id", "secret_id_accessor", "secret_shares", "secret_threshold"}
_FILES = (
    "connection.json", "credentials/*.json", "credentials/tls/*.key", "work/.*.json", "keys/*", "kms/init.json", "nas-*/db.json", "pki/*.key",
)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(.*?)\s*-----END", re.DOTALL)


def _walk(value: t.Any, path: str, name: str = "") -> t.Iterator[tuple[str, str]]:
    """Yield path and text of every string below *value* that is called like a secret."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}", key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}.{number}", name)
    elif isinstance(value, str) and name not in _PUBLIC and _NAMES.search(name):
        yield path, value


def forms(secret: str) -> set[str]:
    """Return what *secret* looks like raw and in the encodings in which output, URLs and headers carry it."""
    data = secret.encode()
    found = {secret, json.dumps(secret)[1:-1], urllib.parse.quote(secret, safe=""), data.hex()}
    for lead in range(3):
        # In the middle of something longer: only the characters that are the secret's alone.
        text = base64.b64encode(b"\0" * lead + data).decode().rstrip("=")
        found.add(text[(0, 2, 3)[lead] : -1])
    return {form for form in found if len(form) >= 8}


class Secrets(dict[str, str]):
    """Secrets by name. A test that fails shows its values, so this shows none."""

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


class Planted:
    """The secrets of a lab; some live only for seconds, so look often (``collect``).

    Args:
        state: The lab.
    """

    def __init__(self, state: LabState) -> None:
        self.state = state
        self.secrets = Secrets()
        self._seen: dict[pathlib.Path, int] = {}

    def _add(self, name: str, value: str) -> None:
        if len(value) >= 8 and value not in self.secrets.values():
            self.secrets[f"{name}#{len(self.secrets)}"] = value

    def _files(self) -> t.Iterator[pathlib.Path]:
        for pattern in _FILES:
            yield from self.state.dir.glob(pattern)

    def collect(self) -> None:
        """Read every file with secrets in it that is new or changed."""
        for path in self._files():
            try:
                changed = path.stat().st_mtime_ns
                if self._seen.get(path) == changed or path.name.endswith((".pub", ".pub.pem")):
                    continue
                data = path.read_bytes()
            except OSError:
                continue  # one that was there for a moment only
            self._seen[path] = changed
            self._take(path, data)

    def _take(self, path: pathlib.Path, data: bytes) -> None:
        name = str(path.relative_to(self.state.dir))
        text = data.decode("utf-8", "replace")
        if path.name == "canary.key":
            self._add(name, data.hex())
            self._add(name, base64.b64encode(data).decode())
            return
        for match in _PEM.finditer(text.replace("\\n", "\n")):
            self._add_key(name, match.group(1).split())
        if path.suffix == ".json":
            try:
                found = json.loads(text)
            except ValueError:
                return  # being written: it will have another time then
            for where, value in _walk(found, name):
                if "PRIVATE KEY" not in value:
                    self._add(where, value)

    def _add_key(self, name: str, lines: list[str]) -> None:
        """Add a line of a private key in PEM that holds private bytes: its first one, or for OpenSSH's format, which begins with the public
        half, the last whole one."""
        whole = [line for line in lines if len(line) >= 60] or lines[:1]
        self._add(name, whole[-1] if lines and lines[0].startswith("b3BlbnNzaC1rZXk") else whole[0])


def search(secrets: t.Mapping[str, str], texts: t.Mapping[str, bytes]) -> list[str]:
    """Return "<secret> in <text>" for each secret that stands in a text; never the secret itself."""
    found = []
    for name, secret in secrets.items():
        needles = [form.encode() for form in forms(secret)]
        found += [f"{name} in {where}" for where, data in texts.items() if any(needle in data for needle in needles)]
    return found
