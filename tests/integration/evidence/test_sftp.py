"""Copies at an SFTP destination, on a real OpenSSH server."""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations
from ansible_collections.resilient.platform.plugins.modules import backup_copy
from helpers.modules import ModuleFailed, run_module

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from sshd import Sshd  # noqa: E402

pytestmark = pytest.mark.server
KEY = "site/vault/main/1.snap"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Sshd]:
    made = Sshd(tmp_path_factory.mktemp("sshd"))
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def destination(sshd: Sshd) -> dict[str, t.Any]:
    return {"name": "away", "type": "sftp", "host": "127.0.0.1", "port": sshd.port, "username": "backup-test", "path": "/srv/backups",
            "private_key_file": str(sshd.key), "known_hosts_file": str(sshd.known_hosts)}


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(3_000_000))
    return path


def copy(*, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    return run_module(backup_copy.main, {"key": KEY, **options}, check=check, diff=True)


def test_put_read_back_idempotent_and_fetched(sshd: Sshd, destination: dict[str, t.Any], source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    predicted = copy(src=str(source), destination=destination, check=True)
    assert not (sshd.data / "site").exists()
    done = copy(src=str(source), destination=destination)
    assert done["changed"] and predicted["diff"] == done["diff"]
    assert done["copy"]["read_back_sha256"] == done["copy"]["sha256"]
    assert (sshd.data / KEY).read_bytes() == source.read_bytes()
    assert [path.name for path in (sshd.data / KEY).parent.iterdir()] == ["1.snap"]
    assert not copy(src=str(source), destination=destination)["changed"]
    copy(direction="fetch", dest=str(tmp_path / "back"), destination=destination, expected_sha256=done["copy"]["sha256"])
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    away = destinations.build(destination)
    away.remove(KEY)
    assert away.list("site/") == [] and away.size(KEY) is None


def test_a_copy_that_went_bad_is_found(sshd: Sshd, destination: dict[str, t.Any], source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    digest = copy(src=str(source), destination=destination)["copy"]["sha256"]
    with (sshd.data / KEY).open("r+b") as stream:
        stream.write(b"x")
    with pytest.raises(ModuleFailed, match="is not what was backed up"):
        copy(direction="fetch", dest=str(tmp_path / "back"), destination=destination, expected_sha256=digest)
    with pytest.raises(ModuleFailed, match="holds something else"):
        copy(src=str(source), destination=destination, replace=False)
    assert not (tmp_path / "back").exists()


def test_what_the_server_refuses(sshd: Sshd, destination: dict[str, t.Any], source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "hosts").write_text("")
    with pytest.raises(ModuleFailed, match="Host key verification failed"):
        copy(src=str(source), destination={**destination, "known_hosts_file": str(tmp_path / "hosts")})
    with pytest.raises(ModuleFailed, match="Permission denied .publickey"):
        copy(src=str(source), destination={**destination, "username": "root"})
    with pytest.raises(ModuleFailed, match="No such file"):
        copy(src=str(source), destination={**destination, "path": "/srv/not-mounted"})
    os.chmod(sshd.data, 0o500)
    try:
        with pytest.raises(ModuleFailed, match="Permission denied|No such file"):
            copy(src=str(source), destination=destination, key="other/1.snap")
    finally:
        os.chmod(sshd.data, 0o700)
    sshd.stop()
    with pytest.raises(ModuleFailed, match="Connection refused"):
        copy(src=str(source), destination=destination)
    sshd.start()
