"""Archives of guests: a tar of the root file system with the VM's config as its first member, in one file.

Proxmox VE writes VMA, which holds disk images. A guest of the lab has a file tree instead, so its archive is a tar under the name that a VMA
would have. Owners are those in the guests' user namespace, which all guests of a machine share.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakepve.model import TaskError

CONFIG = "./etc/vzdump/qemu-server.conf"
EXTENSIONS = {"0": "", "gzip": ".gz", "1": ".lzo", "lzo": ".lzo", "zstd": ".zst"}
_PACK = {"": "cat", ".gz": "gzip -1", ".zst": "zstd -q -T2 -3"}
_UNPACK = {"": "cat", ".gz": "gzip -dc", ".zst": "zstd -q -dc"}
_ATTRIBUTES = "--numeric-owner --xattrs --xattrs-include='*' --acls"
# What only the running VM has, not its archive.
_NOT_KEPT = frozenset({"lock", "digest", "parent", "runningmachine", "runningcpu", "snapstate", "snaptime", "vmstate"})


def extension(path: Path) -> str:
    """Return how the archive is compressed: '', '.gz' or '.zst'. TaskError for another one."""
    suffix = path.suffix if path.suffix in (".gz", ".zst", ".lzo") else ""
    if suffix not in _PACK:
        raise TaskError(f"compression '{suffix}' needs lzop, which this node does not have")
    return suffix


def config_text(config: Mapping[str, Any]) -> str:
    """Return a config as vzdump keeps it: notes as comments, then ``key: value`` by key."""
    notes = str(config.get("description") or "")
    lines = [f"#{urllib.parse.quote(line, safe=' ,;.:()/=+-_!?*@')}" for line in notes.splitlines()]
    lines += [f"{key}: {config[key]}" for key in sorted(config) if key not in _NOT_KEPT and key != "description"]
    return "\n".join(lines) + "\n"


def parse_config(text: str) -> dict[str, str]:
    """Return the config in a text; snapshot sections are left out."""
    config: dict[str, str] = {}
    notes: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            break
        if line.startswith("#") and not line.startswith("#qmdump#"):
            notes.append(urllib.parse.unquote(line[1:]))
        elif match := re.match(r"([A-Za-z][\w-]*):\s*(.*)$", line):
            config[match.group(1)] = match.group(2)
    if notes:
        config["description"] = "\n".join(notes)
    return config


async def _shell(script: str, *argv: str) -> bytes:
    """Run a pipe in which every part has to end well. TaskError with what it said."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"set -o pipefail; {script}", "vzdump", *argv, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await process.communicate()
    if process.returncode:
        said = " ".join(err.decode(errors="replace").split())[-300:]
        raise TaskError(f"command '{script.split('|')[0].split()[0]}' failed: exit code {process.returncode}: {said}")
    return out


async def pack(config: Mapping[str, Any], root: Path | None, target: Path) -> None:
    """Write an archive of ``root`` (None: no disk with a system) that appears whole or not at all."""
    half = target.with_name(target.name + ".dat")
    compress = _PACK[extension(target)]
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, CONFIG)
        file.parent.mkdir(parents=True)
        file.write_text(config_text(config))
        tree = 'tar -C "$2" -cf - --one-file-system ' + _ATTRIBUTES + f' {CONFIG} -C "$3" .' if root else f'tar -C "$2" -cf - {CONFIG}'
        try:
            await _shell(f'{tree} | {compress} > "$1"', str(half), directory, str(root or ""))
            half.rename(target)
        finally:
            half.unlink(missing_ok=True)


async def unpack(path: Path, root: Path) -> None:
    """Fill the empty directory ``root`` from an archive. TaskError for one that is damaged or cut off."""
    await _shell(f'{_UNPACK[extension(path)]} -- "$1" | tar -C "$2" -xpf - {_ATTRIBUTES} --anchored --exclude={CONFIG}', str(path), str(root))


async def config_of(path: Path) -> str:
    """Return the config in an archive; reads its beginning only. TaskError if there is none."""
    # tar ends after the first match, and what feeds it then dies of a closed pipe: only tar's status counts.
    script = f'{_UNPACK[extension(path)]} -- "$1" 2>/dev/null | tar -xOf - --occurrence=1 {CONFIG}; test "${{PIPESTATUS[1]}}" = 0'
    out = await _shell(script, str(path))
    return out.decode()
