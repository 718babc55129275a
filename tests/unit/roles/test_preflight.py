"""The preflight role's rows, from a real run of it on this machine."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.include_role: {name: resilient.platform.preflight}
    - ansible.builtin.copy: {content: "{{ preflight_results | to_json }}", dest: rows.json, mode: "0600"}
"""


def test_each_destination_is_written_and_read_or_its_row_says_why_not(tmp_path: pathlib.Path) -> None:
    (tmp_path / "there").mkdir()
    destinations = [{"name": name, "type": "directory", "path": str(tmp_path / name), "offsite": name == "lost"} for name in ("there", "away", "lost")]
    variables = {"preflight_subjects": ["destinations"], "preflight_environment": "test", "preflight_destinations": destinations}
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    (tmp_path / "play.yml").write_text(PLAY.replace("rows.json", str(tmp_path / "rows.json")))
    done = subprocess.run(["ansible-playbook", "-i", "localhost,", "-e", "@vars.json", "play.yml"], cwd=tmp_path, text=True, capture_output=True,
                          check=False, env={**os.environ, "ANSIBLE_CONFIG": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["check"].split()[-1]: row for row in json.loads((tmp_path / "rows.json").read_text())}
    assert (rows["there"]["outcome"], rows["there"]["detail"]) == ("ok", "read back as written")
    assert rows["away"]["outcome"] == "skipped" and str(tmp_path / "away") in rows["away"]["detail"]
    assert rows["lost"]["outcome"] == "failed" and str(tmp_path / "lost") in rows["lost"]["detail"]
