"""Agreement with the reference library (Python package safetensors): files either side writes are read equal by the other, and on damaged files the two give the same
verdict. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import hashlib
import json
import os
import pathlib
import random
import struct
import subprocess

import pytest

pytest.importorskip("safetensors", reason="the reference library (Python package safetensors) is not installed")
np = pytest.importorskip("numpy")
import safetensors  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402

DUMP = os.environ["INTEROP_MODEL_DUMP"]
HOSTILE = pathlib.Path(__file__).parents[1] / "model" / "hostile"


def dump(*paths):
    out = subprocess.run([DUMP], input="".join(f"{p}\n" for p in paths), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def digest(array):
    return hashlib.blake2b(array.tobytes(), digest_size=32).hexdigest()


def word(array):
    return {"f": "f", "i": "i", "u": "u", "b": "bool"}[array.dtype.kind] + (str(array.dtype.itemsize * 8) if array.dtype.kind != "b" else "")


def a_model(seed):
    rng = np.random.default_rng(seed)
    types = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8, np.bool_]
    tensors = {}
    for i, dtype in enumerate(types * 2):
        shape = tuple(int(n) for n in rng.integers(0 if i % 7 == 0 else 1, 6, size=int(rng.integers(0, 6))))
        tensors[f"block.{rng.integers(1000)}.\u00e9\"\\{i}"] = rng.integers(0, 100, size=shape).astype(dtype)
    return tensors


@pytest.mark.parametrize("seed", range(5))
def test_reads_what_the_reference_writes(tmp_path, seed):
    tensors, metadata = a_model(seed), {"format": "np", "text": "line\nbreak \u2028 \U0001f600"}
    save_file(tensors, tmp_path / "a.safetensors", metadata=metadata)
    (seen,) = dump(tmp_path / "a.safetensors")
    assert seen["status"] == "ok" and seen["metadata"] == metadata
    assert {t["name"]: (t["dtype"], t["shape"], t["blake2b"]) for t in seen["tensors"]} == {
        name: (word(a), list(a.shape), digest(a)) for name, a in tensors.items()}


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_reads_what_it_writes(tmp_path, seed):
    tensors, metadata = a_model(seed), {"a": "b\tc", "\u00e9": "\x01"}
    save_file(tensors, tmp_path / "a.safetensors", metadata=metadata)
    subprocess.run([DUMP, "--copy", tmp_path / "a.safetensors", tmp_path / "b.safetensors"], check=True)
    back = load_file(tmp_path / "b.safetensors")
    assert back.keys() == tensors.keys()
    for name, array in tensors.items():
        assert back[name].dtype == array.dtype and back[name].shape == array.shape and back[name].tobytes() == array.tobytes()
    with safetensors.safe_open(tmp_path / "b.safetensors", "np") as opened:
        assert opened.metadata() == metadata


def torch_or_skip():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from safetensors import torch as st
    return torch, st


def test_types_of_torch(tmp_path):
    torch, st = torch_or_skip()
    generator = torch.Generator().manual_seed(1)
    names = {"bfloat16": "bf16", "float8_e5m2": "f8_e5m2", "float8_e4m3fn": "f8_e4m3", "float8_e8m0fnu": "f8_e8m0", "float8_e4m3fnuz": "f8_e4m3fnuz",
             "float8_e5m2fnuz": "f8_e5m2fnuz", "complex64": "c64", "float16": "f16"}
    tensors = {}
    for name in names:
        dtype = getattr(torch, name, None)
        if dtype is not None:
            size = torch.empty((), dtype=dtype).element_size()
            tensors[name] = torch.randint(0, 256, (6 * size,), dtype=torch.uint8, generator=generator).view(dtype).reshape(2, 3)
    st.save_file(tensors, tmp_path / "a.safetensors")
    (seen,) = dump(tmp_path / "a.safetensors")
    assert seen["status"] == "ok"
    raw = {name: t.view(torch.uint8).numpy() for name, t in tensors.items()}
    assert {t["name"]: (t["dtype"], t["shape"], t["blake2b"]) for t in seen["tensors"]} == {n: (names[n], [2, 3], digest(raw[n])) for n in tensors}
    subprocess.run([DUMP, "--copy", tmp_path / "a.safetensors", tmp_path / "b.safetensors"], check=True)
    for name, tensor in st.load_file(tmp_path / "b.safetensors").items():
        assert tensor.dtype == tensors[name].dtype and torch.equal(tensor.view(torch.uint8), tensors[name].view(torch.uint8))


# ---- damaged files: the same verdict --------------------------------------------------------------------------------------------------

def reference_accepts(data):
    try:
        safetensors.deserialize(data)
        return True
    except (safetensors.SafetensorError, ValueError):
        return False


def stricter(seen):
    """Refusals of ours that the reference library does not make, each on purpose."""
    text = seen["message"]
    return (
        "is listed twice" in text  # a name twice: the last one wins there
        or "is given twice" in text
        or "a text with a NUL in it" in text  # not a C string
        or "more than 8 axes" in text
        or "does not begin with '{'" in text  # the format says so
        or "the file is empty" in text
        or "looks like" in text or "is not a model file" in text  # another container's first bytes
    )


def compare(folder, blobs):
    paths = []
    for i, blob in enumerate(blobs):
        paths.append(folder / f"{i}.safetensors")
        paths[-1].write_bytes(blob)
    accepted = 0
    for path, blob, seen in zip(paths, blobs, dump(*paths), strict=True):
        theirs, ours = reference_accepts(blob), seen["status"] == "ok"
        accepted += theirs
        assert not (ours and not theirs), (blob, "read here, refused there")
        assert not (theirs and not ours and not stricter(seen)), (blob, seen)
        path.unlink()
    return accepted


def test_hostile_corpus(tmp_path):
    blobs = [p.read_bytes() for p in sorted(HOSTILE.iterdir()) if p.suffix == ".safetensors"]
    assert len(blobs) > 80
    assert compare(tmp_path, blobs) > 10


def mutations(rng, header, data):
    """Headers with one or two small changes: bytes, digits, cut or doubled pieces."""
    text = bytearray(header)
    for _ in range(rng.choice((1, 1, 2))):
        kind, at = rng.randrange(5), rng.randrange(len(text))
        if kind == 0:
            text[at] = rng.choice(b'0123456789{}[]",: \\u.eE-+ntf\x00\x7f\xc3\xa9')
        elif kind == 1:
            text.insert(at, rng.choice(b'0123456789{}[]",: \\'))
        elif kind == 2:
            del text[at]
        elif kind == 3:
            end = min(len(text), at + rng.randrange(1, 30))
            text[at:at] = text[at:end]
        else:
            digits = [i for i, c in enumerate(text) if chr(c).isdigit()]
            if digits:
                text[rng.choice(digits)] = rng.choice(b"0123456789")
        if not text:
            text += b"{"
    length = len(text) if rng.random() < 0.95 else rng.choice((0, len(text) - 1, len(text) + 1, 1 << 63))
    tail = data if rng.random() < 0.9 else data[:-1]
    return struct.pack("<Q", length) + bytes(text) + tail


def test_mutated_headers(tmp_path):
    rng = random.Random(20170406)
    header = (b'{"__metadata__":{"format":"pt","k":"v\\n"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
              b'"b\\u00e9":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"s":{"dtype":"F4","shape":[],"data_offsets":[32,32]}}  ')
    header = header.replace(b'"shape":[],"data_offsets":[32,32]', b'"shape":[2],"data_offsets":[32,33]')
    blobs = [mutations(rng, header, bytes(33)) for _ in range(2000)]
    assert 50 < compare(tmp_path, blobs) < 1500
