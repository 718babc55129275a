# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What a login method believes (``auth/<path>/config``) and the roles of methods other than AppRole."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import same

_TOKEN = (
    "token_bound_cidrs",
    "token_explicit_max_ttl",
    "token_max_ttl",
    "token_no_default_policy",
    "token_num_uses",
    "token_period",
    "token_policies",
    "token_strictly_bind_ip",
    "token_ttl",
    "token_type",
)
_JWT_ROLE = (
    "allowed_redirect_uris",
    "bound_audiences",
    "bound_claims",
    "bound_claims_type",
    "bound_subject",
    "claim_mappings",
    "clock_skew_leeway",
    "expiration_leeway",
    "groups_claim",
    "max_age",
    "not_before_leeway",
    "oidc_scopes",
    "role_type",
    "user_claim",
    "user_claim_json_pointer",
    *_TOKEN,
)
_JWT_CONFIG = (
    "bound_issuer",
    "default_role",
    "jwks_ca_pem",
    "jwks_url",
    "jwt_supported_algs",
    "jwt_validation_pubkeys",
    "namespace_in_state",
    "oidc_client_id",
    "oidc_client_secret",
    "oidc_discovery_ca_pem",
    "oidc_discovery_url",
    "oidc_response_mode",
    "oidc_response_types",
    "provider_config",
)
# The servers ignore any other field without a word.
ROLE_FIELDS: dict[str, tuple[str, ...]] = {
    "jwt": _JWT_ROLE,
    "oidc": _JWT_ROLE,
    "kubernetes": (
        "alias_name_source",
        "audience",
        "bound_service_account_names",
        "bound_service_account_namespace_selector",
        "bound_service_account_namespaces",
        *_TOKEN,
    ),
}
CONFIG_FIELDS: dict[str, tuple[str, ...]] = {
    "jwt": _JWT_CONFIG,
    "oidc": _JWT_CONFIG,
    "kubernetes": ("disable_local_ca_jwt", "kubernetes_ca_cert", "kubernetes_host", "pem_keys", "token_reviewer_jwt"),
}
# The server takes them and never tells them: they are written with whatever else is written, and cannot be compared.
WRITE_ONLY = ("oidc_client_secret", "token_reviewer_jwt")


@dataclasses.dataclass
class ConfigPlan:
    """Fields to write; empty when there is nothing to do."""

    write: dict[str, t.Any] = dataclasses.field(default_factory=dict)


def check_config(kind: str, fields: t.Mapping[str, t.Any]) -> None:
    """Refuse a configuration that *kind* does not have."""
    if fields and kind not in CONFIG_FIELDS:
        raise Refused(f"method_config is for {', '.join(sorted(CONFIG_FIELDS))}, not for {kind!r}.")
    unknown = sorted(set(fields) - set(CONFIG_FIELDS.get(kind, ())))
    if unknown:
        raise Refused(f"method_config of {kind} has no field {', '.join(unknown)}.", hint=f"There are: {', '.join(CONFIG_FIELDS[kind])}.")


def read_config(client: VaultClient, path: str) -> dict[str, t.Any]:
    """Return what is configured; empty when nothing is."""
    reply = client.find(f"auth/{quote(path)}/config", what=f"read the configuration of {path!r}")
    return {} if reply is None else {key: value for key, value in reply.data.items() if key not in ("request_id", "errors", "warnings")}


def plan_config(wanted: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any], tracker: DiffTracker) -> ConfigPlan:
    """Plan the configuration. All wanted fields are written together, because the server replaces the whole."""
    changed = [key for key, value in wanted.items() if key not in WRITE_ONLY and not same(_trimmed(value), _trimmed(current.get(key)))]
    unset = [key for key in wanted if key in WRITE_ONLY and (not current or current.get(f"{key}_set") is False)]
    for key in changed:
        tracker.add(f"method_config.{key}", before=current.get(key), after=wanted[key])
    for key in unset:
        tracker.add(f"method_config.{key}", before=None, after="(not shown)")
    return ConfigPlan(dict(wanted) if changed or unset else {})


def _trimmed(value: t.Any) -> t.Any:
    """Return *value* without blanks around texts: servers keep keys and certificates with or without their last line end."""
    if isinstance(value, list):
        return [_trimmed(item) for item in value]
    return value.strip() if isinstance(value, str) else value


def apply_config(client: VaultClient, path: str, plan: ConfigPlan) -> None:
    """Carry *plan* out."""
    if plan.write:
        client.post(f"auth/{quote(path)}/config", plan.write, what=f"configure {path!r}")
