# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# shellcheck shell=sh
# Runs every test of lynis, and prints its report. A profile of the site's own (/etc/lynis/custom.prf) wins over this one.
mkdir -p /run/host-hardening-audit
chmod 0700 /run/host-hardening-audit
cd /run/host-hardening-audit || exit 1
# lynis leaves out certificates that packages brought, but asks dpkg for each of the 140 of ca-certificates: a third of its time.
# The same directories as in its default profile, without that one.
printf 'ssl-certificate-paths=%s\n' /etc/apache2:/etc/dovecot:/etc/httpd:/etc/letsencrypt:/etc/pki:/etc/postfix:/etc/refind.d/keys:/etc/ssl:/opt/psa/var/certificates:/usr/local/psa/var/certificates:/usr/local/share/ca-certificates:/usr/share/gnupg:/var/www:/srv/www >custom.prf
rm -f /var/log/lynis-report.dat
# It ends with a code of its own when it has warnings; whether it finished is seen from the report.
lynis audit system --quick --quiet --no-colors >/dev/null 2>lynis.err || true
grep -q '^finish=true' /var/log/lynis-report.dat || { cat lynis.err >&2; echo "lynis did not finish its audit" >&2; exit 1; }
cat /var/log/lynis-report.dat
