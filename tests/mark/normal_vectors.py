#!/usr/bin/env python3
"""Writes tests/mark/vectors/normal.json: for chosen u the bits of normal(u), by numpy from the table in docs/spec.md, and the exact quantile, by
statistics.NormalDist (Wichura's AS241), of p after the rounding of y. Run once; what is there never changes.
Usage: normal_vectors.py docs/spec.md > tests/mark/vectors/normal.json"""
import json
import random
import re
import statistics
import sys

import numpy as np

table = {}
for line in open(sys.argv[1], encoding="utf-8"):
    m = re.match(r"\| (-?\d+) \| (-?0x.*) \|$", line)
    if m:
        table[int(m[1])] = [np.float32(float.fromhex(c)) for c in m[2].split(" | ")]
assert sorted(table) == list(range(-1, 31))


def normal(u):
    y = min(np.float32(u % 2**31) + np.float32(0.5), np.float32(2147483520))
    significand, exponent = np.frexp(y)
    c, s = table[int(exponent) - 1], np.float32(2) - np.float32(2) * significand
    x = c[7]
    for n in range(6, -1, -1):
        x = np.float32(x * s)
        x = np.float32(x + c[n])
    quantile = -statistics.NormalDist().inv_cdf(float(y) / 2**32)
    return (-x, -quantile) if u >> 31 else (x, quantile)


random.seed(20240101)
magnitudes = {0, 1, 2, 2**31 - 1} | {2**k + d for k in range(2, 31) for d in (-2, -1, 0, 1, 2)}
magnitudes |= {2**31 - d for d in (2, 63, 64, 65, 127, 128, 129, 191, 192, 193, 256)}  # where rounding meets the limit of y
magnitudes |= {random.getrandbits(k) for k in range(3, 32) for _ in range(12)}
rows = []
for r in sorted(magnitudes):
    u = r | random.getrandbits(1) << 31
    x, quantile = normal(u)
    rows.append("[%d, %d, %s]" % (u, int(np.float32(x).view(np.uint32)), json.dumps(float(quantile))))
print("[\n" + ",\n".join(rows) + "\n]")
