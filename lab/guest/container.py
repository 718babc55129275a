"""How a guest is run: the podman command line that keeps it apart from the machine and from the other guests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.guest.idshift import ID_BASE, ID_COUNT
from lab.state import cache_dir, write_private

HERE = Path(__file__).parent
INIT = "/usr/lib/resilient-lab/lab-init"
_ANNOTATION = "resilient.lab.delegate"
# Never --privileged, never without the user namespace: the guest's root is nobody on the machine, so that mounting a
# second /proc or remounting this one gains it nothing. Dropping the capabilities on top changes no result, it
# says what must never work. CAP_SYS_BOOT stays: in a process namespace of its own reboot() ends that namespace only.
_PROFILE = (
    "--systemd=false", "--stop-signal", "SIGRTMIN+3", "--env", "container=podman", "--cgroupns=private",
    "--tmpfs", "/run", "--tmpfs", "/run/lock",
    "--uidmap", f"0:{ID_BASE}:{ID_COUNT}", "--gidmap", f"0:{ID_BASE}:{ID_COUNT}",
    "--cap-add", "ALL", "--cap-drop", "SYS_TIME", "--cap-drop", "SYS_MODULE", "--cap-drop", "SYS_RAWIO",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--annotation", f"{_ANNOTATION}=yes",
)


@dataclass(frozen=True)
class GuestSpec:
    """What a guest's container is made from. ``address``/``mac`` None: podman chooses; ``network`` None: no link."""

    name: str
    hostname: str
    root: Path
    memory_mib: int = 512
    cpus: int = 1
    network: str | None = None
    address: str | None = None
    mac: str | None = None
    mounts: Mapping[Path, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def run_argv(spec: GuestSpec) -> list[str]:
    """Return the arguments of ``podman`` that start the guest."""
    argv = ["run", "--detach", "--name", spec.name, "--hostname", spec.hostname, *_PROFILE]
    argv += ["--memory", f"{spec.memory_mib}m", "--cpus", str(spec.cpus)]
    argv += ["--network", spec.network or "none"]
    if spec.network and spec.address:
        argv += ["--ip", spec.address]
    if spec.network and spec.mac:
        argv += ["--mac-address", spec.mac]
    for source, target in spec.mounts.items():
        argv += ["--volume", f"{source}:{target}"]
    for key, value in spec.labels.items():
        argv += ["--label", f"{key}={value}"]
    return [*argv, "--rootfs", str(spec.root), INIT]


def hooks_dir() -> Path:
    """Return the directory of podman hooks; it always holds this checkout's version."""
    directory = cache_dir() / "hooks"
    script = (HERE / "delegate-cgroups").read_bytes()
    target = directory / f"delegate-cgroups-{hashlib.sha256(script).hexdigest()[:12]}"
    if not target.exists():
        write_private(target, script, 0o755)
        hook = {"version": "1.0.0", "hook": {"path": str(target)}, "when": {"annotations": {f"^{_ANNOTATION}$": "^yes$"}},
                "stages": ["createRuntime"]}
        write_private(directory / "delegate-cgroups.json", json.dumps(hook, indent=1) + "\n", 0o644)
    return directory
