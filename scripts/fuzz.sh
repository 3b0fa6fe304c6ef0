#!/bin/sh
# Builds the fuzzers with clang and runs each for a while. Usage: scripts/fuzz.sh BUILD-FOLDER SECONDS
set -eu
build=$1 seconds=$2
cd "$(dirname "$0")/.."
cmake=/usr/bin/cmake
[ -x $cmake ] || cmake=cmake
$cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DWMK_FUZZ=ON -DWMK_SANITIZE=ON -DWMK_TRAIN=OFF >/dev/null
$cmake --build "$build" >/dev/null
for fuzzer in "$build"/tests/fuzz/fuzz_*; do
    [ -x "$fuzzer" ] && [ -f "$fuzzer" ] || continue
    name=$(basename "$fuzzer")
    mkdir -p "$build/corpus/$name"
    echo "fuzz: $name for $seconds s"
    "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/$name-" \
        "$build/corpus/$name" "tests/fuzz/corpus/$name" 2>"$build/$name.log" || { tail -n 40 "$build/$name.log"; exit 1; }
    grep -E 'stat::number_of_executed_units|stat::peak_rss_mb' "$build/$name.log"
done
