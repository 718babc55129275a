"""Canaries into a real file store: what came back is told apart from what was lost, forged, missing or never written."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import time
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary, canary_read, canary_write, stores
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, format_time, parse_time, utc_now

from helpers.evidence import HMAC_KEY

SERIES = "s1"


class Place:
    """A run directory, a store, and a writer."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.run_dir = directory / "run"
        self.dataset = directory / "dataset"
        self.run_dir.mkdir()
        self.dataset.mkdir()
        self.store = stores.FileStore("files", "data", str(self.dataset))
        self.file = self.dataset / "canary" / f"{SERIES}.jsonl"

    def writer(self) -> canary_write.Writer:
        return canary_write.Writer(self.store, self.log(), HMAC_KEY)

    def log(self) -> canary.AckLog:
        return canary.AckLog(str(self.run_dir), "files", SERIES)

    def write(self, count: int) -> canary_write.Writer:
        writer = self.writer()
        for _number in range(count):
            writer.write_one()
        return writer

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().split(b"\n")[:-1]

    def put(self, lines: t.Sequence[bytes], end: bytes = b"\n") -> None:
        self.file.write_bytes(b"\n".join(lines) + end)

    def judge(self, disaster_at: str | None = None, minimum: int = 0) -> dict[str, t.Any]:
        return canary_read.read_store(self.store, self.log(), HMAC_KEY, disaster_at, minimum)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    return Place(tmp_path)


def after(text: str, seconds: float) -> str:
    return format_time(parse_time(text).fromtimestamp(parse_time(text).timestamp() + seconds, parse_time(text).tzinfo))


def test_everything_recovered_is_verified(place: Place) -> None:
    newest = place.write(5).as_result()["newest"]
    found = place.judge(after(newest["time"], 2.0))
    assert (found["verdict"], found["recovered"], found["acknowledged"], found["lost"], found["phantom"]) == ("verified", 5, 5, 0, 0)
    assert found["rpo_seconds"] == pytest.approx(2.0, abs=0.01) and found["asset"] == "data" and len(found["acknowledgements_sha256"]) == 64


def test_prefix_is_verified_and_the_rest_is_the_loss(place: Place) -> None:
    place.write(5)
    times = [json.loads(line)["time"] for line in place.lines()]
    place.put(place.lines()[:3])
    found = place.judge(after(times[4], 1.0))
    assert (found["verdict"], found["recovered"], found["lost"], found["newest_recovered"], found["newest_acknowledged"]) == ("verified", 3, 2, 3, 5)
    assert found["rpo_seconds"] > 1.0


def test_what_was_acknowledged_after_the_disaster_is_not_lost(place: Place) -> None:
    place.write(4)
    third = json.loads(place.lines()[2])["time"]
    place.put(place.lines()[:2])
    assert place.judge(third)["lost"] == 1


def test_newest_after_the_disaster_is_no_negative_loss(place: Place) -> None:
    place.write(2)
    assert place.judge("2020-01-01T00:00:00Z")["rpo_seconds"] == 0


@pytest.mark.parametrize("number", [1, 2, 4])
def test_missing_record_is_named(place: Place, number: int) -> None:
    place.write(5)
    lines = place.lines()
    del lines[number - 1]
    place.put(lines)
    found = place.judge(utc_now())
    assert found["verdict"] == "failed" and f"record {number} missing" in found["reason"] and found["missing"] == [number]


@pytest.mark.parametrize(
    "change",
    [
        lambda record: {**record, "time": "2026-01-01T00:00:00.000000Z"},
        lambda record: {**record, "mac": "0" * 64},
        lambda record: {**record, "store": "other"},
        lambda record: {**record, "series": "s2"},
        lambda record: {key: value for key, value in record.items() if key != "mac"},
    ],
)
def test_forged_record_is_named(place: Place, change: t.Callable[[dict[str, t.Any]], dict[str, t.Any]]) -> None:
    place.write(3)
    lines = place.lines()
    lines[1] = canonical(change(json.loads(lines[1])))
    place.put(lines)
    found = place.judge(utc_now())
    assert found["verdict"] == "failed" and "record 2 forged" in found["reason"]


def test_record_without_a_number_is_forged(place: Place) -> None:
    place.write(1)
    place.put([*place.lines(), b'{"sequence":"2"}'])
    assert place.judge(utc_now())["forged"] == 1


def test_record_with_a_good_mac_that_nobody_wrote_is_a_phantom(place: Place) -> None:
    place.write(3)
    place.put([*place.lines(), canonical(canary.make(SERIES, "files", 4, HMAC_KEY))])
    found = place.judge(utc_now())
    assert found["verdict"] == "failed" and found["phantom"] == 1 and "record 4 never written" in found["reason"]


def test_wrong_key_makes_every_record_forged(place: Place) -> None:
    place.write(8)
    found = canary_read.read_store(place.store, place.log(), b"another key of enough bytes", utc_now())
    assert found["verdict"] == "failed" and "records 1, 2, 3, 4, 5 and more forged" in found["reason"]


def test_everything_lost_fails(place: Place) -> None:
    place.write(3)
    place.file.unlink()
    found = place.judge(utc_now())
    assert found["verdict"] == "failed" and found["lost"] == 3 and "no record was recovered" in found["reason"] and found["rpo_seconds"] is None


def test_less_than_the_backup_held_fails(place: Place) -> None:
    place.write(5)
    place.put(place.lines()[:2])
    assert place.judge(utc_now(), minimum=2)["verdict"] == "verified"
    assert "the backup held 3" in place.judge(utc_now(), minimum=3)["reason"]


def test_nothing_acknowledged_could_not_verify(place: Place) -> None:
    found = place.judge(utc_now())
    assert found["verdict"] == "could_not_verify" and found["acknowledgements_sha256"] is None


def test_store_that_cannot_be_read_could_not_verify(place: Place) -> None:
    place.write(2)
    os.rename(place.dataset, place.dataset.with_name("away"))
    found = place.judge(utc_now())
    assert found["verdict"] == "could_not_verify" and found["lost"] is None and "does not exist" in found["reason"]


def test_unacknowledged_record_behind_the_prefix_is_no_phantom(place: Place) -> None:
    place.write(2)
    record = canary.make(SERIES, "files", 3, HMAC_KEY)
    place.log().add("intent", record)
    place.store.write(SERIES, record, first=False)
    found = place.judge(utc_now())
    assert (found["verdict"], found["unacknowledged"], found["recovered"], found["lost"]) == ("verified", 1, 3, 0)
    # The next writer tries the same number again: both are known.
    place.write(1)
    found = place.judge(utc_now())
    assert (found["verdict"], found["recovered"], found["acknowledged"]) == ("verified", 3, 3)


def test_line_torn_by_a_kill_is_neither_missing_nor_forged(place: Place) -> None:
    place.write(2)
    record = canary.make(SERIES, "files", 3, HMAC_KEY)
    place.log().add("intent", record)
    with place.file.open("ab") as handle:
        handle.write(canonical(record)[:30])
    assert place.judge(utc_now())["verdict"] == "verified"
    place.write(2)
    found = place.judge(utc_now())
    assert (found["verdict"], found["recovered"]) == ("verified", 4)


def test_unreadable_lines_beyond_that_fail(place: Place) -> None:
    place.write(2)
    place.put([b"garbage", b"[1]", *place.lines()])
    assert "2 entries that cannot be read" in place.judge(utc_now())["reason"]


def test_torn_acknowledgement_counts_as_not_written(place: Place) -> None:
    place.write(3)
    log = pathlib.Path(place.log().path)
    log.write_bytes(log.read_bytes()[:-5])
    assert place.log().load().last == 2
    found = place.judge(utc_now())
    assert (found["verdict"], found["unacknowledged"]) == ("verified", 1)
    place.write(1)
    assert place.log().load().last == 3 and place.judge(utc_now())["verdict"] == "verified"


def test_other_series_and_strange_lines_in_the_log_are_left_out(place: Place) -> None:
    place.write(1)
    with open(place.log().path, "ab") as handle:
        handle.write(b'nonsense\n{"series":"s2","kind":"ack","sequence":9,"time":"x"}\n')
    assert place.log().load().last == 1


def test_dataset_that_vanished_is_not_begun_anew(place: Place) -> None:
    writer = place.write(2)
    place.file.unlink()
    (place.dataset / "canary").rmdir()
    writer.write_one()
    assert writer.errors == 1 and "is gone" in writer.last_error and not (place.dataset / "canary").exists()
    os.rename(place.dataset, place.dataset.with_name("away"))
    writer.write_one()
    assert writer.errors == 2 and not place.dataset.exists()


def test_other_file_system_at_the_same_path_is_an_error(place: Place) -> None:
    writer = place.write(1)
    place.store._device = -1
    writer.write_one()
    assert "another file system" in writer.last_error


def test_store_that_comes_back_goes_on_with_the_next_number(place: Place) -> None:
    writer = place.write(2)
    os.rename(place.dataset, place.dataset.with_name("away"))
    writer.write_one()
    os.rename(place.dataset.with_name("away"), place.dataset)
    writer.write_one()
    assert (writer.errors, writer.known.last) == (1, 3) and place.judge(utc_now())["verdict"] == "verified"


def test_short_write_is_an_error_and_no_acknowledgement(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = place.write(1)

    def refuse(path: str, line: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place.store, "_append", refuse)
    writer.write_one()
    assert "No space left" in writer.last_error and writer.known.last == 1


def test_unreadable_file_is_a_store_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(1)
    place.file.unlink()
    place.file.mkdir()
    assert place.judge(utc_now())["verdict"] == "could_not_verify"


def test_two_stores_are_written_at_the_same_time_until_the_stop_file(tmp_path: pathlib.Path) -> None:
    place = Place(tmp_path)
    hanging = HangingStore()
    writers = [place.writer(), canary_write.Writer(hanging, canary.AckLog(str(place.run_dir), "slow", SERIES), HMAC_KEY)]
    thread = threading.Thread(target=lambda: (time.sleep(0.5), (place.run_dir / canary_write.STOP_NAME).touch()))
    thread.start()
    assert canary_write.write_until_stopped(writers, str(place.run_dir), 0.02, 30)
    thread.join()
    assert len(writers[0].written) >= 5 and len(writers[1].written) <= 3


class HangingStore:
    name = asset = "slow"

    def write(self, series: str, record: dict[str, t.Any], *, first: bool) -> None:
        time.sleep(0.3)

    def read(self, series: str) -> list[dict[str, t.Any] | None]:
        return []


def test_writing_ends_by_itself(place: Place) -> None:
    assert not canary_write.write_until_stopped([place.writer()], str(place.run_dir), 0.05, 0.2)


def test_interval_is_kept(place: Place) -> None:
    now = [0.0]
    writer = place.writer()
    times: list[float] = []
    writer.write_one = lambda: times.append(now[0])  # type: ignore[method-assign]
    writer.keep_writing(1.0, lambda: now[0] > 3.5, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert times == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_one_writer_for_a_run(tmp_path: pathlib.Path) -> None:
    first, second = canary_write.OneWriter(str(tmp_path)), canary_write.OneWriter(str(tmp_path))
    assert first.take() and not second.take()
    first.release()
    assert second.take()
    second.release()


@pytest.mark.parametrize("content", [b"", b"  short  \n"])
def test_short_key_is_refused(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(Refused, match="shorter than 16"):
        canary.load_key(str(tmp_path / "key"))


def test_key_is_read_without_white_space(tmp_path: pathlib.Path) -> None:
    (tmp_path / "key").write_bytes(HMAC_KEY + b"\n")
    assert canary.load_key(str(tmp_path / "key")) == HMAC_KEY
    with pytest.raises(Refused, match="Cannot read"):
        canary.load_key(str(tmp_path / "absent"))


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".x"])
def test_unusable_series_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(Refused):
        canary.AckLog(str(tmp_path), "files", name)


def test_verdict_over_all_stores() -> None:
    def of(*verdicts: str) -> str:
        return canary_read.overall({str(number): {"verdict": verdict} for number, verdict in enumerate(verdicts)})

    assert of("verified", "verified") == "verified"
    assert of("verified", "could_not_verify") == "could_not_verify" == of()
    assert of("could_not_verify", "failed") == "failed"


def test_skew_between_stores() -> None:
    times = {"a": "2026-11-21T05:00:00Z", "b": "2026-11-21T05:00:02.5Z", "c": None}
    assert canary_read.skew_seconds({name: {"newest_recovered_at": moment} for name, moment in times.items()}) == 2.5
    assert canary_read.skew_seconds({"a": {"newest_recovered_at": times["a"]}}) is None
