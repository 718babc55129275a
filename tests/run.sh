#!/usr/bin/env bash
# Runs the project's checks, stage by stage. Usage: tests/run.sh fast|all|STAGE...
#   lint      ansible-lint (production), yamllint, shellcheck, mypy strict, changelog and docs lint
#   units     pytest tests/unit with line coverage of plugins/ (95 % or more)
#   sanity    ansible-test sanity without ignores
#   build     the Galaxy artefact: built, installed elsewhere, playbooks found by FQCN
#   servers   integration tests against servers of their own on loopback (OpenBao, SeaweedFS, ZFS)
#   lab       integration tests against the lab's guests
#   fault     a drill killed and resumed, then damaged copies and canaries and a search for secrets, on a lab of its own
#   scenarios Molecule on the lab
#   docs      reference documentation
# `fast` = all of these but docs and the long tests; `all` = everything, remembering finished stages (in servers and lab: test files,
# in scenarios: scenarios) until one pass is complete.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$here" || exit 2
cache=${RESILIENT_CACHE:-$HOME/.cache/resilient-lab}
venv=$(lab/install.sh | tail -n 1) || exit 2
export PATH=$venv/bin:$PATH LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
ANSIBLE_COLLECTIONS_PATH=$(lab/collections_path.sh)
export ANSIBLE_COLLECTIONS_PATH
collection=$ANSIBLE_COLLECTIONS_PATH/ansible_collections/resilient/platform
export RESILIENT_LAB=${RESILIENT_LAB:-test}
# The tests log in far more often than a site does; those of the NASes' limit start NASes of their own.
export RESILIENT_LAB_NAS_RATE_LIMIT=${RESILIENT_LAB_NAS_RATE_LIMIT:-400}

stage_lint() {
  local rc=0
  echo "- ansible-lint (profile production)"
  ansible-lint -q -c .config/ansible-lint.yml || rc=1
  echo "- shellcheck"
  git ls-files -z '*.sh' .ci/run | xargs -0 -r shellcheck || rc=1
  echo "- mypy (strict)"
  (cd "$ANSIBLE_COLLECTIONS_PATH" && mypy --config-file "$here/pyproject.toml" --cache-dir "$cache/mypy" \
    -p ansible_collections.resilient.platform.plugins) || rc=1
  mypy --config-file pyproject.toml --cache-dir "$cache/mypy-lab" -p lab || rc=1
  echo "- changelog"
  antsibull-changelog lint || rc=1
  echo "- module and role documentation"
  antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self "$collection" || rc=1
  return $rc
}

stage_units() {
  local data=$cache/coverage-$$
  COVERAGE_FILE=$data coverage run --source="$collection/plugins" -m pytest tests/unit || { rm -f "$data"; return 1; }
  COVERAGE_FILE=$data coverage report --skip-covered --fail-under=95
  local rc=$?
  rm -f "$data"
  return $rc
}

stage_sanity() {
  # ansible-test wants a real path that ends in ansible_collections/<namespace>/<name>, and its pip bootstrap offline.
  local work tree v
  work=$(mktemp -d) || return 1
  tree=$work/ansible_collections/resilient/platform
  mkdir -p "$tree" "$work/ansible_collections/community" "$HOME/.ansible/test/cache"
  # validate-modules reads the doc fragment that the inventory plugin borrows.
  cp -r "$(python -c 'import ansible_collections.community as c; print(list(c.__path__)[0])')/library_inventory_filtering_v1" \
    "$work/ansible_collections/community/"
  # The lab is a program of its own, not part of the collection: mypy and shellcheck look at it in stage lint.
  git ls-files -z --cached --others --exclude-standard -- . ':!lab' | rsync -a --from0 --ignore-missing-args --files-from=- ./ "$tree/"
  for v in 23_1_2 24_2 25_2; do
    [ -e "$HOME/.ansible/test/cache/get_pip_$v.py" ] ||
      printf 'import ensurepip\nensurepip.bootstrap(upgrade=True)\n' >"$HOME/.ansible/test/cache/get_pip_$v.py"
  done
  (
    cd "$tree" && git init -q && git add -A &&
      ANSIBLE_COLLECTIONS_PATH=$work ansible-test sanity --local --python "$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  )
  local rc=$?
  rm -rf "$work"
  return $rc
}

stage_build() {
  # The artefact stays in build/galaxy; what was made to look at it does not.
  tests/build.sh build/galaxy
  local rc=$?
  rm -rf build/galaxy/{src,installed,install.log}
  return $rc
}

stage_servers() { RESILIENT_TEST_LEDGER=$ledger pytest tests/integration -m server; }

stage_lab() {
  python -m lab --name "$RESILIENT_LAB" up || return 1
  RESILIENT_TEST_LEDGER=$ledger pytest tests/integration -m lab
}

stage_fault() {
  # A new lab: what the tests count has to be this drill's alone. It stays for a look at it when something failed.
  local lab=${RESILIENT_LAB:0:14}-fault logs rc=0
  logs=$cache/fault-logs-$lab
  rm -rf "$logs"
  python -m lab --name "$lab" down && python -m lab --name "$lab" up || return 1
  RESILIENT_LAB=$lab RESILIENT_FAULT_LOGS=$logs pytest tests/fault -m fault || rc=1
  if [ "$rc" -eq 0 ]; then python -m lab --name "$lab" down || rc=1; else echo "The lab '$lab' is still up; the plays' output is in $logs."; fi
  return $rc
}

stage_scenarios() { RESILIENT_TEST_LEDGER=$ledger tests/scenarios.sh; }

stage_docs() {
  local out=$here/build/docs
  rm -rf "$out"
  mkdir -p "$out"
  antsibull-docs sphinx-init --use-current --squash-hierarchy --lenient --dest-dir "$out" resilient.platform
}

finish() {
  printf '\n%s passed, %s failed\n' "$passed" "$failed"
  [ "$failed" -eq 0 ]
}

passed=0
failed=0
ledger=
case ${1:-fast} in
  fast) stages=(lint units sanity build servers lab fault scenarios) ;;
  all)
    stages=(lint units sanity build servers lab fault scenarios docs)
    export RESILIENT_LONG_TESTS=1
    # The ledger belongs to one state of the tree: another commit starts anew.
    ledger=$cache/test-all-$(git rev-parse --short HEAD)-$(git diff HEAD | sha256sum | cut -c1-8)
    ;;
  *) stages=("$@") ;;
esac
for stage in "${stages[@]}"; do
  declare -F "stage_$stage" >/dev/null || { echo "Unknown stage '$stage': see the head of tests/run.sh."; exit 2; }
  if [ -n "$ledger" ] && grep -qx "$stage" "$ledger" 2>/dev/null; then
    echo "=== $stage: passed before in this tree"
    passed=$((passed + 1))
    continue
  fi
  printf '\n=== %s\n' "$stage"
  began=$SECONDS
  if "stage_$stage"; then
    passed=$((passed + 1))
    [ -z "$ledger" ] || echo "$stage" >>"$ledger"
    echo "=== $stage passed in $((SECONDS - began)) s"
  else
    failed=$((failed + 1))
    echo "=== $stage FAILED after $((SECONDS - began)) s"
  fi
done
[ -z "$ledger" ] || [ "$failed" -ne 0 ] || rm -f "$ledger"
finish
