# shellcheck shell=sh
# look NAME BINARY UNIT DATA_DIR CONFIG_DIR: says in one round trip, as JSON, what a host of the cluster is like. Changes nothing.
name=$1 binary=$2 unit=$3 data=$4 config=$5
sum=
[ ! -f "$binary" ] || sum=$(sha256sum "$binary" | cut -d' ' -f1)
active=$(systemctl is-active "$unit" 2>/dev/null)
enabled=$(systemctl is-enabled "$unit" 2>/dev/null)
# "raft/" is made by the first start; a node has data once raft.db knows a peer, which it does from initialisation or join on.
has_data=false
[ ! -e "$data/vault.db" ] || has_data=true
recovering=
[ ! -f "$data/.recovering" ] || recovering=$(head -c 200 "$data/.recovering" | tr -dc 'A-Za-z0-9._:-')
# What the running server was started with (its unit writes that down) against what is on the disk now.
current=false
started=/run/${unit%.service}/started
if [ -f "$started" ] && [ -f "$config/fingerprint" ] && sh "$config/fingerprint" 2>/dev/null | cmp -s - "$started"; then current=true; fi
printf '{"name": "%s", "sha256": "%s", "active": "%s", "enabled": "%s", "has_data": %s, "recovering": "%s", "current": %s}\n' \
  "$name" "$sum" "${active:-inactive}" "${enabled:-disabled}" "$has_data" "$recovering" "$current"
