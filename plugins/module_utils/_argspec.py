# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Argument specifications as objects that merge; the one door to ``AnsibleModule``."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule


@dataclasses.dataclass
class ArgumentSpec:
    """An argument spec with its constraints. ``merge`` returns a new one and refuses double options."""

    options: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)
    mutually_exclusive: list[t.Sequence[str]] = dataclasses.field(default_factory=list)
    required_together: list[t.Sequence[str]] = dataclasses.field(default_factory=list)
    required_one_of: list[t.Sequence[str]] = dataclasses.field(default_factory=list)
    required_if: list[t.Sequence[t.Any]] = dataclasses.field(default_factory=list)
    required_by: dict[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)

    def merge(self, *others: ArgumentSpec) -> ArgumentSpec:
        """Return this spec and *others* as one."""
        merged = ArgumentSpec(
            dict(self.options),
            list(self.mutually_exclusive),
            list(self.required_together),
            list(self.required_one_of),
            list(self.required_if),
            dict(self.required_by),
        )
        for other in others:
            twice = merged.options.keys() & other.options.keys()
            if twice:
                raise ValueError(f"options defined twice: {', '.join(sorted(twice))}")
            merged.options.update(other.options)
            merged.mutually_exclusive += other.mutually_exclusive
            merged.required_together += other.required_together
            merged.required_one_of += other.required_one_of
            merged.required_if += other.required_if
            merged.required_by.update(other.required_by)
        return merged

    def create_module(self, *, supports_check_mode: bool = True) -> AnsibleModule:
        """Create the ``AnsibleModule`` for this spec."""
        return AnsibleModule(
            argument_spec=self.options,
            mutually_exclusive=self.mutually_exclusive,
            required_together=self.required_together,
            required_one_of=self.required_one_of,
            required_if=self.required_if,
            required_by=self.required_by,
            supports_check_mode=supports_check_mode,
        )


def wait_spec(*, timeout: int = 300, interval: float = 1.0) -> ArgumentSpec:
    """Return the options of everything that waits; the mirror of the ``_wait`` doc fragment.

    Args:
        timeout: Default for ``wait_timeout`` in seconds.
        interval: Default for ``wait_sleep`` in seconds.
    """
    return ArgumentSpec(
        {
            "wait_timeout": {"type": "int", "default": timeout},
            "wait_sleep": {"type": "float", "default": interval},
        }
    )
