#!/bin/sh
# How often does a stranger's key get a small p on a real unmarked model? Usage: calibration.sh CALIBRATE-PROGRAM MODEL KEYS
# Every scheme and carrier; random over single weights, whose cost is T M a key, on the first convolution with 16 bits. Ends with 1 when a rate is beyond chance (tests/mark/calibrate.c).
set -u
program=$1 model=$2 keys=$3 failures=0
for scheme in direct diff random partition; do
    for carrier in mean weights; do
        tensor=conv2.0.conv2.weight bits=64
        [ $scheme-$carrier = random-weights ] && tensor=conv1.weight bits=16
        "$program" "$model" --tensor $tensor --keys "$keys" --bits $bits --scheme $scheme --carrier $carrier || failures=$((failures + 1))
    done
done
exit $((failures > 0))
