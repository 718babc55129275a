# shellcheck shell=sh
# unpack BINARY SHA256: replaces BINARY by what is in BINARY.gz, if that is what was sent.
set -e
gzip -dc "$1.gz" >"$1.new"
echo "$2  $1.new" | sha256sum --status -c - || { echo "what arrived is not what was sent" >&2; exit 1; }
chmod 0755 "$1.new"
mv "$1.new" "$1"
rm -f "$1.gz"
