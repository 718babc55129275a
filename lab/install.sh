#!/usr/bin/env bash
# Installs what the lab, the tests and the demo need on a Debian 12 machine: packages by apt, everything
# else into one virtual environment outside the checkout. Idempotent: a second run takes about a second.
# Prints the path of the virtual environment as its last line on standard output; progress goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${RESILIENT_CACHE:-$HOME/.cache/resilient-lab}
say() { printf '[install] %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Installing is the one thing that may be tried again: registries have bad minutes, tests have bugs.
again() {
  local n
  for n in 1 2 3; do
    "$@" && return 0
    say "attempt $n of 3 failed: $1 ${2-}"
    sleep $((n * 5))
  done
  return 1
}

[ "$(id -u)" = 0 ] || die "The lab runs systemd guests, ZFS and bridges, so it needs root: run it again with sudo."
command -v apt-get >/dev/null || die "This lab knows Debian 12 only (apt-get was not found)."

packages=(podman runc netavark iptables dpkg-dev debootstrap zfs-fuse zstd nftables iproute2 openssh-client python3-venv rsync git
  ca-certificates util-linux e2fsprogs shellcheck openssl)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "apt: ${missing[*]} (usually 40 to 120 s)"
  export DEBIAN_FRONTEND=noninteractive
  # A policy that refuses to start services: the packages' own zfs-fuse would sit on the machine's sockets.
  policy=/usr/sbin/policy-rc.d
  made=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    made=1
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  again apt-get update -qq >&2 || die "apt-get update failed three times; is the network there?"
  again apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 ||
    die "apt-get install failed three times: ${missing[*]}"
  [ -z "$made" ] || { rm -f $policy; trap - EXIT; }
fi

python=${RESILIENT_PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "Python 3.11 or newer is needed; $python is older. Set RESILIENT_PYTHON."
stamp=$(cat "$here"/meta/ee-requirements.txt "$here"/lab/requirements.txt "$here"/tests/requirements.txt | sha256sum | cut -c1-12)
venv=$cache/venv-$stamp
if [ ! -e "$venv/.complete" ]; then
  mkdir -p "$cache"
  # One at a time: a second one would remove what the first has half made.
  exec 9>"$cache/.install.lock"
  flock 9
fi
if [ ! -e "$venv/.complete" ]; then
  say "pip: virtual environment $venv (usually 60 to 180 s)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  again "$venv/bin/pip" install -q --disable-pip-version-check \
    -r "$here/meta/ee-requirements.txt" -r "$here/lab/requirements.txt" -r "$here/tests/requirements.txt" >&2 ||
    die "pip install failed three times"
  touch "$venv/.complete"
fi
exec 9>&-
printf '%s\n' "$venv"
