#!/usr/bin/env bash
# Embedding and verifying in a large file, beside cp and a NumPy script that does the same job, in one run: a table for bench/README.md. Usage: bench/big.sh BUILD [MIB [ROUNDS]]
#   BUILD: a build folder configured with -DWMK_BENCH=ON.   MIB: of the bf16 model (default 4096).   ROUNDS: how often everybody takes a turn (default 3).
# Environment: WEIGHTMARK_PEER_PYTHON  an interpreter with NumPy (default python3); TMPDIR  where three times the size is free
set -euo pipefail
[ $# -ge 1 ] || { sed -n 2,4p "$0" >&2; exit 2; }
build=$(cd "$1" && pwd)
mib=${2:-4096}
rounds=${3:-3}
here=$(cd "$(dirname "$0")" && pwd)
weightmark=$build/cli/weightmark
python=${WEIGHTMARK_PEER_PYTHON:-python3}
export OMP_NUM_THREADS=2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/weightmark-big.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

median() { sort -g | awk '{v[NR] = $1} END {if (NR) print v[int((NR + 1) / 2)]}'; }
calculate() { awk "BEGIN {printf \"$1\", $2}"; }
row() {
    local met=""
    [ -z "$4" ] || met=$(awk "BEGIN {print ($4) ? \"met\" : \"NOT MET\"}")
    printf '%-58s %-34s %-24s %s\n' "$1" "$2" "$3" "$met"
}
# turn NAME COMMAND...: milliseconds to NAME.ms, peak KiB to NAME.kib
turn() {
    local name=$1 median best kib code
    shift
    read -r median best kib code < <("$build/bench/bench_process" 1 "$@")
    echo "$median" >>"$scratch/$name.ms"
    echo "$kib" >>"$scratch/$name.kib"
}
ms() { median <"$scratch/$1.ms"; }
kib() { sort -g <"$scratch/$1.kib" | tail -n 1; }

"$build/bench/bench_partition" "$scratch" "$mib" >"$scratch/parts"
model=$scratch/big.safetensors
"$weightmark" keygen -o "$scratch/one.key" --model "$model" --target layers.1.weight --scheme random --carrier mean --bits 256 >/dev/null
have_numpy=""
! "$python" -c "import numpy" 2>/dev/null || have_numpy=yes
for ((i = 1; i <= rounds; i++)); do
    echo "bench: round $i of $rounds" >&2
    turn verify "$weightmark" verify "$model" --key "$scratch/big.key"
    turn one "$weightmark" verify "$model" --key "$scratch/one.key"
    turn cp cp "$model" "$scratch/copy"
    rm "$scratch/copy"
    turn embed "$weightmark" embed "$model" --key "$scratch/big.key" -o "$scratch/marked.safetensors"
    rm "$scratch/marked.safetensors"
    if [ -n "$have_numpy" ]; then
        turn numpy_verify "$python" "$here/peer_numpy.py" verify "$model"
        turn numpy_embed "$python" "$here/peer_numpy.py" embed "$model" "$scratch/copy"
        rm "$scratch/copy"
    fi
done
weights=$(sed -n 's/^weights //p' "$scratch/parts")
row "verify, $(calculate '%.2f G' "$weights / 1e9") bf16 weights of $mib MiB" "$(calculate '%.2f s, %.2f G weights/s' "$(ms verify) / 1000, $weights / $(ms verify) / 1e6")" ">= 0.4 (hoped: 0.8)" "$weights / $(ms verify) / 1e6 >= 0.4"
row "  peak memory beside the mapping" "$(calculate '%.0f MiB' "$(kib verify) / 1024 - $mib")" "< 300 MiB" "$(kib verify) / 1024 - $mib < 300"
row "verify, one layer, 256 random bits" "$(calculate '%.0f ms' "$(ms one)")" "< 200 ms" "$(ms one) < 200"
row "cp" "$(calculate '%.2f s' "$(ms cp) / 1000")" "" ""
budget=$(calculate %.0f "$(ms cp) + 2 * $(ms verify)")
row "embed, margin 8" "$(calculate '%.2f s' "$(ms embed) / 1000")" "$(calculate '<= cp + 2 verify = %.2f s' "$budget / 1000")" "$(ms embed) <= $budget"
row "  peak memory, mappings included" "$(calculate '%.0f MiB' "$(kib embed) / 1024")" "< 500 MiB" "$(kib embed) / 1024 < 500"
if [ -n "$have_numpy" ]; then
    row "NumPy script, verify" "$(calculate '%.2f s, %.0f MiB' "$(ms numpy_verify) / 1000, $(kib numpy_verify) / 1024")" "" ""
    row "NumPy script, embed" "$(calculate '%.2f s, %.0f MiB' "$(ms numpy_embed) / 1000, $(kib numpy_embed) / 1024")" "" ""
    row "  weightmark is faster by" "$(calculate 'verify %.1fx, embed %.1fx' "$(ms numpy_verify) / $(ms verify), $(ms numpy_embed) / $(ms embed)")" "" ""
fi
