# Copyright (c) 2026 resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a DSSE envelope with openssl and prints its payload: ``dsse.py ENVELOPE PUBLIC_KEY_PEM``. Shares no code with the collection."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
import sys
import tempfile


def main(envelope_file: str, public_key: str) -> int:
    """Return openssl's exit status."""
    envelope = json.loads(pathlib.Path(envelope_file).read_text(encoding="utf-8"))
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    with tempfile.TemporaryDirectory() as directory:
        signed, signature = pathlib.Path(directory, "signed"), pathlib.Path(directory, "signature")
        signed.write_bytes(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
        signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        argv = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public_key, "-in", str(signed), "-sigfile", str(signature)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    print(payload.decode() if done.returncode == 0 else done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
