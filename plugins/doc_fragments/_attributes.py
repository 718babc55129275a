# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

from __future__ import annotations


class ModuleDocFragment:
    # What each attribute means; a module states its own support below it.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and tells what it would change, without changing it.
  diff_mode:
    description: Returns what has changed (or would change in C(check_mode)) when in diff mode.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second run changes nothing.
"""

    # For modules that read only.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This module changes nothing.
  diff_mode:
    support: N/A
    details: This module changes nothing.
  idempotent:
    support: full
    details: This module changes nothing.
"""

    # For modules that bring something to a declared state.
    CONVERGES = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
"""

    ACTIONGROUP_PROXMOX = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/resilient.platform.proxmox) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [resilient.platform.proxmox]
"""

    ACTIONGROUP_TRUENAS = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/resilient.platform.truenas) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [resilient.platform.truenas]
"""

    ACTIONGROUP_VAULT = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/resilient.platform.vault) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [resilient.platform.vault]
"""

    ACTIONGROUP_EVIDENCE = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/resilient.platform.evidence) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [resilient.platform.evidence]
"""
