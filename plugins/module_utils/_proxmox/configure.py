# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Writing one guest's configuration: the smallest set of keys, with the digest of what was read."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, TaskFailed
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired_cloud_init import is_cloud_init_key
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import DigestMismatch, WriteUnanswered
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest, GuestConfig
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.outcome import Outcome
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import ConfigPlan, plan_config
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.properties import format_size
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller

# The server waits this long for a change before it answers with a task's id; 30 is its maximum.
BACKGROUND_DELAY = 30
# qemu-server writes every key into the configuration, then plugs one after the other; those that fail stay pending.
_HOTPLUG = re.compile(r"([a-z]+[0-9]*): hotplug problem - (.+?)(?=\s+[a-z]+[0-9]*: hotplug problem|\s*$)", re.S)


class Configurer:
    """Writes configurations.

    Args:
        client: The endpoint.
        tasks: Waits for the server's tasks.
    """

    def __init__(self, client: ProxmoxClient, tasks: TaskPoller) -> None:
        self._client, self._tasks = client, tasks

    def configure(self, guest: Guest, desired: Desired, outcome: Outcome, *, existing: bool, running: bool, deadline: float) -> None:
        """Move, write and grow what differs. Reads again, and plans again once, if somebody else wrote in between.

        Args:
            guest: The guest.
            desired: What is wanted of it.
            outcome: Gets what was done.
            existing: Whether it was there before this run.
            running: Whether it runs, so that some keys may have to wait.
            deadline: When to give up, by the clock.
        """
        last, written = False, ConfigPlan()
        while True:
            config = GuestConfig({}, {}).with_digest_of(self._client.get(f"{guest.path}/config"))
            todo = plan_config(desired, config.values, existing=existing)
            if todo.moves:
                self._move(guest, todo, outcome, deadline)
                continue
            if not todo.writes:
                break
            try:
                self._write(guest, todo, config.digest, outcome, deadline)
                written = todo
                outcome.changed = True
                if imports(todo):
                    continue  # only now its size is known
                break
            except (DigestMismatch, WriteUnanswered):
                # Stale: nothing was written. Unanswered: it may have been. Both are told apart by reading again.
                if last:
                    raise
                last = True
        self._grow(guest, todo, outcome, deadline)
        if running:
            self._report(guest, written, outcome)

    def _write(self, guest: Guest, todo: ConfigPlan, digest: str | None, outcome: Outcome, deadline: float) -> None:
        what = f"Configuring guest {guest.name} ({guest.vmid} on {guest.node})"
        delete = ",".join(todo.delete) or None
        try:
            upid = self._client.post(f"{guest.path}/config", digest=digest, delete=delete, background_delay=BACKGROUND_DELAY, **todo.set)
            outcome.warn(what, self._tasks.wait(upid, what=what, deadline=deadline))
        except (DigestMismatch, WriteUnanswered):
            raise
        except ApiError as exc:
            # The task may have found out what the request could not: that it was written meanwhile, or that a key can't be plugged.
            if re.search(r"checksum mismatch|detected modified configuration", exc.said):
                raise DigestMismatch(exc.message, said=exc.said, hint="Run the task again.") from None
            failed = hotplug_problems(exc)
            if not failed:
                raise
            outcome.not_hotplugged = failed
            outcome.warnings.append(f"{what}: {', '.join(sorted(failed))} could not be changed while it runs, and wait for a restart.")

    def _move(self, guest: Guest, todo: ConfigPlan, outcome: Outcome, deadline: float) -> None:
        for move in todo.moves:
            what = f"Moving {move.disk} of guest {guest.name} ({guest.vmid} on {guest.node}) to {move.storage}"
            upid = self._client.post(f"{guest.path}/move_disk", disk=move.disk, storage=move.storage, delete=1)
            outcome.warn(what, self._tasks.wait(upid, what=what, deadline=deadline))
            outcome.changed = True

    def _grow(self, guest: Guest, todo: ConfigPlan, outcome: Outcome, deadline: float) -> None:
        """Grow disks. Without a digest: the size is absolute and the server never shrinks, so doing it twice is harmless."""
        for resize in todo.resizes:
            size = format_size(resize.after)
            what = f"Growing {resize.disk} of guest {guest.name} ({guest.vmid} on {guest.node}) to {size}"
            try:
                upid = self._client.put(f"{guest.path}/resize", disk=resize.disk, size=size)
            except WriteUnanswered:
                upid = self._client.put(f"{guest.path}/resize", disk=resize.disk, size=size)
            outcome.warn(what, self._tasks.wait(upid, what=what, deadline=deadline))
            outcome.changed = True

    def _report(self, guest: Guest, todo: ConfigPlan, outcome: Outcome) -> None:
        """Say of a running guest which keys it has and which wait; its cloud-init drive is written anew."""
        written = [*todo.set, *todo.delete]
        if any(is_cloud_init_key(key) for key in written):
            self._regenerate(guest)
        if written:
            pending = GuestConfig.from_pending(self._client.get(f"{guest.path}/pending")).pending
            outcome.pending = sorted(pending)
            outcome.applied = sorted(set(written) - set(pending))

    def _regenerate(self, guest: Guest) -> None:
        """Write the cloud-init drive anew; at its next start the guest gets it in any case, so an old server may refuse."""
        try:
            self._client.put(f"{guest.path}/cloudinit")
        except ApiError as exc:
            if exc.status not in (403, 501):
                raise


def imports(todo: ConfigPlan) -> bool:
    """Whether a disk is made from an image, and so gets the image's size first."""
    return any("import-from=" in value for value in todo.set.values())


def hotplug_problems(exc: ApiError) -> dict[str, str]:
    """Return why keys could not be plugged into a running guest, from an answer or from a failed task; empty for other errors."""
    texts: t.Iterable[str] = [*(f"{key}: {text}" for key, text in exc.errors.items()), exc.said, *getattr(exc, "log", ())]
    found: dict[str, str] = {}
    for text in texts:
        for key, why in _HOTPLUG.findall(text):
            found.setdefault(key, " ".join(why.split()))
    return found if isinstance(exc, TaskFailed) or exc.status in (400, 500) else {}
