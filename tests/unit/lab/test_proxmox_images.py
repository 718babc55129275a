"""Disk images in the lab's API: what is fetched, what is refused, and what is left when an import fails. No guest runs."""

from __future__ import annotations

import hashlib
import http.server
import pathlib
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.lab_pve import QEMU, Api, api

from lab.guest import disk_image
from lab.guest.disk import Disk
from lab.state import LabError, LabState

__all__ = ["api"]
STORAGE = "/nodes/pve1/storage/local"
SUPERBLOCK = bytes(1024 + 56) + b"\x53\xef"
IMAGE = SUPERBLOCK.ljust(2 * 1024**2, b"\0")


def gpt(*partitions: tuple[int, int]) -> bytearray:
    """Return 8 MiB with a partition table; partitions are first and last sector."""
    disk = bytearray(8 * 1024**2)
    disk[512:604] = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 128, 128) + bytes(4)
    for number, (first, last) in enumerate(partitions):
        disk[1024 + 128 * number:1024 + 128 * number + 48] = b"\x01" * 32 + struct.pack("<QQ", first, last)
    return disk


@pytest.fixture
def url() -> Iterator[str]:
    """A web server that has the image under every name but ``missing.raw``, and ends too early for ``cut.raw``."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.send_response(404 if "missing" in self.path else 200)
            self.send_header("Content-Length", str(len(IMAGE)))
            self.end_headers()
            self.wfile.write(IMAGE[:1000] if "cut" in self.path else IMAGE)

        def log_message(self, *args: Any) -> None:
            del args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def download(api: Api, url: str, name: str, **more: Any) -> str:
    return api.wait(api("POST", f"{STORAGE}/download-url", content="import", filename=name, url=f"{url}/{name}", **more))


def images(api: Api) -> dict[str, int]:
    return {item["volid"]: item["size"] for item in api("GET", f"{STORAGE}/content", content="import")}


def directory(state: LabState) -> pathlib.Path:
    return state.dir / "proxmox" / "import" / "local"


# ------------------------------------------------------------------- download


def test_image_is_fetched_checked_listed_and_removed(api: Api, state: LabState, url: str) -> None:
    digest = hashlib.sha512(IMAGE).hexdigest()
    assert download(api, url, "one.raw", **{"checksum-algorithm": "sha512", "checksum": digest.upper()}) == "OK"
    assert (directory(state) / "one.raw").read_bytes() == IMAGE
    assert images(api) == {"local:import/one.raw": len(IMAGE)}
    assert api.wait(api("DELETE", f"{STORAGE}/content/import%2Fone.raw")) == "OK"
    assert images(api) == {} and not list(directory(state).iterdir())


@pytest.mark.parametrize(("name", "more", "message"), [
    ("one.raw", {"checksum-algorithm": "md5", "checksum": "0" * 32}, "checksum mismatch: got"),
    ("missing.raw", {}, "download failed: HTTP Error 404"),
    ("cut.raw", {}, "download failed: the connection ended after 1000 of 2097152 bytes"),
])
def test_failed_download_leaves_nothing(api: Api, state: LabState, url: str, name: str, more: dict[str, Any], message: str) -> None:
    assert message in download(api, url, name, **more)
    assert images(api) == {} and not list(directory(state).iterdir())


def test_file_that_is_there_is_fetched_again_only_if_it_cannot_be_wrong(api: Api, state: LabState, url: str) -> None:
    assert download(api, url, "one.raw") == "OK"
    assert "refusing to override existing file" in download(api, url, "one.raw")
    good = {"checksum-algorithm": "sha256", "checksum": hashlib.sha256(IMAGE).hexdigest()}
    assert download(api, url, "one.raw", **good) == "OK"
    (directory(state) / "one.raw").write_bytes(b"other")
    assert "mismatch (got" in download(api, url, "one.raw", **good)
    assert (directory(state) / "one.raw").read_bytes() == b"other"


def test_other_names_and_storages_are_refused(api: Api, url: str) -> None:
    with pytest.raises(AssertionError, match="wrong file extension"):
        download(api, url, "one.iso")
    with pytest.raises(AssertionError, match="is not configured for content-type 'import'|not a file based storage"):
        api("POST", "/nodes/pve1/storage/local-lvm/download-url", content="import", filename="one.raw", url=f"{url}/one.raw")


# --------------------------------------------------------------------- import


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Stands in for the unpacking, which mounts the image; tests/integration/lab does that for real."""
    calls: list[tuple[pathlib.Path, pathlib.Path]] = []

    def unpack(image: pathlib.Path, target: pathlib.Path) -> None:
        if b"damaged" in image.read_bytes():
            raise LabError("mount failed (32): bad superblock")
        target.mkdir(parents=True)
        calls.append((image, target))

    monkeypatch.setattr(disk_image, "unpack", unpack)
    # Owners in the guests' namespace are for root to give.
    monkeypatch.setattr("os.chown", lambda *_args: None)
    return calls


def test_imported_disk_has_the_images_size_and_its_files_until_the_guest_goes(api: Api, state: LabState, unpacked: list[Any]) -> None:
    images(api)
    (directory(state) / "one.raw").write_bytes(IMAGE)
    api.create(100, scsi0="local-lvm:0,import-from=local:import/one.raw,discard=on", net0="virtio,bridge=vmbr0")
    assert api("GET", f"{QEMU}/100/config")["scsi0"] == "local-lvm:vm-100-disk-0,discard=on,size=2M"
    [(source, base)] = unpacked
    assert source == directory(state) / "one.raw" and api.pve.room.disk(100).exists
    assert api.wait(api("DELETE", f"{QEMU}/100")) == "OK"
    assert not base.exists()


def test_disk_of_a_guest_that_is_there_is_imported_too_but_only_one(api: Api, state: LabState, unpacked: list[Any]) -> None:
    images(api)
    (directory(state) / "one.raw").write_bytes(IMAGE)
    api.create(100)
    api("PUT", f"{QEMU}/100/config", scsi1="local-lvm:0,import-from=local:import/one.raw")
    assert api("GET", f"{QEMU}/100/config")["scsi1"] == "local-lvm:vm-100-disk-0,size=2M" and len(unpacked) == 1
    with pytest.raises(AssertionError, match="has its system on one disk"):
        api("PUT", f"{QEMU}/100/config", scsi2="local-lvm:0,import-from=local:import/one.raw")


@pytest.mark.parametrize(("value", "message"), [
    ("local-lvm:4,import-from=local:import/one.raw", "requires special syntax"),
    ("local-lvm:0,import-from=local:iso/one.iso", "has wrong type 'iso'"),
    ("local-lvm:0,import-from=/root/one.raw", "volumes of a storage only"),
])
def test_import_that_cannot_be_is_refused_before_the_task(api: Api, value: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        api.create(100, scsi0=value)
    assert api("GET", QEMU) == []


@pytest.mark.parametrize(("content", "message"), [
    (None, "volume 'local:import/one.raw' does not exist"),
    (bytes(4096), "holds no ext file system"),
    (b"QFI\xfb" + bytes(4096), "is a qcow2 image"),
    (IMAGE + b"damaged", "bad superblock"),
])
def test_failed_import_leaves_neither_guest_nor_volume(
    api: Api, state: LabState, unpacked: list[Any], content: bytes | None, message: str
) -> None:
    images(api)
    if content is not None:
        (directory(state) / "one.raw").write_bytes(content)
    upid = api("POST", QEMU, vmid=100, scsi0="local-lvm:4", scsi1="local-lvm:0,import-from=local:import/one.raw")
    assert message in api.wait(upid)
    assert api("GET", QEMU) == [] and api("GET", "/nodes/pve1/storage/local-lvm/content") == []
    assert not unpacked and not api.pve.room.disk(100).exists and not api.pve.importing


# ------------------------------------------------------------- the image itself


def test_largest_linux_partition_is_the_system(tmp_path: pathlib.Path) -> None:
    disk = gpt((2048, 4095), (4096, 14335), (14336, 14400))
    for sector in (2048, 4096):
        disk[sector * 512:sector * 512 + len(SUPERBLOCK)] = SUPERBLOCK
    (tmp_path / "disk.raw").write_bytes(disk)
    assert disk_image.find_file_system(tmp_path / "disk.raw") == disk_image.FileSystem(4096 * 512, 10240 * 512)


def test_image_without_partitions_is_one_file_system(tmp_path: pathlib.Path) -> None:
    (tmp_path / "disk.raw").write_bytes(IMAGE)
    assert disk_image.find_file_system(tmp_path / "disk.raw") == disk_image.FileSystem(0, len(IMAGE))


def test_partition_beyond_the_end_is_no_system(tmp_path: pathlib.Path) -> None:
    disk = gpt((2048, 999999))
    disk[2048 * 512:2048 * 512 + len(SUPERBLOCK)] = SUPERBLOCK
    (tmp_path / "disk.raw").write_bytes(disk)
    with pytest.raises(LabError, match="holds no ext file system"):
        disk_image.find_file_system(tmp_path / "disk.raw")


def test_base_stays_while_a_disk_stands_on_it(api: Api, state: LabState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.chown", lambda *_args: None)
    bases = state.dir / "proxmox" / "bases"
    for name in ("100-1", "101-1", ".unpacking-x"):
        (bases / name).mkdir(parents=True)
    disk: Disk = api.pve.room.disk(100)
    disk.create(bases / "100-1")
    api.pve.drop_bases()
    assert sorted(path.name for path in bases.iterdir()) == [".unpacking-x", "100-1"]
