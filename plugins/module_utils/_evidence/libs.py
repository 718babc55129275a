# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Third-party packages: absent ones are an error where they are used, not where they are imported."""

from __future__ import annotations

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError


class MissingLibrary(PlatformError):
    """A Python package that the operation needs is not installed on the controller."""


def need(package: str, error: Exception | None) -> None:
    """Raise MissingLibrary if importing *package* gave *error*."""
    if error is not None:
        raise MissingLibrary(missing_required_lib(package), hint="The list of all packages is in meta/ee-requirements.txt.")
