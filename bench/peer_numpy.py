#!/usr/bin/env python3
"""What a careful script with NumPy does for a partition mark over all matrices of a bf16 safetensors file: the peer of `weightmark embed` and `verify`.

usage: peer_numpy.py embed MODEL OUTPUT | verify MODEL

Layer by layer, so that its memory stays small too: every weight over its filter's RMS, a pseudo-random row and sign for it, sums by row; embedding adds to each weight of a row what
its margin of 8 asks for. The draws come from NumPy's generator (no secret, no fixed rule), and nothing is read back or corrected for rounding, which is less than weightmark does.
Prints one JSON object: seconds, peak_kib, z.
"""
import json
import resource
import shutil
import sys
import time

import numpy as np

BITS, MARGIN, BLOCK = 256, 8.0, 1024


def tensors(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items()):
        if entry["dtype"] != "BF16" or len(entry["shape"]) != 2:
            raise SystemExit(f"{name}: only bf16 matrices")
        yield 8 + size + entry["data_offsets"][0], entry["shape"]


def blocks(shape):
    return ((first, min(first + BLOCK, shape[0])) for first in range(0, shape[0], BLOCK))


def values(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def deal(generator, count):
    draw = generator.integers(0, 1 << 16, count, dtype=np.uint16)
    return (draw & 0x7FFF).astype(np.uint32) * BITS >> 15, np.where(draw >> 15, np.float32(-1), np.float32(1))


def rms_of(x):
    return np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64) / x.shape[1]).astype(np.float32)[:, None]


def read(path):
    """Sums by row: of sign times weight, of its square."""
    generator = np.random.default_rng(1)
    dot, squares = np.zeros(BITS), np.zeros(BITS)
    for offset, shape in tensors(path):
        data = np.memmap(path, np.uint16, "r", offset, tuple(shape))
        for first, last in blocks(shape):
            x = values(data[first:last])
            w = (x / rms_of(x)).ravel()
            row, sign = deal(generator, w.size)
            dot += np.bincount(row, sign * w, BITS)
            squares += np.bincount(row, w * w, BITS)
    return dot, squares


def signs():
    return np.random.default_rng(2).integers(0, 2, BITS) * 2.0 - 1


def z_of(dot, squares):
    return float((signs() * dot / np.sqrt(squares)).sum() / np.sqrt(BITS))


def embed(source, target):
    dot, squares = read(source)
    s = signs()
    add = (s * np.maximum(0, MARGIN - s * dot / np.sqrt(squares)) / np.sqrt(squares)).astype(np.float32)
    shutil.copyfile(source, target)
    generator = np.random.default_rng(1)
    for offset, shape in tensors(source):
        data, out = np.memmap(source, np.uint16, "r", offset, tuple(shape)), np.memmap(target, np.uint16, "r+", offset, tuple(shape))
        for first, last in blocks(shape):
            x = values(data[first:last])
            row, sign = deal(generator, x.size)
            x += (add[row] * sign).reshape(x.shape) * rms_of(x)
            bits = x.view(np.uint32)
            out[first:last] = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        out.flush()
    return z_of(*read(target))


def main():
    begin = time.monotonic()
    if len(sys.argv) == 4 and sys.argv[1] == "embed":
        z = embed(sys.argv[2], sys.argv[3])
    elif len(sys.argv) == 3 and sys.argv[1] == "verify":
        z = z_of(*read(sys.argv[2]))
    else:
        raise SystemExit(__doc__)
    print(json.dumps({"seconds": time.monotonic() - begin, "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "z": z}))


main()
