# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""ACL policies."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote

BUILT_IN = ("default", "root")


@dataclasses.dataclass(frozen=True)
class PolicyPlan:
    """What to do: texts before and after, ``None`` for "does not exist"."""

    name: str
    before: str | None
    after: str | None

    @property
    def changed(self) -> bool:
        """Whether they differ."""
        return self.before != self.after

    def diff(self) -> dict[str, t.Any]:
        """Return a diff of texts, which Ansible shows line by line."""
        header = f"policy {self.name}"
        return {"before": self.before or "", "after": self.after or "", "before_header": header, "after_header": header}


def normalise_text(text: str) -> str:
    """Return *text* without differences that mean nothing: line ends, blanks at line ends, empty lines around."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def policy_name(name: str) -> str:
    """Return *name* as the server stores it (lower case).

    Raises:
        Refused: it is none.
    """
    result = name.strip().lower()
    if not result or result != name.lower():
        raise Refused(f"{name!r} is no name of a policy.", hint="It is not empty and has no blanks around it.")
    return result


def plan_policy(name: str, current: str | None, state: str, text: str | None) -> PolicyPlan:
    """Plan one policy.

    Raises:
        Refused: a built-in one, or an empty text.
    """
    before = normalise_text(current) if current is not None else None
    if state == "absent":
        if name in BUILT_IN:
            raise Refused(f"The policy {name!r} is built in and cannot be deleted.")
        return PolicyPlan(name, before, None)
    if name == "root":
        raise Refused("The policy 'root' is built in and cannot be changed.")
    if not (text or "").strip():
        raise Refused(f"The policy {name!r} has no text.", hint="Set policy; an empty policy grants nothing, state=absent deletes it.")
    return PolicyPlan(name, before, normalise_text(text or ""))


def read_policy(client: VaultClient, name: str) -> str | None:
    """Return the text of a policy, ``None`` if there is none."""
    reply = client.find(f"sys/policies/acl/{quote(name)}", what=f"read the policy {name!r}")
    return None if reply is None else str(reply.data.get("policy") or "")


def list_policies(client: VaultClient) -> list[str]:
    """Return all names, ``root`` included."""
    return sorted(client.list("sys/policies/acl", what="list the policies"))


def apply_policy(client: VaultClient, plan: PolicyPlan) -> None:
    """Carry *plan* out."""
    path = f"sys/policies/acl/{quote(plan.name)}"
    if plan.after is None:
        client.delete(path, what=f"delete the policy {plan.name!r}")
    else:
        client.post(path, {"policy": plan.after}, what=f"write the policy {plan.name!r}")
