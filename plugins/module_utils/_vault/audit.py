# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Audit devices: by the API of Vault, by a stanza of the configuration in OpenBao (whose API refuses since 2.3.2)."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.product import VAULT, read_product

API = "api"
CONFIGURATION = "configuration"
UNKNOWN = "unknown"


class ConfigurationOnly(Refused):
    """The server takes audit devices from its configuration only; ``details['stanza']`` is what belongs there."""


@dataclasses.dataclass(frozen=True)
class Device:
    """An audit device as it is, or as it should be. In the wish ``None`` means "leave alone"."""

    path: str
    type: str
    description: str | None = None
    local: bool | None = None
    options: dict[str, str] | None = None

    @classmethod
    def from_api(cls, path: str, entry: t.Mapping[str, t.Any]) -> Device:
        """Return it from an entry of the server's list."""
        return cls(
            path=path.rstrip("/"),
            type=str(entry.get("type") or ""),
            description=str(entry.get("description") or ""),
            local=bool(entry.get("local")),
            options=texts(entry.get("options") or {}),
        )

    def as_dict(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        return {**dataclasses.asdict(self), "description": self.description or "", "local": bool(self.local), "options": self.options or {}}

    def over(self, current: Device | None) -> Device:
        """Return what this wish makes of *current*."""
        base = current or Device(self.path, self.type)
        return Device(
            self.path,
            self.type,
            base.description or "" if self.description is None else self.description,
            bool(base.local) if self.local is None else self.local,
            {**(base.options or {}), **(self.options or {})},
        )

    def stanza(self) -> str:
        """Return the stanza of an OpenBao configuration that makes this device."""
        lines = [f"audit {json.dumps(self.type)} {json.dumps(self.path)} {{"]
        if self.description:
            lines.append(f"  description = {json.dumps(self.description)}")
        if self.local:
            lines.append("  local = true")
        if self.options:
            lines += ["  options {", *[f"    {key} = {json.dumps(value)}" for key, value in sorted(self.options.items())], "  }"]
        return "\n".join([*lines, "}", ""])


def texts(options: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return *options* as the server keeps them: all of them text, truth in lower case."""
    return {str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in options.items()}


@dataclasses.dataclass
class AuditPlan:
    """What to do: enable, replace, disable, or nothing."""

    wanted: Device
    current: Device | None
    action: str = "none"
    tracker: DiffTracker = dataclasses.field(default_factory=DiffTracker)

    @property
    def header(self) -> str:
        """Return the object's name for people."""
        return f"audit device {self.wanted.path}"

    @property
    def after(self) -> Device | None:
        """Return what there is after the plan."""
        if self.action == "disable":
            return None
        return self.wanted.over(self.current) if self.action in ("enable", "replace") else self.current


def list_devices(client: VaultClient) -> list[Device]:
    """Return all audit devices, by path."""
    data = client.get("sys/audit", what="list the audit devices").data
    return [Device.from_api(path, entry) for path, entry in sorted(data.items()) if isinstance(entry, dict) and "type" in entry]


def read_management(client: VaultClient) -> str:
    """Return ``api``, ``configuration``, or ``unknown`` if the token may not read the server's configuration."""
    if read_product(client) == VAULT:
        return API
    reply = client.raw("GET", "sys/config/state/sanitized", what="ask whether audit devices are made by the API")
    if reply.status != 200:
        return UNKNOWN
    return API if reply.data.get("unsafe_allow_api_audit_creation") else CONFIGURATION


def plan_audit(wanted: Device, current: Device | None, *, state: str, recreate: bool) -> AuditPlan:
    """Plan one device.

    Raises:
        Refused: the device is there with other settings: the server cannot change one, and replacing it leaves a gap.
    """
    plan = AuditPlan(wanted, current)
    if state == "absent":
        if current is not None:
            plan.action = "disable"
            for name, value in current.as_dict().items():
                plan.tracker.add(name, before=value, after=None)
        return plan
    if current is None:
        plan.action = "enable"
        for name, value in wanted.over(None).as_dict().items():
            plan.tracker.add(name, before=None, after=value)
        return plan
    after = wanted.over(current)
    for name, value in after.as_dict().items():
        plan.tracker.add(name, before=current.as_dict()[name], after=value)
    if plan.tracker.changed:
        plan.action = "replace"
        if not recreate:
            raise Refused(
                f"The audit device {wanted.path!r} is there with other settings ({', '.join(sorted(plan.tracker.after))}), which no server can change.",
                hint="Make one of another name first and then this one absent, or set recreate to accept a moment without this device.",
                details={"before": plan.tracker.before, "after": plan.tracker.after},
            )
    return plan


def require_api(plan: AuditPlan, management: str) -> None:
    """Refuse what the server's API would not do, and say what to write into its configuration."""
    if plan.action == "none" or management != CONFIGURATION:
        return
    if plan.action == "disable":
        raise ConfigurationOnly(
            f"The {plan.header} comes from the configuration of the server, and its API does not disable it.",
            hint="Take its stanza out of the configuration of every node and send each server SIGHUP.",
            details={"stanza": (plan.current or plan.wanted).stanza()},
        )
    stanza = plan.wanted.over(plan.current).stanza()
    raise ConfigurationOnly(
        f"The {plan.header} is not there, and the server takes audit devices from its configuration only.",
        hint="Put the stanza that is returned in error.stanza into the configuration of every node and send each server SIGHUP; "
        "the role vault_cluster does so.",
        details={"stanza": stanza},
    )


def apply_audit(client: VaultClient, plan: AuditPlan) -> None:
    """Carry *plan* out."""
    path = f"sys/audit/{quote(plan.wanted.path)}"
    if plan.action in ("disable", "replace"):
        client.delete(path, what=f"disable the {plan.header}")
    if plan.action in ("enable", "replace"):
        body = plan.wanted.over(plan.current).as_dict()
        del body["path"]
        client.put(path, body, what=f"enable the {plan.header}")
