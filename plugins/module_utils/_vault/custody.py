# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The keys that people keep: which of them authorise, and where the paths are that ask for them.

OpenBao has moved what needs these keys behind a token (``sys/rotate``, ``sys/generate-root-token``) and answers 405 at the old
paths (``sys/rekey``, ``sys/generate-root``), which are all that Vault has.
"""

from __future__ import annotations

import base64
import binascii
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import Reply, VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.product import OPENBAO, read_product

# Statuses of a path that the server does not have, has closed, or does not open for this token.
_CLOSED = (403, 404, 405)


def read_authorising_keys(path: str, *, automatic: bool) -> list[str]:
    """Return the keys of a file of ``vault_init`` or ``vault_rekey`` that authorise: recovery keys where the server unseals itself.

    Raises:
        Refused: no such file, or none in it.
    """
    content = files.read_json(path)
    if content is None:
        raise Refused(f"There is no {path}.", hint="It is the credentials_file of vault_init or vault_rekey.")
    for name in ("recovery_keys_base64", "recovery_keys") if automatic else ("keys_base64", "keys"):
        keys = content.get(name)
        if isinstance(keys, list) and keys:
            return [str(key) for key in keys]
    raise Refused(f"{path} holds no {'recovery' if automatic else 'unseal'} keys.", hint="Name the file of this cluster.")


def check_enough(keys: t.Sequence[str], required: int) -> None:
    """Refuse, before the first key is sent, what cannot succeed."""
    distinct = len(set(keys))
    if distinct < required:
        raise Refused(f"{distinct} different keys were given, {required} are needed.", hint="Add more keys.")


def open_path(client: VaultClient, new: str, old: str, *, what: str, listener_option: str) -> tuple[str, Reply]:
    """Return the path that the server offers for it, and its answer to a GET.

    Args:
        client: The server.
        new: Path of OpenBao, for which a token is needed.
        old: Path of Vault, for which none is.
        what: What is asked for.
        listener_option: OpenBao's setting that opens the old path.

    Raises:
        Refused: it offers neither.
    """
    refused: Reply | None = None
    if client.token and read_product(client) == OPENBAO:
        reply = client.raw("GET", new, what=what)
        if reply.status not in _CLOSED:
            client.ensure_ok(reply, what=what, method="GET", path=new)
            return new, reply
        refused = reply
    reply = client.raw("GET", old, what=what)
    if reply.status in _CLOSED:
        said = f"{new} answers {refused.status} and " if refused else ""
        raise Refused(
            f"Cannot {what} at {client.url}: {said}{old} answers {reply.status}.",
            hint=f"Give a token that may use {new} (OpenBao), or set {listener_option}=false on a listener that only loopback reaches.",
        )
    client.ensure_ok(reply, what=what, method="GET", path=old)
    return old, reply


def read_pgp_key(path: str) -> str:
    """Return the public key in a file, armoured or not, as the API takes it: base64 of its bytes.

    Raises:
        Refused: it cannot be read, or is no public key.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(1024 * 1024)
    except OSError as exc:
        raise Refused(f"Cannot read {path}: {exc.strerror}.", hint="It is a PGP public key.") from exc
    if b"PRIVATE KEY BLOCK" in raw:
        raise Refused(f"{path} holds a private key.", hint="Give the public key only.")
    if raw.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"):
        lines = raw.decode("ascii", "replace").splitlines()
        blank = next((number for number, line in enumerate(lines) if not line.strip()), 0)
        body = [line.strip() for line in lines[blank + 1 :]]
        text = "".join(line for line in body if line and not line.startswith(("=", "-----")))
        try:
            raw = base64.b64decode(text, validate=True)
        except binascii.Error as exc:
            raise Refused(f"{path} holds no PGP public key.", hint="Export it again (gpg --armor --export).") from exc
    # Bit 7 is set in every packet; tag 6 is a public key, in the old or the new form.
    if not raw or not raw[0] & 0x80 or (raw[0] & 0x3F if raw[0] & 0x40 else raw[0] >> 2 & 0xF) != 6:
        raise Refused(f"{path} holds no PGP public key.", hint="Export it with gpg --export.")
    return base64.b64encode(raw).decode()
