#!/usr/bin/env bash
# The server's own command line instead of our modules: bao.sh BINARY CREDENTIALS_JSON COMMAND... (BAO_ADDR and BAO_CACERT from the environment).
set -euo pipefail
binary=$1 credentials=$2
shift 2
BAO_TOKEN=$("$binary" write -field=token auth/approle/login - <"$credentials")
export BAO_TOKEN
exec "$binary" "$@"
