"""How many calls two hundred datasets cost, in each release: counted by the client and by the lab's double alike."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.modules import truenas_dataset
from helpers.double import Double

from lab.nas.server import session
from lab.nas.server.registry import VERSIONS

TEN: dict[str, t.Any] = {
    "comments": "made by a test", "sync": "ALWAYS", "compression": "GZIP", "atime": "OFF", "exec": "OFF", "quota": "2G", "refquota": "1G", "copies": "2",
    "readonly": "OFF", "snapdir": "VISIBLE",
}  # fmt: skip


# The whole number in one release, where it takes some seconds; how many it is does not depend on the release.
NUMBERS = {"25.10": 200}


@pytest.mark.parametrize("version", VERSIONS)
def test_two_hundred_datasets_with_ten_properties(version: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Double(tmp_path, version) as nas:
        create_again_and_change(nas, NUMBERS.get(version, 12), monkeypatch)


def create_again_and_change(nas: Double, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = session._parse

    def parse(text: str) -> t.Any:
        message = real(text)
        seen.append(message["method"])
        return message

    monkeypatch.setattr(session, "_parse", parse)
    # By SCRAM a log-in takes a second message.
    log_in = 2 if nas.mw.version >= "26" else 1
    args = {"datasets": [{"name": f"tank/d{number:03}", **TEN} for number in range(count)]}
    done = nas.run(truenas_dataset, args)
    assert done["changed"] is True and len(done["datasets"]) == count
    assert seen.count("auth.login_ex") == log_in and seen.count("pool.dataset.create") == count
    assert len(seen) - log_in <= 2 + count, "one look before, the writes, one look after"
    seen.clear()
    assert nas.run(truenas_dataset, args)["changed"] is False
    assert len(seen) == log_in + 1 <= 3, "whatever the number"
    seen.clear()
    args["datasets"][7]["quota"] = "3G"
    assert nas.run(truenas_dataset, args)["diff"]["after"] == {"tank/d007.quota": 3 * 1024**3}
    assert len(seen) == log_in + 3
