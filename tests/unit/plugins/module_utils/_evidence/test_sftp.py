"""SFTP destinations against a stand-in for OpenSSH's sftp; tests/integration/evidence/test_sftp.py uses a real server."""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    Refused,
)
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_hex

KEY = "lab/vault/main/1.snap"
OPTIONS = {"name": "away", "type": "sftp", "host": "backup.example.org", "username": "backup", "port": 2222, "timeout": 7}
# Says what OpenSSH 9.2 says, seen from the real one.
STAND_IN = """#!{python}
import os, shlex, shutil, sys
if os.environ.get("SAYS"):
    sys.exit(print(os.environ["SAYS"], file=sys.stderr) or 255)
open({log!r}, "a").write(" ".join(sys.argv[1:]) + chr(10))
for line in sys.stdin:
    print("sftp> " + line, end="")
    ignore, (verb, *words) = line.startswith("-"), shlex.split(line.lstrip("-"))
    try:
        if verb == "cd" and not os.path.isdir(words[0]):
            raise OSError(f"stat {{words[0]}}: No such file or directory")
        if verb == "mkdir":
            os.mkdir(words[0])
        if verb == "put":
            assert words[0] == "-f"
            shutil.copy(words[1], words[2])
        if verb == "chmod":
            os.chmod(words[1], int(words[0], 8))
        if verb == "rename":
            if os.environ.get("FULL"):
                raise OSError("remote rename: Failure")
            os.replace(*words)
        if verb == "rm":
            os.unlink(words[0])
        if verb == "get":
            if not os.path.exists(words[0]):
                raise OSError(f'File "{{words[0]}}" not found.')
            shutil.copy(*words)
        if verb == "ls":
            if not os.path.isdir(words[1]):
                raise OSError(f'Can not ls: "{{words[1]}}" not found')
            for name in [".", "..", *sorted(os.listdir(words[1]))]:
                path = os.path.join(words[1], name)
                kind = "d" if os.path.isdir(path) else "-"
                print(f"{{kind}}rw-r-----    ? 1000     1000     {{os.path.getsize(path):8d}} Nov 21 16:00 {{path}}")
    except OSError as exc:
        print(exc, file=sys.stderr)
        if not ignore:
            sys.exit(1)
"""


@pytest.fixture
def log(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sftp").write_text(STAND_IN.format(python=sys.executable, log=str(tmp_path / "calls")))
    (tools / "sftp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "there").mkdir()
    return tmp_path / "calls"


@pytest.fixture
def away(tmp_path: pathlib.Path, log: pathlib.Path) -> destinations.Destination:
    return destinations.build({**OPTIONS, "path": str(tmp_path / "there")})


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(2_500_000))
    return path


def test_copy_is_read_back_and_listed(away: destinations.Destination, source: pathlib.Path, tmp_path: pathlib.Path, log: pathlib.Path) -> None:
    digest = sha256_hex(source.read_bytes())
    copy = destinations.put_and_compare(away, KEY, str(source), digest)
    assert copy["read_back_sha256"] == digest
    assert copy["location"] == f"sftp://backup@backup.example.org{tmp_path}/there/{KEY}"
    assert away.list("lab/") == [KEY] and away.list("lab/other") == [] and away.list("none/") == []
    assert (away.size(KEY), away.size("lab/none"), away.size("none/at/all")) == (2_500_000, None, None)
    away.remove("lab/none")
    assert os.stat(tmp_path / "there" / KEY).st_mode & 0o777 == 0o640
    call = log.read_text().splitlines()[0]
    assert "-oBatchMode=yes -oStrictHostKeyChecking=yes -oConnectTimeout=7" in call and "-oPort=2222" in call
    assert call.endswith("-b - backup@backup.example.org")
    away.remove(KEY)
    assert away.list("lab/") == []


def test_failed_copy_leaves_the_old_one_and_no_part(
    away: destinations.Destination, source: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").write_text("old")
    away.put(KEY, str(tmp_path / "old"))
    monkeypatch.setenv("FULL", "1")
    with pytest.raises(ApiError, match="remote rename: Failure"):
        away.put(KEY, str(source))
    assert os.listdir(tmp_path / "there/lab/vault/main") == ["1.snap"] and b"".join(away.read(KEY)) == b"old"


def test_directory_that_is_gone_is_not_made_up_for(away: destinations.Destination, source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "there").rmdir()
    for call in (lambda: away.put(KEY, str(source)), away.check, lambda: away.list("lab/"), lambda: away.size(KEY)):
        with pytest.raises(NotFound, match="No such file"):
            call()


def test_key_that_is_not_there(away: destinations.Destination) -> None:
    with pytest.raises(NotFound, match="not found"):
        list(away.read(KEY))


@pytest.mark.parametrize(
    ("said", "error", "hint"),
    [
        ("Host key verification failed.\r\nConnection closed", ConnectionFailed, "known_hosts_file"),
        ("backup@backup.example.org: Permission denied (publickey).\nConnection closed", AuthenticationError, "private_key_file"),
        ("ssh: connect to host backup.example.org port 2222: Connection refused\nConnection closed", ConnectionFailed, "host and port"),
        ("ssh: Could not resolve hostname backup.example.org: Name or service not known", ConnectionFailed, "host and port"),
        ('dest open "/x": Permission denied', PermissionDenied, "write to"),
        ("remote write: Failure", ApiError, "disk and log"),
        ("", ApiError, "disk and log"),
    ],
)
def test_what_the_server_says_is_told_with_what_to_do(
    away: destinations.Destination, source: pathlib.Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[ApiError], hint: str
) -> None:
    monkeypatch.setenv("SAYS", said or " ")
    with pytest.raises(error) as failed:
        away.put(KEY, str(source))
    assert failed.type is error and hint in failed.value.hint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"host": None}, "lacks host"),
        ({"username": ""}, "lacks username"),
        ({"host": "-oProxyCommand=x"}, "cannot be one"),
        ({"username": "a b"}, "cannot be one"),
        ({"path": "relative"}, "not absolute"),
        ({"path": '/a"; rm'}, "not absolute"),
        ({"path": "/a/../b"}, "not absolute"),
        ({"private_key_file": "/nowhere"}, "private_key_file of the destination 'away' is /nowhere"),
    ],
)
def test_options_that_cannot_work_are_refused(change: dict[str, t.Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        destinations.build({**OPTIONS, "path": "/backups", **change})


def test_key_and_known_hosts_are_used_alone(tmp_path: pathlib.Path, log: pathlib.Path) -> None:
    for name in ("key", "hosts"):
        (tmp_path / name).write_text("x")
    made = destinations.build({**OPTIONS, "path": "/", "private_key_file": str(tmp_path / "key"), "known_hosts_file": str(tmp_path / "hosts")})
    made.check()
    assert f"-oIdentityFile={tmp_path}/key -oUserKnownHostsFile={tmp_path}/hosts -oIdentitiesOnly=yes" in log.read_text()
    assert made.location("a") == "sftp://backup@backup.example.org/a"


def test_without_sftp_on_the_controller(away: destinations.Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(Refused, match="no sftp on the controller"):
        away.check()
