# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""A directory on an SFTP server as a destination, through OpenSSH's own ``sftp``: keys, agents, jump hosts and known hosts work as people know them.

Every call is one session in batch mode, which ends at the first command that fails. A password is never asked for.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    Refused,
)
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import check_key

_CHUNK = 1024 * 1024
_SAFE = re.compile(r"^/[A-Za-z0-9._@+=/ -]*$")
_HOST = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.:_-]*$")
_USER = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
_LINE = re.compile(r"^(?P<kind>[-dl])\S*\s+\S+\s+\S+\s+\S+\s+(?P<size>\d+)\s+\S+\s+\S+\s+\S+\s(?P<name>.+)$")
_MISSING = re.compile(r"not found|No such file", re.IGNORECASE)


class SftpDestination:
    """A directory on an SFTP server. It must exist: a disk that is not mounted there is not made up for.

    Args:
        name: Name of the destination.
        path: Absolute path of the directory on the server.
        argv: How ``sftp`` is called, without batch option and target.
        target: ``user@host`` for messages and for the call.
    """

    def __init__(self, name: str, path: str, argv: t.Sequence[str], target: str) -> None:
        self.name = name
        self.path = path.rstrip("/") or "/"
        self._argv = list(argv)
        self._target = target

    @classmethod
    def from_options(cls, options: t.Mapping[str, t.Any]) -> SftpDestination:
        """Build one from the module's ``destination`` option; contacts nothing.

        Raises:
            Refused: an option is missing or wrong.
        """
        name = options["name"]
        missing = [key for key in ("host", "username", "path") if not options.get(key)]
        if missing:
            raise Refused(f"The destination {name!r} (SFTP) lacks {', '.join(missing)}.", hint="Give them in the destination.")
        if not _HOST.match(options["host"]) or not _USER.match(options["username"]):
            raise Refused(f"Host or username of the destination {name!r} cannot be one.", hint="Give a host name or an address, and a user's name.")
        if not _SAFE.match(options["path"]) or ".." in options["path"].split("/"):
            raise Refused(f"The path of the destination {name!r} is not absolute, or has characters that are not safe.", hint="Give a path such as /backups.")
        argv = ["sftp", "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", f"-oConnectTimeout={int(options.get('timeout') or 10)}",
                "-oServerAliveInterval=15", "-oServerAliveCountMax=4", f"-oPort={int(options.get('port') or 22)}"]
        for option, key in (("-oIdentityFile", "private_key_file"), ("-oUserKnownHostsFile", "known_hosts_file")):
            if options.get(key):
                if not os.path.isfile(options[key]):
                    raise Refused(f"{key} of the destination {name!r} is {options[key]}, which is no file.", hint="Give the path of a file on the controller.")
                argv.append(f"{option}={options[key]}")
        if options.get("private_key_file"):
            argv.append("-oIdentitiesOnly=yes")
        return cls(name, options["path"], argv, f"{options['username']}@{options['host']}")

    def location(self, key: str) -> str:
        """Return the URL of *key*."""
        return f"sftp://{self._target}{self._at(key)}"

    def _at(self, key: str) -> str:
        return f"{'' if self.path == '/' else self.path}/{key}"

    def _batch(self, doing: str, *commands: str) -> str:
        """Run *commands* in one session and return what they said."""
        try:
            done = subprocess.run(
                [*self._argv, "-b", "-", self._target], input="".join(f"{command}\n" for command in commands), capture_output=True, text=True, check=False,
                env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            )
        except FileNotFoundError as exc:
            raise Refused("There is no sftp on the controller.", hint="Install OpenSSH's client.") from exc
        if done.returncode == 0:
            return done.stdout
        raise self._error(doing, (done.stderr or done.stdout).strip())

    def _error(self, doing: str, said: str) -> ApiError:
        # What was wrong stands before the sentence that every end has.
        lines = [line.strip() for line in said.splitlines() if not re.match(r"Connection closed\W*$", line.strip())]
        last = (lines or said.splitlines() or ["it ended without a word"])[-1]
        text = f"Cannot {doing} at the destination {self.name!r} ({self._target}): {last}"
        if "Host key verification failed" in said:
            return ConnectionFailed(text, said=said, hint="Put the server's host key into known_hosts_file, after you have compared it.")
        if "Permission denied (" in said or "Too many authentication failures" in said:
            return AuthenticationError(text, said=said, hint="Let the key of private_key_file log in as that user.")
        if re.search("Connection (refused|timed out|closed|reset)|Could not resolve|No route|Network is unreachable", said):
            return ConnectionFailed(text, said=said, hint="Look at host and port, and whether the server runs.")
        if _MISSING.search(said):
            return NotFound(text, path=self.path, said=said, hint="Look which keys it holds, and whether its disk is mounted.")
        if "Permission denied" in said:
            return PermissionDenied(text, path=self.path, said=said, hint=f"Let {self._target} write to {self.path}.")
        return ApiError(text, path=self.path, said=said, hint="Look at the server's disk and log.")

    def check(self) -> None:
        """Raise if the directory cannot be used."""
        self._batch("look at the directory", f'cd "{self.path}"')

    def put(self, key: str, source: str) -> None:
        """Put *source* as *key*: beside it first, flushed to the disk, then renamed over what was there."""
        target = self._at(check_key(key))
        directory, base = target.rsplit("/", 1)
        part = f"{directory}/.{base}.{secrets.token_hex(4)}.part"
        parts = check_key(key).split("/")[:-1]
        made = [f'-mkdir "{self._at("/".join(parts[: number + 1]))}"' for number in range(len(parts))]
        try:
            self._batch(f"put {key}", f'cd "{self.path}"', *made, f'put -f "{os.path.abspath(source)}" "{part}"', f'chmod 640 "{part}"',
                        f'rename "{part}" "{target}"')
        except ApiError:
            self._remove(part)
            raise

    def _remove(self, path: str) -> None:
        """Remove what a failed copy left, if the server still answers."""
        try:
            self._batch("clean up", f'-rm "{path}"')
        except ApiError:
            pass  # the error that led here says more

    def read(self, key: str) -> t.Iterator[bytes]:
        """Yield the content of *key*, fetched anew."""
        with tempfile.TemporaryDirectory(prefix="resilient-sftp-") as directory:
            local = os.path.join(directory, "copy")
            self._batch(f"read {key}", f'get "{self._at(check_key(key))}" "{local}"')
            with open(local, "rb") as handle:
                yield from iter(lambda: handle.read(_CHUNK), b"")

    def size(self, key: str) -> int | None:
        """Return the size of *key*."""
        directory, base = self._at(check_key(key)).rsplit("/", 1)
        return next((size for kind, size, name in self._entries(directory) if kind == "-" and name == base), None)

    def remove(self, key: str) -> None:
        """Remove *key*; what is not there is no error."""
        if self.size(key) is not None:
            self._batch(f"remove {key}", f'rm "{self._at(check_key(key))}"')

    def _entries(self, directory: str) -> list[tuple[str, int, str]]:
        """Return kind (``-`` or ``d``), size and name of what is in *directory*; nothing if it is not there."""
        try:
            said = self._batch(f"list {directory}", f'ls -lan "{directory}"')
        except NotFound:
            self.check()
            return []
        found = [match for line in said.splitlines() if (match := _LINE.match(line))]
        return [(match["kind"], int(match["size"]), match["name"].rsplit("/", 1)[-1]) for match in found if match["name"].rsplit("/", 1)[-1] not in (".", "..")]

    def list(self, prefix: str) -> list[str]:
        """Return all keys that begin with *prefix*; files being written are left out."""
        found: list[str] = []
        waiting = [prefix.rpartition("/")[0]]
        while waiting:
            top = waiting.pop()
            for kind, _size, name in self._entries(self._at(top).rstrip("/") or "/"):
                key = f"{top}/{name}" if top else name
                if kind == "d":
                    waiting.append(key)
                elif kind == "-" and key.startswith(prefix) and not name.startswith("."):
                    found.append(key)
        return sorted(found)
