# Copyright (c) 2026 resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetches the lab's bucket without the collection: ``s3.py CONNECTION_JSON DIRECTORY`` prints {key: SHA-256}."""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
import urllib.parse

import urllib3
from minio import Minio


def main(connection: str, directory: str) -> None:
    """Write every object below the directory."""
    lab = json.loads(pathlib.Path(connection).read_text(encoding="utf-8"))
    s3 = lab["s3"]
    client = Minio(
        urllib.parse.urlsplit(s3["endpoint"]).netloc, s3["access_key"], s3["secret_key"], region=s3["region"],
        http_client=urllib3.PoolManager(ca_certs=lab["ca_file"]),
    )
    digests = {}
    for found in client.list_objects(s3["bucket"], recursive=True):
        target = pathlib.Path(directory, found.object_name)
        client.fget_object(s3["bucket"], found.object_name, str(target))
        digests[found.object_name] = hashlib.sha256(target.read_bytes()).hexdigest()
    print(json.dumps(digests))


if __name__ == "__main__":
    main(*sys.argv[1:])
