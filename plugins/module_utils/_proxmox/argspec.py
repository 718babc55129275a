# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Options of the Proxmox modules; the mirror of the ``_proxmox`` doc fragment."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wait import STAGES


def _environment(name: str) -> tuple[t.Any, list[str]]:
    return (env_fallback, [name])


def connection_spec() -> ArgumentSpec:
    """Return the options that say where the API is and who asks."""
    return ArgumentSpec(
        {
            "api_host": {"type": "str", "required": True, "fallback": _environment("PROXMOX_HOST")},
            "api_port": {"type": "int", "default": 8006, "fallback": _environment("PROXMOX_PORT")},
            "api_user": {"type": "str", "required": True, "fallback": _environment("PROXMOX_USER")},
            "api_password": {"type": "str", "no_log": True, "fallback": _environment("PROXMOX_PASSWORD")},
            "api_token_id": {"type": "str", "no_log": False, "fallback": _environment("PROXMOX_TOKEN_ID")},
            "api_token_secret": {"type": "str", "no_log": True, "fallback": _environment("PROXMOX_TOKEN_SECRET")},
            "validate_certs": {"type": "bool", "default": True, "fallback": _environment("PROXMOX_VALIDATE_CERTS")},
            "ca_path": {"type": "path", "fallback": _environment("PROXMOX_CA_PATH")},
        },
        required_together=[("api_token_id", "api_token_secret")],
        required_one_of=[("api_password", "api_token_id")],
    )


def connection_from(params: t.Mapping[str, t.Any]) -> Connection:
    """Return the connection that options describe; a token wins over a password.

    Raises:
        Refused: neither password nor token.
    """
    if not params.get("api_token_id") and not params.get("api_password"):
        raise Refused("Neither api_password nor api_token_id is given.", hint="Give one, or set PROXMOX_PASSWORD or PROXMOX_TOKEN_ID.")
    return Connection(
        host=params["api_host"],
        port=int(params["api_port"]),
        user=params["api_user"],
        password=params.get("api_password"),
        token_id=params.get("api_token_id"),
        token_secret=params.get("api_token_secret"),
        validate_certs=params["validate_certs"],
        ca_path=params.get("ca_path"),
    )


def guest_options() -> dict[str, dict[str, t.Any]]:
    """Return the options of one guest."""
    return {
        "name": {"type": "str", "required": True},
        "vmid": {"type": "int"},
        "node": {"type": "str"},
        "state": {"type": "str", "default": "present", "choices": ["present", "started", "stopped", "absent"]},
        "clone_from": {"type": "str"},
        "full_clone": {"type": "bool"},
        "cores": {"type": "int"},
        "sockets": {"type": "int"},
        "memory": {"type": "int"},
        "cpu": {"type": "str"},
        "disks": {"type": "dict"},
        "networks": {"type": "dict"},
        "cloud_init": {
            "type": "dict",
            "options": {
                "user": {"type": "str"},
                "ssh_keys": {"type": "list", "elements": "str", "no_log": False},
                "ipconfig": {"type": "dict"},
                "nameservers": {"type": "list", "elements": "str"},
                "search_domain": {"type": "str"},
                "storage": {"type": "str"},
                "password": {"type": "str", "no_log": True},
                "update_password": {"type": "str", "default": "on_create", "choices": ["on_create", "always"], "no_log": False},
                "custom": {"type": "str"},
                "type": {"type": "str", "choices": ["configdrive2", "nocloud", "opennebula"]},
                "upgrade": {"type": "bool"},
            },
        },
        "tags": {"type": "list", "elements": "str"},
        "pool": {"type": "str"},
        "description": {"type": "str"},
        "onboot": {"type": "bool"},
        "agent": {"type": "bool"},
        "options": {"type": "dict"},
        "remove": {"type": "list", "elements": "str"},
        "reboot": {"type": "bool", "default": False},
    }


def waiting_spec() -> ArgumentSpec:
    """Return the options about waiting for guests."""
    return ArgumentSpec(
        {
            "wait_for": {"type": "str", "default": "task", "choices": list(STAGES)},
            "overcommit": {"type": "bool", "default": True},
        }
    ).merge(wait_spec())
