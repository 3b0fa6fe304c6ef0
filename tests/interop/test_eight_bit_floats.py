"""All 256 patterns of each eight-bit float: what model_dump reads is what ml_dtypes and PyTorch read."""
import hashlib
import json
import os
import struct
import subprocess

import pytest

np = pytest.importorskip("numpy")
DUMP = os.environ["INTEROP_MODEL_DUMP"]
TYPES = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz"}


def hash_of_values(tmp_path, word, patterns):
    header = json.dumps({"t": {"dtype": word, "shape": [len(patterns)], "data_offsets": [0, len(patterns)]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(patterns))
    (tensor,) = json.loads(subprocess.run([DUMP, path], capture_output=True, text=True, check=True).stdout)["tensors"]
    return tensor["values"]


def check(tmp_path, word, values):
    """values: the 256 patterns as float64, by a reference. What is NaN there is NaN here (its bits may differ): in a sum with it every hash would."""
    values = np.asarray(values, np.float64)
    numbers = [i for i in range(256) if not np.isnan(values[i])]
    assert 240 < len(numbers) < 256
    for some in (numbers, numbers[:63], numbers[100:101]): # long runs are read through a table
        assert hash_of_values(tmp_path, word, some) == hashlib.blake2b(values[some].tobytes(), digest_size=32).hexdigest()


@pytest.mark.parametrize("word", TYPES)
def test_ml_dtypes(tmp_path, word):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the Python package ml_dtypes is not installed")
    check(tmp_path, word, np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, TYPES[word])).astype(np.float64))


@pytest.mark.parametrize("word", TYPES)
def test_torch(tmp_path, word):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    dtype = getattr(torch, TYPES[word], None)
    if dtype is None:
        pytest.skip(f"this PyTorch has no {TYPES[word]}")
    check(tmp_path, word, torch.arange(256).to(torch.uint8).view(dtype).to(torch.float64).numpy())
