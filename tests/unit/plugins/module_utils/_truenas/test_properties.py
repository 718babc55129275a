from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.properties import FIELDS, canonical, format_block, from_api, parse_size
from helpers.truenas import dataset, prop


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10G", 10 * 1024**3),
        ("10 GiB", 10 * 1024**3),
        ("1gb", 1024**3),
        (5368709120, 5368709120),
        ("none", 0),
        ("0", 0),
        ("512B", 512),
        ("128K", 131072),
        ("2T", 2 * 1024**4),
    ],
)
def test_sizes(text: t.Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["ten", "1.5G", "-1", "10X", ""])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(Refused, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(("size", "text"), [(131072, "128K"), (1048576, "1M"), (512, "512"), (1536, "1536"), (16384, "16K")])
def test_block_sizes_as_the_api_writes_them(size: int, text: str) -> None:
    assert format_block(size) == text


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("quota", "10G", 10 * 1024**3),
        ("recordsize", "131072", "128K"),
        ("recordsize", "inherit", "INHERIT"),
        ("volblocksize", "512b", "512"),
        ("compression", "zstd-3", "ZSTD-3"),
        ("readonly", "on", "ON"),
        ("copies", "2", 2),
        ("comments", "Hello", "Hello"),
    ],
)
def test_one_form_for_what_users_and_servers_write(name: str, value: t.Any, form: t.Any) -> None:
    assert canonical(FIELDS[name], value) == form


def test_what_is_no_number() -> None:
    with pytest.raises(Refused, match="whole number"):
        canonical(FIELDS["copies"], "two")


def test_an_entry_of_the_server_becomes_plain_values() -> None:
    entry = dataset(
        "tank/a",
        quota=prop("5368709120", 5368709120),
        comments=prop("hi"),
        user_properties={"org.example:owner": prop("me"), "plain:x": "y"},
        special_small_block_size={"rawvalue": None, "parsed": None, "source": None},
        snapdir=prop("weird"),
        copies=prop("many"),
    )
    found = from_api(entry)
    assert found["quota"] == 5368709120
    assert found["refquota"] == 0
    assert found["recordsize"] == "128K"
    assert found["readonly"] == "OFF"
    assert found["compression"] == "LZ4"
    assert found["comments"] == "hi"
    assert found["snapdir"] == "WEIRD"
    assert found["copies"] == "many"
    assert found["special_small_block_size"] is None
    assert found["user_properties"] == {"org.example:owner": "me", "plain:x": "y"}
    assert found["sources"]["compression"] == "INHERITED"
    assert found["used_bytes"] == 98304
    assert "volsize" not in found
