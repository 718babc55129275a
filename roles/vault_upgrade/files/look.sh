# shellcheck shell=sh
# look NAME BINARY CONFIG_DIR: says, as JSON, what an upgrade left on this host and which server is on its disk. Changes nothing.
name=$1 binary=$2 config=$3
mark=
[ ! -f "$config/upgrading" ] || mark=$(head -c 100 "$config/upgrading" | tr -dc 'A-Za-z0-9._+-')
disk=$("$binary" version 2>/dev/null | sed -n 's/^[A-Za-z]* v\([0-9][A-Za-z0-9.+-]*\).*/\1/p' | head -n 1)
printf '{"name": "%s", "mark": "%s", "disk": "%s"}\n' "$name" "$mark" "$disk"
