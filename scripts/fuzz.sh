#!/bin/sh
# Builds the fuzzers with clang and runs them, FUZZ_JOBS (default: one a processor) at a time, each for a while; prints a row a fuzzer for the table of tests/fuzz/README.md. What they
# find stays in BUILD-FOLDER/corpus and is gone on from. Usage: scripts/fuzz.sh BUILD-FOLDER SECONDS [FUZZER...]   (fuzz_gguf, ...; without one: all)
set -eu
build=$1 seconds=$2
shift 2
cd "$(dirname "$0")/.."
cmake=/usr/bin/cmake
[ -x $cmake ] || cmake=cmake
$cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DWMK_FUZZ=ON -DWMK_SANITIZE=ON -DWMK_TRAIN=OFF >/dev/null
ls "$build"/tests/fuzz/*.corpora >/dev/null
[ $# -gt 0 ] || set -- $(for list in "$build"/tests/fuzz/*.corpora; do basename "$list" .corpora; done)
$cmake --build "$build" --target "$@" >"$build/log" 2>&1 || { grep -E 'error|FAILED' "$build/log"; exit 1; }
echo "fuzz: $# fuzzers for $seconds s each"
echo "| fuzzer | seconds | inputs tried | edges | kept inputs | peak MB | |"
echo "|---|---|---|---|---|---|---|"

# An own shell for each, so that several can run at once.
# shellcheck disable=SC2016
printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I NAME sh -c '
    build=$1 seconds=$2 name=$3
    mkdir -p "$build/corpus/$name"
    verdict="nothing found" status=0
    "$build/tests/fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$build/$name-" \
        "$build/corpus/$name" $(cat "$build/tests/fuzz/$name.corpora") 2>"$build/$name.log" || { verdict="**FAILED**, see $build/$name.log" status=1; }
    value() { sed -n "s/^stat::$1: *//p" "$build/$name.log"; }
    edges=$(sed -n "s/.* cov: \([0-9]*\) .*/\1/p" "$build/$name.log" | tail -n 1)
    echo "| $name | $seconds | $(value number_of_executed_units) | $edges | $(ls "$build/corpus/$name" | wc -l) | $(value peak_rss_mb) | $verdict |"
    exit $status' sh "$build" "$seconds" NAME
