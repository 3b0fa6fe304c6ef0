"""Runs the program and makes its inputs, with nothing but Python's standard library: the files are written from their formats' definitions."""
import array
import functools
import json
import os
import random
import re
import struct
import subprocess

import pytest

PROGRAM = os.path.abspath(os.environ.get("WEIGHTMARK", "build/cli/weightmark"))
DTYPES = {"F32": "f", "F64": "d", "I64": "q"}


def need_terminal():
    """Skips the test where script(1) cannot give the program a terminal."""
    try:
        works = subprocess.run(["script", "-qec", "true", "/dev/null"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        pytest.skip("script(1) is not installed")
    if not works:
        pytest.skip("no pseudo-terminal can be opened here")


def run(*arguments, code=0, out=None, err=None, quiet=True, **options):
    """Runs weightmark, checks exit code and patterns, gives the finished process. On a failure stderr must be one line that names the command."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True, timeout=300, **options)
    said = f"\n$ weightmark {' '.join(map(str, arguments))}\nexit {done.returncode}\nstdout: {done.stdout}\nstderr: {done.stderr}"
    assert done.returncode == code, said
    if out is not None:
        assert re.search(out, done.stdout), said
    if err is not None:
        assert re.search(err, done.stderr), said
    if code in (2, 3, 4) and quiet:
        lines = done.stderr.splitlines()
        assert len(lines) == 1 and re.match(r"weightmark( [a-z]+)?: .", lines[0]), said
    return done


def run_json(*arguments, code=0):
    """The one JSON object on stdout."""
    text = run(*arguments, "--json", code=code).stdout
    assert text.count("\n") == 1 and text.endswith("\n")
    return json.loads(text)


def has_training():
    return "not in this build" not in subprocess.run([PROGRAM, "--help"], stdout=subprocess.PIPE, text=True).stdout


def header_bytes(tensors):
    """safetensors: u64 length, JSON, data. tensors: name -> (dtype, shape, (begin, end))."""
    text = json.dumps({n: {"dtype": d, "shape": s, "data_offsets": list(o)} for n, (d, s, o) in tensors.items()}).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def safetensors(path, tensors):
    """tensors: name -> (dtype, shape, values)."""
    blobs = [array.array(DTYPES[dtype], values).tobytes() for dtype, _, values in tensors.values()]
    table, at = {}, 0
    for (name, (dtype, shape, _)), blob in zip(tensors.items(), blobs):
        table[name] = (dtype, shape, (at, at + len(blob)))
        at += len(blob)
    with open(path, "wb") as file:
        file.write(header_bytes(table) + b"".join(blobs))


@functools.lru_cache(maxsize=None)
def gauss_values(count, seed, scale):
    draw = random.Random(seed)
    return [draw.gauss(0, scale) for _ in range(count)]


def gauss(count, seed, scale=0.05):
    return list(gauss_values(count, seed, scale))


def standard_tensors():
    return {
        "conv2.0.conv2.weight": ("F32", [32, 16, 3, 3], gauss(32 * 16 * 9, 1)),
        "conv3.0.conv2.weight": ("F32", [32, 32, 3, 3], gauss(32 * 32 * 9, 2)),
        "bn.weight": ("F32", [32], [1.0] * 32),
        "steps": ("I64", [1], [7]),
        "fc.weight": ("F32", [10, 32], gauss(320, 3)),
    }


def write_model(path, **changes):
    safetensors(path, {**standard_tensors(), **changes})


def write_big_model(path, weights):
    """One matrix of `weights` weights; a random block, repeated."""
    block = array.array("f", gauss(1 << 16, 5)).tobytes()
    size = 4 * weights
    with open(path, "wb") as file:
        file.write(header_bytes({"big.weight": ("F32", [weights // 1024, 1024], (0, size))}))
        for _ in range(size // len(block)):
            file.write(block)
        file.write(block[: size % len(block)])


def idx(path, axes, content):
    with open(path, "wb") as file:
        file.write(bytes([0, 0, 8, len(axes)]) + b"".join(struct.pack(">I", n) for n in axes) + bytes(content))


def write_data(folder, train=96, test=48):
    """Images whose class is the row of a bright bar: learnable, tiny."""
    os.makedirs(folder, exist_ok=True)
    draw = random.Random(4)
    for part, count in (("train", train), ("t10k", test)):
        pixels, labels = bytearray(), bytearray()
        for i in range(count):
            label = i % 10
            labels.append(label)
            for row in range(28):
                bright = 200 if 2 * label + 4 <= row < 2 * label + 6 else 20
                pixels += bytes(max(0, min(255, bright + draw.randrange(-20, 21))) for _ in range(28))
        idx(os.path.join(folder, f"{part}-images-idx3-ubyte"), [count, 28, 28], pixels)
        idx(os.path.join(folder, f"{part}-labels-idx1-ubyte"), [count], labels)


def leftovers(folder="."):
    """Unfinished outputs."""
    return [name for name in os.listdir(folder) if name.startswith(".wmk-")]
