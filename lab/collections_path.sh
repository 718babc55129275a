#!/usr/bin/env bash
# Prints a directory that holds this checkout as ansible_collections/resilient/platform, wherever it was cloned to.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
case $here in
  */ansible_collections/resilient/platform) printf '%s\n' "${here%/ansible_collections/resilient/platform}"; exit 0 ;;
esac
base=${RESILIENT_CACHE:-$HOME/.cache/resilient-lab}/collections/$(printf '%s' "$here" | sha256sum | cut -c1-12)
mkdir -p "$base/ansible_collections/resilient"
ln -sfn "$here" "$base/ansible_collections/resilient/platform"
printf '%s\n' "$base"
