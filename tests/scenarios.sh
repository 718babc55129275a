#!/usr/bin/env bash
# Runs Molecule scenarios on the lab of $RESILIENT_LAB; `default` starts and removes it. Arguments: scenarios (default: the fixed set).
set -uo pipefail
if [ $# -gt 0 ]; then
  scenarios=("$@")
elif [ -n "${RESILIENT_LONG_TESTS:-}" ]; then
  mapfile -t scenarios < <(cd molecule && for d in */; do [ "$d" = default/ ] || [ ! -e "$d/molecule.yml" ] || echo "${d%/}"; done)
else
  scenarios=(vm_provision storage vault_cluster)
fi
args=()
for s in "${scenarios[@]}"; do args+=(-s "$s"); done
molecule test "${args[@]}" --report
