"""Who works on a run: the live one is left alone, the dead one is taken over."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import lock, records


@pytest.fixture
def other() -> t.Iterator[subprocess.Popen[bytes]]:
    """A process that is not this one, called ansible-playbook."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "ansible-playbook"])
    yield process
    process.kill()
    process.wait()


def note(run_dir: pathlib.Path, **changes: t.Any) -> None:
    (run_dir / lock.LOCK_NAME).write_text(json.dumps({**lock.myself(), **changes}))


def started(pid: int) -> int:
    stat = lock._stat(pid)
    assert stat is not None
    return stat[1]


def test_without_a_note_nobody_holds_it(tmp_path: pathlib.Path) -> None:
    lock.check(str(tmp_path))


def test_own_note_is_no_obstacle(tmp_path: pathlib.Path) -> None:
    lock.take(str(tmp_path))
    lock.check(str(tmp_path))
    lock.release(str(tmp_path))
    lock.release(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_live_process_is_left_alone_and_named(tmp_path: pathlib.Path, other: subprocess.Popen[bytes]) -> None:
    note(tmp_path, pid=other.pid, started=started(other.pid))
    with pytest.raises(lock.RunLocked, match=f"process {other.pid} on "):
        lock.check(str(tmp_path))


def test_dead_process_is_taken_over(tmp_path: pathlib.Path, other: subprocess.Popen[bytes]) -> None:
    note(tmp_path, pid=other.pid, started=started(other.pid))
    other.kill()
    other.wait()
    lock.check(str(tmp_path))


def test_other_process_with_the_same_number_is_not_taken_for_it(tmp_path: pathlib.Path, other: subprocess.Popen[bytes]) -> None:
    note(tmp_path, pid=other.pid, started=started(other.pid) - 1)
    lock.check(str(tmp_path))


def test_machine_that_was_restarted_holds_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / records.LOG_NAME).write_text("")
    note(tmp_path, pid=1, boot_id="another")
    lock.check(str(tmp_path))


def test_other_machine_counts_as_alive_while_its_log_grows(tmp_path: pathlib.Path) -> None:
    log = tmp_path / records.LOG_NAME
    log.write_text("")
    note(tmp_path, host="elsewhere", boot_id="another")
    with pytest.raises(lock.RunLocked, match="on elsewhere since"):
        lock.check(str(tmp_path))
    long_ago = time.time() - lock.SILENT_SECONDS - 1
    os.utime(log, (long_ago, long_ago))
    lock.check(str(tmp_path))


def test_other_machine_without_a_log_holds_nothing(tmp_path: pathlib.Path) -> None:
    note(tmp_path, host="elsewhere", boot_id="another")
    lock.check(str(tmp_path))


def test_damaged_note_holds_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / lock.LOCK_NAME).write_text("{")
    lock.check(str(tmp_path))


def test_name_of_a_play_among_the_arguments_makes_no_play(other: subprocess.Popen[bytes]) -> None:
    assert not lock._is_play(other.pid)  # its name is not in the place of a program
    assert not lock._is_play(2**22 + 1)
    assert lock.find_play() == os.getppid() or lock._is_play(lock.find_play())


def test_play_is_the_first_of_its_forks(tmp_path: pathlib.Path) -> None:
    """A play forks workers with its own command line, and a worker starts the module through a shell."""
    play = tmp_path / "ansible-playbook"
    module = tmp_path / "module.py"
    module.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder\n"
        "_AnsibleCollectionFinder(paths=[sys.argv[1]])._install()\n"
        "from ansible_collections.resilient.platform.plugins.module_utils._evidence import lock\n"
        "print(lock.find_play())\n"
    )
    play.write_text(
        "import os, subprocess, sys\n"
        "print(os.getpid(), flush=True)\n"
        "if os.fork() == 0:\n"
        f"    os._exit(subprocess.call(['/bin/sh', '-c', '{sys.executable} {module} ' + sys.argv[1] + ' && true']))\n"
        "os.wait()\n"
    )
    collections = os.environ["ANSIBLE_COLLECTIONS_PATH"].split(":")[0]
    done = subprocess.run([sys.executable, str(play), collections], check=True, capture_output=True, text=True)
    own, found = done.stdout.split()
    assert own == found


def test_note_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> t.NoReturn:
        raise OSError(2, path)

    monkeypatch.setattr(lock, "_stat", lambda pid: None)
    monkeypatch.setattr(os, "readlink", refuse)
    mine = lock.myself()
    assert mine["started"] == 0 and mine["pid_namespace"] == ""
