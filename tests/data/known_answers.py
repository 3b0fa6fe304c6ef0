"""Computes the numbers in tests/data/known_answers.h from the published formats, without weightmark: Fashion-MNIST as numpy reads it,
and the addressed random numbers from the definition in src/data/random.h.

    python3 tests/data/known_answers.py [FOLDER] > tests/data/known_answers.h
"""

import gzip
import sys
import zlib

import numpy as np

FOLDER = sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist"
MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def idx(name):
    raw = gzip.open(f"{FOLDER}/{name}.gz").read()
    axes = raw[3]
    shape = np.frombuffer(raw, ">u4", axes, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def mix(x):
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def stream(seed, purpose, index):
    key = mix((seed + GAMMA) & MASK)
    key = mix((key + purpose * GAMMA) & MASK)
    key = mix((key + index * GAMMA) & MASK)
    while True:
        key = (key + GAMMA) & MASK
        yield mix(key)


def shuffled(seed, epoch, count):
    order, bits = list(range(count)), stream(seed, 1, epoch)
    for i in range(count, 1, -1):
        j = next(bits) * i >> 64
        order[i - 1], order[j] = order[j], order[i - 1]
    return order


images, labels = idx("train-images-idx3-ubyte"), idx("train-labels-idx1-ubyte")
tests, test_labels = idx("t10k-images-idx3-ubyte"), idx("t10k-labels-idx1-ubyte")
mean = np.float32(images.astype(np.float64).mean() / 255)
deviation = np.float32(images.astype(np.float64).std() / 255)
batch = np.pad(tests[:64], ((0, 0), (2, 2), (2, 2))).astype(np.float32)
batch = ((batch / np.float32(255) - mean) / deviation)[:, None].repeat(3, 1)

print("/* Written by known_answers.py. */")
print(f"#define TRAIN_PIXELS_CRC 0x{zlib.crc32(images.tobytes()):08x}u")
print(f"#define TRAIN_LABELS_CRC 0x{zlib.crc32(labels.tobytes()):08x}u")
print(f"#define TEST_PIXELS_CRC 0x{zlib.crc32(tests.tobytes()):08x}u")
print(f"#define TEST_LABELS_CRC 0x{zlib.crc32(test_labels.tobytes()):08x}u")
print(f"#define TRAIN_MEAN {mean:.9g}")
print(f"#define TRAIN_DEVIATION {deviation:.9g}")
print(f"#define TEST_BATCH_CRC 0x{zlib.crc32(np.ascontiguousarray(batch).tobytes()):08x}u /* float, [64][3][32][32] */")
for epoch in (0, 3):
    print(f"#define ORDER_SEED_7_EPOCH_{epoch} {{{', '.join(map(str, shuffled(7, epoch, 20)))}}}")
