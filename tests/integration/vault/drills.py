"""A platform of one real Vault node with backups in two directories, scratch hosts, and drills of it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

from hosts import Host, Site, network


class DrillSite(Site):
    """Like ``Site``, with destinations, keys, canaries and *scratch* hosts."""

    def __init__(self, directory: pathlib.Path, *, size: int = 1, scratch: int = 1) -> None:
        super().__init__(directory, size)
        net = network()
        self.scratch = [Host(f"scratch-{number}", f"{net}.{number}", directory / f"scratch-{number}") for number in range(1, scratch + 1)]
        self.offsite, self.nas = directory / "offsite", directory / "nas"
        keys = directory / "keys"
        for path in (self.offsite, self.nas, keys, directory / "work"):
            path.mkdir(parents=True)
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", keys / "signing.pem"], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", keys / "signing.pem", "-pubout", "-out", keys / "signing.pub.pem"], check=True, capture_output=True)
        (keys / "canary.key").write_bytes(b"0123456789abcdef0123456789abcdef")
        for path in keys.iterdir():
            path.chmod(0o600)
        self.variables |= {
            "platform_signing_key": str(keys / "signing.pem"), "platform_signing_public_key": str(keys / "signing.pub.pem"),
            "platform_canary_key": str(keys / "canary.key"),
            "platform_backup_destinations": [
                {"name": "offsite", "type": "directory", "offsite": True, "path": str(self.offsite)},
                {"name": "nas", "type": "directory", "offsite": False, "path": str(self.nas)},
            ],
            "platform_recovery_objectives": {"vault": {"rto_seconds": 1800, "rpo_seconds": 900}},
            "platform_canary_stores": [{
                "name": "vault", "type": "vault_kv", "urls": self.urls, "ca_path": str(self.custody / "tls/ca.crt"),
                "credentials_file": str(self.custody / "canary.json"), "mount_point": "kv", "path": "canary",
            }],
            "vault_backup_urls": self.urls,
            "vault_cluster_policies": [{"name": "extra", "policy": 'path "kv/data/extra" { capabilities = ["read"] }'}],
            # All of 127/8 is one network: what isolation does is tested on its own.
            "vault_drill_forbidden": [],
        }

    def start(self, server: pathlib.Path, version: str) -> DrillSite:
        for host in self.scratch:
            host.start()
        super().start(server, version)
        return self

    def stop(self) -> None:
        for host in self.scratch:
            host.stop()
        super().stop()

    def argv(self, playbook: str, *options: str, **extra: t.Any) -> list[str]:
        return ["ansible-playbook", "-i", str(self.inventory(vault_drill=self.scratch)), playbook, "-e", json.dumps(extra), *options]

    def backup(self) -> dict[str, t.Any]:
        """Back up, and return the recovery point."""
        self.play("resilient.platform.backup")
        return self.point()

    def manifests(self) -> list[pathlib.Path]:
        return sorted((self.offsite / "site/manifests").glob("*.dsse.json"))

    def point(self) -> dict[str, t.Any]:
        """The newest recovery point, from the evidence of the backup."""
        run = sorted((self.directory / "evidence").glob("site-backup-*"))[-1]
        report = json.loads((run / "report.json").read_text())
        found: dict[str, t.Any] = next(point for point in report["recovery_points"] if point["kind"] == "vault_raft_snapshot")
        return found

    def copy(self) -> pathlib.Path:
        """The off-site copy of the newest snapshot."""
        return max((self.offsite / "site/vault/vault").glob("*.snap"), key=lambda path: path.stat().st_mtime)

    def drill(self, *, fails: bool, **extra: t.Any) -> tuple[str, dict[str, t.Any]]:
        """Run a drill; return what it said and its report."""
        said = self.play("resilient.platform.vault_drill", fails=fails, vault_drill_confirm="site", **extra)
        run = sorted((self.directory / "evidence").glob("site-vault_drill-*"))[-1]
        return said, json.loads((run / "report.json").read_text())

    def residue(self) -> list[str]:
        """What a drill has left."""
        found = [f"{host.name}: server" for host in self.scratch if host.pid]
        found += [f"{host.name}: {path}" for host in self.scratch for path in ("etc/openbao", "lib/openbao", "log/openbao") if (host.directory / path).exists()]
        return found + [str(path) for path in (self.directory / "work").glob("vault_drill")]
