"""Settings of podman that the lab depends on."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from lab import podman

LOOK = "import lab.podman, re; print(re.findall(r'_ses[^:]*: ([^\\n]*)', open('/proc/keys').read()))"


@pytest.mark.parametrize("left", [True, False])
def test_podman_makes_keyrings_only_where_the_lab_could_not_leave_the_users(left: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("RESILIENT_CACHE", str(tmp_path))
    monkeypatch.setattr(podman, "_KEYRING_LEFT", left)
    settings = pathlib.Path(podman.environment()["CONTAINERS_CONF"]).read_text(encoding="utf-8")
    assert f"keyring = {'false' if left else 'true'}\n" in settings


def test_whoever_works_with_guests_has_an_empty_session_keyring() -> None:
    root = pathlib.Path(podman.__file__).resolve().parents[1]
    seen = subprocess.run([sys.executable, "-c", LOOK], cwd=root, capture_output=True, text=True, check=True).stdout
    assert "'empty'" in seen
