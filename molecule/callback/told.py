# Copyright (c) 2026 resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down what ``converge.yml`` said it would change (check mode) and what it changed then, for ``shared/told.yml``."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

from ansible import context
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook import Playbook
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: told
type: notification
short_description: Writes down what a scenario's converge says it changes, in check mode and then for real
version_added: 0.1.0
description:
  - The first run of C(converge.yml) in check mode becomes C(told-check.json), the first real one after it C(told-run.json), both in the directory
    that the environment variable E(MOLECULE_EPHEMERAL_DIRECTORY) names. Other playbooks leave no trace.
author: [resilient.platform contributors (@resilient-platform)]
"""


class CallbackModule(CallbackBase):
    """Collects the names of changed tasks with their hosts and diffs."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "told"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self._changed: dict[str, dict[str, list[t.Any]]] = {}
        self._file: pathlib.Path | None = None

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Decide whether this run is one of the two that are compared."""
        directory = os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY")
        if not directory or os.path.basename(playbook._file_name) != "converge.yml":
            return
        file = pathlib.Path(directory) / ("told-check.json" if context.CLIARGS["check"] else "told-run.json")
        # Later runs (idempotence, repairs) start from something else than the run in check mode did.
        self._file = None if file.exists() else file

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Keep what changed. Loops come here once, with the results of all their items; tasks that are included again come again."""
        facts = result.result
        if self._file is None or not facts.get("changed"):
            return
        diffs = [item.get("diff") for item in facts.get("results", [facts]) if item.get("changed")]
        hosts = self._changed.setdefault(result.task.get_name().strip(), {})
        hosts.setdefault(result.host.get_name(), []).extend(diff for diff in diffs if diff)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Write the file, also when the run failed: the play that compares is not reached then."""
        if self._file is not None:
            self._file.write_text(json.dumps(self._changed, indent=1, sort_keys=True, default=str), encoding="utf-8")
