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
# `fast` = all of these but docs and the long tests, two stages at a time (RESILIENT_TEST_LANES=1: one after the other);
# `all` = everything, remembering finished stages (in servers and lab: test files, in scenarios: scenarios) until one pass is complete.
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

# A lab of its own, which is removed before and after.
stage_scenarios() { RESILIENT_LAB=${RESILIENT_LAB:0:14}-mol RESILIENT_TEST_LEDGER=$ledger tests/scenarios.sh; }

stage_docs() {
  local out=$here/build/docs
  rm -rf "$out"
  mkdir -p "$out"
  antsibull-docs sphinx-init --use-current --squash-hierarchy --lenient --dest-dir "$out" resilient.platform
}

passed=0
failed=0
ledger=
lanes=1
case ${1:-fast} in
  fast)
    lanes=2
    # The longest first: what is short fills the gap at the end.
    stages=(fault lab scenarios servers sanity units lint build)
    ;;
  all)
    stages=(lint units sanity build servers lab fault scenarios docs)
    export RESILIENT_LONG_TESTS=1
    # The ledger belongs to one state of the tree: another commit starts anew.
    ledger=$cache/test-all-$(git rev-parse --short HEAD)-$(git diff HEAD | sha256sum | cut -c1-8)
    ;;
  *) stages=("$@") ;;
esac
lanes=${RESILIENT_TEST_LANES:-$lanes}
for stage in "${stages[@]}"; do
  declare -F "stage_$stage" >/dev/null || { echo "Unknown stage '$stage': see the head of tests/run.sh."; exit 2; }
done

# Says how a stage ended; $2 is its exit status, $3 its seconds.
ended() {
  if [ "$2" -eq 0 ]; then
    passed=$((passed + 1))
    [ -z "$ledger" ] || echo "$1" >>"$ledger"
    echo "=== $1 passed in $3 s"
  else
    failed=$((failed + 1))
    echo "=== $1 FAILED after $3 s"
  fi
}

in_turn() {
  local stage began
  for stage in "$@"; do
    printf '\n=== %s\n' "$stage"
    began=$SECONDS
    "stage_$stage"
    ended "$stage" $? $((SECONDS - began))
  done
}

# Two stages at a time, each line with its stage's name before it. Most stages use one processor and wait for much else.
side_by_side() {
  local waiting=("$@") logs=$here/build/test-logs stage pid status
  local -A stage_of=() began=()
  mkdir -p "$logs"
  # A group of processes for each stage, so that Ctrl-C ends all of it.
  set -m
  # shellcheck disable=SC2317  # called by trap
  stop() {
    trap '' INT TERM
    for pid in "${!stage_of[@]}"; do kill -TERM -- "-$pid" 2>/dev/null; done
    echo "Stopped; labs may still be up: lab/run.sh --name NAME down."
    exit 130
  }
  trap stop INT TERM
  while [ ${#waiting[@]} -gt 0 ] || [ ${#stage_of[@]} -gt 0 ]; do
    while [ ${#waiting[@]} -gt 0 ] && [ ${#stage_of[@]} -lt "$lanes" ]; do
      stage=${waiting[0]}
      waiting=("${waiting[@]:1}")
      echo "=== $stage begins"
      (
        "stage_$stage" 2>&1 </dev/null | tee "$logs/$stage.log" | sed -u "s/^/$(printf '%-10s' "$stage")| /"
        exit "${PIPESTATUS[0]}"
      ) &
      stage_of[$!]=$stage
      began[$!]=$SECONDS
    done
    wait -n -p pid "${!stage_of[@]}"
    status=$?
    stage=${stage_of[$pid]}
    ended "$stage" "$status" $((SECONDS - began[$pid]))
    [ "$status" -eq 0 ] || { echo "=== the end of build/test-logs/$stage.log:"; tail -n 80 "$logs/$stage.log"; }
    unset "stage_of[$pid]" "began[$pid]"
  done
  trap - INT TERM
  set +m
}

left=()
for stage in "${stages[@]}"; do
  if [ -n "$ledger" ] && grep -qx "$stage" "$ledger" 2>/dev/null; then
    echo "=== $stage: passed before in this tree"
    passed=$((passed + 1))
  else
    left+=("$stage")
  fi
done
if [ "$lanes" -gt 1 ] && [ ${#left[@]} -gt 1 ]; then
  side_by_side "${left[@]}"
else
  in_turn "${left[@]}"
fi
[ -z "$ledger" ] || [ "$failed" -ne 0 ] || rm -f "$ledger"
printf '\n%s passed, %s failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
