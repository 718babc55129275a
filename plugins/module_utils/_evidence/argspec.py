# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Options that the evidence and backup modules share; the mirror of the ``_evidence`` doc fragment."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError

_DESTINATION: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "choices": ["s3", "directory", "sftp"], "required": True},
    "offsite": {"type": "bool"},
    "path": {"type": "path"},
    "host": {"type": "str"},
    "port": {"type": "int", "default": 22},
    "username": {"type": "str"},
    "private_key_file": {"type": "path", "no_log": False},
    "known_hosts_file": {"type": "path"},
    "endpoint": {"type": "str"},
    "bucket": {"type": "str"},
    "prefix": {"type": "str", "default": ""},
    "region": {"type": "str", "default": "us-east-1"},
    "access_key": {"type": "str", "no_log": False, "fallback": (env_fallback, ["AWS_ACCESS_KEY_ID"])},
    "secret_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SECRET_ACCESS_KEY"])},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 10},
}


def destination_spec() -> ArgumentSpec:
    """Return the option ``destination``."""
    return ArgumentSpec({"destination": {"type": "dict", "required": True, "options": _DESTINATION}})


def destinations_spec() -> ArgumentSpec:
    """Return the option ``destinations``."""
    return ArgumentSpec({"destinations": {"type": "list", "elements": "dict", "default": [], "options": _DESTINATION}})


def run_module(spec: ArgumentSpec, work: t.Callable[[AnsibleModule], dict[str, t.Any]]) -> t.NoReturn:
    """Create the module for *spec*, do *work*, and end it: the one place where errors become ``fail_json``."""
    module = spec.create_module()
    try:
        result = work(module)
    except PlatformError as exc:
        exc.fail(module)
    except OSError as exc:
        PlatformError(f"Cannot use {exc.filename or 'a file'}: {exc.strerror or exc}.", hint="Look at the path, its owner and the space left.").fail(module)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")
