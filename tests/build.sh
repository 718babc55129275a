#!/usr/bin/env bash
# Builds the Galaxy artefact into the directory given, installs it elsewhere and looks at what is in it.
set -euo pipefail
out=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Built from what git knows, so that nothing built or cached can slip in.
src=$out/src
mkdir -p "$src"
(cd "$here" && git ls-files -z --cached --others --exclude-standard | rsync -a --from0 --ignore-missing-args --files-from=- ./ "$src/")
ansible-galaxy collection build "$src" --output-path "$out" >/dev/null
artefact=$(echo "$out"/resilient-platform-*.tar.gz)
listing=$(tar -tzf "$artefact")
for unwanted in lab/ molecule/ tests/ .ci/ .config/ inventories/lab/ Makefile; do
  if grep -q "^$unwanted" <<<"$listing"; then
    echo "The artefact contains $unwanted: add it to build_ignore in galaxy.yml."
    exit 1
  fi
done
for wanted in README.md LICENSE meta/runtime.yml plugins/ roles/ playbooks/ docs/ MANIFEST.json; do
  grep -q "^$wanted" <<<"$listing" || { echo "The artefact lacks $wanted."; exit 1; }
done
ANSIBLE_COLLECTIONS_PATH=$out/installed ansible-galaxy collection install "$artefact" -p "$out/installed" --offline --no-deps >/dev/null
for playbook in "$here"/playbooks/*.yml; do
  name=$(basename "$playbook" .yml)
  ANSIBLE_COLLECTIONS_PATH=$out/installed ansible-playbook "resilient.platform.$name" --syntax-check \
    -i "$here/inventories/example/hosts.yml" >/dev/null || { echo "resilient.platform.$name does not load from the artefact."; exit 1; }
done
echo "$(basename "$artefact"): $(wc -l <<<"$listing") files, $(stat -c %s "$artefact") bytes; every playbook loads by FQCN"
