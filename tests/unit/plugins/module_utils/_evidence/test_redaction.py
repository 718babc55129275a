"""Secrets are refused, and what only sounds like one is not."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.redaction import refuse_secrets


@pytest.mark.parametrize(
    "value",
    [
        {"password": "x"},
        {"db_passwd": "x"},
        {"a": {"client_token": "x"}},
        {"a": [{"secret_id": "x"}]},
        {"private_key": "x"},
        {"api_key": "12345"},
        {"access_key": "x"},
        {"unseal_keys": ["x"]},
        {"recovery_key": "x"},
        {"credentials": {"user": "x"}},
        "-----BEGIN PRIVATE KEY-----\nabc",
        {"said": "-----BEGIN RSA PRIVATE KEY-----"},
        ["token is hvs.CAESIJ1234567890abcdefghijklm"],
        "https://user:hunter2@example.com/path",
        "AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_secret_is_refused_and_not_repeated(value: t.Any) -> None:
    with pytest.raises(Refused) as caught:
        refuse_secrets(value, "facts")
    assert "hunter2" not in str(caught.value) and "AKIA" not in str(caught.value)
    assert "facts" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"signing_key_path": "/etc/key", "credentials_file": "/etc/c.json", "secret_shares": 5, "secret_threshold": 3, "key_id": "k1"},
        {"password": "", "token": None, "secret": False},
        {"token_ttl": "5m", "token_policies": ["canary"], "secrets_engine": "kv", "key_version": 3},
        {"url": "https://example.com:8200/v1", "time": "12:00:01", "sha256": "a" * 64},
        "the passwords of all users were changed",
        {"keys_by_prefix": {"sys/token": 12, "secrets": 3}, "secret": 5},
        None,
        5,
    ],
)
def test_harmless_facts_pass(value: t.Any) -> None:
    refuse_secrets(value, "facts")
