"""truenas_call, truenas_alert_info, truenas_job_info and truenas_config_backup against the double's API."""

from __future__ import annotations

import importlib
import json
import pathlib
import stat
import tarfile
import typing as t
from collections.abc import Iterator

import pytest
from helpers.double import Double
from helpers.modules import ModuleFailed


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.truenas_{name}")


CALL, ALERTS, JOBS, CONFIG = module("call"), module("alert_info"), module("job_info"), module("config_backup")


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> Iterator[Double]:
    with Double(tmp_path / "nas") as double:
        yield double


def test_call_returns_what_comes(nas: Double) -> None:
    assert nas.run(CALL, {"method": "core.ping"}) == {"changed": False, "result": "pong"}
    made = nas.run(CALL, {"method": "sharing.nfs.create", "params": [{"path": "/mnt/tank/a"}]})
    assert made["changed"] is True and made["result"]["path"] == "/mnt/tank/a"
    found = nas.run(CALL, {"method": "sharing.nfs.query", "params": [[["id", "=", 1]]]}, check=True)
    assert found["changed"] is False and found["result"][0]["id"] == 1
    assert nas.run(CALL, {"method": "pool.dataset.checksum_choices"}, check=True)["changed"] is False


def test_call_waits_for_jobs_and_tells_their_failure(nas: Double) -> None:
    args = {"method": "core.bulk", "params": ["sharing.nfs.create", [[{"path": "/mnt/tank/a"}]]], "job": True}
    done = nas.run(CALL, args)
    assert done["job"]["state"] == "SUCCESS" and done["result"][0]["result"]["path"] == "/mnt/tank/a"
    with pytest.raises(ModuleFailed, match="tank/a is not encrypted"):
        nas.run(CALL, {"method": "pool.dataset.lock", "params": ["tank/a"], "job": True})
    with pytest.raises(ModuleFailed, match="does not exist"):
        nas.run(CALL, {"method": "no.such"})


def test_call_refuses_in_check_mode_what_may_write(nas: Double) -> None:
    with pytest.raises(ModuleFailed, match="check mode does not call it"):
        nas.run(CALL, {"method": "sharing.nfs.create", "params": [{"path": "/mnt/tank/a"}]}, check=True)
    assert nas.call("sharing.nfs.query") == []
    assert nas.run(CALL, {"method": "auth.me", "reads": True}, check=True)["result"]["pw_name"] == "automation"


def test_alerts_the_worst_first(nas: Double) -> None:
    nas.zfs.pools = lambda: {"tank": "DEGRADED"}  # type: ignore[method-assign]
    nas.mw.store.insert("pool", {"name": "tank"})
    nas.key("old", "automation")
    nas.mw.store.update("api_key", 2, {"revoked": True, "revoked_reason": "Attempt to use over an insecure transport"})
    found = nas.run(ALERTS, {})
    assert [one["class"] for one in found["alerts"]] == ["VolumeStatus", "ApiKeyRevoked"] and found["counts"] == {"CRITICAL": 1, "WARNING": 1}
    assert [one["level"] for one in nas.run(ALERTS, {"levels": ["WARNING"]})["alerts"]] == ["WARNING"]
    assert [one["class"] for one in nas.run(ALERTS, {"classes": ["VolumeStatus"]})["alerts"]] == ["VolumeStatus"]
    nas.call("alert.dismiss", "ApiKeyRevoked-2")
    assert len(nas.run(ALERTS, {})["alerts"]) == 1 and len(nas.run(ALERTS, {"dismissed": True})["alerts"]) == 2


def test_jobs_the_newest_first_and_without_arguments(nas: Double) -> None:
    with nas.client() as client:
        client.job("core.bulk", "alert.list", [[]], interval=0.05)
        client.job("pool.dataset.encryption_summary", "tank", {"datasets": [{"name": "tank", "passphrase": "hush hush"}]}, interval=0.05)
    found = nas.run(JOBS, {})["jobs"]
    assert [one["method"] for one in found] == ["pool.dataset.encryption_summary", "core.bulk"]
    assert found[0]["state"] == "SUCCESS" and found[0]["seconds"] >= 0 and "hush" not in json.dumps(found)
    assert [one["id"] for one in nas.run(JOBS, {"methods": ["core.bulk"]})["jobs"]] == [1]
    assert nas.run(JOBS, {"ids": [2], "states": ["FAILED"]})["jobs"] == [] and len(nas.run(JOBS, {"limit": 1})["jobs"]) == 1


def test_configuration_is_kept_whole_and_private(nas: Double, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "safe.tar"
    # The database counts log-ins and numbers of jobs; what is compared here must stand still.
    save = {"path": str(path)}
    foretold = nas.run(CONFIG, save, check=True)
    assert foretold["changed"] is True and not path.exists() and list(tmp_path.glob(".safe*")) == []
    done = nas.run(CONFIG, save)
    assert done["diff"] == foretold["diff"] and stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        assert sorted(archive.getnames()) == ["freenas-v1.db", "pwenc_secret"]
    assert nas.run(CONFIG, save)["changed"] is False
    path.chmod(0o644)
    again = nas.run(CONFIG, save)
    assert again["diff"]["before"] == {"mode": "0644"} and stat.S_IMODE(path.stat().st_mode) == 0o600
    nas.call("sharing.nfs.create", {"path": "/mnt/tank/a"})
    assert nas.run(CONFIG, save)["diff"]["before"]["sha256"] == done["sha256"]
    plain = nas.run(CONFIG, {"path": str(tmp_path / "plain"), "secretseed": False})
    assert plain["changed"] is True and not tarfile.is_tarfile(tmp_path / "plain")
    assert nas.run(CONFIG, {"path": str(tmp_path / "plain"), "secretseed": False})["changed"] is False
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(("pieces", "said"), [([], "it is empty"), ([b"half of a tar file"], "no whole tar file")])
def test_configuration_that_breaks_off_leaves_the_old_file(
    pieces: list[bytes], said: str, nas: Double, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "safe.tar"
    nas.run(CONFIG, {"path": str(path)})
    before = path.read_bytes()
    monkeypatch.setattr(
        "ansible_collections.resilient.platform.plugins.module_utils._truenas.config_file.Downloads.pieces", lambda *_args, **_rest: iter(pieces)
    )
    with pytest.raises(ModuleFailed, match=said):
        nas.run(CONFIG, {"path": str(path)})
    assert path.read_bytes() == before and list(tmp_path.glob(".*")) == []


def test_configuration_without_its_seed_is_not_whole(nas: Double, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.resilient.platform.plugins.module_utils._truenas.config_file.SEED", "other_secret")
    with pytest.raises(ModuleFailed, match="it lacks other_secret"):
        nas.run(CONFIG, {"path": str(tmp_path / "safe.tar"), "root_authorized_keys": True})


def test_configuration_is_not_fetched_for_a_place_or_a_wire_that_will_not_do(nas: Double, tmp_path: pathlib.Path) -> None:
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "no" / "file", "not a directory that can be written to")):
        with pytest.raises(ModuleFailed, match=said):
            nas.run(CONFIG, {"path": str(path)})
    with pytest.raises(ModuleFailed, match="in plaintext"):
        nas.run(CONFIG, {"path": str(tmp_path / "x"), "api_host": "192.0.2.1"})
    (tmp_path / "broken.tar").write_bytes(b"x")
    (tmp_path / "broken.tar").chmod(0o600)
    assert nas.run(CONFIG, {"path": str(tmp_path / "broken.tar")})["changed"] is True
