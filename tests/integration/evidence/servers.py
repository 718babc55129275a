"""Real servers on loopback for one test session: SeaweedFS (S3 over TLS) and OpenBao (KV)."""

from __future__ import annotations

import datetime
import ipaddress
import json
import pathlib
import random
import socket
import subprocess
import sys
import time
import typing as t

import hvac
import minio
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BIN = pathlib.Path(sys.executable).parent
BUCKET = "backups"


def free_block(count: int) -> int:
    """Return the first of *count* ports between 28000 and 29000 that nobody listens on."""
    for base in random.sample(range(28000, 28950, 10), 60):
        try:
            for port in range(base, base + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports between 28000 and 29000")


def certificate(directory: pathlib.Path, name: str) -> tuple[str, str]:
    """Write a self-signed certificate for 127.0.0.1; return the paths of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, private = directory / f"{name}.crt", directory / f"{name}.key"
    cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    private.chmod(0o600)
    return str(cert), str(private)


class Server:
    """A process that is ended by its id."""

    def __init__(self, argv: list[str], log: pathlib.Path, ready: t.Callable[[], bool], wait: float = 60) -> None:
        self.argv, self.log, self.ready, self.wait = argv, log, ready, wait
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + self.wait
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if self.ready():
                    return
            except Exception as exc:  # the server is not there yet
                last = exc
            time.sleep(0.3)
        self.stop()
        raise RuntimeError(f"{self.argv[0]} did not get ready: {self.log.read_text()[-2000:]} {locals().get('last')}")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)


def seaweed(directory: pathlib.Path) -> tuple[Server, dict[str, t.Any]]:
    """Return a SeaweedFS and the destination that describes its bucket."""
    base = free_block(9)
    cert, key = certificate(directory, "s3")
    identities = {
        "identities": [
            {
                "name": "all",
                "credentials": [{"accessKey": "EVIDENCEKEY", "secretKey": "evidence-secret-of-the-test"}],
                "actions": ["Admin", "Read", "Write", "List"],
            },
            {"name": "reader", "credentials": [{"accessKey": "READERKEY", "secretKey": "reader-secret-of-the-test"}], "actions": ["Read", "List"]},
        ]
    }
    (directory / "identities.json").write_text(json.dumps(identities))
    (directory / "data").mkdir()
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc")
    argv = [
        str(BIN / "weed"), "server", f"-dir={directory / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        *(f"-{name}={base + offset}" for offset, name in enumerate(names)),
        f"-filer.localSocket={directory / 'filer.sock'}", f"-s3.localSocket={directory / 's3.sock'}",
        "-s3", f"-s3.port={base + 8}", f"-s3.config={directory / 'identities.json'}", f"-s3.cert.file={cert}", f"-s3.key.file={key}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        "-volume.max=10", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0", "-master.telemetry=false",
    ]  # fmt: skip
    destination = {
        "name": "offsite", "type": "s3", "endpoint": f"https://127.0.0.1:{base + 8}", "bucket": BUCKET,
        "access_key": "EVIDENCEKEY", "secret_key": "evidence-secret-of-the-test", "ca_path": cert,
    }  # fmt: skip

    def ready() -> bool:
        pool = urllib3.PoolManager(ca_certs=cert, cert_reqs="CERT_REQUIRED", timeout=5, retries=False)
        client = minio.Minio(f"127.0.0.1:{base + 8}", "EVIDENCEKEY", "evidence-secret-of-the-test", region="us-east-1", http_client=pool)
        if not client.bucket_exists(BUCKET):
            client.make_bucket(BUCKET)
        client.fput_object(BUCKET, "probe", cert)
        client.remove_object(BUCKET, "probe")
        return True

    return Server(argv, directory / "weed.log", ready, wait=90), destination


POLICY = """
path "kv/data/canary/*" { capabilities = ["create", "update", "read"] }
path "kv/metadata/canary/*" { capabilities = ["list", "read"] }
"""


def openbao(directory: pathlib.Path) -> tuple[Server, dict[str, t.Any]]:
    """Return an OpenBao (in memory, development mode, TLS) with KV and an AppRole, and the store that describes it."""
    port = free_block(2)
    (directory / "bao").mkdir()
    token = "root-of-the-test"
    argv = [
        str(BIN / "bao"), "server", "-dev-tls", f"-dev-tls-cert-dir={directory / 'bao'}", f"-dev-root-token-id={token}",
        f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token",
    ]  # fmt: skip
    url, store_file = f"https://127.0.0.1:{port}", directory / "canary.json"
    ca = directory / "bao" / "vault-ca.pem"

    def ready() -> bool:
        client = hvac.Client(url=url, token=token, verify=str(ca), timeout=5)
        if "kv/" not in client.sys.list_mounted_secrets_engines()["data"]:
            client.sys.enable_secrets_engine("kv", path="kv", options={"version": "2"})
            client.sys.enable_auth_method("approle")
            client.sys.create_or_update_policy("canary", POLICY)
            client.auth.approle.create_or_update_approle("canary", token_policies=["canary"], token_ttl="5m")
        credentials = {
            "role_id": client.auth.approle.read_role_id("canary")["data"]["role_id"],
            "secret_id": client.auth.approle.generate_secret_id("canary")["data"]["secret_id"],
        }
        store_file.write_text(json.dumps(credentials))
        store_file.chmod(0o600)
        client.secrets.kv.v2.create_or_update_secret("canary/probe", {"a": "b"}, mount_point="kv")
        return True

    store = {"name": "vault", "type": "vault_kv", "urls": [url], "ca_path": str(ca), "credentials_file": str(store_file), "mount_point": "kv", "path": "canary"}
    return Server(argv, directory / "bao.log", ready), store
