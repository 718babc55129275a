from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
    Refused,
    TaskFailed,
    WaitTimeout,
)
from ansible_collections.resilient.platform.plugins.module_utils._truenas.errors import (
    CredentialExpired,
    MethodMissing,
    OtpRequired,
    StandbyNode,
    errors_by_field,
)
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Lost
from ansible_collections.resilient.platform.plugins.module_utils._truenas.wire import Job, from_ejson
from helpers.truenas import KEY, METHOD_MISSING, WATCH, Server, Step, call_error, job_update, login, validation_error

EBUSY = call_error(16, "EBUSY", "Rate Limit Exceeded")


def test_logs_in_once_for_many_calls() -> None:
    server = Server(Step("system.info", [], {"version": "25.10.2"}), Step("pool.query", [[], {}], []))
    client = server.client()
    assert client.call("system.info") == {"version": "25.10.2"}
    assert client.query("pool") == []
    server.finished()
    assert (client.logins, client.calls, server.connections) == (1, 3, 1)


def test_password_login_when_there_is_no_key() -> None:
    data = {"mechanism": "PASSWORD_PLAIN", "username": "automation", "password": "secret", "login_options": {"user_info": False}}
    server = Server(Step("auth.login_ex", [data], {"response_type": "SUCCESS"}), Step("core.ping", [], "pong"), session=False)
    assert server.client(api_key="", password="secret").call("core.ping") == "pong"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ({"response_type": "AUTH_ERR"}, AuthenticationError),
        ({"response_type": "DENIED"}, PermissionDenied),
        ({"response_type": "EXPIRED"}, CredentialExpired),
        ({"response_type": "OTP_REQUIRED", "username": "automation"}, OtpRequired),
        ({"response_type": "REDIRECT", "urls": ["https://10.0.0.2"]}, StandbyNode),
        ({"response_type": "SCRAM_RESPONSE"}, AuthenticationError),
        (None, AuthenticationError),
    ],
)
def test_refused_login_is_a_typed_error_without_the_key(reply: t.Any, error: type[ApiError]) -> None:
    server = Server(Step("auth.login_ex", result=reply), session=False)
    with pytest.raises(error) as caught:
        server.client().call("core.ping")
    assert caught.type is error
    assert KEY not in str(caught.value.as_result())
    assert server.closed == 1


def test_standby_says_where_to_go() -> None:
    server = Server(login("REDIRECT", urls=["https://10.0.0.2"]), session=False)
    with pytest.raises(StandbyNode, match=r"https://10\.0\.0\.2") as caught:
        server.client().call("core.ping")
    assert caught.value.details["urls"] == ["https://10.0.0.2"]


def test_too_many_logins_are_waited_out_on_new_connections() -> None:
    busy = Step("auth.login_ex", error=EBUSY)
    server = Server(busy, busy, login(), Step("core.ping", [], "pong"), session=False)
    assert server.client().call("core.ping") == "pong"
    assert server.connections == 3
    assert server.slept == [1.0, 1.0]


def test_too_many_logins_for_too_long_is_an_error() -> None:
    server = Server(*[Step("auth.login_ex", error=EBUSY)] * 400, session=False)
    with pytest.raises(ConnectionFailed, match="too many log-ins"):
        server.client().call("core.ping")
    assert 300 <= server.now < 310


def test_another_error_at_login_is_not_waited_out() -> None:
    server = Server(Step("auth.login_ex", error=call_error(95, "EOPNOTSUPP", "API keys are refused")), session=False)
    with pytest.raises(ApiError, match="EOPNOTSUPP"):
        server.client().call("core.ping")


def test_connection_lost_at_login() -> None:
    server = Server(Step("auth.login_ex", lost=True), session=False)
    with pytest.raises(ConnectionFailed, match="broke during auth.login_ex"):
        server.client().call("core.ping")


def test_plaintext_to_another_machine_is_refused_before_connecting() -> None:
    server = Server()
    with pytest.raises(Refused, match="plaintext"):
        server.client(protocol="ws").call("core.ping")
    assert server.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_plaintext_to_loopback_is_taken(host: str) -> None:
    server = Server(Step("core.ping", [], "pong"))
    assert server.client(protocol="ws", host=host).call("core.ping") == "pong"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (METHOD_MISSING, MethodMissing),
        (validation_error(("id", "PoolDataset tank/a does not exist", 2)), NotFound),
        (validation_error(("pool_create.name", "A pool with this name already exists.", 17)), Conflict),
        (validation_error(("data.quota", "Input should be greater than or equal to 1073741824", 22)), ApiError),
        (call_error(2, "ENOENT", "no such dataset"), NotFound),
        (call_error(22, "EINVAL", "none", kind="MatchNotFound"), NotFound),
        (call_error(13, "EACCES", "Not authorized"), PermissionDenied),
        (call_error(207, "ENOTAUTHENTICATED", "Not authenticated"), AuthenticationError),
        (call_error(39, "ENOTEMPTY", "has children"), Conflict),
        (call_error(205, "EDATASETISLOCKED", "locked"), Conflict),
        (call_error(14, "EFAULT", "something else"), ApiError),
        ({"code": -32000, "message": "Maximum number of concurrent calls (20) has exceeded."}, ApiError),
    ],
)
def test_errors_are_told_apart_by_number(error: dict[str, t.Any], kind: type[ApiError]) -> None:
    server = Server(Step("pool.dataset.create", error=error))
    with pytest.raises(ApiError) as caught:
        server.client().call("pool.dataset.create", {}, what="tank/a")
    assert caught.type is kind
    assert "pool.dataset.create on tank/a at nas1:443 failed" in caught.value.message


def test_both_styles_of_attribute_names_become_one() -> None:
    extra = [["data.quota", "too small", 22], ["pool_dataset_create.name", "taken", 17], ["data.quota", "again", 22], ["source_datasets.0", "x", 22], ["odd"]]
    assert errors_by_field([*extra, [None, "whole", 22]]) == {"quota": "too small; again", "name": "taken", "source_datasets.0": "x", "": "whole"}


def test_a_read_is_repeated_after_a_broken_connection() -> None:
    server = Server(Step("pool.query", lost=True), login(), Step("pool.query", result=[{"id": 1}]))
    assert server.client().query("pool") == [{"id": 1}]
    assert server.connections == 2


def test_a_read_is_repeated_only_once() -> None:
    server = Server(Step("pool.query", lost=True), login(), Step("pool.query", lost=True))
    with pytest.raises(ConnectionFailed):
        server.client().query("pool")


def test_a_write_is_not_repeated_and_says_that_nobody_knows() -> None:
    server = Server(Step("pool.dataset.create", lost=True))
    with pytest.raises(ConnectionFailed, match="not known whether it was done"):
        server.client().call("pool.dataset.create", {}, what="tank/a")
    assert server.connections == 1


def test_an_answer_that_does_not_come_ends_the_connection() -> None:
    server = Server(Step("pool.dataset.create", silent=True))
    client = server.client(timeout=30.0)
    with pytest.raises(WaitTimeout, match="Waited 30 s for the answer to pool.dataset.create"):
        client.call("pool.dataset.create", {}, what="tank/a")
    assert server.closed == 1
    assert server.now == pytest.approx(30, abs=1)


def test_an_answer_to_something_else_is_passed_over() -> None:
    server = Server(Step("core.ping", [], "pong", before=[{"jsonrpc": "2.0", "id": 999, "result": "other"}]))
    assert server.client().call("core.ping") == "pong"


def test_a_message_that_the_server_would_not_take_is_not_sent() -> None:
    server = Server()
    with pytest.raises(Refused, match="bytes"):
        server.client().call("pool.dataset.query", [["id", "in", ["x" * 100] * 1000]])
    assert server.seen[-1][0] == "auth.login_ex"


def test_first_is_an_error_when_there_is_none() -> None:
    server = Server(Step("user.query", [[["username", "=", "root"]], {}], []))
    with pytest.raises(NotFound, match="no local user root"):
        server.client().first("user", [["username", "=", "root"]], what="local user root")


def test_first_returns_the_object() -> None:
    server = Server(Step("user.query", result=[{"id": 1}]))
    assert server.client().first("user", [], what="user") == {"id": 1}


def test_snapshot_service_of_25_04_is_found_once() -> None:
    server = Server(
        Step("pool.snapshot.query", error=METHOD_MISSING), Step("zfs.snapshot.query", [[], {}], []), Step("zfs.snapshot.delete", ["a@b", {}], True)
    )
    client = server.client()
    assert client.snapshots("query", [], {}) == []
    assert client.snapshots("delete", "a@b", {}) is True
    server.finished()


def test_snapshot_service_that_is_nowhere() -> None:
    server = Server(*[Step(f"{service}.rename", error=METHOD_MISSING) for service in ("pool.snapshot", "zfs.snapshot", "zfs.snapshot")])
    client = server.client()
    for _unused in range(2):
        with pytest.raises(MethodMissing):
            client.snapshots("rename")


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_held_answer_of_a_job_is_its_result() -> None:
    server = Server(WATCH, Step("pool.create", [{"name": "tank"}], {"id": 1}, before=[job_update(7, "RUNNING"), job_update(7, "SUCCESS")]))
    job = server.client().job("pool.create", {"name": "tank"}, what="tank")
    assert (job.id, job.state, job.result) == (7, "SUCCESS", {"id": 1})
    server.finished()


def test_jobs_are_subscribed_to_once() -> None:
    server = Server(WATCH, Step("replication.run", [1], None), Step("replication.run", [2], None))
    client = server.client()
    client.job("replication.run", 1)
    client.job("replication.run", 2)
    server.finished()


def test_failed_job_has_the_reason_and_the_log() -> None:
    told = job_update(7, "FAILED", logs_excerpt="line 1\nNo incremental base on dataset")
    server = Server(WATCH, Step("replication.run", [1], error=call_error(14, "EFAULT", "No incremental base"), before=[told]))
    with pytest.raises(TaskFailed, match=r"replication.run of apps at nas1:443 failed \(job 7\): \[EFAULT\] No incremental base") as caught:
        server.client().job("replication.run", 1, what="apps")
    assert caught.value.log == ["line 1", "No incremental base on dataset"]


def test_log_of_a_failed_job_is_fetched_if_it_was_not_told() -> None:
    step = Step("replication.run", [1], error=call_error(14, "EFAULT", "bad"), before=[job_update(7, "FAILED")])
    server = Server(WATCH, step, Step("core.get_jobs", [[["id", "=", 7]]], [{"id": 7, "state": "FAILED", "logs_excerpt": "the end"}]))
    with pytest.raises(TaskFailed) as caught:
        server.client().job("replication.run", 1)
    assert caught.value.log == ["the end"]


def test_log_that_cannot_be_fetched_is_left_out() -> None:
    step = Step("replication.run", [1], error=call_error(14, "EFAULT", "bad"), before=[job_update(7, "FAILED")])
    server = Server(WATCH, step, Step("core.get_jobs", error=call_error(13, "EACCES", "no")))
    with pytest.raises(TaskFailed) as caught:
        server.client().job("replication.run", 1)
    assert caught.value.log == []


def test_refused_parameters_of_a_job_are_named() -> None:
    server = Server(WATCH, Step("pool.create", error=validation_error(("pool_create.topology", "The following disks are already in use: sda.", 22))))
    with pytest.raises(ApiError) as caught:
        server.client().job("pool.create", {}, what="tank")
    assert not isinstance(caught.value, TaskFailed)
    assert caught.value.errors == {"topology": "The following disks are already in use: sda."}


def test_job_that_takes_too_long_says_what_was_seen_last() -> None:
    server = Server(WATCH, Step("pool.create", silent=True, before=[job_update(7, "RUNNING")]))
    with pytest.raises(WaitTimeout, match="id=7, state='RUNNING', percent=10"):
        server.client().job("pool.create", {}, what="tank", timeout=100.0)


def test_connection_lost_in_a_job_is_followed_on_a_new_one() -> None:
    server = Server(
        WATCH,
        Step("replication.run", [1], lost=True, before=[job_update(7, "RUNNING")]),
        login(),
        Step("core.get_jobs", [[["id", "=", 7]]], [{"id": 7, "state": "RUNNING"}]),
        Step("core.get_jobs", [[["id", "=", 7]]], [{"id": 7, "state": "SUCCESS", "result": None}]),
    )
    assert server.client().job("replication.run", 1, what="apps").state == "SUCCESS"
    server.finished()


def test_connection_lost_before_the_job_is_known() -> None:
    server = Server(WATCH, Step("replication.run", [1], lost=True))
    with pytest.raises(ConnectionFailed, match="not known whether"):
        server.client().job("replication.run", 1)


def test_25_04_gives_the_number_and_is_polled() -> None:
    server = Server(
        Step("pool.create", [{}], 12),
        Step("core.get_jobs", [[["id", "=", 12]]], [{"id": 12, "state": "WAITING"}]),
        Step("core.get_jobs", [[["id", "=", 12]]], [{"id": 12, "state": "SUCCESS", "result": {"id": 1}}]),
        legacy=True,
    )
    assert server.client().job("pool.create", {}).result == {"id": 1}
    assert server.slept == [1.0]


def test_failed_polled_job() -> None:
    record = {"id": 12, "state": "FAILED", "error": "[EFAULT] out of space", "exc_info": {"type": "CallError"}, "logs_excerpt": "x"}
    server = Server(Step("pool.create", [{}], 12), Step("core.get_jobs", result=[record]), legacy=True)
    with pytest.raises(TaskFailed, match="out of space"):
        server.client().job("pool.create", {})


def test_polled_job_with_refused_parameters() -> None:
    record = {"id": 12, "state": "FAILED", "error": "[EINVAL] x", "exc_info": {"type": "VALIDATION", "extra": [["pool_create.name", "Invalid pool name", 22]]}}
    server = Server(Step("pool.create", [{}], 12), Step("core.get_jobs", result=[record]), legacy=True)
    with pytest.raises(ApiError) as caught:
        server.client().job("pool.create", {})
    assert caught.value.errors == {"name": "Invalid pool name"}


def test_polled_job_that_a_restart_has_lost() -> None:
    server = Server(Step("pool.create", [{}], 12), Step("core.get_jobs", result=[]), Step("core.get_jobs", result=[]), legacy=True)
    with pytest.raises(TaskFailed, match="forgotten the job"):
        server.client().job("pool.create", {})


# -- wire --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"$date": 1700000000123}, "2023-11-14T22:13:20.123000Z"),
        ({"$set": ["b", "a"]}, ["a", "b"]),
        ({"$time": "10:00:00"}, "10:00:00"),
        ({"other": 1}, {"other": 1}),
        ({"$date": 1, "more": 2}, {"$date": 1, "more": 2}),
    ],
)
def test_extended_json(sent: dict[str, t.Any], read: t.Any) -> None:
    assert from_ejson(sent) == read


def test_job_shows_no_arguments() -> None:
    assert "secret" not in repr(Job.from_api({"id": 1, "state": "RUNNING", "arguments": [{"password": "secret"}], "result": "secret"}))


def test_client_closes_at_the_end_of_a_with_block() -> None:
    server = Server(Step("core.ping", [], "pong"))
    with server.client() as client:
        client.call("core.ping")
    assert server.closed == 1


def test_a_closed_connection_is_not_written_to() -> None:
    server = Server()
    client = server.client()
    with pytest.raises(Lost):
        client._exchange("core.ping", (), 1.0, "")
