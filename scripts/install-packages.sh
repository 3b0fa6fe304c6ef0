#!/bin/sh
# Installs what the named groups of scripts/packages.txt need and is not there yet: scripts/install-packages.sh build demo test lint
set -eu
here=$(dirname "$0")
missing=
for group in "$@"; do
    for package in $(sed -n "s/^$group //p" "$here/packages.txt"); do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
    done
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || { echo "install-packages: this system has no apt-get; please install by hand:$missing" >&2; exit 1; }
if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -q >/dev/null
$sudo apt-get install -q -y --no-install-recommends $missing >/dev/null
