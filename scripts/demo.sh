#!/bin/sh
# The main job on real data: train the paper's network with a watermark in it, find the mark, show that nobody else's key finds it, damage the
# model, find it again. Usage: scripts/demo.sh WEIGHTMARK-PROGRAM OUTPUT-FOLDER. Ends with 1 when a figure is not what the README promises.
set -eu
program=$1 out=$2
layer=conv2.0.conv2.weight
rm -rf "$out"
mkdir -p "$out"
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
cd "$out"
start=$(date +%s)
failures=0

# run EXPECTED-EXIT-CODE ARGUMENT...: shows the command, runs it, keeps score.
run() {
    expected=$1
    shift
    printf '\n$ weightmark %s\n' "$*"
    code=0
    "$program" "$@" || code=$?
    [ "$code" = "$expected" ] || { echo "demo: exit code $code, $expected was expected" >&2; failures=$((failures + 1)); }
}
# value FILE KEY: a number or word from a one-line JSON object.
value() { sed -n 's/.*"'"$2"'": *"\{0,1\}\([^",}]*\).*/\1/p' "$1"; }
# holds WHAT TEST...: a promise, checked with awk.
holds() {
    what=$1
    shift
    if awk "BEGIN { exit !($*) }"; then echo "  ok      $what"; else echo "  NOT SO  $what" >&2; failures=$((failures + 1)); fi
}

# Threads that wait for each other sleep soon instead of spinning, so that a busy machine does not slow the training tenfold.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-20000}"

# bf16 is quicker where the processor multiplies it, and slower elsewhere.
precision=f32
grep -qw avx512_bf16 /proc/cpuinfo 2>/dev/null && precision=bf16

echo "== 1. A secret key: 256 bits for the second convolution of group 2, then training with the mark in it"
run 0 keygen -o owner.key --host wrn-10-4 --target conv2 --scheme random --bits 256
run 0 train --host wrn-10-4 --data fashion-mnist --key owner.key --epochs 1 --augment none --precision $precision --history marked.csv -o marked.safetensors
echo
echo "== 2. The unmarked twin: the same training without the mark"
run 0 train --host wrn-10-4 --data fashion-mnist --epochs 1 --augment none --precision $precision --history unmarked.csv -o unmarked.safetensors

echo
echo "== 3. Whose model is it?"
run 0 verify marked.safetensors --key owner.key
run 0 keygen -o stranger.key --host wrn-10-4 --target conv2 --scheme random --bits 256
run 1 verify marked.safetensors --key stranger.key
run 1 verify unmarked.safetensors --key owner.key

echo
echo "== 4. Damage: the smallest weights of the marked layer are set to zero"
for percent in 65 95 99; do
    run 0 attack prune marked.safetensors --rate 0.$percent --tensor $layer -o pruned-$percent.safetensors
    code=0
    printf '\n$ weightmark verify pruned-%s.safetensors --key owner.key\n' $percent
    "$program" verify pruned-$percent.safetensors --key owner.key || code=$?
    "$program" verify pruned-$percent.safetensors --key owner.key --json >pruned-$percent.json || true
    [ $code -le 1 ] || failures=$((failures + 1))
done

echo
echo "== 5. The report"
run 0 report marked.safetensors unmarked.safetensors --key owner.key -o report.html
"$program" verify marked.safetensors --key owner.key --json >marked.json
"$program" verify unmarked.safetensors --key owner.key --json >unmarked.json || true
"$program" verify marked.safetensors --key stranger.key --json >stranger.json || true
marked_error=$(tail -n 1 marked.csv | cut -d, -f8)
unmarked_error=$(tail -n 1 unmarked.csv | cut -d, -f8)

echo
echo "== Promises"
holds "test error of the marked model at most 10.5 %" "$marked_error <= 0.105"
holds "mark found, BER 0, evidence of hundreds of bits" "$(value marked.json bit_errors) == 0 && $(value marked.json evidence_bits) >= 200"
holds "another key on it, and its key on the twin: not found" "\"$(value stranger.json verdict)\" == \"not-found\" && \"$(value unmarked.json verdict)\" == \"not-found\""
holds "65 % of the layer pruned: BER 0" "$(value pruned-65.json bit_errors) == 0"
holds "95 % of the layer pruned: found" "\"$(value pruned-95.json verdict)\" == \"found\""
echo
echo "test error: $marked_error with the mark, $unmarked_error without"
for percent in 65 95 99; do
    file=pruned-$percent.json
    echo "pruned $percent %: $(value $file verdict), BER $(value $file ber), z $(value $file z), $(value $file evidence_bits) bits of evidence"
done
echo "report: $out/report.html"
echo "took $(($(date +%s) - start)) s"
[ $failures = 0 ] || { echo "demo: $failures of the above are not as promised" >&2; exit 1; }
