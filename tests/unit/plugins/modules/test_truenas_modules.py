"""Each TrueNAS module from its parameters to its result: first run, second run, check mode, failure, secrets."""

from __future__ import annotations

import importlib
import json
import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.resilient.platform.plugins.doc_fragments import _truenas as fragment
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, settings_from
from helpers import truenas
from helpers.modules import ModuleFailed, run_module
from helpers.truenas import CONNECTION, KEY, WATCH, Server, Step, call_error, validation_error

PLUGINS = pathlib.Path(__file__).resolve().parents[4] / "plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("truenas_*.py"))
AUTO = "auto-%Y-%m-%d_%H-%M"


def module(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.truenas_{name}")


def run(
    monkeypatch: pytest.MonkeyPatch, name: str, args: dict[str, t.Any], *steps: Step, check: bool = False, server: Server | None = None
) -> dict[str, t.Any]:
    """Run a module against a server that expects exactly *steps*."""
    server = server or Server(*steps)
    server.patch(monkeypatch)
    result = run_module(module(name).main, {**CONNECTION, **args}, check=check, diff=True)
    server.finished()
    assert KEY not in json.dumps(result)
    return result


class Case(t.NamedTuple):
    """A change: what is read before, what is written, what is read after."""

    module: str
    args: dict[str, t.Any]
    before: list[Step]
    writes: list[Step]
    after: list[Step]
    again: list[Step]
    noun: str


DATASETS = [Step("pool.dataset.query", result=[truenas.dataset("tank")])]
DATASETS_AFTER = [Step("pool.dataset.query", result=[truenas.dataset("tank"), truenas.dataset("tank/a", readonly=truenas.prop("on"))])]
DISKS = Step("disk.details", result={"used": [], "unused": [{"name": "sda"}, {"name": "sdb"}]})
SNAPSHOT = truenas.snapshot("tank/a@one", "42")
PAIR_KEY = {"id": 1, "name": "nas2 key", "type": "SSH_KEY_PAIR", "attributes": {"private_key": "PRIVATE", "public_key": "ssh-rsa AAAA"}}
PAIR_LINK = {"id": 2, "name": "nas2", "type": "SSH_CREDENTIALS", "attributes": {"host": "nas2", "port": 22, "username": "root", "private_key": 1}}
PUSH: dict[str, t.Any] = {
    "name": "apps",
    "direction": "PUSH",
    "transport": "SSH",
    "ssh_credentials": "nas2",
    "source_datasets": ["tank/apps"],
    "target_dataset": "backup/apps",
    "recursive": True,
    "periodic_snapshot_tasks": [{"dataset": "tank/apps"}],
    "auto": True,
    "retention_policy": "CUSTOM",
    "lifetime_value": 2,
    "lifetime_unit": "WEEK",
}
REFERENCES = [
    Step("keychaincredential.query", result=[PAIR_LINK]),
    Step("pool.snapshottask.query", result=[truenas.snapshot_task(1, "tank/apps")]),
]
CASES = [
    Case(
        "dataset",
        {"datasets": [{"name": "tank/a", "readonly": "ON"}]},
        DATASETS,
        [Step("pool.dataset.create", [{"name": "tank/a", "type": "FILESYSTEM", "readonly": "ON"}])],
        DATASETS_AFTER,
        DATASETS_AFTER,
        "datasets",
    ),
    Case(
        "pool",
        {"name": "tank", "topology": {"data": [{"type": "MIRROR", "disks": ["sda", "sdb"]}]}},
        [Step("pool.query", result=[]), DISKS],
        [WATCH, Step("pool.create", [{"name": "tank", "topology": {"data": [{"type": "MIRROR", "disks": ["sda", "sdb"]}]}}])],
        [Step("pool.query", result=[truenas.pool("tank", "sda", "sdb")])],
        [Step("pool.query", result=[truenas.pool("tank", "sda", "sdb")])],
        "pool",
    ),
    Case(
        "snapshot",
        {"snapshots": [{"dataset": "tank/a", "name": "one"}]},
        [Step("pool.snapshot.query", result=[]), Step("pool.dataset.query", result=[truenas.dataset("tank/a")])],
        [Step("pool.snapshot.create", [{"dataset": "tank/a", "name": "one", "recursive": False}])],
        [Step("pool.snapshot.query", result=[SNAPSHOT])],
        [Step("pool.snapshot.query", result=[SNAPSHOT])],
        "snapshots",
    ),
    Case(
        "snapshot_task",
        {"tasks": [{"dataset": "tank/a", "recursive": True}]},
        [Step("pool.snapshottask.query", result=[]), Step("pool.dataset.query", result=[truenas.dataset("tank/a")])],
        [Step("pool.snapshottask.create", [{"dataset": "tank/a", "naming_schema": AUTO, "recursive": True}])],
        [Step("pool.snapshottask.query", result=[truenas.snapshot_task(1, "tank/a", recursive=True)])],
        [Step("pool.snapshottask.query", result=[truenas.snapshot_task(1, "tank/a", recursive=True)])],
        "tasks",
    ),
    Case(
        "replication",
        {"tasks": [PUSH]},
        [*REFERENCES, Step("replication.query", result=[])],
        [Step("replication.create")],
        [Step("replication.query", result=[truenas.replication(1, "apps")])],
        [*REFERENCES, Step("replication.query", result=[truenas.replication(1, "apps")])],
        "tasks",
    ),
    Case(
        "replication_pair",
        {"name": "nas2", "host": "nas2", "verify": False},
        [Step("keychaincredential.query", result=[])],
        [
            Step("keychaincredential.generate_ssh_key_pair", [], {"private_key": "PRIVATE", "public_key": "ssh-rsa AAAA"}),
            Step("keychaincredential.create", result=PAIR_KEY),
            Step("keychaincredential.remote_ssh_host_key_scan", result="ssh-ed25519 BBBB"),
            Step("keychaincredential.create", result=PAIR_LINK),
        ],
        [Step("keychaincredential.query", result=[PAIR_KEY, PAIR_LINK])],
        [Step("keychaincredential.query", result=[PAIR_KEY, PAIR_LINK])],
        "pair",
    ),
]
by_module = pytest.mark.parametrize("case", CASES, ids=[case.module for case in CASES])


@by_module
def test_present_makes_what_is_missing_and_returns_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, case.module, case.args, *case.before, *case.writes, *case.after)
    assert result["changed"] is True
    assert result[case.noun]


@by_module
def test_present_twice_is_unchanged(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(*case.again)
    result = run(monkeypatch, case.module, case.args, server=server)
    assert result["changed"] is False
    assert server.writes == []
    assert result["diff"]["before"] == result["diff"]["after"] == {}


@by_module
def test_check_mode_writes_nothing_and_foretells_the_difference(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(*case.before)
    foretold = run(monkeypatch, case.module, case.args, server=server, check=True)
    assert server.writes == []
    done = run(monkeypatch, case.module, case.args, *case.before, *case.writes, *case.after)
    assert foretold["changed"] is done["changed"] is True
    assert foretold["diff"] == done["diff"]
    assert foretold["diff"]["after"]


@by_module
def test_a_refused_write_says_what_and_how_far(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = [step for step in case.writes if step is not WATCH][:1]
    watch = [step for step in case.writes if step is WATCH]
    writes[0] = Step(writes[0].method, error=validation_error(("data.name", "is wrong", 22)))
    with pytest.raises(ModuleFailed) as caught:
        run(monkeypatch, case.module, case.args, *case.before, *watch, *writes)
    assert caught.value.result["error"]["errors"] == {"name": "is wrong"}
    assert caught.value.result["done"] == []
    assert caught.value.result["changed"] is False


@pytest.mark.parametrize("name", [name.removeprefix("truenas_") for name in MODULES])
def test_wrong_key_is_an_authentication_error_without_the_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    args = {**truenas.REQUIRED, **{case.module: case.args for case in CASES}}.get(name, {})
    server = Server(truenas.options(), truenas.login("AUTH_ERR"), session=False)
    server.patch(monkeypatch)
    with pytest.raises(ModuleFailed) as caught:
        run_module(module(name).main, {**CONNECTION, **args})
    assert caught.value.result["error"]["type"] == "AuthenticationError"
    assert KEY not in json.dumps(caught.value.result)


# -- what is special to one module ----------------------------------------------------------------------------------------


def test_dataset_deletion_is_checked_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    args = {"datasets": [{"name": "tank/a", "state": "absent"}]}
    before = [*DATASETS_AFTER, Step("pool.dataset.attachments", result=[]), Step("pool.snapshot.query", result=0)]
    delete = Step("pool.dataset.delete", ["tank/a", {"recursive": False, "force": False}], True)
    assert run(monkeypatch, "dataset", args, *before, delete, *DATASETS)["datasets"] == []
    with pytest.raises(ModuleFailed, match="still there") as caught:
        run(monkeypatch, "dataset", args, *before, delete, *DATASETS_AFTER)
    assert caught.value.result["changed"] is True


def test_dataset_failure_in_the_middle_says_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    writes = [Step("pool.dataset.create"), Step("pool.dataset.create", error=call_error(28, "ENOSPC", "no space"))]
    with pytest.raises(ModuleFailed) as caught:
        run(monkeypatch, "dataset", {"datasets": [{"name": "tank/a"}, {"name": "tank/b"}]}, *DATASETS, *writes)
    assert caught.value.result["done"] == ["pool.dataset.create tank/a"]
    assert caught.value.result["changed"] is True


def test_dataset_assumes_pools_in_check_mode_only(monkeypatch: pytest.MonkeyPatch) -> None:
    args = {"datasets": [{"name": "new/a"}], "assume_present": ["new"]}
    assert run(monkeypatch, "dataset", args, Step("pool.dataset.query", result=[]), check=True)["changed"] is True
    with pytest.raises(ModuleFailed, match="new does not exist"):
        run(monkeypatch, "dataset", args, Step("pool.dataset.query", result=[]))


def test_no_op_over_two_hundred_datasets_is_three_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"tank/{number}" for number in range(200)]
    server = Server(Step("pool.dataset.query", result=[truenas.dataset(name) for name in ["tank", *names]]))
    result = run(monkeypatch, "dataset", {"datasets": [{"name": name, "readonly": "OFF", "recordsize": "128K"} for name in names]}, server=server)
    assert result["changed"] is False
    assert [method for method, _params in server.seen] == ["auth.login_ex", "pool.dataset.query"]


def test_pool_is_destroyed_and_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Step("pool.query", result=[truenas.pool("tank", "sda", "sdb")])
    contents = [Step("pool.dataset.query", result=2), Step("pool.attachments", result=[])]
    export = Step("pool.export", [1, {"cascade": False, "restart_services": False, "destroy": True}])
    args = {"name": "tank", "state": "absent", "confirm": "tank"}
    result = run(monkeypatch, "pool", args, here, *contents, WATCH, export, Step("pool.query", result=[]))
    assert (result["changed"], result["pool"]) == (True, None)
    assert run(monkeypatch, "pool", args, Step("pool.query", result=[]))["changed"] is False
    with pytest.raises(ModuleFailed, match="Will not destroy pool tank"):
        run(monkeypatch, "pool", {**args, "confirm": "other"}, here, *contents, check=True)


def test_pool_of_another_make_is_left_alone_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text, **_rest: warnings.append(text))
    args = {"name": "tank", "topology": {"data": [{"type": "STRIPE", "disks": ["sda"]}]}}
    assert run(monkeypatch, "pool", args, Step("pool.query", result=[truenas.pool("tank", "sda", "sdb")]))["changed"] is False
    assert "another topology" in warnings[0]


def test_replication_is_run_and_its_warnings_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text, **_rest: warnings.append(text))
    done = truenas.replication(1, "apps", state={"state": "FINISHED", "last_snapshot": "tank/apps@x", "warnings": ["slow"]})
    here = Step("replication.query", result=[truenas.replication(1, "apps")])
    after = Step("replication.query", result=[done])
    args = {"tasks": [{"name": "apps"}], "run": True}
    result = run(monkeypatch, "replication", args, here, here, here, WATCH, Step("replication.run", [1]), after, after)
    assert result["runs"][0]["last_snapshot"] == "tank/apps@x"
    assert "slow" in warnings[0]
    foretold = run(monkeypatch, "replication", args, here, check=True)
    assert (foretold["changed"], foretold["runs"], foretold["diff"]) == (True, [], result["diff"])


ONCE = {"direction": "PULL", "transport": "SSH", "ssh_credentials": "nas2", "source_datasets": ["backup/apps"], "target_dataset": "tank/apps"}


def test_one_time_replication(monkeypatch: pytest.MonkeyPatch) -> None:
    once = {**ONCE, "recursive": True, "name_regex": "auto-1", "retention_policy": "NONE", "readonly": "IGNORE"}
    sent = {**once, "ssh_credentials": 2}
    steps = [REFERENCES[0], Step("core.get_jobs", result=[]), WATCH, Step("replication.run_onetime", [sent])]
    result = run(monkeypatch, "replication", {"one_time": once}, *steps)
    assert (result["changed"], result["tasks"], result["runs"][0]["state"]) == (True, [], "FINISHED")
    assert run(monkeypatch, "replication", {"one_time": once}, REFERENCES[0], check=True)["diff"] == result["diff"]


def test_one_time_replication_that_breaks_a_rule_is_refused_in_check_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleFailed, match="PULL needs naming_schema or name_regex"):
        run(monkeypatch, "replication", {"one_time": {**ONCE, "recursive": True, "retention_policy": "NONE"}}, REFERENCES[0], check=True)


def test_pair_is_proven_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Step("keychaincredential.query", result=[PAIR_KEY, PAIR_LINK])
    proof = Step("replication.list_datasets", ["SSH", 2], ["backup"])
    result = run(monkeypatch, "replication_pair", {"name": "nas2", "host": "nas2"}, both, proof)
    assert (result["changed"], result["remote_datasets"]) == (False, 1)
    assert "PRIVATE" not in json.dumps(result)
    deletes = [Step("keychaincredential.delete", [number, {"cascade": False}]) for number in (2, 1)]
    assert run(monkeypatch, "replication_pair", {"name": "nas2", "state": "absent"}, both, *deletes)["changed"] is True


def test_pair_with_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = module("replication_pair")
    peer = Server(Step("auth.generate_token", result="T0ken"))
    setup = Step("keychaincredential.remote_ssh_semiautomatic_setup", result=PAIR_LINK)
    server = Server(Step("keychaincredential.query", result=[PAIR_KEY]), setup, Step("keychaincredential.query", result=[PAIR_KEY, PAIR_LINK]))
    clients = [server.client(), peer.client(host="nas2")]
    monkeypatch.setattr(pair, "client_from", lambda _params: clients.pop(0))
    options = {"api_host": "nas2", "api_username": "automation", "api_key": KEY}
    result = run_module(pair.main, {**CONNECTION, "name": "nas2", "peer": options, "verify": False})
    assert result["changed"] is True and "T0ken" not in json.dumps(result)
    server.finished()
    peer.finished()


ALL = {"extra": {"flat": True, "retrieve_children": True}}
INFO = [
    ("dataset_info", {}, Step("pool.dataset.query", [[], ALL], [truenas.dataset("b"), truenas.dataset("a")]), "datasets", ["a", "b"]),
    ("pool_info", {}, Step("pool.query", [[], {}], [truenas.pool("b"), truenas.pool("a")]), "pools", ["a", "b"]),
    ("snapshot_info", {}, Step("pool.snapshot.query", [[], {}], [SNAPSHOT]), "snapshots", ["one"]),
    ("replication_info", {}, Step("replication.query", [[], {}], [truenas.replication(1, "apps")]), "tasks", ["apps"]),
    ("replication_pair_info", {}, Step("keychaincredential.query", [[], {}], [PAIR_KEY, PAIR_LINK]), "pairs", ["nas2"]),
    ("replication_pair_info", {"names": ["x"]}, Step("keychaincredential.query", [[], {}], [PAIR_KEY, PAIR_LINK]), "pairs", []),
    ("pool_info", {"names": ["a"]}, Step("pool.query", [[["name", "in", ["a"]]], {}], []), "pools", []),
    ("replication_info", {"names": ["a"]}, Step("replication.query", [[["name", "in", ["a"]]], {}], []), "tasks", []),
]


@pytest.mark.parametrize(("name", "args", "step", "noun", "names"), INFO)
def test_info_returns_sorted_objects(
    name: str, args: dict[str, t.Any], step: Step, noun: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(monkeypatch, name, args, step)
    assert result["changed"] is False
    assert [one["name"] for one in result[noun]] == names


@pytest.mark.parametrize(
    ("args", "filters"),
    [
        ({"ids": ["tank/a@one"]}, [["id", "=", "tank/a@one"]]),
        ({"ids": ["a@x", "b@x"]}, [["id", "in", ["a@x", "b@x"]]]),
        ({"datasets": ["tank/a"]}, [["dataset", "in", ["tank/a"]]]),
        ({"datasets": ["tank/a"], "recursive": True}, [["OR", [["dataset", "in", ["tank/a"]], ["dataset", "^", "tank/a/"]]]]),
    ],
)
def test_snapshot_info_filters_on_the_server(args: dict[str, t.Any], filters: list[t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "snapshot_info", args, Step("pool.snapshot.query", [filters, {}], []))


@pytest.mark.parametrize(
    ("args", "filters"),
    [
        ({"names": ["tank/a"]}, [["id", "in", ["tank/a"]]]),
        ({"names": ["tank/a"], "recursive": True}, [["OR", [["id", "in", ["tank/a"]], ["id", "^", "tank/a/"]]]]),
    ],
)
def test_dataset_info_filters_on_the_server(args: dict[str, t.Any], filters: list[t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "dataset_info", args, Step("pool.dataset.query", [filters, ALL], []))


def test_snapshot_task_info_and_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [truenas.snapshot_task(2, "tank/a"), truenas.snapshot_task(1, "tank/b")]
    step = Step("pool.snapshottask.query", [[["dataset", "in", ["tank/a"]]], {}], found)
    assert [one["id"] for one in run(monkeypatch, "snapshot_task_info", {"datasets": ["tank/a"]}, step)["tasks"]] == [1, 2]
    assert run(monkeypatch, "pool_info", {"disks": True}, Step("pool.query", result=[]), DISKS)["disks"] == {"sda": "", "sdb": ""}


# -- connection options ----------------------------------------------------------------------------------------------------


def test_connection_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "nas1", "USERNAME": "automation", "API_KEY": KEY}.items():
        monkeypatch.setenv(f"TRUENAS_{name}", value)
    server = Server(Step("pool.query", result=[]))
    server.patch(monkeypatch)
    assert run_module(module("pool_info").main, {})["pools"] == []


@pytest.mark.parametrize("args", [{"api_host": "nas1", "api_username": "me"}, {**CONNECTION, "api_password": "x"}, {"api_username": "me", "api_key": "k"}])
def test_connection_that_is_not_whole_or_too_much(args: dict[str, t.Any]) -> None:
    with pytest.raises(ModuleFailed):
        run_module(module("pool_info").main, args)


def test_version_may_be_written_with_or_without_its_letter() -> None:
    base = {"api_host": "nas1", "api_username": "me"}
    assert settings_from({**base, "api_version": "25.10.2"}).api_version == "v25.10.2"
    assert settings_from({**base, "api_version": "v25.10.2"}).api_version == "v25.10.2"
    assert settings_from(base).url == "wss://nas1:443/api/current"


def _shape(spec: dict[str, t.Any]) -> dict[str, t.Any]:
    """What an option is, from an argument spec or from its documentation."""
    found: dict[str, t.Any] = {}
    for name, option in spec.items():
        inner = option.get("options") or option.get("suboptions") or {}
        found[name] = {key: option.get(key) for key in ("type", "elements", "default")}
        found[name] |= {"required": bool(option.get("required")), "choices": option.get("choices"), "inner": _shape(inner)}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_documentation_says_what_the_argument_spec_does(name: str) -> None:
    found = module(name.removeprefix("truenas_"))
    text = yaml.safe_load(found.DOCUMENTATION)
    documented = {**yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"], **text["options"]}
    if "resilient.platform._truenas.peer" in text["extends_documentation_fragment"]:
        # As ansible merges them: what the module says of an option comes before what the fragment says.
        shared = yaml.safe_load(fragment.ModuleDocFragment.PEER)["options"]
        documented |= {key: {**value, **documented.get(key, {})} for key, value in shared.items()}
    assert _shape(documented) == _shape(found.argument_spec().options)
    assert set(api_spec().options) <= set(documented)
    for example in yaml.safe_load(found.EXAMPLES):
        assert f"resilient.platform.{name}" in example
    assert yaml.safe_load(found.RETURN)
