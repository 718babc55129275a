#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_pki
short_description: Manage a certificate authority in Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Gives a PKI mount (made by M(resilient.platform.vault_secrets_engine)) its issuer, addresses, lists of revoked certificates, ACME and roles.
  - Private keys are made in the server and never leave it.
  - With O(renew_before), an issuer that is near its end gets a successor beside it (C(name-2), C(name-3) and so on). The successor becomes the default;
    the predecessor issues no more, but its lists of revoked certificates are signed on.
  - With O(retire_old), predecessors are deleted when the last certificate of theirs has ended.
  - What is not set is left alone. Durations are compared by length; lists are compared whatever their order.
  - A restore opens serial numbers anew and forgets certificates and revocations since the snapshot. Revoke those again from the audit log.
attributes:
  check_mode:
    support: full
    details: Over a mount that an earlier task would have made, all that is wanted shows as a change, with a warning.
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
options:
  mount_point:
    description: Path of the PKI mount.
    type: str
    default: pki
  issuer:
    description: The issuer that the mount has to have.
    type: dict
    suboptions:
      name:
        description: Its name; those of successors get a number.
        type: str
        required: true
      type:
        description: Whether it signs itself or is signed.
        type: str
        choices: [root, intermediate]
        required: true
      common_name:
        description: Common name of its subject.
        type: str
        required: true
      ttl:
        description: How long it is valid. At most the mount's C(max_lease_ttl), and what its parent has left.
        type: str
        default: 43800h
      organization:
        description: Organization of its subject.
        type: str
      ou:
        description: Organizational unit of its subject.
        type: str
      country:
        description: Country of its subject.
        type: str
      key_type:
        description: Type of its key.
        type: str
        choices: [rsa, ec, ed25519]
        default: ec
      key_bits:
        description: Length of its key; the server's default for the type if not set.
        type: int
      max_path_length:
        description: How many authorities may be below it.
        type: int
      parent_mount:
        description: PKI mount of this server that signs an intermediate.
        type: str
      parent_issuer:
        description: Issuer there.
        type: str
        default: default
      csr_file:
        description: >-
          Where the signing request of an intermediate goes whose root is elsewhere, on the controller. Delete it when the certificate has been imported.
        type: path
      certificate_file:
        description: The certificate that was signed for it, with its chain.
        type: path
  renew_before:
    description: How long before its end an issuer gets a successor.
    type: str
  retire_old:
    description: Whether predecessors are deleted of which nothing is valid any more. Every certificate of the mount is looked at.
    type: bool
    default: false
  cluster:
    description: Addresses of this cluster by the API's own names (C(path), C(aia_path)), which ACME and templated O(urls) need.
    type: dict
  urls:
    description: Addresses in certificates by the API's own names (C(issuing_certificates), C(crl_distribution_points), C(ocsp_servers), C(enable_templating)).
    type: dict
  crl:
    description: Lists of revoked certificates by the API's own names, such as C(expiry), C(auto_rebuild).
    type: dict
  acme:
    description: ACME by the API's own names, such as C(enabled), C(allowed_roles), C(eab_policy).
    type: dict
  auto_tidy:
    description: The clean-up by the API's own names, such as C(enabled), C(tidy_cert_store), C(interval_duration).
    type: dict
  roles:
    description: Roles by name; each a mapping of the API's own fields, such as C(allowed_domains), C(max_ttl).
    type: dict
  purge_roles:
    description: Delete the roles that O(roles) does not name.
    type: bool
    default: false
seealso:
  - module: resilient.platform.vault_pki_info
  - module: resilient.platform.vault_secrets_engine
"""

EXAMPLES = r"""
- name: A root of its own mount
  resilient.platform.vault_pki:
    mount_point: pki_root
    issuer: {name: root, type: root, common_name: Example Root, ttl: 87600h}

- name: The authority that issues, renewed in time
  resilient.platform.vault_pki:
    mount_point: pki
    issuer: {name: issuing, type: intermediate, common_name: Example Issuing, ttl: 17520h, parent_mount: pki_root}
    renew_before: 4380h
    retire_old: true
    urls:
      crl_distribution_points: ["https://vault.example.com:8200/v1/pki/crl"]
    crl: {auto_rebuild: true, expiry: 96h}
    roles:
      web: {allowed_domains: [example.com], allow_subdomains: true, max_ttl: 720h}
"""

RETURN = r"""
pki:
  description: The mount after the task. In check mode, as it was before.
  returned: success
  type: dict
  contains:
    mount_point:
      description: Its path.
      type: str
      sample: pki
    default:
      description: Id of the default issuer; empty if there is none.
      type: str
    issuers:
      description: >-
        The issuers, each with C(id), C(name), C(default), C(has_key), C(usage), C(subject), C(serial), C(fingerprint_sha256), C(certificate),
        C(not_after), C(days_left) and C(revoked). Compare the fingerprints after a restore.
      type: list
      elements: dict
    roles:
      description: The roles by name.
      type: dict
    cluster:
      description: Addresses of this cluster; V(null) if the server knows no such settings.
      type: dict
    urls:
      description: Addresses that certificates carry.
      type: dict
    crl:
      description: Settings of the lists of revoked certificates.
      type: dict
    acme:
      description: Settings of ACME; V(null) if the server knows none.
      type: dict
    auto_tidy:
      description: Settings of the clean-up; V(null) if the server knows none.
      type: dict
"""

import datetime
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import need
from ansible_collections.resilient.platform.plugins.module_utils._vault import pki, pki_config
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import seconds
from ansible_collections.resilient.platform.plugins.module_utils._vault.mount import mount_path
from ansible_collections.resilient.platform.plugins.module_utils._vault.pki_state import read_pki

ISSUER: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "required": True, "choices": ["root", "intermediate"]},
    "common_name": {"type": "str", "required": True},
    "ttl": {"type": "str", "default": "43800h"},
    "organization": {"type": "str"},
    "ou": {"type": "str"},
    "country": {"type": "str"},
    "key_type": {"type": "str", "default": "ec", "choices": ["rsa", "ec", "ed25519"], "no_log": False},
    "key_bits": {"type": "int", "no_log": False},
    "max_path_length": {"type": "int"},
    "parent_mount": {"type": "str"},
    "parent_issuer": {"type": "str", "default": "default"},
    "csr_file": {"type": "path"},
    "certificate_file": {"type": "path"},
}
SPEC = ArgumentSpec(
    {
        "mount_point": {"type": "str", "default": "pki"},
        "issuer": {"type": "dict", "options": ISSUER},
        "renew_before": {"type": "str"},
        "retire_old": {"type": "bool", "default": False},
        **{name: {"type": "dict"} for name in pki_config.SECTIONS},
        "roles": {"type": "dict"},
        "purge_roles": {"type": "bool", "default": False},
    }
)


def wish_from(params: t.Mapping[str, t.Any]) -> pki.Wish | None:
    """Return the issuer that is wanted, checked as far as that needs no server."""
    issuer = params["issuer"]
    renew = 0.0 if params["renew_before"] is None else seconds(params["renew_before"])
    if renew is None:
        raise Refused(f"renew_before is {params['renew_before']!r}, which is no duration.", hint="Write it as 720h.")
    if issuer is None:
        if renew or params["retire_old"]:
            raise Refused("renew_before and retire_old need issuer.")
        return None
    names = ("organization", "ou", "country", "key_type", "key_bits", "max_path_length")
    wish = pki.Wish(
        issuer["name"],
        issuer["type"],
        issuer["common_name"],
        issuer["ttl"],
        {name: issuer[name] for name in names if issuer[name] is not None},
        parent_mount=(issuer["parent_mount"] or "").strip("/"),
        parent_issuer=issuer["parent_issuer"],
        csr_file=issuer["csr_file"] or "",
        certificate_file=issuer["certificate_file"] or "",
        renew_before=renew,
        retire_old=params["retire_old"],
    )
    pki.check_wish(wish)
    if wish.csr_file:
        files.check_writable(wish.csr_file)
    return wish


def plan_issuers(client: VaultClient, mount: str, wish: pki.Wish, tracker: DiffTracker) -> pki.IssuerPlan:
    """Plan the issuer and its predecessors."""
    now = datetime.datetime.now(datetime.timezone.utc)
    issuers, default = pki.read_issuers(client, mount), pki.read_default(client, mount)
    trial = DiffTracker()
    plan = pki.plan_issuer(wish, issuers, default, now, trial)
    if pki.waits_for_signature(plan):
        # Nothing else happens to the issuers before the certificate is there.
        plan.default, plan.close = "", []
        if not os.path.exists(wish.csr_file):
            tracker.add("csr_file", before=None, after=wish.csr_file)
        return plan
    tracker.before |= trial.before
    tracker.after |= trial.after
    if wish.retire_old:
        pki.plan_retirement(client, mount, plan, issuers, now, tracker)
    return plan


def apply_issuers(client: VaultClient, mount: str, plan: pki.IssuerPlan) -> None:
    """Carry out what was planned for the issuers."""
    if not pki.waits_for_signature(plan):
        pki.apply(client, mount, plan)
    elif not os.path.exists(plan.wish.csr_file):
        files.write_text(plan.wish.csr_file, pki.make_request(client, mount, plan) + "\n")


def plan_all(
    client: VaultClient, mount: str, wish: pki.Wish | None, params: t.Mapping[str, t.Any]
) -> tuple[DiffTracker, pki_config.ConfigPlan, pki.IssuerPlan | None]:
    """Plan settings, issuers and roles."""
    tracker, config, roles = DiffTracker(), pki_config.ConfigPlan(), params["roles"] or {}
    wanted = {name: params[name] for name in pki_config.SECTIONS if params[name]}
    pki_config.plan_sections(config, wanted, {name: pki_config.read_section(client, mount, name) for name in wanted}, tracker)
    plan = plan_issuers(client, mount, wish, tracker) if wish else None
    if roles or params["purge_roles"]:
        current = pki_config.read_roles(client, mount, None if params["purge_roles"] else roles)
        pki_config.plan_roles(config, roles, current, tracker, purge=params["purge_roles"])
    return tracker, config, plan


def predicted(mount: str, wish: pki.Wish | None, params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what check mode can say of a mount that an earlier task would have made."""
    tracker = DiffTracker()
    for section in pki_config.SECTIONS:
        for name, value in (params[section] or {}).items():
            tracker.add(f"{section}.{name}", before=None, after=value)
    if wish and wish.csr_file and not wish.certificate_file:
        tracker.add("csr_file", before=None, after=wish.csr_file)
    elif wish:
        tracker.add("issuer", before=None, after=wish.name)
        tracker.add("default", before=None, after=wish.name)
    pki_config.plan_roles(pki_config.ConfigPlan(), params["roles"] or {}, {}, tracker, purge=False)
    result: dict[str, t.Any] = {"mount_point": mount, "default": "", "issuers": [], "roles": {}, **dict.fromkeys(pki_config.SECTIONS)}
    return {"changed": tracker.changed, "pki": result, "diff": tracker.as_result(f"certificate authority {mount}")}


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        need("cryptography", pki.CRYPTOGRAPHY_ERROR)
        params = module.params
        mount = mount_path(params["mount_point"])
        wish = wish_from(params)
        pki_config.check_roles(params["roles"] or {})
        client = client_from_params(params)
        try:
            tracker, config, plan = plan_all(client, mount, wish, params)
        except (NotFound, Refused):
            if client.raw("GET", f"{quote(mount)}/config/issuers", what=f"look whether {mount} is there").status != 404:
                raise
            if not module.check_mode:
                raise Refused(f"There is no PKI mount at {mount}.", hint="Make it with vault_secrets_engine first.") from None
            module.warn(f"There is no PKI mount at {mount} yet: what it will have by itself is not known, so all that is wanted shows as a change.")
            return predicted(mount, wish, params)
        if tracker.changed and not module.check_mode:
            pki_config.apply_sections(client, mount, config, pki_config.BEFORE_ISSUERS)
            if plan:
                apply_issuers(client, mount, plan)
            pki_config.apply_roles(client, mount, config)
            pki_config.apply_sections(client, mount, config, pki_config.AFTER_ROLES)
        for text in plan.warnings if plan else []:
            module.warn(text)
        if plan and pki.waits_for_signature(plan):
            module.warn(f"The request in {plan.wish.csr_file} has to be signed; then set certificate_file.")
        if (params["acme"] or {}).get("enabled"):
            missing = pki_config.missing_acme_headers(client, mount)
            if missing:
                module.warn(f"ACME clients need the headers {', '.join(missing)}: add them to allowed_response_headers of {mount} (vault_secrets_engine).")
        return {"changed": tracker.changed, "pki": read_pki(client, mount), "diff": tracker.as_result(f"certificate authority {mount}")}

    run(module, body)


if __name__ == "__main__":
    main()
