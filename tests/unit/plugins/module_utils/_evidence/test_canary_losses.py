"""A series that lives on: losses of earlier disasters, acknowledgements at destinations, and writers that must not meet."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary, canary_read, canary_shared, stores
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary_write as writing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import utc_now
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import Destination, DirectoryDestination

from helpers.evidence import HMAC_KEY

SERIES = "lab"
KEY = "lab/canaries/lab/canary-files.jsonl"


class Platform:
    """A dataset that can be rolled back, and the acknowledgements of a controller."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.dataset = directory / "dataset"
        self.dataset.mkdir()
        self.controller = directory / "controller"
        self.controller.mkdir()
        self.store = stores.FileStore("files", "files", str(self.dataset))
        self.file = self.dataset / "canary" / f"{SERIES}.jsonl"

    @property
    def log(self) -> canary.AckLog:
        return canary.AckLog(str(self.controller), "files", SERIES)

    def write(self, count: int) -> writing.Writer:
        writer = writing.Writer(self.store, self.log, HMAC_KEY)
        for _number in range(count):
            writer.write_one()
        return writer

    def back_to(self, count: int) -> str:
        """Bring the dataset back as it was after *count* lines; return the moment of the disaster."""
        lines = self.file.read_bytes().split(b"\n")[:count]
        self.file.write_bytes(b"".join(line + b"\n" for line in lines))
        return utc_now()

    def judge(self, disaster_at: str, minimum: int = 0) -> dict[str, t.Any]:
        return canary_read.read_store(self.store, self.log, HMAC_KEY, disaster_at, minimum)

    def settle(self, disaster_at: str) -> bool:
        return canary_read.accept_loss(self.log, self.judge(disaster_at), disaster_at)


@pytest.fixture
def platform(tmp_path: pathlib.Path) -> Platform:
    return Platform(tmp_path)


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> DirectoryDestination:
    (tmp_path / "nas").mkdir()
    return DirectoryDestination("nas", str(tmp_path / "nas"))


def test_series_goes_on_behind_what_a_disaster_took(platform: Platform) -> None:
    platform.write(5)
    disaster = platform.back_to(3)
    assert platform.judge(disaster)["lost"] == 2
    assert platform.settle(disaster) and not platform.settle(disaster)
    assert platform.log.load().losses == [canary.Loss(4, 5, disaster)]
    platform.write(2)
    again = platform.judge(utc_now(), minimum=7)
    assert (again["verdict"], again["recovered"], again["lost"], again["missing"], again["newest_recovered"]) == ("verified", 5, 0, [], 7)


def test_loss_that_was_written_down_is_still_this_disaster_s(platform: Platform) -> None:
    platform.write(5)
    disaster = platform.back_to(3)
    platform.settle(disaster)
    assert platform.judge(disaster)["lost"] == 2


def test_without_that_the_gap_is_missed(platform: Platform) -> None:
    platform.write(5)
    platform.back_to(3)
    platform.write(1)
    found = platform.judge(utc_now())
    assert (found["verdict"], found["missing"]) == ("failed", [4, 5])
    assert not platform.settle(utc_now())


def test_rebuild_from_a_point_before_the_last_loss_is_a_prefix_too(platform: Platform) -> None:
    platform.write(5)
    platform.settle(platform.back_to(3))
    platform.write(4)
    disaster = platform.back_to(2)
    found = platform.judge(disaster)
    assert (found["verdict"], found["recovered"], found["lost"]) == ("verified", 2, 5)  # 3 and 6 to 9; 4 and 5 were lost before
    assert platform.settle(disaster)
    platform.write(1)
    assert platform.judge(utc_now())["verdict"] == "verified"


def test_lost_record_that_comes_back_is_no_phantom(platform: Platform) -> None:
    platform.write(5)
    whole = platform.file.read_bytes()
    platform.settle(platform.back_to(3))
    platform.file.write_bytes(whole)
    found = platform.judge(utc_now())
    assert (found["verdict"], found["recovered"], found["phantom"]) == ("verified", 5, 0)


def test_file_may_be_begun_anew_when_everything_in_it_is_lost(platform: Platform) -> None:
    platform.write(2)
    platform.log.add_loss(canary.Loss(1, 2, None), utc_now())
    platform.file.unlink()
    assert platform.write(1).errors == 0
    assert platform.judge(utc_now())["newest_recovered"] == 3


def test_check_mode_says_that_there_is_a_loss_and_writes_nothing(platform: Platform) -> None:
    platform.write(2)
    disaster = platform.back_to(1)
    assert canary_read.accept_loss(platform.log, platform.judge(disaster), disaster, write=False)
    assert platform.log.load().losses == []


def test_series_that_the_store_holds_and_nobody_acknowledged_is_not_begun_anew(platform: Platform) -> None:
    platform.write(2)
    (platform.controller / "canary-files.jsonl").unlink()
    writer = platform.write(1)
    assert writer.errors == 1 and "holds records of the series" in writer.last_error
    assert len(platform.file.read_bytes().splitlines()) == 2


def test_place_of_a_store_that_is_gone_is_left_empty(platform: Platform) -> None:
    writer = writing.Writer(platform.store, platform.log, HMAC_KEY, may_begin=False)
    writer.write_one()
    assert writer.errors == 1 and "is not begun in the store 'files'" in writer.last_error
    assert list(platform.dataset.iterdir()) == [] and platform.log.load().intents == set()
    platform.write(1)
    writer = writing.Writer(platform.store, platform.log, HMAC_KEY, may_begin=False)
    writer.write_one()
    assert writer.known.last == 2


def test_acknowledgements_that_end_too_early_could_not_verify(platform: Platform) -> None:
    platform.write(3)
    log = platform.controller / "canary-files.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:4]))
    found = platform.judge(utc_now(), minimum=3)
    assert found["verdict"] == "could_not_verify" and "end with record 2, but the backup is known to hold 3" in found["reason"]
    assert platform.judge(utc_now())["verdict"] == "failed"  # without that knowledge, record 3 is one that nobody wrote


def test_incomplete_acknowledgements_do_not_hide_a_forged_record(platform: Platform) -> None:
    platform.write(3)
    platform.file.write_bytes(platform.file.read_bytes().replace(b'"mac":"', b'"mac":"0'))
    assert platform.judge(utc_now(), minimum=9)["verdict"] == "failed"


def test_record_written_while_the_store_is_read_is_no_phantom(platform: Platform) -> None:
    platform.write(2)

    class Busy(stores.FileStore):
        def read(self, series: str) -> list[stores.Line | None]:
            platform.write(1)
            return super().read(series)

    found = canary_read.read_store(Busy("files", "files", str(platform.dataset)), platform.log, HMAC_KEY, utc_now())
    assert (found["verdict"], found["recovered"], found["acknowledged"]) == ("verified", 3, 2)


def test_empty_controller_gets_the_acknowledgements_from_a_destination(platform: Platform, nas: Destination) -> None:
    platform.write(3)
    done, problems = canary_shared.push([platform.log], [nas], "lab")
    assert done == [{"destination": "nas", "keys": [KEY]}] and problems == []
    path = platform.controller / "canary-files.jsonl"
    before = path.read_bytes()
    path.unlink()
    assert canary_shared.pull([platform.log], [nas], "lab", write=False) == (6, []) and not path.exists()
    assert canary_shared.pull([platform.log], [nas], "lab") == (6, [])
    assert path.read_bytes() == before
    assert canary_shared.pull([platform.log], [nas], "lab") == (0, [])


def test_copy_at_a_destination_never_gets_fewer_lines(platform: Platform, nas: Destination, tmp_path: pathlib.Path) -> None:
    platform.write(3)
    canary_shared.push([platform.log], [nas], "lab")
    path = platform.controller / "canary-files.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    canary_shared.push([platform.log], [nas], "lab")
    assert platform.log.load().last == 3
    assert len((tmp_path / "nas" / KEY).read_bytes().splitlines()) == 6


def test_other_series_and_torn_lines_are_neither_pushed_nor_pulled(platform: Platform, nas: Destination, tmp_path: pathlib.Path) -> None:
    platform.write(1)
    other = canary.AckLog(str(platform.controller), "files", "drill-1")
    other.append(b'{"kind":"ack","series":"drill-1","sequence":1,"time":"x"}\n')
    canary_shared.push([platform.log], [nas], "lab")
    copy = tmp_path / "nas" / KEY
    assert {json.loads(line)["series"] for line in copy.read_bytes().splitlines()} == {SERIES}
    copy.write_bytes(copy.read_bytes() + b'no json\n[1]\n{"series":"lab"}\n{"kind":"ack","series":"lab","sequence":9,"time":"')
    assert canary_shared.pull([platform.log], [nas], "lab") == (0, [])


def test_destination_that_is_down_is_named_and_the_others_are_used(platform: Platform, nas: Destination, tmp_path: pathlib.Path) -> None:
    platform.write(1)
    gone = DirectoryDestination("gone", str(tmp_path / "gone"))
    done, problems = canary_shared.push([platform.log], [gone, nas], "lab")
    assert [item["destination"] for item in done] == ["nas"] and problems[0].startswith("gone: ")
    added, problems = canary_shared.pull([platform.log], [gone, nas], "lab")
    assert added == 0 and len(problems) == 1
    with pytest.raises(NotFound):
        gone.check()


def test_background_writer_does_something_meanwhile(platform: Platform) -> None:
    calls: list[int] = []
    writer = writing.Writer(platform.store, platform.log, HMAC_KEY)
    assert not writing.write_until_stopped([writer], str(platform.controller), 0.05, 0.7, lambda: calls.append(1), every=0.1)
    assert len(calls) >= 2 and len(writer.written) >= 3


def test_stop_file_says_who_stopped(platform: Platform) -> None:
    assert writing.stopped_by(str(platform.controller)) is None
    (platform.controller / writing.STOP_NAME).write_text("the dr_rebuild lab-1\n")
    assert writing.stopped_by(str(platform.controller)) == "the dr_rebuild lab-1"
    (platform.controller / writing.STOP_NAME).write_text("")
    assert writing.stopped_by(str(platform.controller)) == "an empty file"


def test_lock_is_waited_for(tmp_path: pathlib.Path) -> None:
    first, second = writing.OneWriter(str(tmp_path)), writing.OneWriter(str(tmp_path))
    assert first.take_soon(0.1) and not second.take_soon(0.25)
    first.release()
    assert second.take_soon(1)
    second.release()
