#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_files
short_description: Brings many files of a host into shape in one step
version_added: 0.1.0
description:
  - Writes whole files, single lines of files, owners and modes, for a list of paths, in one run on the host.
    A role that manages thirty files by M(ansible.builtin.template) needs sixty round trips for a run that changes nothing; this needs one.
  - All texts are compared, and judged by their O(files[].validate) commands, before the first file is written.
  - It restarts nothing and removes no directory. Files that are not listed are left alone.
extends_documentation_fragment:
  - resilient.platform._attributes
attributes:
  check_mode:
    support: full
    details: A file whose lines are edited and which does not exist yet (a package will bring it) is predicted as if it were empty.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  files:
    description: What should be. The order is kept.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path. Links are followed.
        type: path
        required: true
      state:
        description:
          - V(present) is a file, created if missing, with its missing parent directories.
          - V(existing) sets owner and mode of a file or directory if it is there, and is satisfied if it is not.
          - V(directory) is a directory, created if missing.
          - V(absent) removes a file; a directory is refused.
        type: str
        choices: [present, existing, directory, absent]
        default: present
      content:
        description: The whole text. Excludes O(files[].lines).
        type: str
      lines:
        description: Single lines of a text that somebody else owns.
        type: list
        elements: dict
        suboptions:
          match:
            description:
              - Regular expression. The first line that it finds becomes O(files[].lines[].line), further ones are dropped.
              - If none is found the line is appended.
            type: str
            required: true
          line:
            description: The line. It has to match its own pattern. Unset, lines that match are removed.
            type: str
      owner:
        description: Name or number of the owner.
        type: str
      group:
        description: Name or number of the group.
        type: str
      mode:
        description: Octal mode such as V("0640").
        type: str
      max_mode:
        description: Octal mode whose bits are the only ones that may be set; a stricter mode is kept.
        type: str
      validate:
        description: Command that judges the new text; C(%s) stands for a file that has it. It has to end with 0.
        type: str
author:
  - resilient.platform contributors (@resilient-platform)
seealso:
  - module: ansible.builtin.template
"""

EXAMPLES = r"""
- name: Harden the SSH daemon and the directories of cron
  resilient.platform.host_files:
    files:
      - path: /etc/ssh/sshd_config.d/00-local.conf
        content: |
          PermitRootLogin no
        mode: "0600"
        validate: sshd -t -f %s
      - path: /etc/login.defs
        lines:
          - match: ^UMASK\s
            line: UMASK 027
      - path: /etc/cron.d
        state: existing
        mode: "0700"
"""

RETURN = r"""
files:
  description: One entry for each entry of O(files), in that order.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The path.
      type: str
    changed:
      description: Whether anything of it was changed (or would be, in check mode).
      type: bool
  sample:
    - path: /etc/cron.d
      changed: true
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._host import disk
from ansible_collections.resilient.platform.plugins.module_utils._host.files import STATES, Plan, Wanted, plan


def argument_spec() -> ArgumentSpec:
    """Return the module's own options."""
    line = {"match": {"type": "str", "required": True}, "line": {"type": "str"}}
    texts: dict[str, dict[str, t.Any]] = {name: {"type": "str"} for name in ("content", "owner", "group", "mode", "max_mode", "validate")}
    entry = {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": list(STATES), "default": "present"},
        "lines": {"type": "list", "elements": "dict", "options": line},
        **texts,
    }
    return ArgumentSpec({"files": {"type": "list", "elements": "dict", "required": True, "options": entry}})


def plans(wanted: list[Wanted], predicting: bool) -> list[Plan]:
    """Read each file once and return what has to be done."""
    paths = [file.path for file in wanted]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise Refused(f"Cannot manage {', '.join(twice)}: listed twice.", hint="Put what you want of a file into one entry.")
    return [plan(file, disk.read(file.path, with_content=file.state in ("present", "absent")), predicting=predicting) for file in wanted]


def main() -> t.NoReturn:
    """Run the module."""
    module = argument_spec().create_module()
    done: list[dict[str, t.Any]] = []
    try:
        todo = plans([Wanted.from_params(entry) for entry in module.params["files"]], module.check_mode)
        for step in todo:
            disk.validate(module, step)
        for step in todo:
            if step.changed and not module.check_mode:
                disk.apply(module, step)
            done.append({"path": step.path, "changed": step.changed})
    except PlatformError as exc:
        exc.fail(module, changed=any(file["changed"] for file in done) and not module.check_mode, files=done)
    result: dict[str, t.Any] = {"changed": any(step.changed for step in todo), "files": done}
    if module._diff:
        result["diff"] = [entry for step in todo for entry in step.diff()]
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


if __name__ == "__main__":
    main()
