#!/bin/sh
# The two commands of the README on a bare Debian 12: debootstrap, nothing but git and make added, a fresh clone, `make demo`, `make test`.
# Needs root and the package debootstrap. Usage: scripts/check-fresh-debian.sh [FOLDER] [make-target...]   (FOLDER is created, and kept for a look)
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
root=${1:-/tmp/weightmark-fresh-debian}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- demo test
[ "$(id -u)" = 0 ] || { echo "check-fresh-debian: must be run as root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "check-fresh-debian: please install the package debootstrap" >&2; exit 1; }
mirror=$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)

if [ ! -e "$root/ready" ]; then
    debootstrap --variant=minbase --include=git,make bookworm "$root" "$mirror"
    echo "deb $mirror bookworm main" >"$root/etc/apt/sources.list"
    cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    touch "$root/ready"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/host-certificates.crt" # a network that signs anew is trusted as the host trusts it
rm -rf "$root/srv/weightmark"
git clone --quiet --no-hardlinks "$top" "$root/srv/weightmark"

# Mounts live and die with this namespace.
exec unshare --mount sh -eu -c '
    root=$1; shift
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    for target in "$@"; do
        echo "== make $target on a bare Debian"
        start=$(date +%s)
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
            PIP_CERT=/etc/host-certificates.crt chroot "$root" make -C /srv/weightmark "$target"
        echo "== make $target: $(($(date +%s) - start)) s"
    done' sh "$root" "$@"
