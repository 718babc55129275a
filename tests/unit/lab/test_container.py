from __future__ import annotations

import json
import os
import pathlib

from lab import podman
from lab.guest.container import INIT, GuestSpec, hooks_dir, run_argv
from lab.guest.idshift import ID_BASE


def argv(**values: object) -> list[str]:
    spec: dict[str, object] = {"name": "n", "hostname": "h", "root": pathlib.Path("/r")}
    return run_argv(GuestSpec(**(spec | values)))  # type: ignore[arg-type]


def test_guest_is_never_privileged_and_always_in_a_user_namespace() -> None:
    given = argv(network="net")
    assert "--privileged" not in given and "host" not in given
    assert f"0:{ID_BASE}:65536" == given[given.index("--uidmap") + 1] == given[given.index("--gidmap") + 1]
    dropped = {given[i + 1] for i, word in enumerate(given) if word == "--cap-drop"}
    assert {"SYS_TIME", "SYS_MODULE", "SYS_RAWIO"} <= dropped
    assert "unmask=ALL" not in given
    assert given[given.index("--systemd=false"):] and "--cgroupns=private" in given


def test_root_file_system_and_init_come_last() -> None:
    assert argv()[-3:] == ["--rootfs", "/r", INIT]


def test_without_network_there_is_no_link_and_no_address() -> None:
    given = argv(address="10.93.0.11", mac="bc:24:11:00:00:01")
    assert given[given.index("--network") + 1] == "none"
    assert "--ip" not in given and "--mac-address" not in given


def test_sizes_and_address_are_passed_on() -> None:
    given = argv(network="net", address="10.93.0.11", mac="bc:24:11:00:00:01", memory_mib=768, cpus=2)
    for option, value in (("--ip", "10.93.0.11"), ("--mac-address", "bc:24:11:00:00:01"), ("--memory", "768m"), ("--cpus", "2")):
        assert given[given.index(option) + 1] == value


def test_hook_is_installed_executable_and_only_for_guests() -> None:
    directory = hooks_dir()
    hook = json.loads((directory / "delegate-cgroups.json").read_text())
    assert os.access(hook["hook"]["path"], os.X_OK)
    (pattern,) = hook["when"]["annotations"]
    assert pattern == "^resilient.lab.delegate$"
    assert "resilient.lab.delegate=yes" in argv()


def test_podman_gets_the_labs_settings() -> None:
    text = pathlib.Path(podman.environment()["CONTAINERS_CONF"]).read_text()
    assert 'runtime = "runc"' in text and str(hooks_dir()) in text
