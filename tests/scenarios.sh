#!/usr/bin/env bash
# Runs Molecule scenarios one after the other on the lab of $RESILIENT_LAB, which is started before and removed after them.
# Usage: tests/scenarios.sh [SCENARIO...]   (default: the fixed set; RESILIENT_LONG_TESTS=1: all)
#   RESILIENT_KEEP_LAB=1    use the lab as it is and leave it (for work on a scenario)
#   RESILIENT_TEST_LEDGER   file that remembers scenarios that passed; they are not run again
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# Each prepares what it needs, wherever it stands; in this order they find most of it there already.
all=(vm_provision drift_repair fleet_prune restore_verification guest_backup storage nas_replication_pair nas_failover preflight evidence vault_cluster vault_backup vault_recover vault_upgrade vault_drill vault_secrets host_hardening dr_drill)
# Three and a half minutes on two idle cores. The others are exercised by the drills of `make test`, and run in `make test-all`.
fixed=(vm_provision storage preflight evidence)
: "${RESILIENT_LAB:?is the name of the lab to use, which is removed afterwards}"
ledger=${RESILIENT_TEST_LEDGER:-/dev/null}
export RESILIENT_LAB_NAS_RATE_LIMIT=${RESILIENT_LAB_NAS_RATE_LIMIT:-400} # as in tests/run.sh

if [ $# -gt 0 ]; then
  scenarios=("$@")
elif [ -n "${RESILIENT_LONG_TESTS:-}" ]; then
  scenarios=("${all[@]}")
else
  scenarios=("${fixed[@]}")
fi
for s in "${scenarios[@]}"; do
  [ -e "molecule/$s/molecule.yml" ] || { echo "There is no scenario '$s': see molecule/."; exit 2; }
done

lab_down() { [ -n "${RESILIENT_KEEP_LAB:-}" ] || python -m lab --name "$RESILIENT_LAB" down; }

# Molecule remembers in this directory what is prepared, and takes one scenario's word for all of them: each gets a new one.
run_scenario() (
  MOLECULE_EPHEMERAL_DIRECTORY=$(mktemp -d) || exit 1
  export MOLECULE_EPHEMERAL_DIRECTORY
  trap 'rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"' EXIT
  molecule test -s "$1" --destroy never --no-command-borders --report
)

report=()
failed=0
touched=
for s in "${scenarios[@]}"; do
  if grep -qsx "scenario $s" "$ledger"; then
    report+=("$s: passed before in this tree")
    continue
  fi
  # Remains of other tests would be no ground to stand on.
  [ -n "$touched" ] || lab_down || exit 1
  touched=1
  printf '\n--- scenario %s\n' "$s"
  began=$SECONDS
  if run_scenario "$s"; then
    report+=("$s: passed in $((SECONDS - began)) s")
    echo "scenario $s" >>"$ledger"
  else
    failed=$((failed + 1))
    report+=("$s: FAILED after $((SECONDS - began)) s")
    # The next one shall not suffer from it.
    lab_down
  fi
done
[ -z "$touched" ] || lab_down
printf '\nScenarios:\n'
printf '  %s\n' "${report[@]}"
[ "$failed" -eq 0 ]
