"""The check of every request in these tests finds what a server would refuse."""

from __future__ import annotations

import typing as t

import pytest
from helpers.pve_schema import complaints

Q = "nodes/pve1/qemu"


@pytest.mark.parametrize(
    ("method", "path", "params", "key"),
    [
        ("POST", "nodes/pve1/qemus", {}, "path"),
        ("PATCH", Q, {}, "path"),
        ("POST", Q, {"name": "x"}, "vmid"),
        ("POST", Q, {"vmid": "100", "ram": "1"}, "ram"),
        ("POST", Q, {"vmid": "99"}, "vmid"),
        ("POST", f"{Q}/100/config", {"cores": "many"}, "cores"),
        ("POST", f"{Q}/100/config", {"background_delay": "31"}, "background_delay"),
        ("POST", f"{Q}/100/config", {"net0": "vmbr0=1,bridge=x"}, "net0"),
        ("POST", f"{Q}/100/config", {"scsi99": "local-lvm:8"}, "scsi99"),
        ("PUT", f"{Q}/100/resize", {"disk": "scsi0", "size": "20 GiB"}, "size"),
        ("POST", "cluster/bulk-action/guest/start", {"vms": ["x"]}, "vms[0]"),
    ],
)
def test_requests_that_the_server_would_refuse_are_found(method: str, path: str, params: dict[str, t.Any], key: str) -> None:
    assert key in complaints(method, path, params)


def test_good_request_is_fine() -> None:
    assert complaints("POST", f"{Q}/100/config", {"cores": "2", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "digest": "d", "background_delay": "30"}) == {}
    assert complaints("POST", "cluster/bulk-action/guest/start", {"vms": "100"}) == {}
