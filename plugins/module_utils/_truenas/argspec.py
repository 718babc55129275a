# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The connection options of every TrueNAS module, once; the mirror of the ``_truenas`` doc fragment."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Settings


def _option(name: str, **rest: t.Any) -> dict[str, t.Any]:
    return {**rest, "fallback": (env_fallback, [f"TRUENAS_{name}"])}


def api_spec() -> ArgumentSpec:
    """Return the connection options."""
    return ArgumentSpec(
        {
            "api_host": _option("HOST", type="str", required=True),
            "api_port": _option("PORT", type="int", default=443),
            "api_username": _option("USERNAME", type="str", required=True),
            "api_key": _option("API_KEY", type="str", no_log=True),
            "api_password": _option("PASSWORD", type="str", no_log=True),
            "api_protocol": _option("PROTOCOL", type="str", default="wss", choices=["wss", "ws"]),
            "api_version": _option("API_VERSION", type="str", default="current"),
            "api_timeout": {"type": "int", "default": 60},
            "validate_certs": _option("VALIDATE_CERTS", type="bool", default=True),
            "ca_path": _option("CA_PATH", type="path"),
        },
        mutually_exclusive=[("api_key", "api_password")],
        required_one_of=[("api_key", "api_password")],
    )


def peer_spec() -> dict[str, t.Any]:
    """Return the option ``peer``: the connection options of a second system, without fallbacks to the environment; the mirror of ``_truenas.peer``."""
    found = {name: {key: value for key, value in spec.items() if key != "fallback"} for name, spec in api_spec().options.items()}
    secrets = ("api_key", "api_password")
    return {"type": "dict", "options": found, "mutually_exclusive": [secrets], "required_one_of": [secrets]}


def settings_from(params: t.Mapping[str, t.Any]) -> Settings:
    """Return the connection settings from module parameters (or from a dictionary with the same keys)."""
    version = params.get("api_version") or "current"
    if version != "current" and not version.startswith("v"):
        version = f"v{version}"
    return Settings(
        host=params["api_host"],
        port=params.get("api_port") or 443,
        username=params["api_username"],
        api_key=params.get("api_key") or "",
        password=params.get("api_password") or "",
        protocol=params.get("api_protocol") or "wss",
        validate_certs=params.get("validate_certs") is not False,
        ca_path=params.get("ca_path") or "",
        api_version=version,
        timeout=float(params.get("api_timeout") or 60),
    )


def client_from(params: t.Mapping[str, t.Any]) -> TrueNasClient:
    """Return a client for module parameters. It connects at its first call."""
    return TrueNasClient(settings_from(params))
