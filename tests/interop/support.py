"""What the tests of this folder share: where the built programs are, and readers of data that owe nothing to weightmark's."""
import gzip
import os
import pathlib
import subprocess

import numpy as np


def run(program, *arguments, allowed=(0,)):
    """Runs one of the build's programs; INTEROP_<NAME> says where it is. Returns its standard output."""
    command = [os.environ["INTEROP_" + program.upper()], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in allowed, f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}"
    return done.stdout


def read_idx(path):
    """An IDX file of bytes (yann.lecun.com/exdb/mnist), plain or with .gz added to its name."""
    path = pathlib.Path(path)
    data = path.read_bytes() if path.exists() else gzip.decompress(pathlib.Path(f"{path}.gz").read_bytes())
    assert data[:3] == b"\0\0\x08"
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def write_idx(path, array):
    head = b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes()
    pathlib.Path(path).write_bytes(head + array.astype(np.uint8).tobytes())


def network_input(pixels, mean, deviation):
    """[n, 28, 28] bytes -> [n, 3, 32, 32] float32: black border of 2, grey in all three channels, (value / 255 - mean) / deviation."""
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).astype(np.float64) / 255
    return np.stack([(padded - mean[c]) / deviation[c] for c in range(3)], 1).astype(np.float32)


def folder_of_fashion_mnist():
    own = os.environ.get("WEIGHTMARK_DATA")
    for folder in ([pathlib.Path(own) / "fashion-mnist"] if own else []) + [pathlib.Path("/usr/share/datasets/fashion-mnist")]:
        if folder.is_dir():
            return folder
    return None


def small_data(folder, train=512, test=200, seed=5):
    """A data set in IDX files: ten smooth shapes, each image one of them shifted and under noise."""
    random = np.random.default_rng(seed)
    axis = np.arange(28)
    shapes = [np.outer(np.sin(axis * (1 + c % 5) / 9), np.cos(axis * (1 + c // 5) / 7)) for c in range(10)]
    folder.mkdir()
    for split, count in (("train", train), ("t10k", test)):
        labels = random.integers(0, 10, count)
        images = [np.roll(shapes[c], random.integers(-3, 4, 2), (0, 1)) * 90 + 110 + random.normal(0, 25, (28, 28)) for c in labels]
        write_idx(folder / f"{split}-images-idx3-ubyte", np.clip(np.array(images), 0, 255))
        write_idx(folder / f"{split}-labels-idx1-ubyte", labels)
    return folder


def read_safetensors(path):
    """(arrays by name, metadata), by the format's reference library."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})


def write_safetensors(path, arrays, metadata):
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(path), metadata)


def relative(ours, theirs):
    """||ours - theirs|| / ||theirs||, in float64."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)
