"""``config``: the configuration as a file (``plugins/config.py``). Here it is the double's own database, without what the store keeps of keys."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from lab.nas.server.middleware import Call
from lab.nas.server.registry import method
from lab.nas.server.schema import Model

Entry = dict[str, Any]


class SaveOptions(Model):
    """What goes along."""

    secretseed: bool = False
    pool_keys: bool = False
    root_authorized_keys: bool = False


class SaveArgs(Model):
    """Arguments of save."""

    options: SaveOptions = SaveOptions()


@method("config.save", SaveArgs, job=True, output=True)
def save(call: Call, options: Entry) -> Any:
    """Write the database alone, or a tar file with what was asked for; ``pool_keys`` is ignored, as on the real thing."""
    call.mw.store.save()
    data = json.dumps(json.loads((call.mw.dir / "db.json").read_text()), sort_keys=True).encode()
    stream = call.extra["output"]
    if not options["secretseed"] and not options["root_authorized_keys"]:
        stream.write(data)
        return
    files = {"freenas-v1.db": data}
    if options["secretseed"]:
        files["pwenc_secret"] = call.mw.config["password"].encode()
    if options["root_authorized_keys"]:
        keys = call.mw.dir / "home" / "root" / "authorized_keys"
        files |= {"root_authorized_keys": keys.read_bytes()} if keys.exists() else {}
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
