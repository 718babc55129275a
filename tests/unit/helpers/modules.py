"""Run a module's ``main`` in this process and get what it would have printed."""

from __future__ import annotations

import json
import typing as t
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

# Name of the Python module whose main() runs; the tests' transports read it.
running = ""


class ModuleExit(Exception):
    """Stands for ``exit_json``."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__("exit_json")
        self.result = result


class ModuleFailed(Exception):
    """Stands for ``fail_json``; ``result`` is what the module returned."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__(str(result.get("msg")))
        self.result = result


def run_module(main: t.Callable[[], t.Any], args: dict[str, t.Any], *, check: bool = False, diff: bool = False) -> dict[str, t.Any]:
    """Run *main* with *args* and return its result.

    Raises:
        ModuleFailed: the module called ``fail_json``.
    """

    def exit_json(_self: t.Any, **result: t.Any) -> t.NoReturn:
        # What cannot be turned into JSON would only fail on a real run.
        raise ModuleExit(json.loads(json.dumps({"changed": False, **result})))

    def fail_json(_self: t.Any, msg: str, **result: t.Any) -> t.NoReturn:
        raise ModuleFailed(json.loads(json.dumps({"failed": True, "msg": msg, **result})))

    global running
    before, running = running, main.__module__
    full = {**args, "_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with (
        patch_module_args(full),
        mock.patch.object(basic.AnsibleModule, "exit_json", exit_json),
        mock.patch.object(basic.AnsibleModule, "fail_json", fail_json),
    ):
        try:
            main()
        except ModuleExit as exc:
            return exc.result
        finally:
            running = before
    raise AssertionError("the module ended without exit_json")
