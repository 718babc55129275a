from __future__ import annotations

import ipaddress

import pytest

from lab.network import free_subnet
from lab.state import LabError


def nets(*texts: str) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(text) for text in texts]


@pytest.mark.parametrize(("taken", "expected"), [
    ((), "10.93.0.0/24"),
    (("10.93.0.0/24",), "10.93.1.0/24"),
    (("10.93.0.0/23", "10.93.3.7/32"), "10.93.2.0/24"),
    (("192.168.0.0/16", "10.92.0.0/16"), "10.93.0.0/24"),
])
def test_first_subnet_that_overlaps_nothing_is_taken(taken: tuple[str, ...], expected: str) -> None:
    assert str(free_subnet(nets(*taken))) == expected


def test_no_free_subnet_is_an_error() -> None:
    with pytest.raises(LabError, match="take a lab down"):
        free_subnet(nets("10.0.0.0/8"))
