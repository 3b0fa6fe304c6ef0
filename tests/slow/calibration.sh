#!/bin/sh
# How often does a stranger's key get a small p on weights of a real unmarked model?
# Usage: calibration.sh CALIBRATE-PROGRAM MODEL TENSOR KEYS FOLDER
# Every scheme and carrier where a key is read by names, with other sizes and with damaged weights too. Then the ways in
# which weights choose what is read (orders of axes, any tensor, the best map), with carrier balanced.
# One file per case, scheme and carrier in FOLDER; what is there is not computed again. FOLDER/calibration.csv holds them
# all. Ends with 1 when a figure is beyond chance (tests/mark/calibrate.c), with 3 or more when one could not be had.
set -u
program=$1 model=$2 tensor=$3 keys=$4 folder=$5
mkdir -p "$folder"

# one CASE SCHEME CARRIER
one() {
    rows=$folder/rows-$1-$2-$3.csv
    [ -e "$rows" ] && return
    "$program" "$model" --tensor "$tensor" --case "$1" --scheme "$2" --carrier "$3" --keys "$keys" >"$rows.part"
    status=$?
    [ $status -le 1 ] || exit $status
    mv "$rows.part" "$rows"
}

for case in 1 2 3 4; do
    for scheme in direct diff random partition; do
        for carrier in mean weights balanced; do one $case $scheme $carrier; done
    done
done
for case in 5 6 7 8 9; do
    for scheme in random partition; do one $case $scheme balanced; done
done
all=$folder/calibration.csv
head -n 1 "$folder/rows-1-direct-mean.csv" >"$all"
tail -q -n +2 "$folder"/rows-*.csv >>"$all"
echo "$(($(wc -l <"$all") - 1)) figures, $(grep -c ',no,[a-z]*$' "$all") outside of their 99 % interval, $(grep -c ',yes$' "$all") beyond chance: $all"
! grep ',yes$' "$all"
