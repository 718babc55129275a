# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Issuers of a PKI mount: made, renewed beside their predecessor, and taken away when nothing of theirs is valid any more.

The generations of an issuer are named ``name``, ``name-2``, ``name-3``. The newest is the default; the older ones no longer issue,
but go on to sign their lists of revoked certificates, until the last certificate of theirs has ended.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import seconds
from ansible_collections.resilient.platform.plugins.module_utils._vault.pki_config import read_roles

CRYPTOGRAPHY_ERROR: Exception | None = None
try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
except ImportError as exc:
    CRYPTOGRAPHY_ERROR = exc

ISSUING = "issuing-certificates"


@dataclasses.dataclass(frozen=True)
class Issuer:
    """One issuer. Times are UTC."""

    id: str
    name: str
    key_id: str
    usage: tuple[str, ...]
    certificate: str
    subject: str
    common_name: str
    serial: str
    fingerprint_sha256: str
    key_identifier: str
    not_after: datetime.datetime
    revoked: bool

    def as_dict(self, default: str, now: datetime.datetime) -> dict[str, t.Any]:
        """Return it for a module's result."""
        result = dataclasses.asdict(self)
        result |= {"usage": list(self.usage), "not_after": self.not_after.isoformat(), "default": self.id == default, "has_key": bool(self.key_id)}
        return {**result, "days_left": round((self.not_after - now).total_seconds() / 86400, 2)}


@dataclasses.dataclass(frozen=True)
class Wish:
    """The issuer that a mount is to have."""

    name: str
    type: str
    common_name: str
    ttl: str
    fields: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    parent_mount: str = ""
    parent_issuer: str = "default"
    csr_file: str = ""
    certificate_file: str = ""
    renew_before: float = 0.0
    retire_old: bool = False

    def generation(self, name: str) -> int:
        """Return the generation that an issuer's name stands for; 0 for another issuer."""
        match = re.fullmatch(rf"{re.escape(self.name)}(?:-(\d{{1,6}}))?", name)
        return 0 if not match else int(match[1] or 1)

    def name_of(self, generation: int) -> str:
        """Return the name of a generation."""
        return self.name if generation == 1 else f"{self.name}-{generation}"


@dataclasses.dataclass
class IssuerPlan:
    """What to do: make an issuer, make it the default, close older ones, delete the oldest."""

    wish: Wish
    current: Issuer | None = None
    create: str = ""
    default: str = ""
    close: list[Issuer] = dataclasses.field(default_factory=list)
    retire: list[Issuer] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)


def parse(entry: t.Mapping[str, t.Any]) -> Issuer:
    """Return an issuer from the server's answer.

    Raises:
        PlatformError: its certificate is none.
    """
    try:
        certificate = x509.load_pem_x509_certificate(str(entry["certificate"]).encode())
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except ValueError as exc:
        raise PlatformError(f"The certificate of the issuer {entry.get('issuer_id')} cannot be read.") from exc
    return Issuer(
        id=str(entry.get("issuer_id") or ""),
        name=str(entry.get("issuer_name") or ""),
        key_id=str(entry.get("key_id") or ""),
        usage=tuple(part.strip() for part in str(entry.get("usage") or "").split(",") if part.strip()),
        certificate=str(entry["certificate"]),
        subject=certificate.subject.rfc4514_string(),
        common_name=str(names[0].value) if names else "",
        serial=":".join(re.findall("..", f"{certificate.serial_number:040x}")),
        fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        key_identifier=_key_identifier(certificate, x509.SubjectKeyIdentifier),
        not_after=certificate.not_valid_after_utc,
        revoked=bool(entry.get("revoked")),
    )


def _key_identifier(certificate: t.Any, kind: t.Any) -> str:
    """Return the subject's or the authority's key identifier in hex, empty if there is none."""
    try:
        value = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return ""
    raw = value.digest if isinstance(value, x509.SubjectKeyIdentifier) else value.key_identifier
    return (raw or b"").hex()


def read_issuers(client: VaultClient, mount: str) -> list[Issuer]:
    """Return all issuers of a mount, in the order of their end."""
    ids = client.list(f"{quote(mount)}/issuers", what=f"list the issuers of {mount}")
    found = [parse(client.get(f"{quote(mount)}/issuer/{quote(name)}", what=f"read the issuer {name}").data) for name in ids]
    return sorted(found, key=lambda issuer: (issuer.not_after, issuer.id))


def read_default(client: VaultClient, mount: str) -> str:
    """Return the id of the default issuer, empty if there is none."""
    return str(client.get(f"{quote(mount)}/config/issuers", what=f"read the default issuer of {mount}").data.get("default") or "")


def check_wish(wish: Wish) -> None:
    """Refuse what makes no sense, before anything is asked."""
    ttl = seconds(wish.ttl)
    if not ttl:
        raise Refused(f"issuer.ttl is {wish.ttl!r}, which is no duration.", hint="Write it as 87600h.")
    if wish.renew_before >= ttl:
        raise Refused(f"renew_before is not shorter than the issuer's ttl ({wish.ttl}): every run would make another one.")
    if wish.type == "root" and (wish.parent_mount or wish.csr_file or wish.certificate_file):
        raise Refused("A root signs itself: parent_mount, csr_file and certificate_file are for an intermediate.")
    if wish.type == "intermediate" and bool(wish.parent_mount) == bool(wish.csr_file):
        raise Refused(
            "An intermediate needs somebody who signs it.",
            hint="Set parent_mount, or csr_file (and certificate_file when it is signed) for a root that is elsewhere.",
        )


def plan_issuer(wish: Wish, issuers: t.Sequence[Issuer], default: str, now: datetime.datetime, tracker: DiffTracker) -> IssuerPlan:
    """Plan the issuer; retiring is planned apart, since it reads certificates.

    Raises:
        Refused: the issuer is there with another name of its subject.
    """
    plan = IssuerPlan(wish)
    ours = sorted((issuer for issuer in issuers if wish.generation(issuer.name) and issuer.key_id), key=lambda issuer: wish.generation(issuer.name))
    newest = ours[-1] if ours else None
    if newest is not None and newest.common_name != wish.common_name:
        raise Refused(
            f"The issuer {newest.name} is {newest.common_name!r}, not {wish.common_name!r}: a certificate cannot be changed.",
            hint="Give the issuer another name; it is made beside this one.",
        )
    left = (newest.not_after - now).total_seconds() if newest else 0.0
    if newest is None or left <= wish.renew_before or newest.revoked:
        plan.create = wish.name_of(wish.generation(newest.name) + 1 if newest else 1)
        tracker.add("issuer", before=newest.name if newest else None, after=plan.create)
    plan.current = newest
    older = ours if plan.create else ours[:-1]
    plan.close = [issuer for issuer in older if ISSUING in issuer.usage]
    for issuer in plan.close:
        tracker.add(f"issuers.{issuer.name}.usage", before=sorted(issuer.usage), after=sorted(set(issuer.usage) - {ISSUING}))
    by_id = {issuer.id: issuer.name or issuer.id for issuer in issuers}
    wanted = plan.create or (newest.name if newest else "")
    if by_id.get(default) != wanted:
        plan.default = wanted
        tracker.add("default", before=by_id.get(default), after=wanted)
    return plan


def waits_for_signature(plan: IssuerPlan) -> bool:
    """Whether the certificate of an authority elsewhere is needed and not there yet."""
    return bool(plan.create and plan.wish.csr_file and not plan.wish.certificate_file)


def plan_retirement(client: VaultClient, mount: str, plan: IssuerPlan, issuers: t.Sequence[Issuer], now: datetime.datetime, tracker: DiffTracker) -> None:
    """Find older generations of which nothing is valid any more.

    A mount with a role that keeps no copies cannot tell; there an issuer is kept until its own end.
    """
    newest = plan.wish.generation(plan.current.name) if plan.current else 0
    older = [issuer for issuer in issuers if 0 < plan.wish.generation(issuer.name) < newest and issuer.key_id]
    if not older:
        return
    ended = [issuer for issuer in older if issuer.not_after <= now]
    open_ones = [issuer for issuer in older if issuer not in ended and ISSUING not in issuer.usage]
    if open_ones:
        roles = [name for name, fields in read_roles(client, mount).items() if fields.get("no_store")]
        if roles:
            plan.warnings.append(f"The roles {', '.join(roles)} of {mount} keep no copies of certificates: older issuers are kept until their own end.")
        else:
            signing = _signing(client, mount, {issuer.serial for issuer in issuers}, now)
            ended += [issuer for issuer in open_ones if issuer.key_identifier not in signing]
    plan.retire = ended
    for issuer in ended:
        tracker.add(f"issuers.{issuer.name}", before=issuer.serial, after=None)


def _signing(client: VaultClient, mount: str, own: set[str], now: datetime.datetime) -> set[str]:
    """Return the key identifiers of those who signed a certificate that is valid now, apart from the serials of *own* issuers."""
    found: set[str] = set()
    for serial in client.list(f"{quote(mount)}/certs", what=f"list the certificates of {mount}"):
        if serial in own:
            continue
        reply = client.find(f"{quote(mount)}/cert/{quote(serial)}", what=f"read the certificate {serial}")
        if reply is None:
            continue
        certificate = x509.load_pem_x509_certificate(str(reply.data["certificate"]).encode())
        if certificate.not_valid_after_utc > now:
            found.add(_key_identifier(certificate, x509.AuthorityKeyIdentifier))
    return found


def make_request(client: VaultClient, mount: str, plan: IssuerPlan) -> str:
    """Make a key in the mount and return its certificate signing request."""
    body = {"common_name": plan.wish.common_name, "key_name": plan.create, **plan.wish.fields}
    body.pop("max_path_length", None)
    return str(client.post(f"{quote(mount)}/issuers/generate/intermediate/internal", body, what=f"make the key of {plan.create}").data["csr"])


def create(client: VaultClient, mount: str, plan: IssuerPlan) -> None:
    """Make the issuer, beside what is there."""
    wish = plan.wish
    if wish.type == "root":
        body = {"common_name": wish.common_name, "issuer_name": plan.create, "key_name": plan.create, "ttl": wish.ttl, **wish.fields}
        client.post(f"{quote(mount)}/issuers/generate/root/internal", body, what=f"make the root {plan.create}")
        return
    if wish.parent_mount:
        csr = make_request(client, mount, plan)
        body = {"csr": csr, "common_name": wish.common_name, "ttl": wish.ttl, "format": "pem_bundle"}
        body |= {name: wish.fields[name] for name in ("organization", "ou", "country", "max_path_length") if name in wish.fields}
        path = f"{quote(wish.parent_mount)}/issuer/{quote(wish.parent_issuer)}/sign-intermediate"
        pem = str(client.post(path, body, what=f"sign {plan.create} by {wish.parent_mount}").data["certificate"])
    else:
        pem = read_certificate(wish.certificate_file)
    answer = client.post(f"{quote(mount)}/issuers/import/cert", {"pem_bundle": pem}, what=f"import the certificate of {plan.create}").data
    with_key = [issuer for issuer, key in (answer.get("mapping") or {}).items() if key and issuer in (answer.get("imported_issuers") or [])]
    if len(with_key) != 1:
        raise Refused(
            f"The certificate for {plan.create} belongs to no key of {mount}, or is there already.",
            hint="Is it the answer to the newest request in csr_file?",
        )
    patch(client, mount, with_key[0], {"issuer_name": plan.create})


def read_certificate(path: str) -> str:
    """Return the certificates in a file.

    Raises:
        Refused: there are none.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError as exc:
        raise Refused(f"Cannot read {path}: {exc.strerror}.", hint="It is the signed certificate in PEM, with its chain.") from exc
    if "-----BEGIN CERTIFICATE-----" not in text or "PRIVATE KEY" in text:
        raise Refused(f"{path} holds no certificate, or a private key too.", hint="Give certificates in PEM only.")
    return text


def patch(client: VaultClient, mount: str, issuer: str, fields: t.Mapping[str, t.Any]) -> None:
    """Change some fields of an issuer and leave the others."""
    path, what = f"{quote(mount)}/issuer/{quote(issuer)}", f"change the issuer {issuer}"
    reply = client.raw("PATCH", path, what=what, json=dict(fields), headers={"Content-Type": "application/merge-patch+json"})
    client.ensure_ok(reply, what=what, method="PATCH", path=path)


def apply(client: VaultClient, mount: str, plan: IssuerPlan) -> None:
    """Carry the plan out: first the new one, then the default, then the old ones."""
    if plan.create:
        create(client, mount, plan)
    if plan.default:
        client.post(f"{quote(mount)}/config/issuers", {"default": plan.default}, what=f"make {plan.default} the default of {mount}")
    for issuer in plan.close:
        patch(client, mount, issuer.id, {"usage": ",".join(sorted(set(issuer.usage) - {ISSUING}))})
    for issuer in plan.retire:
        client.delete(f"{quote(mount)}/issuer/{quote(issuer.id)}", what=f"delete the issuer {issuer.name}")
        client.delete(f"{quote(mount)}/key/{quote(issuer.key_id)}", what=f"delete the key of {issuer.name}")
