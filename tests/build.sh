#!/usr/bin/env bash
# Builds the Galaxy artefact into the directory given, looks at what is in it, installs it into <directory>/installed with its
# dependencies checked against what PyPI's ansible package carries, and asks Ansible there for every plugin, role and playbook.
# Whether the playbooks do their work from there is tests/integration/release's business: that needs a lab.
set -euo pipefail
[ $# -eq 1 ] || { echo "Usage: $0 DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd -P)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
fail() { echo "$*" >&2; exit 1; }

# Built from what git knows, so that nothing built or cached can slip in.
rm -rf "$out/src" "$out/installed" "$out"/resilient-platform-*.tar.gz
mkdir -p "$out/src"
(cd "$here" && git ls-files -z --cached --others --exclude-standard | rsync -a --from0 --ignore-missing-args --files-from=- ./ "$out/src/")
ansible-galaxy collection build "$out/src" --output-path "$out" >/dev/null
artefact=$(echo "$out"/resilient-platform-*.tar.gz)

# A list of what may be in it, not of what may not: the next folder of the checkout is kept out until somebody names it here.
allowed='CHANGELOG.md FILES.json LICENSE MANIFEST.json README.md changelogs docs inventories meta playbooks plugins requirements.yml roles'
[ -d "$here/extensions" ] && allowed="$allowed extensions"
listing=$(tar -tzf "$artefact")
top=$(cut -d/ -f1 <<<"$listing" | sort -u)
unwanted=$(comm -23 <(echo "$top") <(tr ' ' '\n' <<<"$allowed" | sort))
[ -z "$unwanted" ] || fail "The artefact contains $(xargs <<<"$unwanted"): add it to build_ignore in galaxy.yml, or to the list in tests/build.sh."
lacking=$(comm -13 <(echo "$top") <(tr ' ' '\n' <<<"$allowed" | sort))
[ -z "$lacking" ] || fail "The artefact lacks $(xargs <<<"$lacking"): look at build_ignore in galaxy.yml."
stray=$(grep -E '(^|/)(__pycache__|molecule|tests|\.[^/]+)(/|$)|\.(pyc|tar\.gz|log|pem|key)$|^inventories/[^/]' <<<"$listing" |
  grep -v '^inventories/example/' || true)
[ -z "$stray" ] || fail "The artefact contains: $(xargs <<<"$stray")"
bytes=$(stat -c %s "$artefact")
[ "$bytes" -le 2000000 ] || fail "The artefact has $bytes bytes, more than 2 MB: something that does not belong there?"

# From here on like somebody who has only the artefact: elsewhere, without the checkout on any path.
export ANSIBLE_COLLECTIONS_PATH=$out/installed
unset ANSIBLE_CONFIG ANSIBLE_ROLES_PATH ANSIBLE_LIBRARY PYTHONPATH
elsewhere=$(mktemp -d)
trap 'rm -rf "$elsewhere"' EXIT
cd "$elsewhere"
# Without --no-deps: a range in galaxy.yml that no published version meets is found here.
ansible-galaxy collection install "$artefact" -p "$out/installed" --offline >"$out/install.log" || fail "Not installed: $(cat "$out/install.log")"
installed=$out/installed/ansible_collections/resilient/platform
ansible-galaxy collection verify resilient.platform --offline -p "$out/installed" >/dev/null

python - "$installed" <<'PY'
"""Ansible has to find every module, plugin and role of the artefact, there and with its documentation."""
import json, pathlib, subprocess, sys

root = pathlib.Path(sys.argv[1])


def listed(*kind: str) -> set[str]:
    text = subprocess.run(["ansible-doc", *kind, "--list", "--json", "resilient.platform"], check=True, capture_output=True, text=True).stdout
    return {name.rpartition(".")[2] for name in json.loads(text)}


wanted = {
    (): {path.stem for path in (root / "plugins/modules").glob("*.py") if path.stem != "__init__"},
    ("-t", "inventory"): {path.stem for path in (root / "plugins/inventory").glob("*.py") if path.stem != "__init__"},
    ("-t", "role"): {path.name for path in (root / "roles").iterdir()},
}
for kind, names in wanted.items():
    found = listed(*kind)
    if found != names or not names:
        sys.exit(f"ansible-doc {' '.join(kind)} lists {sorted(found ^ names)} on one side only")
text = subprocess.run(["ansible-doc", "--json", *(f"resilient.platform.{name}" for name in sorted(wanted[()]))],
                      check=True, capture_output=True, text=True).stdout
for name, doc in json.loads(text).items():
    if not pathlib.Path(doc["doc"]["filename"]).is_relative_to(root):
        sys.exit(f"{name} comes from {doc['doc']['filename']}, not from the artefact")
PY

cp -r "$installed/inventories/example" inventory
mapfile -t playbooks < <(cd "$installed/playbooks" && for p in *.yml; do echo "resilient.platform.${p%.yml}"; done)
ansible-playbook "${playbooks[@]}" --syntax-check -i inventory >/dev/null || fail "Not every playbook loads from the artefact."
echo "$(basename "$artefact"): $(grep -vc '/$' <<<"$listing") files, $bytes bytes; every module, role and playbook (${#playbooks[@]}) is found by its name"
