#!/bin/sh
# The README's commands on machines that have nothing: Debian 12 (bookworm) and Debian 13 (trixie) with git and make alone, and the small library built for aarch64,
# whose tests qemu runs. The machines are chroots. Each runs a fresh clone of what is committed here.
# Needs root and the package debootstrap. FOLDER is made once and used again.
# Usage: scripts/check-machines.sh FOLDER [bookworm|trixie|aarch64]...
#   TARGETS="demo test": what make builds on the Debian machines.   JOBS=1: parallel jobs.   MIRROR=http://deb.debian.org/debian
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || { sed -n 's/^# Usage: /usage: /p' "$0" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "check-machines: must be run as root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "check-machines: please install the package debootstrap" >&2; exit 1; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- bookworm trixie aarch64
mirror=${MIRROR:-http://deb.debian.org/debian}

# prepare MACHINE SUITE PACKAGES: the chroot, and in it a fresh clone.
prepare() {
    root=$folder/$1
    if [ ! -e "$root/ready" ]; then
        debootstrap --variant=minbase --include="$3" "$2" "$root" "$mirror"
        echo "deb $mirror $2 main" >"$root/etc/apt/sources.list"
        cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
        touch "$root/ready"
    fi
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/host-certificates.crt" # a network that signs anew is trusted as the host trusts it
    rm -rf "$root/srv/weightmark"
    git clone --quiet --no-hardlinks "$top" "$root/srv/weightmark"
}

# inside MACHINE COMMAND [ARGUMENT...]: in the clone. The mounts live and die with the namespace.
inside() {
    root=$folder/$1
    shift
    unshare --mount sh -eu -c '
        root=$1
        shift
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            PIP_CERT=/etc/host-certificates.crt JOBS="${JOBS:-$(nproc)}" chroot "$root" sh -eu -c "cd /srv/weightmark && exec \"\$@\"" sh "$@"' \
        sh "$root" "$@"
}

# debian SUITE: the README's commands.
debian() {
    prepare "$1" "$1" git,make
    for target in ${TARGETS:-demo test}; do
        inside "$1" make "$target"
    done
}

# aarch64: the library without training, by Debian 12's cross compiler and its libraries for arm64.
aarch64() {
    prepare aarch64 bookworm git,make
    inside aarch64 sh -eu -c '
        scripts/install-packages.sh build
        dpkg --add-architecture arm64
        apt-get update -q >/dev/null
        libraries=$(sed -n "s/^build //p" scripts/packages.txt | tr " " "\n" | sed -n "/dnnl/d; s/-dev$/&:arm64/p")
        apt-get install -q -y --no-install-recommends gcc-aarch64-linux-gnu $libraries libcmocka-dev:arm64 libgomp1:arm64 qemu-user python3 >/dev/null
        export PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig
        cmake -S . -B build -G Ninja -DWMK_TRAIN=OFF -DWMK_TESTS=ON -DWMK_WERROR=ON -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
            -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CROSSCOMPILING_EMULATOR=/usr/bin/qemu-aarch64 >/dev/null
        cmake --build build -j "$JOBS"
        ctest --test-dir build --output-on-failure --timeout 7200 -R "^(base|mark|model|mark_file|fuzz)(_|$)" -LE slow'
}

for machine in "$@"; do
    case $machine in
    bookworm | trixie) run=debian ;;
    aarch64) run=aarch64 ;;
    *) echo "check-machines: no machine '$machine'; there are bookworm, trixie, aarch64" >&2; exit 2 ;;
    esac
    echo "== $machine"
    start=$(date +%s)
    $run "$machine"
    echo "== $machine: good, $(($(date +%s) - start)) s"
done
