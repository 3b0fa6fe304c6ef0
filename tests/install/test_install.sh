#!/bin/sh
# Usage: test_install.sh CMAKE CC BUILD-FOLDER
set -eu
cmake=$1 cc=$2 build=$3
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/usr
"$cmake" --install "$build" --prefix "$prefix" >/dev/null
libdir=$(dirname "$(find "$prefix" -name 'libweightmark.so' -o -name 'libweightmark.a' | head -n 1)")
export PKG_CONFIG_PATH="$libdir/pkgconfig" LD_LIBRARY_PATH="$libdir"

echo "the example builds against the installed library alone"
sed "s#^prefix=.*#prefix=$prefix#" -i "$libdir"/pkgconfig/*.pc
$cc -std=c17 -Wall -Wextra -pedantic -Werror "$source/examples/verify.c" $(pkg-config --cflags --libs weightmark) -o "$work/verify"
code=0
"$work/verify" absent.safetensors absent.key 2>"$work/message" || code=$?
[ $code = 3 ] && grep -q 'absent.safetensors: No such file' "$work/message"

echo "find_package finds both libraries"
mkdir "$work/consumer"
cat >"$work/consumer/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(weightmark 0.1 REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer PRIVATE weightmark::weightmark-train)
EOF
cat >"$work/consumer/consumer.c" <<'EOF'
#include <stdio.h>
#include <string.h>
#include <weightmark/attack.h>
#include <weightmark/train.h>
int main(void)
{
    wmk_host host;
    wmk_status status = wmk_host_create(&host, "no-such-host", 10, 1);
    /* The message set in one library is read from the other. */
    return status == WMK_ERROR_MISSING && strstr(wmk_error_message(), "no-such-host") && wmk_attack_count() > 0 ? 0 : 1;
}
EOF
"$cmake" -S "$work/consumer" -B "$work/consumer/build" -G Ninja -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
"$cmake" --build "$work/consumer/build" >/dev/null
"$work/consumer/build/consumer"

echo "exported symbols are the headers' and no others"
sed -n 's/.*WMK_EXPORT[^(]*[ *]\(wmk_[a-z0-9_]*\)(.*/\1/p' "$source"/include/weightmark/*.h | sort -u >"$work/public"
sed -n 's/.*[ *]\(wmk_[a-z0-9_]*\)(.*/\1/p' "$source"/src/base/*.h | sort -u >"$work/private"
nm -D --defined-only "$libdir"/libweightmark*.so | awk '$3 ~ /./ { print $3 }' | sort -u >"$work/exported"
comm -23 "$work/public" "$work/exported" >"$work/missing"
sort -u "$work/public" "$work/private" | comm -13 - "$work/exported" >"$work/extra"
if [ -s "$work/missing" ] || [ -s "$work/extra" ]; then
    echo "declared but not exported:"; cat "$work/missing"
    echo "exported but not declared:"; cat "$work/extra"
    exit 1
fi

echo "the installed program runs"
"$prefix/bin/weightmark" --version | grep -q "$(sed -n 's/^project(weightmark VERSION \([0-9.]*\).*/\1/p' "$source/CMakeLists.txt")"
