# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The settings of a PKI mount and its roles: read, compared by what they mean, written in an order that the server takes."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import same

# Written in this order: an issuer gets the addresses that are set when it is made, and ACME wants the cluster's path and its roles.
SECTIONS = {"cluster": "cluster", "urls": "urls", "crl": "crl", "acme": "acme", "auto_tidy": "auto-tidy"}
BEFORE_ISSUERS, AFTER_ROLES = ("cluster", "urls", "crl"), ("acme", "auto_tidy")
# Without these headers no ACME client can go on (RFC 8555 has its nonces and places in them).
ACME_HEADERS = ("Link", "Location", "Replay-Nonce")
ROLE_FIELDS = frozenset(
    """
    allow_any_name allow_bare_domains allow_glob_domains allow_globs_in_identity_templates allow_ip_sans allow_localhost allow_subdomains
    allow_token_displayname allow_wildcard_certificates allowed_domains allowed_domains_template allowed_ip_sans_cidr allowed_other_sans
    allowed_serial_numbers allowed_uri_sans allowed_uri_sans_template allowed_user_ids basic_constraints_valid_for_non_ca client_flag
    cn_validations code_signing_flag country email_protection_flag enforce_hostnames ext_key_usage ext_key_usage_oids generate_lease issuer_ref
    key_bits key_type key_usage locality max_ttl no_store no_store_metadata not_after not_after_bound not_before not_before_bound
    not_before_duration organization ou policy_identifiers postal_code province require_cn serial_number_source server_flag signature_bits
    street_address ttl use_csr_common_name use_csr_sans use_pss
    """.split()
)
Fields = dict[str, t.Any]


@dataclasses.dataclass
class ConfigPlan:
    """Fields to write by section, and roles to write and to delete."""

    write: dict[str, Fields] = dataclasses.field(default_factory=dict)
    roles: dict[str, Fields] = dataclasses.field(default_factory=dict)
    delete: list[str] = dataclasses.field(default_factory=list)


def read_section(client: VaultClient, mount: str, section: str) -> Fields | None:
    """Return a section, ``None`` if the server is too old for it."""
    path, what = f"{quote(mount)}/config/{SECTIONS[section]}", f"read the settings {section} of {mount}"
    reply = client.raw("GET", path, what=what)
    if reply.status in (404, 405):
        return None
    client.ensure_ok(reply, what=what, method="GET", path=path)
    return dict(reply.data)


def read_roles(client: VaultClient, mount: str, names: t.Iterable[str] | None = None) -> dict[str, Fields]:
    """Return the named roles that exist, or all."""
    found: dict[str, Fields] = {}
    for name in client.list(f"{quote(mount)}/roles", what=f"list the roles of {mount}") if names is None else names:
        reply = client.find(f"{quote(mount)}/roles/{quote(name)}", what=f"read the role {name!r}")
        if reply is not None:
            found[name] = dict(reply.data)
    return found


def check_roles(roles: t.Mapping[str, t.Any]) -> None:
    """Refuse roles that are no mappings or have unknown fields, which the server would ignore without a word."""
    for name, fields in roles.items():
        if not isinstance(fields, dict):
            raise Refused(f"roles.{name} is no mapping of fields.")
        unknown = sorted(set(fields) - ROLE_FIELDS)
        if unknown:
            raise Refused(f"roles.{name} has no field {', '.join(unknown)}.", hint="See the API's documentation of the PKI engine for their names.")


def plan_sections(plan: ConfigPlan, wanted: t.Mapping[str, Fields], current: t.Mapping[str, Fields | None], tracker: DiffTracker) -> None:
    """Plan the sections.

    Raises:
        Refused: the server has no such section or field.
    """
    for section in SECTIONS:
        fields = wanted.get(section)
        if not fields:
            continue
        now = current.get(section)
        unknown = sorted(set(fields) - set(now or {}))
        if now is None or unknown:
            raise Refused(
                f"The server has no setting {', '.join(f'{section}.{name}' for name in unknown)} for a PKI mount.",
                hint=f"It has: {', '.join(sorted(now))}." if now else "It is too old for that.",
            )
        changed = {name: value for name, value in fields.items() if not same(value, now[name])}
        for name, value in changed.items():
            tracker.add(f"{section}.{name}", before=now[name], after=value)
        if changed:
            # Written whole: some of these paths set what is not named back to its default.
            plan.write[section] = {**now, **fields}


def plan_roles(plan: ConfigPlan, wanted: t.Mapping[str, Fields], current: t.Mapping[str, Fields], tracker: DiffTracker, *, purge: bool) -> None:
    """Plan the roles; what is not named is left alone unless *purge*."""
    for name, fields in wanted.items():
        now = current.get(name)
        changed = {key: value for key, value in fields.items() if now is None or not same(value, now.get(key))}
        if now is None or changed:
            plan.roles[name] = {**(now or {}), **fields}
            for key, value in changed.items():
                tracker.add(f"roles.{name}.{key}", before=None if now is None else now.get(key), after=value)
            if now is None and not changed:
                tracker.add(f"roles.{name}", before=None, after={})
    if purge:
        plan.delete = sorted(set(current) - set(wanted))
        for name in plan.delete:
            tracker.add(f"roles.{name}", before=current[name], after=None)


def apply_sections(client: VaultClient, mount: str, plan: ConfigPlan, sections: t.Iterable[str]) -> None:
    """Write those of *sections* that differ, in their order."""
    for section in sections:
        if section in plan.write:
            client.post(f"{quote(mount)}/config/{SECTIONS[section]}", plan.write[section], what=f"write the settings {section} of {mount}")


def apply_roles(client: VaultClient, mount: str, plan: ConfigPlan) -> None:
    """Write and delete roles."""
    for name, fields in plan.roles.items():
        client.post(f"{quote(mount)}/roles/{quote(name)}", fields, what=f"write the role {name!r}")
    for name in plan.delete:
        client.delete(f"{quote(mount)}/roles/{quote(name)}", what=f"delete the role {name!r}")


def missing_acme_headers(client: VaultClient, mount: str) -> list[str]:
    """Return the answers' headers that the mount does not let through; none if the token may not look."""
    reply = client.raw("GET", f"sys/mounts/{quote(mount)}/tune", what=f"read how {mount} is tuned")
    if reply.status != 200:
        return []
    return sorted(set(ACME_HEADERS) - set(reply.data.get("allowed_response_headers") or []))
