from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, Conflict, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import pair
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan
from helpers.truenas import Server, Step, call_error

PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----"
KEY = {"id": 1, "name": "nas2 key", "type": "SSH_KEY_PAIR", "attributes": {"private_key": PRIVATE, "public_key": "ssh-rsa AAAA"}}
ATTRIBUTES = {"host": "nas2", "port": 22, "username": "root", "private_key": 1, "remote_host_key": "ssh-ed25519 BBBB", "connect_timeout": 10}
LINK = {"id": 2, "name": "nas2", "type": "SSH_CREDENTIALS", "attributes": ATTRIBUTES}
REDACTED = {**LINK, "attributes": "********"}
PEER = {"api_host": "nas2", "api_username": "automation", "api_key": "2-x"}
GENERATE = Step("keychaincredential.generate_ssh_key_pair", [], {"private_key": PRIVATE, "public_key": "ssh-rsa AAAA"})
STORE = Step("keychaincredential.create", [{"name": "nas2 key", "type": "SSH_KEY_PAIR", "attributes": KEY["attributes"]}], KEY)


def params(**changes: t.Any) -> dict[str, t.Any]:
    return {"name": "nas2", "key_name": "nas2 key", "state": "present", **changes}


def made(server: Server, options: dict[str, t.Any], key: t.Any = None, link: t.Any = None, peer: Server | None = None) -> Plan:
    current = {"key": key, "connection": link}
    plan = pair.plan_present(options, current)
    pair.make_with(server.client(), peer.client(host="nas2") if peer else None, options, current, plan)
    server.finished()
    if peer:
        peer.finished()
        assert peer.closed == 1
    return plan


def test_peer_gives_a_token_with_which_the_first_system_sets_itself_up() -> None:
    setup = {"name": "nas2", "url": "https://nas2:443", "verify_ssl": True, "token": "T0ken", "username": "root", "private_key": 1}
    setup.update(connect_timeout=10, sudo=False)
    server = Server(GENERATE, STORE, Step("keychaincredential.remote_ssh_semiautomatic_setup", [setup], LINK))
    peer = Server(Step("auth.generate_token", [120, {}, False, True], "T0ken"))
    plan = made(server, params(peer=PEER), peer=peer)
    assert plan.done == ["keychaincredential.create nas2 key", "keychaincredential.create nas2"]
    assert plan.diff.before == {"nas2 key.state": "absent", "nas2.state": "absent"}
    assert plan.diff.after["nas2.host"] == "nas2"
    assert PRIVATE not in repr(plan) and "T0ken" not in repr(plan)


def test_address_that_differs_from_the_api_is_put_right_after_the_set_up() -> None:
    options = params(peer={**PEER, "url": "https://nas2:8442", "verify_ssl": False, "sudo": True}, host="10.0.0.2", port=2222)
    update = Step("keychaincredential.update", [2, {"attributes": {**ATTRIBUTES, "host": "10.0.0.2", "port": 2222}}])
    server = Server(Step("keychaincredential.remote_ssh_semiautomatic_setup", result=LINK), update)
    made(server, options, key=KEY, peer=Server(Step("auth.generate_token", result="T")))
    sent = server.seen[1][1][0]
    assert (sent["url"], sent["verify_ssl"], sent["sudo"]) == ("https://nas2:8442", False, True)


def test_answer_without_attributes_tells_the_host_of_the_url() -> None:
    server = Server(Step("keychaincredential.remote_ssh_semiautomatic_setup", result=REDACTED))
    made(server, params(peer=PEER), key=KEY, peer=Server(Step("auth.generate_token", result="T")))


def test_without_a_peer_the_host_key_that_is_shown_is_trusted() -> None:
    attributes = {"port": 2222, "username": "root", "connect_timeout": 10, "host": "nas2", "private_key": 1, "remote_host_key": "ssh-ed25519 BBBB"}
    server = Server(
        Step("keychaincredential.remote_ssh_host_key_scan", [{"host": "nas2", "port": 2222, "connect_timeout": 10}], "ssh-ed25519 BBBB"),
        Step("keychaincredential.create", [{"name": "nas2", "type": "SSH_CREDENTIALS", "attributes": attributes}], {**LINK, "attributes": attributes}),
    )
    made(server, params(host="nas2", port=2222), key=KEY)


def test_a_host_key_that_is_given_is_not_scanned() -> None:
    server = Server(Step("keychaincredential.create", result=LINK))
    made(server, params(host="nas2", remote_host_key="ssh-ed25519 BBBB"), key=KEY)


def test_without_host_and_peer_it_is_refused() -> None:
    with pytest.raises(Refused, match="must say where"):
        pair.plan_present(params(), {"key": None, "connection": None})


def test_pair_as_declared_is_left_alone() -> None:
    plan = pair.plan_present(params(peer=PEER, port=22, username="root"), {"key": KEY, "connection": LINK})
    assert not plan.changed and not plan.diff.changed


def test_pair_that_the_account_may_not_see_is_taken_to_be_right() -> None:
    assert not pair.plan_present(params(host="elsewhere"), {"key": KEY, "connection": REDACTED}).changed


def test_changed_address_is_written_with_all_attributes() -> None:
    server = Server(Step("keychaincredential.update", [2, {"attributes": {**ATTRIBUTES, "host": "other"}}]))
    plan = made(server, params(host="other"), key=KEY, link=LINK)
    assert plan.diff.before == {"nas2.host": "nas2"}


def test_new_key_for_an_old_connection_is_authorised_on_the_peer() -> None:
    new = {**KEY, "id": 7}
    server = Server(
        GENERATE, Step("keychaincredential.create", result=new), Step("keychaincredential.update", [2, {"attributes": {**ATTRIBUTES, "private_key": 7}}])
    )
    peer = Server(
        Step("user.query", [[["username", "=", "root"], ["local", "=", True]], {}], [{"id": 1, "sshpubkey": "ssh-rsa OLD"}]),
        Step("user.update", [1, {"sshpubkey": "ssh-rsa OLD\nssh-rsa AAAA\n"}]),
    )
    made(server, params(peer=PEER), link=LINK, peer=peer)


def test_key_that_the_peer_knows_is_not_written_again() -> None:
    server = Server(GENERATE, Step("keychaincredential.create", result=KEY), Step("keychaincredential.update"))
    made(server, params(peer=PEER), link=LINK, peer=Server(Step("user.query", result=[{"id": 1, "sshpubkey": "ssh-rsa AAAA"}])))


def test_both_are_deleted_the_connection_first() -> None:
    plan = pair.plan_absent(params(cascade=True), {"key": KEY, "connection": LINK})
    assert [call.params for call in plan.calls] == [(2, {"cascade": True}), (1, {"cascade": True})]
    assert not pair.plan_absent(params(), {"key": None, "connection": None}).changed


def test_names_that_are_taken_by_the_other_kind() -> None:
    server = Server(Step("keychaincredential.query", [[["name", "in", ["nas2", "nas2 key"]]], {}], [{**KEY, "name": "nas2"}]))
    with pytest.raises(Conflict, match="is a SSH_KEY_PAIR, not a SSH_CREDENTIALS"):
        pair.read(server.client(), "nas2", "nas2 key")


def test_read_finds_both() -> None:
    server = Server(Step("keychaincredential.query", result=[KEY, LINK]))
    found = pair.read(server.client(), "nas2", "nas2 key")
    shown = pair.from_api(found["key"], found["connection"])
    assert (shown["id"], shown["key_id"], shown["public_key"], shown["host"]) == (2, 1, "ssh-rsa AAAA", "nas2")
    assert PRIVATE not in str(shown)


def test_all_connections_with_their_keys() -> None:
    server = Server(Step("keychaincredential.query", [[], {}], [KEY, {**REDACTED, "name": "z"}, LINK]))
    assert [(one["name"], one["key_name"]) for one in pair.all_pairs(server.client())] == [("nas2", "nas2 key"), ("z", None)]


def test_proof_counts_what_is_seen_and_says_what_to_do() -> None:
    server = Server(
        Step("replication.list_datasets", ["SSH", 2], ["backup", "backup/a"]), Step("replication.list_datasets", error=call_error(14, "EFAULT", "denied"))
    )
    client = server.client()
    assert pair.prove(client, 2, "nas2") == 2
    with pytest.raises(ApiError, match="authorise its public key"):
        pair.prove(client, 2, "nas2")
