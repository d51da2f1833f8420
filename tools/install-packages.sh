#!/bin/sh
# Installs what tools/packages.txt lists and the machine lacks.
#   tools/install-packages.sh [GROUP...]     groups: build test demo (default: all)
# Quiet when nothing is missing. Needs root or a sudo that asks nothing; else one line says what to install.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ $# -gt 0 ] || set -- build test demo

wanted=$(awk -v groups="$*" '
  BEGIN { n = split(groups, g, " ") }
  /^[ \t]*(#|$)/ { next }
  { take = 0
    for (i = 1; i <= n; i++) { if (NF == 1 && g[i] == "build") take = 1; for (j = 2; j <= NF; j++) if ($j == g[i]) take = 1 }
    if (take) print $1 }' "$here/packages.txt" | sort -u)

installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null | awk '$1 == "ii" { print $2 }' | sort -u)
missing=$(printf '%s\n' "$wanted" | while read -r p; do
  printf '%s\n' "$installed" | grep -qxF -- "$p" || printf '%s ' "$p"
done)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  root="sudo -n"
else
  echo "install-packages: not root and no password-free sudo; install these first: apt-get install -y --no-install-recommends $missing" >&2
  exit 1
fi
apt() { # stdin is closed so that no question can hang; another apt may hold the lock for a while
  $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 "$@" </dev/null
}
known() { # is there a candidate for every missing package?
  for p in $missing; do
    apt-cache policy "$p" 2>/dev/null | grep -q 'Candidate: [^(]' || { unknown=$p; return 1; }
  done
}

echo "install-packages: installing $missing"
if ! known; then apt update; fi
if ! known; then
  # A base made by debootstrap lists only the main suite. Clang 22 comes with Debian's security suite of the same mirror.
  site=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
  if [ -n "$site" ] && ! apt-get indextargets --format '$(RELEASE) $(CODENAME)' | grep -q bookworm-security; then
    case "$site" in */debian) site="$site-security" ;; *) site="${site%/}-security" ;; esac
    echo "install-packages: adding Debian's suite bookworm-security to apt (for $unknown)"
    echo "deb $site bookworm-security main" | $root tee /etc/apt/sources.list.d/bookworm-security.list >/dev/null
    apt update
  fi
fi
if ! known; then
  echo "install-packages: apt knows no package '$unknown'; the project needs Debian 12 (bookworm) with its security suite" >&2
  exit 1
fi
# shellcheck disable=SC2086  # a list of names
apt install -y --no-install-recommends $missing
