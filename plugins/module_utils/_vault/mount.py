# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What auth methods and secrets engines have in common: a path, a type, a description and a configuration of the mount."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import same
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

AUTH = "sys/auth"
SECRETS = "sys/mounts"
_NOUNS = {AUTH: "auth method", SECRETS: "secrets engine"}
# What sys/mounts and sys/auth take under "config" and their tune path; all else would be ignored without a word.
CONFIG_FIELDS = (
    "allowed_managed_keys",
    "allowed_response_headers",
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "default_lease_ttl",
    "force_no_cache",
    "listing_visibility",
    "max_lease_ttl",
    "passthrough_request_headers",
    "token_type",
)


@dataclasses.dataclass(frozen=True)
class Mount:
    """A mount as it is, or as it should be. In the wish ``None`` means "leave alone"."""

    path: str
    type: str
    description: str | None = None
    options: dict[str, str] | None = None
    config: dict[str, t.Any] | None = None
    accessor: str = ""

    @classmethod
    def from_api(cls, path: str, entry: t.Mapping[str, t.Any]) -> Mount:
        """Return it from an entry of the server's list."""
        return cls(
            path=path.rstrip("/"),
            type=str(entry.get("type") or ""),
            description=str(entry.get("description") or ""),
            options={str(key): str(value) for key, value in (entry.get("options") or {}).items()},
            config=dict(entry.get("config") or {}),
            accessor=str(entry.get("accessor") or ""),
        )

    def as_dict(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        return {**dataclasses.asdict(self), "options": self.options or {}, "config": self.config or {}, "description": self.description or ""}


@dataclasses.dataclass
class MountPlan:
    """What to do: create, tune with ``tune``, delete, or nothing."""

    base: str
    desired: Mount
    current: Mount | None
    action: str = "none"  # none, create, tune, delete
    tune: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    tracker: DiffTracker = dataclasses.field(default_factory=DiffTracker)

    @property
    def noun(self) -> str:
        """What this mount is called."""
        return _NOUNS[self.base]

    @property
    def header(self) -> str:
        """Names the object in a diff."""
        return f"{self.noun} {self.desired.path}"

    def predicted(self) -> Mount | None:
        """Return what there will be; what only the server knows is empty."""
        if self.action == "delete" or (self.action == "none" and self.current is None):
            return None
        wanted, base = self.desired, self.current or Mount(self.desired.path, self.desired.type)
        return dataclasses.replace(
            base,
            description=base.description if wanted.description is None else wanted.description,
            options={**(base.options or {}), **(wanted.options or {})},
            config=overlay(base.config or {}, wanted.config or {}),
        )


def overlay(current: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return *current* with what *wanted* changes; what means the same stays as the server writes it."""
    return {**current, **{key: value for key, value in wanted.items() if key not in current or not same(value, current[key])}}


def mount_path(path: str) -> str:
    """Return *path* without slashes around it.

    Raises:
        Refused: nothing is left, or it is reserved.
    """
    result = path.strip("/ ")
    if not result or result.split("/")[0] in ("sys", "cubbyhole", "identity"):
        raise Refused(f"{path!r} is no path for a mount of yours.", hint="sys, cubbyhole and identity belong to the server.")
    return result


def list_mounts(client: VaultClient, base: str) -> list[Mount]:
    """Return all mounts, by path."""
    data = client.get(base, what=f"list the {_NOUNS[base]}s").data
    return [Mount.from_api(path, entry) for path, entry in sorted(data.items()) if isinstance(entry, dict) and "type" in entry]


def find_mount(client: VaultClient, base: str, path: str) -> Mount | None:
    """Return the mount at *path*, ``None`` if there is none."""
    return next((mount for mount in list_mounts(client, base) if mount.path == path), None)


def plan_mount(base: str, desired: Mount, current: Mount | None, state: str) -> MountPlan:
    """Plan one mount.

    Raises:
        Refused: another type is mounted there, or an unknown field is set.
    """
    plan = MountPlan(base, desired, current)
    unknown = sorted(set(desired.config or {}) - set(CONFIG_FIELDS))
    if unknown:
        raise Refused(f"The {plan.header} has no setting {', '.join(unknown)} in config.", hint=f"There are: {', '.join(CONFIG_FIELDS)}.")
    if state == "absent":
        return _plan_absent(plan)
    if current is None:
        plan.action = "create"
        for name in ("type", "description", "options", "config"):
            plan.tracker.add(name, before=None, after=getattr(desired, name))
        return plan
    if current.type != desired.type:
        raise Refused(
            f"At {desired.path} there is the {plan.noun} {current.type!r}, not {desired.type!r}.",
            hint="The type cannot be changed: use another path, or delete it first (which deletes what is stored in it).",
        )
    return _plan_tune(plan, desired, current)


def _plan_absent(plan: MountPlan) -> MountPlan:
    if plan.current is not None:
        plan.action = "delete"
        plan.tracker.add("type", before=plan.current.type, after=None)
        plan.tracker.add("description", before=plan.current.description, after=None)
    return plan


def _plan_tune(plan: MountPlan, desired: Mount, current: Mount) -> MountPlan:
    if desired.description is not None and plan.tracker.add("description", before=current.description, after=desired.description):
        plan.tune["description"] = desired.description
    for name, value in (desired.config or {}).items():
        now = (current.config or {}).get(name)
        if not same(value, now):
            plan.tracker.add(f"config.{name}", before=now, after=value)
            plan.tune[name] = value
    for name, value in (desired.options or {}).items():
        now = (current.options or {}).get(name)
        if plan.tracker.add(f"options.{name}", before=now, after=value):
            plan.tune.setdefault("options", {})[name] = value
    plan.action = "tune" if plan.tune else "none"
    return plan


def apply_mount(client: VaultClient, plan: MountPlan) -> None:
    """Carry *plan* out."""
    path = f"{plan.base}/{quote(plan.desired.path)}"
    if plan.action == "create":
        wanted = plan.desired
        body: dict[str, t.Any] = {"type": wanted.type, "description": wanted.description or "", "config": wanted.config or {}}
        if wanted.options:
            body["options"] = wanted.options
        client.post(path, body, what=f"enable the {plan.header}")
    elif plan.action == "tune":
        client.post(f"{path}/tune", plan.tune, what=f"tune the {plan.header}")
    elif plan.action == "delete":
        client.delete(path, what=f"disable the {plan.header}")


def wait_usable(client: VaultClient, mount: Mount | None, waiter: Waiter) -> None:
    """Wait until a versioned kv engine has made itself ready: for a moment after it is enabled, it refuses every request.

    A token that may not read the engine's configuration cannot be told; nothing is waited for then.
    """
    if mount is None or mount.type != "kv" or (mount.options or {}).get("version") != "2":
        return
    waiter.until(
        lambda: client.raw("GET", f"{quote(mount.path)}/config", what=f"look whether the kv engine {mount.path} is ready").status,
        lambda status: status in (200, 403, 404),
        what=f"the kv engine {mount.path} to be ready",
    )
