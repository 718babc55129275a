# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The connection options of every Vault module; the mirror of the ``_vault`` doc fragment."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.module_utils.common.parameters import AnsibleFallbackNotFound

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import HAS_HVAC, VaultClient


def skip_verify_fallback(*names: str) -> bool:
    """Return ``validate_certs`` from variables that say the opposite (``VAULT_SKIP_VERIFY``)."""
    for name in names:
        if os.environ.get(name):
            return not boolean(os.environ[name], strict=False)
    raise AnsibleFallbackNotFound


def vault_spec() -> ArgumentSpec:
    """Return the connection options. All modules take all of them, so that ``module_defaults`` of the group fit each."""
    return ArgumentSpec(
        {
            "url": {"type": "str", "required": True, "fallback": (env_fallback, ["VAULT_ADDR", "BAO_ADDR"])},
            "ca_path": {"type": "path", "fallback": (env_fallback, ["VAULT_CACERT", "BAO_CACERT"])},
            "validate_certs": {"type": "bool", "default": True, "fallback": (skip_verify_fallback, ["VAULT_SKIP_VERIFY", "BAO_SKIP_VERIFY"])},
            "namespace": {"type": "str", "fallback": (env_fallback, ["VAULT_NAMESPACE", "BAO_NAMESPACE"])},
            "auth_method": {"type": "str", "default": "token", "choices": ["token", "approle"]},
            "auth_mount_point": {"type": "str", "default": "approle"},
            "token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["VAULT_TOKEN", "BAO_TOKEN"])},
            "role_id": {"type": "str", "no_log": True, "fallback": (env_fallback, ["VAULT_ROLE_ID", "BAO_ROLE_ID"])},
            "secret_id": {"type": "str", "no_log": True, "fallback": (env_fallback, ["VAULT_SECRET_ID", "BAO_SECRET_ID"])},
            "request_timeout": {"type": "int", "default": 60},
        }
    )


def require_hvac(module: AnsibleModule) -> None:
    """End *module* with Ansible's own words if hvac is missing."""
    if not HAS_HVAC:
        module.fail_json(msg=missing_required_lib("hvac", url="https://pypi.org/project/hvac/"))


def anonymous_client(params: t.Mapping[str, t.Any]) -> VaultClient:
    """Return a client without a token, for the paths that need none."""
    if params["request_timeout"] < 1:
        raise Refused(f"request_timeout is {params['request_timeout']}.", hint="It is at least 1 second.")
    verify: bool | str = bool(params["validate_certs"])
    if verify and params["ca_path"]:
        verify = params["ca_path"]
    return VaultClient(params["url"], verify=verify, namespace=params["namespace"] or "", timeout=float(params["request_timeout"]))


def client_from_params(params: t.Mapping[str, t.Any]) -> VaultClient:
    """Return a client with a token, logged in by AppRole if asked for.

    Raises:
        Refused: the credentials of the chosen method are not given.
        AuthenticationError: they were not accepted.
    """
    client = anonymous_client(params)
    if params["auth_method"] == "token":
        if not params["token"]:
            raise Refused("No token for the server.", hint="Set token (or VAULT_TOKEN), or auth_method=approle with role_id and secret_id.")
        return client.with_token(params["token"])
    if not params["role_id"] or not params["secret_id"]:
        raise Refused("auth_method is approle, but role_id or secret_id is missing.", hint="Set both, or VAULT_ROLE_ID and VAULT_SECRET_ID.")
    return client.login_approle(params["role_id"], params["secret_id"], params["auth_mount_point"])


def optional_client(params: t.Mapping[str, t.Any]) -> VaultClient:
    """Return a client with a token if there are credentials, and without one for the paths of a disaster, which need none."""
    if params["auth_method"] == "token" and not params["token"]:
        return anonymous_client(params)
    return client_from_params(params)


def run(module: AnsibleModule, body: t.Callable[[], dict[str, t.Any]]) -> t.NoReturn:
    """Run *body* and end *module* with what it returns, or with its typed error. The one place that ends a module."""
    require_hvac(module)
    try:
        result = body()
    except PlatformError as exc:
        exc.fail(module)
    if not module._diff:  # pylint: disable=protected-access  # the documented way of every action plugin
        result.pop("diff", None)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")
