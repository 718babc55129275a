"""Tasks: one poller for several threads, failure at the first look."""

from __future__ import annotations

import concurrent.futures
import threading
import time
import typing as t

import pytest
from helpers import proxmox
from helpers.proxmox import Wire, get, task, upid

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, ConnectionFailed, PermissionDenied, TaskFailed, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import CertificateRejected
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller

# The fixture; pytest finds it by its name.
wire = proxmox.wire

ONE = upid("qmstart", 100)
STATUS = f"nodes/pve1/tasks/{ONE}/status"


@pytest.fixture
def poller(wire: Wire) -> TaskPoller:
    client = ProxmoxClient(Connection(host="h", token_id="a", token_secret="b"))
    return TaskPoller(client, clock=lambda: 0.0, sleep=lambda _seconds: None)


def test_task_is_polled_until_it_has_ended(wire: Wire, poller: TaskPoller) -> None:
    wire.expect(get(STATUS, {"status": "running"}, times=3), task("qmstart", 100))
    assert poller.wait(ONE, what="Starting", deadline=10) == "OK"


def test_warnings_are_success(wire: Wire, poller: TaskPoller) -> None:
    wire.expect(task("qmstart", 100, "WARNINGS: 1"))
    assert poller.wait(ONE, what="Starting", deadline=10) == "WARNINGS: 1"


@pytest.mark.parametrize("answer", [None, "", 7])
def test_write_that_has_ended_already_needs_no_poll(poller: TaskPoller, answer: t.Any) -> None:
    assert poller.wait(answer, what="Configuring", deadline=10) == "OK"


def test_failed_task_fails_at_the_first_look_with_its_last_lines(wire: Wire, poller: TaskPoller) -> None:
    lines = [{"n": n, "t": f"line {n}"} for n in range(1, 31)]
    wire.expect(task("qmstart", 100, "start failed: no space"), get(f"nodes/pve1/tasks/{ONE}/log", lines))
    with pytest.raises(TaskFailed, match="Starting web-1 failed: start failed: no space") as caught:
        poller.wait(ONE, what="Starting web-1", deadline=10)
    assert caught.value.log == [f"line {n}" for n in range(11, 31)]
    assert caught.value.as_result()["error"]["log"][-1] == "line 30"


def test_failed_task_without_a_log_fails_all_the_same(wire: Wire, poller: TaskPoller) -> None:
    wire.expect(task("qmstart", 100, "boom"), get(f"nodes/pve1/tasks/{ONE}/log", status=403, reason="Permission check failed"))
    with pytest.raises(TaskFailed) as caught:
        poller.wait(ONE, what="Starting", deadline=10)
    assert "could not be read" in caught.value.log[0]


def test_task_that_the_server_does_not_know_yet_is_asked_again(wire: Wire, poller: TaskPoller) -> None:
    wire.expect(get(STATUS, status=400, reason="Parameter verification failed.", errors={"upid": "no such task"}), task("qmstart", 100))
    assert poller.wait(ONE, what="Starting", deadline=10) == "OK"


def test_error_while_polling_is_raised(wire: Wire, poller: TaskPoller) -> None:
    wire.expect(get(STATUS, status=403, reason="Permission check failed (/nodes/pve1, Sys.Audit)"))
    with pytest.raises(ApiError, match="Sys.Audit"):
        poller.wait(ONE, what="Starting", deadline=10)


def test_task_that_does_not_end_is_given_up_with_its_id(wire: Wire) -> None:
    now = [0.0]
    client = ProxmoxClient(Connection(host="h", token_id="a", token_secret="b"))

    def sleep(seconds: float) -> None:
        now[0] += max(seconds, 1.0)

    wire.expect(get(STATUS, {"status": "running"}, times=5))
    with pytest.raises(WaitTimeout, match="still running") as caught:
        TaskPoller(client, clock=lambda: now[0], sleep=sleep).wait(ONE, what="Starting", deadline=5)
    assert caught.value.details["upid"] == ONE


def test_several_tasks_of_a_node_share_one_list() -> None:
    ids = [upid("qmclone", 9000, number) for number in (1, 2, 3)]
    together = threading.Barrier(3, timeout=10)
    asked: list[str] = []

    class Client:
        """Nothing ends before all three wait; then the list shows each as running twice."""

        def get(self, path: str, **_params: t.Any) -> t.Any:
            asked.append(path)
            if path == "nodes/pve1/tasks":
                looks = asked.count(path)
                return [{"upid": one, "status": "RUNNING"} for one in ids] if looks < 3 else [{"upid": ids[0], "status": "OK", "endtime": 5}]
            return {"status": "stopped", "exitstatus": "OK"} if asked.count("nodes/pve1/tasks") >= 3 else {"status": "running"}

    shared = TaskPoller(t.cast(t.Any, Client()), sleep=lambda _seconds: time.sleep(0.05))

    def wait(one: str) -> str:
        together.wait()
        return shared.wait(one, what="Cloning", deadline=time.monotonic() + 10)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(pool.map(wait, ids))
    assert results == ["OK"] * 3
    alone = asked[: asked.index("nodes/pve1/tasks")]
    assert len(asked) - len(alone) == 3 + 2, "three looks at the list; the one that it calls done is believed, those that it has lost are asked"


class Scripted:
    """A client whose answers are a list; an exception is raised."""

    def __init__(self, *answers: t.Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def get(self, path: str, **_params: t.Any) -> t.Any:
        self.asked.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_task_outlives_a_connection_that_breaks_while_it_runs() -> None:
    lost = ConnectionFailed("No answer"), ConnectionFailed("No answer", status=596)
    client = Scripted({"status": "running"}, *lost, {"status": "stopped", "exitstatus": "OK"})
    poller = TaskPoller(t.cast(t.Any, client), sleep=lambda _seconds: None)
    assert poller.wait(upid("qmclone", 9000), what="Cloning", deadline=time.monotonic() + 10) == "OK"
    assert len(client.asked) == 4


def test_task_that_nobody_can_be_asked_about_in_time_says_so() -> None:
    now = iter(range(100))
    client = Scripted(*[ConnectionFailed("No answer from the node.")] * 20)
    poller = TaskPoller(t.cast(t.Any, client), sleep=lambda _seconds: None, clock=lambda: float(next(now)))
    with pytest.raises(WaitTimeout, match="Cloning: nothing is known of the task: No answer from the node"):
        poller.wait(upid("qmclone", 9000), what="Cloning", deadline=9.0)


def test_lost_privilege_or_foreign_certificate_ends_the_wait_at_once() -> None:
    for error in (PermissionDenied("no", status=403), CertificateRejected("expired")):
        client = Scripted(error)
        with pytest.raises(type(error)):
            TaskPoller(t.cast(t.Any, client), sleep=lambda _seconds: None).wait(upid("qmclone", 9000), what="x", deadline=time.monotonic() + 10)


def test_failure_in_the_list_is_confirmed_and_shows_the_log() -> None:
    ids = [upid("qmclone", 9000, number) for number in (1, 2)]
    together = threading.Barrier(2, timeout=10)

    class Client:
        connection = Connection(host="pve.example.com")

        def get(self, path: str, **_params: t.Any) -> t.Any:
            if path == "nodes/pve1/tasks":
                return [{"upid": ids[0], "status": "no space left", "endtime": 5}, {"upid": ids[1], "status": "OK", "endtime": 5}]
            if path.endswith("/log"):
                return [{"n": number, "t": f"line {number}"} for number in range(30)]
            return {"status": "stopped", "exitstatus": "no space left on device"} if ids[0] in path else {"status": "running"}

    poller = TaskPoller(t.cast(t.Any, Client()), sleep=lambda _seconds: time.sleep(0.01))

    def wait(one: str) -> str:
        together.wait()
        return poller.wait(one, what="Cloning", deadline=time.monotonic() + 10)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(wait, one) for one in ids)
        assert second.result() == "OK"
        with pytest.raises(TaskFailed, match="no space left on device") as caught:
            first.result()
    assert caught.value.log == [f"line {number}" for number in range(10, 30)]
