#!/usr/bin/env bash
# Installs what is missing and calls `python -m lab` with the same arguments.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$("$here/lab/install.sh" | tail -n 1)
cd "$here"
PATH=$venv/bin:$PATH exec "$venv/bin/python" -m lab "$@"
