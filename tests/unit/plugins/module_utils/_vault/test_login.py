"""What a login method believes: compared as the server writes it; what it never tells is written with the rest."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import login

WANTED = {"kubernetes_host": "https://k:6443", "kubernetes_ca_cert": "PEM\n", "token_reviewer_jwt": "secret"}


@pytest.mark.parametrize(
    ("current", "written"),
    [
        ({}, True),
        ({"kubernetes_host": "https://k:6443", "kubernetes_ca_cert": "PEM", "token_reviewer_jwt_set": True}, False),
        ({"kubernetes_host": "https://k:6443", "kubernetes_ca_cert": "PEM"}, False),
        ({"kubernetes_host": "https://k:6443", "kubernetes_ca_cert": "PEM", "token_reviewer_jwt_set": False}, True),
        ({"kubernetes_host": "https://other:6443", "kubernetes_ca_cert": "PEM", "token_reviewer_jwt_set": True}, True),
    ],
)
def test_all_is_written_or_nothing_and_the_secret_is_not_shown(current: dict[str, t.Any], written: bool) -> None:
    tracker = DiffTracker()
    plan = login.plan_config(WANTED, current, tracker)
    assert plan.write == (WANTED if written else {})
    assert tracker.changed is written
    assert "secret" not in str(tracker.as_result("x"))


def test_keys_are_compared_without_their_line_ends() -> None:
    tracker = DiffTracker()
    assert login.plan_config({"jwt_validation_pubkeys": ["A\n", "B"]}, {"jwt_validation_pubkeys": ["B\n", "A"]}, tracker).write == {}


def test_what_a_method_does_not_have_is_refused() -> None:
    login.check_config("jwt", {"jwks_url": "https://x"})
    login.check_config("approle", {})
    with pytest.raises(Refused, match="not for 'approle'"):
        login.check_config("approle", {"jwks_url": "x"})
    with pytest.raises(Refused, match="has no field jwks_url"):
        login.check_config("kubernetes", {"jwks_url": "x"})
