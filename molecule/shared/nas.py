# Copyright (c) 2026 resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls a method of a NAS of the lab without the collection: ``nas.py CONNECTION_JSON primary|secondary METHOD [PARAMS_JSON]``."""

from __future__ import annotations

import json
import pathlib
import sys

from lab.nas.server.client import Client


def main(connection: str, role: str, method: str, params: str = "[]") -> None:
    """Print the answer as JSON."""
    lab = json.loads(pathlib.Path(connection).read_text(encoding="utf-8"))
    nas = lab["truenas"][role]
    login = {"mechanism": "API_KEY_PLAIN", "username": nas["username"], "api_key": nas["api_key"]}
    with Client(f"wss://{nas['host']}:{nas['port']}/api/current", lab["ca_file"], login) as client:
        print(json.dumps(client.call(method, json.loads(params))))


if __name__ == "__main__":
    main(*sys.argv[1:])
