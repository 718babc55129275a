"""A project as AWX runs it: requirements installed by name, a one-line playbook, credentials in the environment, ansible-runner.

AWX cannot call a collection's playbook by its name, so projects have a wrapper. Its jobs see no home of a user and keep nothing but
the events and the artifacts of set_stats: the evidence has to leave through those and through the destinations.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import typing as t

import pytest
import yaml

from .conftest import ROOT, Elsewhere, Result

pytestmark = pytest.mark.lab

LONG = bool(os.environ.get("RESILIENT_LONG_TESTS"))


class Awx:
    """ansible-runner's private data directory, as AWX lays it out for a job."""

    def __init__(self, place: pathlib.Path, artefact: pathlib.Path) -> None:
        self.place = place
        self.elsewhere = Elsewhere(place, place / "requirements_collections")
        self.access = self.elsewhere.state.connection
        project = place / "project"
        (project / "collections").mkdir(parents=True)
        # A project names the collection and its version; here the same file says where the artefact lies, Galaxy being out of reach.
        wanted = {"collections": [{"name": str(next(artefact.glob("*.tar.gz"))), "type": "file"}]}
        (project / "collections" / "requirements.yml").write_text(yaml.safe_dump(wanted))
        shutil.copy(ROOT / "inventories" / "lab" / "ansible.cfg", project)
        for name in ("site", "backup"):
            (project / f"{name}.yml").write_text(f"---\n- name: {name}\n  ansible.builtin.import_playbook: resilient.platform.{name}\n")
        self._inventory(place / "inventory")

    def _inventory(self, to: pathlib.Path) -> None:
        """The lab's inventory without any endpoint's credentials in it."""
        shutil.move(self.elsewhere.inventory, to)
        self.elsewhere.inventory = to
        (to / "group_vars" / "proxmox" / "connection.yml").unlink()
        (to / "ansible.cfg").unlink()
        for group, name in (("truenas_primary", "TRUENAS_API_KEY"), ("truenas_secondary", "TRUENAS_PEER_API_KEY")):
            path = to / "group_vars" / group / "connection.yml"
            text = path.read_text().replace("platform_lab.truenas.primary.api_key", f"lookup('ansible.builtin.env', '{name}')")
            path.write_text(text.replace("platform_lab.truenas.secondary.api_key", "lookup('ansible.builtin.env', 'TRUENAS_PEER_API_KEY')"))
        path = to / "group_vars" / "all" / "platform.yml"
        path.write_text("".join(line for line in path.read_text().splitlines(True) if "access_key:" not in line and "secret_key:" not in line))
        assert not [path for path in to.rglob("*.yml") if "s3.secret_key" in path.read_text() or ".api_key }}" in path.read_text()]

    def credentials(self) -> dict[str, str]:
        """What AWX's credential types inject: the names that the modules fall back to."""
        proxmox, nas, s3 = self.access["proxmox"], self.access["truenas"], self.access["s3"]
        return {
            "PROXMOX_HOST": proxmox["host"], "PROXMOX_PORT": str(proxmox["port"]), "PROXMOX_USER": proxmox["user"],
            "PROXMOX_TOKEN_ID": proxmox["token_id"], "PROXMOX_TOKEN_SECRET": proxmox["token_secret"], "PROXMOX_CA_PATH": self.access["ca_file"],
            "TRUENAS_API_KEY": nas["primary"]["api_key"], "TRUENAS_PEER_API_KEY": nas["secondary"]["api_key"],
            "AWS_ACCESS_KEY_ID": s3["access_key"], "AWS_SECRET_ACCESS_KEY": s3["secret_key"],
        }  # fmt: skip

    def update(self) -> None:
        """What the project update does."""
        done = self.elsewhere.run("ansible-galaxy", "collection", "install", "-r", "project/collections/requirements.yml", "--offline",
                                  "-p", str(self.place / "requirements_collections"), ANSIBLE_CONFIG="")  # fmt: skip
        assert done.rc == 0, done.output

    def job(self, playbook: str, *argv: str) -> tuple[Result, list[dict[str, t.Any]]]:
        """Run a job; its result and its events."""
        ident = f"{playbook}-{len(list(self.place.glob('artifacts/*')))}"
        # Runner keeps a job's command line for the next one of the same directory; AWX gives each job a directory of its own.
        (self.place / "env" / "cmdline").unlink(missing_ok=True)
        # runner splits this like a shell.
        more = ["--cmdline", " ".join(argv)] if argv else []
        result = self.elsewhere.run("ansible-runner", "run", str(self.place), "-p", f"{playbook}.yml", "--ident", ident, *more,
                                    ANSIBLE_CONFIG=str(self.place / "project" / "ansible.cfg"), **self.credentials())  # fmt: skip
        assert result.rc == 0, result.output
        events = self.place / "artifacts" / ident / "job_events"
        return result, [json.loads(path.read_text()) for path in sorted(events.glob("*.json"), key=lambda path: int(path.name.partition("-")[0]))]


@pytest.fixture(scope="module")
def awx(artefact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Awx]:
    made = Awx(tmp_path_factory.mktemp("awx"), artefact)
    made.update()
    made.job("site", "--tags", "provision", "-e", "vm_provision_state=absent")
    made.elsewhere.forget_cluster()
    yield made
    made.job("site", "--tags", "provision", "-e", "vm_provision_state=absent")
    made.elsewhere.forget_cluster()


def modules(events: list[dict[str, t.Any]]) -> set[str]:
    return {event["event_data"]["resolved_action"] for event in events if event["event"] == "runner_on_ok"}


def stats(events: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    return t.cast(dict[str, t.Any], next(event["event_data"] for event in reversed(events) if event["event"] == "playbook_on_stats"))


def leaks(awx: Awx, events: list[dict[str, t.Any]]) -> list[str]:
    """Names of the secrets that AWX would have stored with its events."""
    text = json.dumps(events)
    return [name for name, value in awx.credentials().items() if name.endswith(("SECRET", "KEY")) and value in text]


def test_project_runs_with_credentials_from_the_environment(awx: Awx) -> None:
    tags = [] if LONG else ["--tags", "provision,storage"]
    _result, events = awx.job("site", *tags)
    assert {"resilient.platform.proxmox_fleet", "resilient.platform.truenas_dataset"} <= modules(events)
    assert not leaks(awx, events)
    _result, events = awx.job("site", *tags)
    assert stats(events)["changed"] == {}


def test_preflight_reads_the_same_environment(awx: Awx) -> None:
    result = awx.elsewhere.run("ansible-playbook", "-i", str(awx.elsewhere.inventory), "resilient.platform.preflight",
                               ANSIBLE_CONFIG=str(awx.place / "project" / "ansible.cfg"), **awx.credentials())  # fmt: skip
    assert result.rc == 0, result.output
    assert "looks, none failed" in result.output and "skipped  pve1" not in result.output


def test_wrong_credential_is_refused_and_named(awx: Awx) -> None:
    result = awx.elsewhere.run("ansible-playbook", "-i", str(awx.elsewhere.inventory), "resilient.platform.provision",
                               **{**awx.credentials(), "PROXMOX_TOKEN_SECRET": "0" * 36})  # fmt: skip
    assert result.rc != 0
    assert "401" in result.output and "token" in result.output, result.output


@pytest.mark.skipif(not LONG, reason="long: make test-all runs it")
def test_backup_hands_its_verdict_over(awx: Awx) -> None:
    _result, events = awx.job("backup")
    assert stats(events)["artifact_data"]["resilient_platform"]["verdict"] == "verified"
    assert not leaks(awx, events)
