#!/usr/bin/env bash
# The table of bench/README.md. Usage: bench/run.sh BUILD [ROUNDS]
#   BUILD: a build folder configured with -DWMK_BENCH=ON.   ROUNDS: how often the training programs take turns (default 5).
# Environment: WEIGHTMARK_PEER_PYTHONS  interpreters to look for PyTorch in, separated by ':' (default python3:/usr/bin/python3)
#              WEIGHTMARK_MODEL         a trained wrn-10-4 file (default: one is trained for a moment)
#              BENCH_BIG_MIB            size of the large model (default 3072, less where memory or disk is short)
set -euo pipefail
[ $# -ge 1 ] || { sed -n 2,6p "$0" >&2; exit 2; }
build=$(cd "$1" && pwd)
rounds=${2:-5}
here=$(cd "$(dirname "$0")" && pwd)
weightmark=$build/cli/weightmark
threads=2
export OMP_NUM_THREADS=$threads
scratch=$(mktemp -d "${TMPDIR:-/tmp}/weightmark-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

median() { sort -g | awk '{v[NR] = $1} END {if (NR) print v[int((NR + 1) / 2)]}'; }
calculate() { awk "BEGIN {printf \"$1\", $2}"; }
field() { sed -n "s/.*\"$1\": \([0-9.e+]*\).*/\1/p"; }
say() { echo "bench: $*" >&2; }
# row WHAT FIGURE GOAL CONDITION: one line of the table; CONDITION is an arithmetic comparison, or empty where there is no goal.
row() {
    local met=""
    [ -z "$4" ] || met=$(awk "BEGIN {print ($4) ? \"met\" : \"NOT MET\"}")
    printf '%-58s %-34s %-24s %s\n' "$1" "$2" "$3" "$met"
}

# ---- peers: each PyTorch that is found, once a version ----
peers=() versions=()
IFS=: read -ra candidates <<<"${WEIGHTMARK_PEER_PYTHONS:-python3:/usr/bin/python3}"
for python in "${candidates[@]}"; do
    version=$("$python" "$here/peer_torch.py" version 2>/dev/null | sed -n 's/.*"torch": "\([^"]*\)".*/\1/p') || true
    [ -n "$version" ] && [[ " ${versions[*]-} " != *" $version "* ]] || continue
    peers+=("$python") versions+=("$version")
done
echo "weightmark $("$weightmark" --version | head -n 1 | tr -dc '0-9.') on $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $threads threads; PyTorch: ${versions[*]-none found}"
row WHAT FIGURE GOAL ""

# ---- training step: everybody takes turns ----
best() { sed -n 's/^step: median [0-9.]* ms, best \([0-9.]*\) ms.*/\1/p'; }
middle() { sed -n 's/^step: median \([0-9.]*\) ms.*/\1/p'; }
for ((i = 1; i <= rounds; i++)); do
    say "training step, round $i of $rounds"
    for precision in f32 bf16; do
        if "$build/bench/bench_step" $precision 10 >"$scratch/out" 2>"$scratch/error"; then middle <"$scratch/out" >>"$scratch/ours_$precision"
        else say "$precision: $(head -n 1 "$scratch/error")"; fi
    done
    for p in "${!peers[@]}"; do
        "${peers[p]}" "$here/peer_torch.py" step --threads $threads --steps 7 >"$scratch/out"
        for form in f32 f32_channels_last bf16; do field "$form" <"$scratch/out" >>"$scratch/peer_${p}_$form"; done
    done
done
ours_f32=$(median <"$scratch/ours_f32")
row "training step wrn-10-4, batch 64, f32" "$(calculate '%.0f ms, %.0f images/s' "$ours_f32, 64000 / $ours_f32")" "" ""
fastest="" # the fastest f32 form of any PyTorch
for p in "${!peers[@]}"; do
    for form in f32 f32_channels_last bf16; do
        value=$(median <"$scratch/peer_${p}_$form")
        row "  PyTorch ${versions[p]}, ${form//_/ }" "$(calculate '%.0f ms, %.0f images/s' "$value, 64000 / $value")" "" ""
        [ $form = bf16 ] || fastest=$(printf '%s\n' $fastest $value | sort -g | head -n 1)
    done
done
if [ -n "$fastest" ]; then
    ratio=$(calculate %.3f "$fastest / $ours_f32")
    row "  speed of f32 over the fastest PyTorch f32" "$(calculate %.2fx "$ratio")" ">= 1x (hoped: 1.2x)" "$ratio >= 1"
fi
if [ -s "$scratch/ours_bf16" ]; then
    ours_bf16=$(median <"$scratch/ours_bf16")
    row "training step, bf16" "$(calculate '%.0f ms, %.0f images/s' "$ours_bf16, 64000 / $ours_bf16")" "" ""
    if [ -n "$fastest" ]; then
        ratio=$(calculate %.3f "$fastest / $ours_bf16")
        row "  speed of bf16 over the fastest PyTorch f32" "$(calculate %.2fx "$ratio")" ">= 2x" "$ratio >= 2"
    fi
else
    row "training step, bf16" "not done by this processor" "" ""
fi

# ---- where a step goes: convolutions alone are the ceiling ----
for precision in f32 bf16; do
    [ -s "$scratch/ours_$precision" ] || continue
    "$build/bench/bench_step" $precision 10 --profile >"$scratch/profile_$precision"
    awk -f "$here/profile.awk" "$scratch/profile_$precision" >"$scratch/split_$precision"
    IFS='|' read -r _ time share < <(grep '^ceiling' "$scratch/split_$precision")
    row "$precision: share of the convolution-only ceiling reached" "$share ($time are convolutions)" "" ""
    while IFS='|' read -r kind time share; do row "    $kind" "$time, $share" "" ""; done < <(grep -v '^ceiling' "$scratch/split_$precision")
done

# ---- the mark in a step; X ----
say "regularizer and X"
for ((i = 1; i <= 3; i++)); do "$build/bench/bench_regularizer" 10; done >"$scratch/regularizer"
read -r random_ms random_share partition_ms partition_share < <(for c in 2 3 4 5; do cut -d ' ' -f $c "$scratch/regularizer" | median; done | xargs)
row "regularizer in a step: random, 256 bits, conv2" "$(calculate '%.3f ms, %.3f %% of the step' "$random_ms, $random_share")" "< 0.1 %" "$random_share < 0.1"
row "  partition over all weights" "$(calculate '%.3f ms, %.3f %% of the step' "$partition_ms, $partition_share")" "" ""
OMP_NUM_THREADS=1 "$build/bench/bench_x" >"$scratch/x"
x=$(awk '/^X random/ && $(NF - 2) > best {best = $(NF - 2)} END {print best / 1000}' "$scratch/x")
row "X random, one core" "$(calculate '%.2f G elements/s' "$x")" ">= 0.4" "$x >= 0.4"
for p in "${!peers[@]}"; do
    value=$("${peers[p]}" "$here/peer_torch.py" randn --threads $threads | field elements_per_second)
    row "  torch.randn ${versions[p]}, $threads threads" "$(calculate '%.2f G elements/s' "$value / 1e9")" "" ""
done

# ---- the program, from its start to its end ----
model=${WEIGHTMARK_MODEL:-}
say "memory of training, verify, embed"
"$build/bench/bench_process" 1 "$weightmark" train --host wrn-10-4 --data fashion-mnist --batch 64 --epochs 0.05 --threads $threads -o "$scratch/short.safetensors" >"$scratch/train"
[ -n "$model" ] || model=$scratch/short.safetensors
"$weightmark" keygen -o "$scratch/random.key" --model "$model" --target conv2 --bits 256 >/dev/null
"$weightmark" keygen -o "$scratch/partition.key" --model "$model" --target all --scheme partition --carrier weights --bits 256 >/dev/null
process() { "$build/bench/bench_process" "$@" | cut -d ' ' -f 1; }
for key in random partition; do
    value=$(process 41 "$weightmark" verify "$model" --key "$scratch/$key.key")
    row "verify wrn-10-4, $key key, process start to verdict" "$value ms" "< 50 ms" "$value < 50"
done
value=$(process 21 "$weightmark" embed "$model" --key "$scratch/partition.key" --force -o "$scratch/marked.safetensors")
row "embed, partition over all its weights" "$value ms" "< 300 ms" "$value < 300"

# ---- peak memory of training: like with like ----
# memory WHAT OURS_KIB PEER_MODE
memory() {
    local least="" value p
    row "peak memory, $1" "$(calculate '%.0f MiB' "$2 / 1024")" "" ""
    for p in "${!peers[@]}"; do
        value=$("${peers[p]}" "$here/peer_torch.py" "$3" --threads $threads --steps 20 | field peak_kib)
        [ -n "$value" ] || continue
        row "  PyTorch ${versions[p]}" "$(calculate '%.0f MiB' "$value / 1024")" "" ""
        least=$(printf '%s\n' $least $value | sort -g | head -n 1)
    done
    [ -n "$least" ] || return 0
    local ratio=$(calculate %.3f "$2 / $least")
    row "  ours over the most sparing of them" "$(calculate %.2fx "$ratio")" "<= 0.5x" "$ratio <= 0.5"
}
memory "training steps on one batch" "$("$build/bench/bench_process" 1 "$build/bench/bench_step" f32 20 | cut -d ' ' -f 3)" train
memory "program: data set, training, test error" "$(cut -d ' ' -f 3 "$scratch/train")" program

# ---- a partition mark over a large mapped model ----
mib=${BENCH_BIG_MIB:-3072}
available=$(awk '/MemAvailable/ {print int($2 / 1024 / 2)}' /proc/meminfo)
free=$(df -Pm "$scratch" | awk 'NR == 2 {print int($4 / 2)}')
for limit in $available $free; do [ "$mib" -le "$limit" ] || mib=$limit; done
say "partition over a model of $mib MiB"
"$build/bench/bench_partition" "$scratch" "$mib" >"$scratch/big"
rate() { sed -n "s/^$1 .* \([0-9.]*\) G\/s/\1/p" "$scratch/big"; }
weights=$(sed -n 's/^weights //p' "$scratch/big")
row "partition over $(calculate '%.2f G' "$weights / 1e9") mapped bf16 weights" "$(rate whole) G weights/s" ">= 0.4 (hoped: 0.8)" "$(rate whole) >= 0.4"
row "  its key stream alone (2 bytes a weight)" "$(rate key_stream) G weights/s" "" ""
row "  key stream dealt to rows and signs" "$(rate deal) G weights/s" "" ""
row "  the weights' bytes from memory alone" "$(rate memory) G weights/s" "" ""
row "  so a weight costs, in ns of the $threads cores together" \
    "$(calculate 'all %.2f = stream %.2f + deal %.2f + rest %.2f' "1 / $(rate whole), 1 / $(rate key_stream), 1 / $(rate deal) - 1 / $(rate key_stream), 1 / $(rate whole) - 1 / $(rate deal)")" "" ""
value=$(process 3 "$weightmark" verify "$scratch/big.safetensors" --key "$scratch/big.key")
row "  the program on it, process start to verdict" "$(calculate '%.2f s, %.2f G weights/s' "$value / 1000, $weights / $value / 1e6")" "" ""
