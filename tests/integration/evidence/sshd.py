"""A real OpenSSH server on loopback that does SFTP only, in a mount namespace with a user of its own; the package is unpacked, not installed."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

CACHE = pathlib.Path(os.environ.get("RESILIENT_CACHE") or pathlib.Path.home() / ".cache/resilient-lab") / "sshd"
UID = 47110


def server() -> pathlib.Path:
    """Return the path of ``sshd``; the first time 1 MB comes from the distribution's mirror."""
    found = CACHE / "usr/sbin/sshd"
    if not found.exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as directory:
            subprocess.run(["apt-get", "download", "-q", "openssh-server", "libwrap0"], cwd=directory, check=True, capture_output=True, timeout=300)
            for package in pathlib.Path(directory).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(package), f"{directory}/out"], check=True)
            pathlib.Path(directory, "out").replace(CACHE)
    return found


class Sshd:
    """Serves ``/srv/backups`` of its own namespace to the user ``backup-test``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.data = directory / "srv/backups"
        self.key, self.known_hosts = directory / "key", directory / "known_hosts"

    def start(self) -> Sshd:
        home = self.directory
        if not (home / "etc").exists():
            shutil.copytree("/etc", home / "etc", symlinks=True)
            with (home / "etc/passwd").open("a") as stream:
                stream.write(f"backup-test:x:{UID}:{UID}::/srv:/bin/sh\n")
                if "\nsshd:" not in (home / "etc/passwd").read_text():
                    stream.write("sshd:x:47109:65534::/run/sshd:/usr/sbin/nologin\n")
            with (home / "etc/group").open("a") as stream:
                stream.write(f"backup-test:x:{UID}:\n")
            for path in (self.data, home / "run/sshd"):
                path.mkdir(parents=True)
            os.chown(self.data, UID, UID)
            for name in ("host", "key"):
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", home / name], check=True)
            (home / "etc/authorized").write_text((home / "key.pub").read_text())
            self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {(home / 'host.pub').read_text()}")
            shutil.copy(home / "host", home / "etc/ssh_test_host")
            (home / "etc/sshd_test").write_text(
                f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey /etc/ssh_test_host\nAuthorizedKeysFile /etc/authorized\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\n"
                "Subsystem sftp internal-sftp\nForceCommand internal-sftp\nPidFile none\nAllowUsers backup-test\n"
            )
        mounts = " && ".join(f"mount --bind {home / name} /{name}" for name in ("etc", "run", "srv"))
        libraries = next(CACHE.rglob("libwrap.so.0")).parent
        command = f"{mounts} && LD_LIBRARY_PATH={libraries} exec {server()} -D -e -f /etc/sshd_test"
        with (home / "sshd.log").open("ab") as log:
            argv = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", command]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, (home / "sshd.log").read_text()
            time.sleep(0.05)
        raise AssertionError((home / "sshd.log").read_text())

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
