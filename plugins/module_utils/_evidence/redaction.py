# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Keeps secrets out of the evidence: what looks like one is refused, not masked."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|private_?key|api_?key|access_?key|credential|unseal_?key|recovery_?key|root_?key|hmac_?key|authorization",
    re.IGNORECASE,
)
# Facts about secrets that are none: where they lie, how many there are, what they are called.
_HARMLESS_KEY = re.compile(
    r"((_|^)(path|file|files|dir|shares|threshold|count|sha256|mode|ttl|policies|engine|engines|type)|(token|key)_id|access_key_id|key_version)$",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"  # PEM
    r"|\b(hv[sbr]|s|b)\.[A-Za-z0-9_-]{24,}"  # tokens of Vault and OpenBao
    r"|\bAKIA[0-9A-Z]{16}\b"  # access keys of AWS
    r"|://[^/\s:@]+:[^/\s:@]+@"  # user and password in a URL
)


def refuse_secrets(value: t.Any, where: str) -> None:
    """Walk through *value* (JSON) and refuse it if a key or a text looks like a secret.

    Args:
        value: What is about to be written.
        where: Its name in the message, such as ``facts``.

    Raises:
        Refused: names the place, never the value.
    """
    if isinstance(value, t.Mapping):
        for key, item in value.items():
            here = f"{where}.{key}"
            if item not in (None, "") and not isinstance(item, (bool, int, float)) and _KEY.search(str(key)) and not _HARMLESS_KEY.search(str(key)):
                raise Refused(
                    f"Cannot write {here} into the evidence: its name says that it is a secret. Nothing was written.",
                    hint="Evidence is kept and handed on. Leave it out, or give its digest or its path under a name such as key_file.",
                )
            refuse_secrets(item, here)
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            refuse_secrets(item, f"{where}[{number}]")
    elif isinstance(value, str) and _VALUE.search(value):
        raise Refused(
            f"Cannot write {where} into the evidence: the text holds what looks like a secret. Nothing was written.",
            hint="Leave it out, or shorten it to the part without the secret.",
        )
