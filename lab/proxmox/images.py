"""Disk images: fetched by the node (``download-url``), listed with their storage, and imported into new disks (``import-from``)."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import re
import shutil
import ssl
import time
import urllib.request
from pathlib import Path
from typing import Any

from aiohttp import web
from fakepve.lxc import format_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import NEW_DISK, drives_of, join_drive, split_drive, volume_ref
from fakepve.routing import die, param_error, split_list
from fakepve.server import USER, ok, params

from lab.guest import disk_image
from lab.proxmox.restore import Restores
from lab.proxmox.vm import LabVm
from lab.state import LabError

_NAME = re.compile(r"[^/\s]+\.(ova|ovf|qcow2|raw|vmdk)")
_CHUNK = 1024**2


class Images(Restores):
    """Part of the API server. ``importing``: by VM, the volume that waits for an image's files, and the image."""

    importing: dict[int, tuple[str, Path]]

    def import_dir(self, sid: str) -> Path:
        """Return where a storage's images lie."""
        directory = self.room.state.dir / "proxmox" / "import" / sid
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    def scan(self, sid: str) -> None:
        """As the parent, for images as well: files come and go behind the API's back."""
        super().scan(sid)
        store = self.storages.get(sid)
        if store is None or "import" not in split_list(store.get("content")):
            return
        volumes = store.setdefault("volumes", {})
        there = {f"import/{path.name}": path for path in self.import_dir(sid).iterdir() if _NAME.fullmatch(path.name)}
        for name in [name for name in volumes if name.startswith("import/") and name not in there]:
            del volumes[name]
        for name, path in there.items():
            stat = path.stat()
            volumes[name] = {"content": "import", "format": path.suffix[1:], "size": stat.st_size, "ctime": int(stat.st_mtime)}

    def sweep(self) -> None:
        """As the parent, for images as well."""
        super().sweep()
        for sid, store in self.storages.items():
            if "import" in split_list(store.get("content")):
                known = {name for name in store.get("volumes", {}) if name.startswith("import/")}
                for path in self.import_dir(sid).iterdir():
                    if _NAME.fullmatch(path.name) and f"import/{path.name}" not in known:
                        path.unlink()

    # --------------------------------------------------------------- download

    async def _download_url(self, request: web.Request) -> web.Response:
        """POST download-url: images are really fetched and checked; other contents are the parent's book-keeping."""
        p = await params(request)
        if p.get("content") != "import":
            answer: web.Response = await super()._download_url(request)
            return answer
        p = self._verify(request, p)
        sid, user = request.match_info["storage"], request[USER]
        store = self._active_store(sid, request.match_info["node"])
        self.require(user, f"/storage/{sid}", "Datastore.AllocateTemplate")
        if not (self.allowed(user, "/", "Sys.Audit") and self.allowed(user, "/", "Sys.Modify")):
            self.require(user, f"/nodes/{request.match_info['node']}", "Sys.AccessNetwork")
        if "import" not in split_list(store.get("content")):
            raise die(f"storage '{sid}' is not configured for content-type 'import'")
        if not _NAME.fullmatch(p["filename"]):
            raise param_error(filename="wrong file extension")
        log = [f"downloading {p['url']} to /var/lib/vz/import/{p['filename']}"]

        async def body() -> None:
            target = self.import_dir(sid) / p["filename"]
            await asyncio.to_thread(fetch, target, p["url"], p.get("checksum-algorithm"), p.get("checksum"),
                                    verify=str(p.get("verify-certificates", "1")) in ("1", "True", "true"))
            self.scan(sid)
        return ok(await self.task(request.match_info["node"], "download", p["filename"], user, body, log=log))  # type: ignore[no-any-return]

    # ----------------------------------------------------------------- import

    def _qm_check_drive(self, user: str, vmid: int, pool: str | None, key: str, value: str, default: str | None) -> None:
        super()._qm_check_drive(user, vmid, pool, key, value, default)
        volume, props = split_drive(value)
        source = props.get("import-from")
        if source is None:
            return
        found = NEW_DISK.match(volume)
        if not found or float(found.group(2)) != 0:
            raise param_error(**{key: "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"})
        sid, name = volume_ref(source)
        if sid is None:
            raise PveError(501, "import-from of a path on the node: this lab imports volumes of a storage only")
        vtype, owner, _format = self._parse_volname(self._store(sid), name)
        if vtype != "import":
            raise param_error(**{key: f"{source} has wrong type '{vtype}' - needs to be 'import' in this lab"})
        self._check_access(user, sid, vtype, owner, source)

    def _qm_new_drive(self, vmid: int, key: str, value: str, default: str | None) -> tuple[str, list[str]]:
        """As the parent; a disk that is imported gets the image's size, and its files when the rest is done."""
        volume, props = split_drive(value)
        source = props.pop("import-from", None)
        if source is None:
            done: tuple[str, list[str]] = super()._qm_new_drive(vmid, key, value, default)
            return done
        image = self._image(source)
        if self.room.disk(vmid).exists or vmid in self.importing:
            raise PveError(501, f"import of {source}: a guest of this lab has its system on one disk, and this one has it already")
        try:
            disk_image.find_file_system(image)
        except LabError as exc:
            raise die(f"import of {source} failed - {exc}") from exc
        found = NEW_DISK.match(volume)
        volid, _format = self._qm_alloc(found.group(1) or default, vmid, props.pop("format", None), image.stat().st_size)
        self.importing[vmid] = (volid, image)
        return join_drive(volid, {**props, "size": format_size(image.stat().st_size)}), [volid]

    def _image(self, source: str) -> Path:
        sid, name = volume_ref(source)
        self.scan(sid)
        path = self.import_dir(sid) / str(name).partition("/")[2]
        if name not in self.storages[sid].get("volumes", {}) or not path.is_file():
            raise die(f"volume '{source}' does not exist")
        return path

    def _qm_free(self, volid: str) -> None:
        """As the parent; what was to be imported into the volume is not any more."""
        super()._qm_free(volid)
        self.importing = {vmid: (volume, image) for vmid, (volume, image) in self.importing.items() if volume != volid}

    async def _fill(self, vmid: int) -> None:
        """Give a guest the files of the image that its disk was made of, if there is one. LabError if they cannot be read."""
        _volume, image = self.importing.pop(vmid, (None, None))
        if image is None:
            return
        disk = self.room.disk(vmid)
        base = self.room.state.dir / "proxmox" / "bases" / f"{vmid}-{time.time_ns()}"
        # The disk first: a base that no disk stands on is removed at any time.
        disk.create(base)
        try:
            await asyncio.to_thread(disk_image.unpack, image, base)
        except BaseException:
            disk.delete()
            raise

    async def fill_created(self, vm: LabVm) -> None:
        """The part of making a VM that comes after the API's. TaskError, with nothing left of the VM, if it fails."""
        try:
            await self._fill(vm.vmid)
        except LabError as exc:
            for _key, volume, _props in drives_of(vm.config):
                self._qm_free(volume)
            self.vms.remove(vm)
            raise TaskError(f"unable to create VM {vm.vmid} - {exc}") from exc

    async def _apply_config(self, vm: LabVm, user: str, p: dict[str, Any]) -> None:
        await super()._apply_config(vm, user, p)
        try:
            await self._fill(vm.vmid)
        except LabError as exc:
            raise die(f"unable to import - {exc}") from exc

    def drop_bases(self) -> None:
        """Remove unpacked images that no disk stands on any more."""
        bases = self.room.state.dir / "proxmox" / "bases"
        if not bases.is_dir():
            return
        disks = (self.room.state.dir / "proxmox").glob("*/*/disk.json")
        used = {json.loads(path.read_text())["base"] for path in disks}
        for base in bases.iterdir():
            if not base.name.startswith(".") and str(base) not in used:
                shutil.rmtree(base)


def fetch(target: Path, url: str, algorithm: str | None, expected: str | None, *, verify: bool) -> None:
    """Download a file that appears whole, with the right checksum, or not at all. TaskError as the server words it."""
    if target.exists():
        if not algorithm or expected is None:
            raise TaskError(f"refusing to override existing file '{target.name}'")
        with target.open("rb") as stream:
            found = hashlib.file_digest(stream, algorithm).hexdigest()
        if found != expected.lower():
            raise TaskError(f"mismatch (got '{found}' != expect '{expected}'), aborting")
        return
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    half = target.with_name(f"{target.name}.tmp_dwnl")
    digest = hashlib.new(algorithm or "sha256")
    try:
        with opener.open(url, timeout=30) as answer, half.open("wb") as stream:
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                stream.write(chunk)
            # A read at the end says nothing of what is missing.
            if answer.length:
                raise OSError(f"the connection ended after {stream.tell()} of {stream.tell() + answer.length} bytes")
        if expected is not None and digest.hexdigest() != expected.lower():
            raise TaskError(f"checksum mismatch: got '{digest.hexdigest()}' != expect '{expected}'")
        half.rename(target)
    except (OSError, http.client.HTTPException) as exc:
        raise TaskError(f"download failed: {exc}") from exc
    finally:
        half.unlink(missing_ok=True)
