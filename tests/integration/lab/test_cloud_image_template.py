"""A template from a disk image: fetched by the node, imported, cloned into a guest that boots from the image's files.

The image is a real one: a GPT with an ext4 partition, made here of the lab's Debian. Needs a running lab:
``RESILIENT_LAB=NAME pytest -m lab tests/integration/lab/test_cloud_image_template.py`` (default: the lab called "default").
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import threading
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI

from lab.guest import image
from lab.guest.idshift import ID_BASE, shift_tree
from lab.state import LabState

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unit"))
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet, proxmox_template, proxmox_template_info  # noqa: E402

pytestmark = pytest.mark.lab
NAME, GUEST, OFFSET = "debian12-image", "image-it", 97  # names and an address that no inventory uses
SECTOR, FIRST, MIB = 512, 2048, 1024**2
IMAGE_MIB = 704


def gpt(sectors: int, partition: tuple[int, int]) -> tuple[bytes, bytes]:
    """Return what stands at the beginning and at the end of a disk with one Linux partition (first and last sector)."""
    kind, own, disk = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"), uuid.uuid4(), uuid.uuid4()
    entries = struct.pack("<16s16sQQQ72s", kind.bytes_le, own.bytes_le, *partition, 0, "root".encode("utf-16-le")).ljust(128 * 128, b"\0")

    def header(here: int, other: int, table: int) -> bytes:
        fields = [b"EFI PART", 0x10000, 92, 0, 0, here, other, 34, sectors - 34, disk.bytes_le, table, 128, 128, zlib.crc32(entries)]
        fields[3] = zlib.crc32(struct.pack("<8sIIIIQQQQ16sQIII", *fields))
        return struct.pack("<8sIIIIQQQQ16sQIII", *fields).ljust(SECTOR, b"\0")

    protective = struct.pack("<446sBBBBBBBBII", b"", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, sectors - 1).ljust(510, b"\0") + b"\x55\xaa"
    return protective + header(1, sectors - 1, 2) + entries, entries + header(sectors - 1, 1, sectors - 33)


@pytest.fixture(scope="module")
def state() -> LabState:
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in state.connection, "start the lab first: python -m lab up"
    access = state.connection["proxmox"]
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        os.environ.pop(name, None)
    values = {"HOST": access["host"], "PORT": access["port"], "USER": access["user"], "TOKEN_ID": access["token_id"],
              "TOKEN_SECRET": access["token_secret"], "CA_PATH": state.connection["ca_file"]}
    os.environ.update({f"PROXMOX_{name}": str(value) for name, value in values.items()})
    return state


@pytest.fixture(scope="module")
def cloud_image(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A disk image as a distribution publishes it: owners as in any Debian, one mark by which its guests are known."""
    work = tmp_path_factory.mktemp("image")
    root, disk = work / "root", work / "www" / "debian-12-test.raw"
    subprocess.run(["cp", "--archive", str(image.ensure()), str(root)], check=True)
    shift_tree(root, -ID_BASE)
    (root / "etc" / "image-mark").write_text("from the image\n")
    os.chown(root / "etc" / "image-mark", 1234, 2345)
    disk.parent.mkdir()
    sectors = IMAGE_MIB * MIB // SECTOR
    last = sectors - 2048 - 1
    with disk.open("wb") as stream:
        stream.truncate(IMAGE_MIB * MIB)
        begin, end = gpt(sectors, (FIRST, last))
        stream.write(begin)
        stream.seek(-len(end), os.SEEK_END)
        stream.write(end)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), "-E", f"offset={FIRST * SECTOR}", str(disk), f"{(last - FIRST + 1) * SECTOR // 1024}k"],
                   check=True, stdin=subprocess.DEVNULL)
    shutil.rmtree(root)
    return disk


@pytest.fixture(scope="module")
def url(cloud_image: pathlib.Path) -> Iterator[str]:
    """The image on a web server of this machine's loopback."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            del args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(cloud_image.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{cloud_image.name}"
        server.shutdown()


@pytest.fixture(scope="module")
def node(state: LabState) -> Iterator[Any]:
    access = state.connection["proxmox"]
    api = ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                     token_value=access["token_secret"], verify_ssl=state.connection["ca_file"])
    yield api.nodes(access["node"])
    run_module(proxmox_fleet.main, {"guests": [{"name": GUEST, "state": "absent"}]})
    run_module(proxmox_template.main, {"name": NAME, "state": "absent", "confirm": NAME})
    for item in api.nodes(access["node"]).storage("local").content.get(content="import"):
        api.nodes(access["node"]).storage("local").content(item["volid"]).delete(delay=5)


def template(url: str, checksum: str, check: bool = False, **more: Any) -> dict[str, Any]:
    args = {
        "name": NAME, "image": {"url": url, "storage": "local", "checksum": checksum}, "image_disk_storage": "local-lvm",
        "disks": {"scsi0": {"size_gib": 8}}, "memory": 512, "networks": {"net0": {"bridge": "vmbr0"}}, "agent": True,
        "cloud_init": {"user": "platform", "storage": "local-lvm"},
        "options": {"scsihw": "virtio-scsi-single", "serial0": "socket", "vga": "serial0", "ostype": "l26"}, **more,
    }
    return run_module(proxmox_template.main, args, check=check, diff=True)


def volumes(node: Any) -> set[str]:
    return {item["volid"] for storage in ("local", "local-lvm") for item in node.storage(storage).content.get()}


def test_image_with_another_checksum_is_refused_and_leaves_nothing(node: Any, state: LabState, url: str) -> None:
    before = volumes(node)
    with pytest.raises(ModuleFailed, match="checksum mismatch: got"):
        template(url, "0" * 64)
    assert volumes(node) == before and NAME not in [vm["name"] for vm in node.qemu.get()]
    assert not list((state.dir / "proxmox" / "import" / "local").iterdir())


def test_file_that_is_no_disk_image_is_refused_and_leaves_no_guest(node: Any, url: str, cloud_image: pathlib.Path) -> None:
    other = cloud_image.with_name("other.raw")
    other.write_bytes(b"no disk" * 1000)
    before = volumes(node)
    with pytest.raises(ModuleFailed, match="holds no ext file system"):
        template(url.replace(cloud_image.name, other.name), hashlib.sha256(other.read_bytes()).hexdigest())
    assert NAME not in [vm["name"] for vm in node.qemu.get()]
    assert volumes(node) - before == {"local:import/other.raw"}


def test_template_is_made_of_the_image_once(node: Any, url: str, cloud_image: pathlib.Path) -> None:
    with cloud_image.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha256").hexdigest()
    said = template(url, checksum, check=True)
    assert said["changed"] and NAME not in [vm["name"] for vm in node.qemu.get()]
    made = template(url, checksum)
    assert (made["changed"], made["action"], made["diff"]) == (True, "create", said["diff"])
    assert not template(url, checksum)["changed"]
    vmid = made["template"]["vmid"]
    config = node.qemu(vmid).config.get()
    assert config["template"] == 1 and config["scsi0"] == f"local-lvm:base-{vmid}-disk-0,size=8G"
    held = {item["volid"]: item["size"] for item in node.storage("local").content.get(content="import")}
    assert held[f"local:import/{cloud_image.name}"] == IMAGE_MIB * MIB
    assert [one["name"] for one in run_module(proxmox_template_info.main, {"names": [NAME]})["templates"]] == [NAME]


def test_guest_cloned_from_it_boots_with_the_files_of_the_image(node: Any, state: LabState) -> None:
    address = state.connection["network"]["cidr"].rsplit(".", 1)[0] + f".{OFFSET}"
    ssh = state.connection["ssh"]
    guest = {"name": GUEST, "clone_from": NAME, "state": "started", "cloud_init": {
        "ssh_keys": [ssh["public_key"]], "ipconfig": {"0": {"ip": f"{address}/24", "gw": state.address}}}}
    run_module(proxmox_fleet.main, {"guests": [guest], "wait_for": "cloud_init", "wait_sleep": 0.3})
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5", "BatchMode=yes")
    command = "hostname; cat /etc/image-mark; stat -c %u:%g /etc/image-mark; stat -c %a:%U /usr/bin/sudo; sudo -n id -un; getcap /usr/bin/ping"
    argv = ["ssh", "-i", ssh["private_key_file"], *(word for option in options for word in ("-o", option)), f"{ssh['user']}@{address}", command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:5] == [GUEST, "from the image", "1234:2345", "4755:root", "root"], done.stderr


def test_unpacked_image_goes_with_the_last_disk_that_stands_on_it(node: Any, state: LabState) -> None:
    bases = state.dir / "proxmox" / "bases"
    assert len(list(bases.iterdir())) == 1
    run_module(proxmox_fleet.main, {"guests": [{"name": GUEST, "state": "absent"}]})
    assert len(list(bases.iterdir())) == 1, "the template stands on it"
    with pytest.raises(ModuleFailed, match="confirm"):
        run_module(proxmox_template.main, {"name": NAME, "state": "absent"})
    assert run_module(proxmox_template.main, {"name": NAME, "state": "absent", "confirm": NAME})["changed"]
    assert not list(bases.iterdir())
