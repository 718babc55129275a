# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What ``proxmox_fleet`` and ``proxmox_vm`` do: plan, and apply unless in check mode."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.apply import Applier
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.argspec import connection_from
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import desired_guests
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.fleet import FleetPlan, plan_fleet
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.outcome import Outcome

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Threads mostly sleep while a guest boots; requests on their way are limited by the client.
MOST_THREADS = 64


class FleetIncomplete(PlatformError):
    """Some guests failed; the others were done."""


def run_fleet(
    module: AnsibleModule,
    guests: t.Sequence[t.Mapping[str, t.Any]],
    *,
    concurrency: int,
    exclusive_tag: str | None = None,
    prune: bool = False,
) -> dict[str, t.Any]:
    """Bring *guests* into their state and return a module's result.

    Raises:
        PlatformError: nothing was written.
        FleetIncomplete: some guests failed; what became of each is in ``details``.
    """
    params = module.params
    desired = desired_guests(guests)
    client = ProxmoxClient(connection_from(params), concurrency=concurrency)
    applier = Applier(client, timeout=params["wait_timeout"], wait_for=params["wait_for"], interval=params["wait_sleep"])
    plan = plan_fleet(
        client,
        desired,
        exclusive_tag=exclusive_tag,
        prune=prune,
        concurrency=concurrency,
        overcommit=params["overcommit"],
        wait_until_made=None if module.check_mode else applier.wait_until_made,
    )
    if module.check_mode:
        outcomes = [Outcome.predicted(one) for one in plan.guests]
    else:
        outcomes = applier.run(plan.guests, threads=MOST_THREADS, cluster=plan.cluster)
    for warning in plan.warnings:
        module.warn(warning)
    result = _result(module, plan, outcomes, client)
    failed = {outcome.name: outcome.error for outcome in outcomes if outcome.error}
    if failed:
        raise _incomplete(failed, len(outcomes), result)
    for outcome in outcomes:
        for warning in outcome.warnings:
            module.warn(warning)
    return result


def _result(module: AnsibleModule, plan: FleetPlan, outcomes: t.Sequence[Outcome], client: ProxmoxClient) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {
        "changed": any(outcome.changed for outcome in outcomes),
        "guests": [outcome.as_result() for outcome in outcomes],
        "surplus": [guest.as_result() for guest in plan.surplus],
        "api_requests": client.requests_sent,
    }
    if module._diff:
        result["diff"] = plan.diff().as_result("guests")
    return result


def _incomplete(failed: t.Mapping[str, PlatformError], total: int, result: dict[str, t.Any]) -> PlatformError:
    """Return one error for all; a single guest's error stays what it is."""
    if total == 1:
        first = next(iter(failed.values()))
        first.details["result"] = result
        return first
    texts = "; ".join(f"{name}: {error.message}" for name, error in failed.items())
    return FleetIncomplete(
        f"{len(failed)} of {total} guests failed. {texts}",
        hint="The others are done; the same command does only what is missing.",
        details={"result": result},
    )


def fail(module: AnsibleModule, error: PlatformError, rename: t.Callable[[dict[str, t.Any]], dict[str, t.Any]] | None = None) -> t.NoReturn:
    """End *module* with *error* and with what is known of every guest."""
    result = error.details.pop("result", {})
    error.fail(module, **(rename(result) if rename and result else result))
