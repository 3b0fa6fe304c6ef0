#!/usr/bin/env python3
"""Fits the table of docs/spec.md, "Normal rule", and writes it as src/mark/x_normal_table.h (stdout).

The table is part of the format: it never changes. The script is kept so that anybody can see where the numbers come from.
For each binary octave k of y (y = v 2^k, v in [1, 2), p = y / 2^32) it fits x = -quantile(p) by a polynomial in s = 2 - v,
smallest relative error (Lawson's weights), then rounds the coefficients to float from the highest down, fitting the rest again.
The quantile is found here by Newton's method on the C library's erf and erfc; tests compare with another one.
Needs numpy. Usage: fit_normal.py > src/mark/x_normal_table.h; fit_normal.py --check prints the errors.
"""
import math
import sys

import numpy as np

DEGREE = 7
OCTAVES = range(-1, 31)
LAST = 30  # p in [1/4, 1/2): x goes to 0 with s, so its constant is 0


def tail(k, s):
    """x with Q(x) = (2 - s) 2^(k - 32), in double."""
    p = (2 - s) * 2.0 ** (k - 32)
    x = 1.0 if k > 25 else math.sqrt(-2 * math.log(p))
    for _ in range(60):
        density = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        if k == LAST:  # 1/2 - p = s/4 keeps its digits near p = 1/2
            step = (s / 4 - math.erf(x / math.sqrt(2)) / 2) / density
        else:  # Newton on log Q, which is nearly a parabola
            q = math.erfc(x / math.sqrt(2)) / 2
            step = math.log(q / p) * q / density
        x += step
        if abs(step) <= 1e-16 * x:
            break
    return x


def fit(s, x, powers, fixed):
    """Minimax relative fit of x - fixed by the given powers of s."""
    a = np.stack([s**i for i in powers], 1) / x[:, None]
    b = (x - fixed) / x
    w = np.ones(len(s))
    for _ in range(200):
        c = np.linalg.lstsq(a * np.sqrt(w)[:, None], b * np.sqrt(w), rcond=None)[0]
        w *= np.abs(a @ c - b) + 1e-14
        w /= w.mean()
    return c


def coefficients(k):
    n = 400
    s = (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n)) / 2
    x = np.array([tail(k, t) for t in s])
    powers = list(range(1 if k == LAST else 0, DEGREE + 1))
    c = np.zeros(DEGREE + 1)
    fixed = np.zeros(n)
    while powers:
        top = powers.pop()
        c[top] = np.float32(fit(s, x, powers + [top], fixed)[-1])
        fixed += c[top] * s**top
    return c.astype(np.float32)


def hexf(c):
    """A float constant of C, exact: hexadecimal with six digits after the point."""
    m, e = math.frexp(float(c))
    if m == 0:
        return "0x0.000000p+0f"
    n = int(abs(m) * 2**25)  # 1.f as an integer with 24 bits after the point
    assert n / 2**25 == abs(m)
    return "%s0x1.%06xp%+df" % ("-" if m < 0 else "", n - 2**24, e - 1)


def evaluate(c, s):
    s = s.astype(np.float32)
    h = np.full(len(s), c[DEGREE], np.float32)
    for i in range(DEGREE - 1, -1, -1):
        h = h * s + c[i]  # float32: numpy rounds the product, then the sum
    return h


def main():
    table = {k: coefficients(k) for k in OCTAVES}
    if "--check" in sys.argv:
        rng = np.random.default_rng(1)
        for k in OCTAVES:
            s = np.concatenate([rng.integers(1, 2**23 + 1, 20000), [1, 2, 3, 2**23]]) / 2.0**23
            x = np.array([tail(k, t) for t in s])
            e = evaluate(table[k], s) / x - 1
            print("k %3d  x %.7f to %.7f  relative error max %.2e mean %+.1e" % (k, x.min(), x.max(), abs(e).max(), e.mean()))
        return
    rows = [[hexf(c) for c in table[(n - 127 + 1) % 32 - 1]] for n in range(32)]
    print("/* mark/x_normal_table.h - made by scripts/fit_normal.py; docs/spec.md prints the same numbers. Part of the format: never changes.")
    print(" * Row n holds the coefficients of s^0 ... s^7 for the octave k with n = (k + 127) mod 32. */")
    print("#ifndef WMK_MARK_X_NORMAL_TABLE_H\n#define WMK_MARK_X_NORMAL_TABLE_H\n\n#include <stdalign.h>\n")
    print("#define WMK_NORMAL_DEGREE %d\n\n/* clang-format off */" % DEGREE)
    print("static const alignas(64) float wmk_normal_rows[32][WMK_NORMAL_DEGREE + 1] = {")
    for row in rows:
        print("    {" + ", ".join(row) + "},")
    print("};\n/* The same by coefficient, for table look-ups in registers. */")
    print("static const alignas(64) float wmk_normal_columns[WMK_NORMAL_DEGREE + 1][32] = {")
    for column in zip(*rows):
        lines = [", ".join(column[n : n + 8]) for n in range(0, 32, 8)]
        print("    {" + ",\n     ".join(lines) + "},")
    print("};\n/* clang-format on */\n\n#endif")


main()
