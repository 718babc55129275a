"""An isolated drill refuses what cannot be isolated before anything is made, and destroys only what drills made.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/drill`` (default: the lab called "default").
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import typing as t

import pytest
from plays import Lab

pytestmark = pytest.mark.lab

DRILL = "resilient.platform.dr_drill"
MOMENT, MOMENT_LOWER = "20260102T030405Z-0abc", "20260102t030405z-0abc"


def scratch(lab: Lab, **changes: t.Any) -> dict[str, t.Any]:
    """The scratch guest of the lab's inventory, changed."""
    connection = lab.state.connection
    address = connection["drill"]["address"]
    return {
        "node": "pve1", "clone_from": "debian12", "networks": {"net0": {"bridge": "vmbr1"}},
        "cloud_init": {"user": "platform", "ipconfig": {"0": {"ip": f"{address}/24", "gw": connection["isolated_network"]["gateway"]}}},
    } | changes


@pytest.mark.parametrize(("extra", "message"), [
    ({"dr_drill_confirm": "production"}, "dr_drill_confirm=lab"),
    ({"dr_drill_scratch_guest": {"vmid": 101}}, "must not say name, vmid, state or tags"),
    ({"dr_drill_scratch_guest": {"name": "vault-1"}}, "must not say name, vmid, state or tags"),
    ({"dr_drill_scratch_guest": {"networks": {"net0": {"bridge": "vmbr0"}}}}, "vmbr0/ (bridge/VLAN), where the platform's guests are"),
    ({"dr_drill_scratch_guest": {"networks": {}}}, "needs a bridge"),
    ({"dr_drill_scratch_address": "platform"}, "which is vault-1 of the platform"),
    ({"dr_drill_scratch_address": "198.51.100.7", "dr_drill_scratch_guest": {}}, "does not give the guest the address 198.51.100.7"),
])
def test_what_cannot_be_isolated_is_refused(lab: Lab, extra: dict[str, t.Any], message: str) -> None:
    before, runs = lab.guests().keys(), lab.runs()
    if "dr_drill_scratch_guest" in extra:
        extra = {**extra, "dr_drill_scratch_guest": scratch(lab, **extra["dr_drill_scratch_guest"])}
    if extra.get("dr_drill_scratch_address") == "platform":
        extra = {"dr_drill_scratch_address": lab.state.connection["guests"]["vault-1"]}
    done = lab.play(DRILL, **{"platform_disposable": False, "dr_drill_confirm": "lab"} | extra)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split()), done.stdout[-3000:]
    assert lab.guests().keys() == before and lab.runs() == runs


def test_only_guests_that_a_drill_made_are_removed(lab: Lab, request: pytest.FixtureRequest) -> None:
    made = {
        9301: ("vault-9", "resilient-drill"),  # the tag, but another's name
        9302: ("lab-drill-20260102t030405z-ffff", "resilient-drill"),  # a run that this controller knows nothing of
        9303: (f"other-drill-{MOMENT_LOWER}", "resilient-drill"),  # of another environment
        9304: (f"lab-drill-{MOMENT_LOWER}", "resilient-drill"),  # a drill's own
        9305: ("lab-drill-20260102t030405z-0abd", "resilient"),  # without the tag
    }
    logs = [lab.state.path("evidence", f"lab-dr_drill_isolated-{moment}", "evidence.jsonl") for moment in (MOMENT, "20260102T030405Z-0abd")]

    def clean() -> None:
        for vmid in made:
            lab.remove(vmid)
        for log in logs:
            log.unlink(missing_ok=True)
            log.parent.rmdir()

    request.addfinalizer(clean)
    for log in logs:
        log.touch()
    for vmid, (name, tags) in made.items():
        lab.make(vmid, name, tags)
    before = lab.guests().keys()
    done = lab.play("resilient.platform.dr_drill_clean", dr_drill_confirm="lab")
    assert done.returncode == 0, done.stdout[-3000:]
    assert before - lab.guests().keys() == {made[9304][0]}


def test_nothing_of_a_drill_at_work_is_removed(lab: Lab, request: pytest.FixtureRequest) -> None:
    begun = subprocess.run(
        ["ansible", "localhost", "-m", "resilient.platform.evidence_run", "-a",
         json.dumps({"evidence_dir": str(lab.state.path("evidence")), "environment": "lab", "operation": "dr_drill_isolated"})],
        env={**lab.environment, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    run = pathlib.Path(json.loads(begun.stdout.partition("=>")[2])["run"]["dir"])
    request.addfinalizer(lambda: shutil.rmtree(run))
    guest = f"lab-drill-{run.name.removeprefix('lab-dr_drill_isolated-').lower()}"
    lab.make(9306, guest, "resilient-drill")
    request.addfinalizer(lambda: lab.remove(9306))
    play = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)", "ansible-playbook"])
    request.addfinalizer(play.kill)
    note = json.loads((run / "lock.json").read_text())
    started = int(pathlib.Path(f"/proc/{play.pid}/stat").read_text().rpartition(")")[2].split()[19])
    (run / "lock.json").write_text(json.dumps({**note, "pid": play.pid, "started": started}))

    done = lab.play("resilient.platform.dr_drill_clean", dr_drill_confirm="lab")
    assert done.returncode != 0 and f"process {play.pid}" in done.stdout, done.stdout[-3000:]
    assert guest in lab.guests()

    play.kill()
    play.wait()
    done = lab.play("resilient.platform.dr_drill_clean", dr_drill_confirm="lab")
    assert done.returncode == 0 and guest not in lab.guests(), done.stdout[-3000:]
