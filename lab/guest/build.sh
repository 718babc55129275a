#!/usr/bin/env bash
# Builds the root file system of the lab's guests (Debian 12 with systemd, sshd, cloud-init and lynis) in a directory.
#   build.sh DIRECTORY
# Packages come from wherever this machine's own apt takes them. Progress goes to standard output, one line a step.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$1
suite=bookworm
say() { printf 'step: %s\n' "$*"; }
names() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

sources=$(apt-get indextargets --format "\$(RELEASE) \$(REPO_URI) \$(COMPONENT)" 'Created-By: Packages' |
  awk -v s="$suite" '$3 == "main" && ($1 == s || $1 == s "-updates" || $1 == s "-security") {print}' | sort -u)
mirror=$(awk -v s="$suite" '$1 == s {print $2; exit}' <<<"$sources")
[ -n "$mirror" ] || { echo "No $suite main repository in this machine's apt sources: add one and run apt-get update." >&2; exit 1; }

rm -rf "$root"
mkdir -p "$root"
say "base system by debootstrap"
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$root.log" 2>&1 ||
  { tail -20 "$root.log" >&2; exit 1; }

inside() {
  # shellcheck disable=SC2016  # $0 and $@ are the inner shell's
  # A mount and a process namespace of its own: nothing of the build is left when it ends, however it ends. A slave, because
  # a private copy of the machine's mounts would keep the pools of other labs busy that are unmounted meanwhile.
  unshare --mount --propagation slave --pid --fork --kill-child env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive HOME=/root \
    sh -ec 'mount -t proc proc "$0/proc" && mount --bind /dev "$0/dev" && exec chroot "$0" "$@"' "$root" "$@" >>"$root.log" 2>&1 ||
    { tail -20 "$root.log" >&2; exit 1; }
}

cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
awk '{print "deb " $2 " " $1 " " $3}' <<<"$sources" >"$root/etc/apt/sources.list"
# The machine's way out is the build's way out.
proxy=$(apt-config shell p Acquire::http::Proxy | sed -n "s/^p='\(.*\)'$/\1/p")
proxy=${proxy:-${http_proxy:-}}
{
  printf 'APT::Install-Recommends "false";\nAcquire::Retries "3";\n'
  [ -z "$proxy" ] || printf 'Acquire::http::Proxy "%s";\nAcquire::https::Proxy "%s";\n' "$proxy" "$proxy"
} >"$root/etc/apt/apt.conf.d/00lab-build"

say "packages of the guest"
inside apt-get update -q
inside apt-get -q -y dist-upgrade
mapfile -t packages < <(names "$here/packages.txt")
inside apt-get -q -y install "${packages[@]}"
inside apt-get -q clean

say "archive of packages that roles may install"
mapfile -t archive < <(names "$here/archive.txt")
# Docker-style apt settings of the base would delete what was only downloaded.
inside apt-get -q -y -o APT::Keep-Downloaded-Packages=true --download-only install "${archive[@]}"
mkdir -p "$root/var/cache/lab-packages"
mv "$root"/var/cache/apt/archives/*.deb "$root/var/cache/lab-packages/"
(cd "$root/var/cache/lab-packages" && dpkg-scanpackages -m . >Packages 2>>"$root.log" && gzip -9kn Packages)
printf 'Origin: resilient-lab\nLabel: resilient-lab\nDate: %s\nSuite: %s\nCodename: %s\nArchitectures: %s\n' \
  "$(LC_ALL=C date -Ru)" "$suite" "$suite" "$(dpkg --print-architecture)" >"$root/var/cache/lab-packages/Release"
(cd "$root/var/cache/lab-packages" && { echo SHA256:; for f in Packages Packages.gz; do
  printf ' %s %s %s\n' "$(sha256sum $f | cut -d' ' -f1)" "$(stat -c %s $f)" "$f"; done; } >>Release)
printf 'deb [trusted=yes] file:/var/cache/lab-packages ./\n' >"$root/etc/apt/sources.list"
rm -rf "$root"/var/lib/apt/lists/* "$root/etc/apt/apt.conf.d/00lab-build"
inside apt-get update -q

say "settings of the guest"
install -D -m 0755 "$here/lab-init" "$root/usr/lib/resilient-lab/lab-init"
install -D -m 0644 "$here/sysctl_keys.txt" "$root/usr/lib/resilient-lab/sysctl_keys.txt"
# What needs hardware, a kernel of its own or the machine's devices. Left alone they would fail and the guest be "degraded".
for unit in getty@tty1.service console-getty.service systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket \
  systemd-udev-trigger.service systemd-modules-load.service systemd-networkd-wait-online.service dev-hugepages.mount \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount proc-sys-fs-binfmt_misc.automount \
  proc-sys-fs-binfmt_misc.mount; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/cloud/cloud.cfg.d"
cat >"$root/etc/cloud/cloud.cfg.d/90_lab.cfg" <<'CFG'
# The seed directory stands in for the cloud-init drive; the address is set from outside, as by a DHCP reservation.
datasource_list: [NoCloud, None]
network: {config: disabled}
# update-locale fails for a locale that is not generated, and with it cloud-config.service.
locale: C.UTF-8
# The archive in the image is the only source of packages.
apt_preserve_sources_list: true
manage_etc_hosts: true
CFG
# Each guest gets an identity of its own at its first start.
: >"$root/etc/machine-id"
for file in hostname hosts resolv.conf; do
  rm -f "$root/etc/$file"
  : >"$root/etc/$file"
done
rm -f "$root"/etc/ssh/ssh_host_* "$root/usr/sbin/policy-rc.d"
rm -rf "$root"/var/lib/cloud/* "$root"/var/log/*.log "$root"/var/log/apt/* "$root"/tmp/* "$root"/var/cache/apt/*.bin
say "done"
