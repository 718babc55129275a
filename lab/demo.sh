#!/usr/bin/env bash
# The main job in the lab: set up, drill, verify the evidence, and show that changed evidence is refused.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lab=${1:-default}
cache=${RESILIENT_CACHE:-$HOME/.cache/resilient-lab}
say() { printf '\n=== %s\n' "$*"; }

say "Installing what is missing (a minute the first time, a second later)"
venv=$("$here/lab/install.sh" | tail -n 1)
export PATH=$venv/bin:$PATH LC_ALL=C.UTF-8
ANSIBLE_COLLECTIONS_PATH=$("$here/lab/collections_path.sh")
export ANSIBLE_COLLECTIONS_PATH RESILIENT_LAB=$lab
export ANSIBLE_CONFIG=$here/inventories/lab/ansible.cfg
cd "$here"

say "Starting the lab '$lab' (about 20 s; the first time about 4 minutes, for the guest image)"
python -m lab --name "$lab" up
state=${RESILIENT_LAB_STATE:-$cache/labs}/$lab

say "Drill: provision, harden, storage, vault, canaries, backup, disaster, rebuild, proof (about 8 minutes)"
# The demo owns its lab: the drill may destroy it, and says so by naming the environment.
ansible-playbook -i inventories/lab resilient.platform.dr_drill -e dr_drill_confirm=lab

run=$(python - "$state" <<'PY'
import json, pathlib, sys
runs = sorted((pathlib.Path(sys.argv[1]) / "evidence").glob("*/report.json"), key=lambda p: p.stat().st_mtime)
report = json.loads(runs[-1].read_text())
print(runs[-1].parent)
PY
)
public=$state/keys/signing.pub.pem

say "Verifying the evidence with the stand-alone verifier"
python plugins/module_utils/_evidence/verify.py "$run" --public-key "$public"

say "Changing one byte of a copy: the verifier has to refuse it"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$run/." "$copy/"
python - "$copy/evidence.jsonl" <<'PY'
import pathlib, sys
path = pathlib.Path(sys.argv[1])
data = bytearray(path.read_bytes())
data[len(data) // 2] ^= 1
path.write_bytes(bytes(data))
PY
if python plugins/module_utils/_evidence/verify.py "$copy" --public-key "$public"; then
  echo "The verifier accepted changed evidence: this is a bug." >&2
  exit 1
fi
echo "Refused, as it should be."

python - "$run" <<'PY'
import json, pathlib, sys
run = pathlib.Path(sys.argv[1])
report = json.loads((run / "report.json").read_text())
print(f"\nVerdict: {report['verdict']}")
print(f"RTO:     {report['rto_seconds']:.1f} s")
print(f"RPO:     {report['rpo_seconds']:.1f} s")
print(f"Report:  {run / 'report.html'}")
raise SystemExit(report["verdict"] != "verified")
PY
