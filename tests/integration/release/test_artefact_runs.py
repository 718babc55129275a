"""The playbooks of the installed artefact do their work by their names, from anywhere, against the lab.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/release``. Removes the guests of the lab at its end.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest

from .conftest import Elsewhere

pytestmark = pytest.mark.lab

GUESTS = {"vault-1", "vault-2", "vault-3"}


@pytest.fixture(scope="module")
def site(elsewhere: Elsewhere) -> Iterator[Elsewhere]:
    """A lab without guests and without a cluster, before and after."""
    elsewhere.playbook("provision", "-e", "vm_provision_state=absent")
    elsewhere.forget_cluster()
    yield elsewhere
    elsewhere.playbook("provision", "-e", "vm_provision_state=absent")
    elsewhere.forget_cluster()


def guests(site: Elsewhere) -> dict[str, str]:
    """Names and states of the guests, as the artefact's own module reports them."""
    access = site.state.connection["proxmox"]
    result = site.run(
        "ansible", "-i", str(site.inventory), "pve1", "-m", "resilient.platform.proxmox_vm_info",
        PROXMOX_HOST=access["host"], PROXMOX_PORT=str(access["port"]), PROXMOX_USER=access["user"], PROXMOX_CA_PATH=site.state.connection["ca_file"],
        PROXMOX_TOKEN_ID=access["token_id"], PROXMOX_TOKEN_SECRET=access["token_secret"],
        ANSIBLE_CALLBACK_RESULT_FORMAT="json")  # fmt: skip
    assert result.rc == 0, result.output
    found = json.loads(result.output.partition("=>")[2])
    return {vm["name"]: vm["status"] for vm in found["vms"]}


def test_preflight_sees_the_lab(site: Elsewhere) -> None:
    output = site.playbook("preflight").output
    assert re.search(r"ok +pve1 +proxmox +template debian12 +found", output)
    assert "read back as written" in output and "looks, none failed" in output


def test_provision_predicts_makes_and_is_content(site: Elsewhere) -> None:
    assert site.playbook("provision", "--check", "--diff").changed > 0
    assert not GUESTS & set(guests(site)), "check mode made guests"
    assert site.playbook("provision").changed > 0
    assert {name: state for name, state in guests(site).items() if name in GUESTS} == dict.fromkeys(GUESTS, "running")
    assert site.playbook("provision").changed == 0


def test_storage_makes_what_the_inventory_says_and_is_content(site: Elsewhere) -> None:
    site.playbook("storage", "--check")
    site.playbook("storage")
    assert os.path.ismount(os.path.join(site.state.connection["truenas"]["primary"]["mount"], "tank/platform/files"))
    assert site.playbook("storage").changed == 0


@pytest.mark.skipif(not os.environ.get("RESILIENT_LONG_TESTS"), reason="long: make test-all runs it")
def test_site_backup_and_verification(site: Elsewhere) -> None:
    site.playbook("site")
    assert site.playbook("site").changed == 0
    for name in ("backup", "backup_verify"):
        assert re.search(r"Verdict: verified\b", site.playbook(name).output), f"{name} was not verified"
