"""Agreement with numpy: arrays and archives it writes are read equal, patched copies load there and differ in the patched arrays only, and on damaged files the two give the same
verdict. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import hashlib
import io
import json
import os
import random
import subprocess
import zipfile

import pytest

np = pytest.importorskip("numpy", reason="the reference library (Python package numpy) is not installed")

DUMP = os.environ["INTEROP_MODEL_DUMP"]


def dump(*paths):
    out = subprocess.run([DUMP], input="".join(f"{p}\n" for p in paths), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def digest(array):
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=32).hexdigest()


def word(dtype):
    if dtype.kind == "b":
        return "bool"
    return {"f": "f", "i": "i", "u": "u", "c": "c"}[dtype.kind] + str(dtype.itemsize * 8)


TYPES = ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8", "<i1", "<i2", ">i4", "<i8", "<u1", "<u2", "<u4", ">u8", "?", "<c8", "<c16"]
SHAPES = [(), (7,), (3, 5), (2, 3, 4), (4, 1, 3, 2), (1, 6), (6, 1), (0, 3), (2, 1, 2, 1, 2, 1, 2, 3)]


def arrays(seed):
    """Every type in some shapes and both orders; values that every type holds, halves for floats."""
    rng = np.random.default_rng(seed)
    out = {}
    for i, dtype in enumerate(TYPES * 2):
        shape = SHAPES[int(rng.integers(len(SHAPES)))] if i else (3, 5)
        array = rng.integers(0, 100, size=shape)
        array = (array / 2 if np.dtype(dtype).kind in "fc" else array).astype(dtype)
        out[f"layer{i}/\u00e9.{dtype[-2:]}".replace("?", "")] = np.asfortranarray(array) if rng.random() < 0.5 else array
    return out


def check(tensor, array):
    """Type, shape, values of floats whatever their order, bytes of others where they lie as views have them."""
    plain = array.dtype.byteorder != ">" and array.flags.c_contiguous
    assert (tensor["dtype"], tensor["shape"]) == (word(array.dtype), list(array.shape))
    floats = array.dtype.kind == "f"
    assert tensor["values"] == (digest(array.astype("<f8")) if floats else None)
    assert tensor["writable"] == floats
    if plain or floats:
        assert tensor["blake2b"] == (digest(array) if plain else hashlib.blake2b(array.tobytes("A"), digest_size=32).hexdigest())
    else:
        assert tensor["blake2b"] is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_archives(tmp_path, save, seed):
    wanted = arrays(seed)
    save(tmp_path / "a.npz", **wanted)
    (seen,) = dump(tmp_path / "a.npz")
    assert (seen["status"], seen["format"]) == ("ok", "npz")
    assert [t["name"] for t in seen["tensors"]] == list(wanted)
    for tensor in seen["tensors"]:
        check(tensor, wanted[tensor["name"]])


def test_arrays(tmp_path):
    wanted = arrays(9)
    paths = []
    for i, array in enumerate(wanted.values()):
        for version in ((1, 0), (2, 0), (3, 0)):
            paths.append(tmp_path / f"{i}.{version[0]}.npy")
            with open(paths[-1], "wb") as file:
                np.lib.format.write_array(file, array, version)
    for path, seen in zip(paths, dump(*paths), strict=True):
        assert (seen["status"], seen["format"], len(seen["tensors"])) == ("ok", "npy", 1)
        assert (seen["tensors"][0]["name"], seen["tensors"][0]["alias"]) == ("arr_0", path.name[:-4])
        check(seen["tensors"][0], list(wanted.values())[int(path.name.split(".")[0])])


def test_what_is_only_listed(tmp_path):
    others = {"text": np.array(["a", "bcd"]), "bytes": np.array([b"ab", b"c"]), "date": np.array(["2020-01-01"], "M8[D]"),
              "raw": np.zeros(3, "V2"), "long": np.zeros((2, 2), np.longdouble)}
    np.savez(tmp_path / "a.npz", **others, objects=np.array([{}, None], dtype=object))
    (seen,) = dump(tmp_path / "a.npz")
    assert {t["name"]: (t["dtype"], t["shape"], t["values"]) for t in seen["tensors"]} == {
        **{name: ("none", list(a.shape), None) for name, a in others.items()}, "objects": ("none", [2], None)}
    for name, array, text in (("o", np.array([{}], dtype=object), "Python objects"), ("r", np.zeros(2, [("a", "f4")]), "records")):
        np.save(tmp_path / f"{name}.npy", array)
        (seen,) = dump(tmp_path / f"{name}.npy")
        assert seen["status"] == "unsupported" and text in seen["message"]


def negate(before, after, *names):
    subprocess.run([DUMP, "--negate", before, after, *names], check=True)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "deflated"])
def test_patched_archives(tmp_path, save):
    wanted = arrays(3)
    rng = np.random.default_rng(4)
    wanted["big"] = np.asfortranarray(rng.standard_normal((300, 70)).astype(">f4"))  # its deflated size changes
    floats = [name for name, a in wanted.items() if a.dtype.kind == "f"]
    names = floats[::2] + ["big"] * ("big" not in floats[::2])
    save(tmp_path / "a.npz", **wanted)
    negate(tmp_path / "a.npz", tmp_path / "b.npz", *names)
    with np.load(tmp_path / "b.npz") as back:
        assert back.files == list(wanted)
        for name, array in wanted.items():
            expected = -array if name in names else array
            assert back[name].dtype == array.dtype and back[name].flags.f_contiguous == array.flags.f_contiguous
            np.testing.assert_array_equal(back[name], expected)
    with zipfile.ZipFile(tmp_path / "a.npz") as a, zipfile.ZipFile(tmp_path / "b.npz") as b:
        assert b.testzip() is None
        for x, y in zip(a.infolist(), b.infolist(), strict=True):
            same = x.filename[:-4] not in names
            assert (x.filename, x.date_time, x.compress_type, x.extra, x.file_size) == (y.filename, y.date_time, y.compress_type, y.extra, y.file_size)
            assert not same or (x.CRC, x.compress_size) == (y.CRC, y.compress_size)
    if save is np.savez:
        a, b = (tmp_path / "a.npz").read_bytes(), (tmp_path / "b.npz").read_bytes()
        assert len(a) == len(b)


def test_patched_arrays(tmp_path):
    for name, array in arrays(5).items():
        if array.dtype.kind != "f" or array.size == 0:
            continue
        np.save(tmp_path / "a.npy", array)
        negate(tmp_path / "a.npy", tmp_path / "b.npy", "arr_0")
        back = np.load(tmp_path / "b.npy")
        assert back.dtype == array.dtype and back.flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(back, -array)
        (tmp_path / "b.npy").unlink()


# ---- damaged heads: the same verdict --------------------------------------------------------------------------------------------------

def reference_accepts(data):
    try:
        np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        return True
    except Exception:
        return False


def stricter(message):
    """Refusals of ours that numpy does not make, each on purpose."""
    return any(text in message for text in (
        "behind the array", "more than 8 axes", "of records", "expected a whole number", "expected the end of a short text", "expected ')'", "expected its end",
        "expected ',' or '}'", "the header has \"", "is there twice", "expected a number below 2^64", "expected True or False", "expected a text", "expected '('",
        "expected '{'", "expected ':'", "looks like", "is no model file", "the file is empty", "is not a model file", "elements of type '"))


def test_mutated_heads(tmp_path):
    rng = random.Random(12)
    sound = io.BytesIO()
    np.save(sound, np.asfortranarray(np.arange(12, dtype="<f4").reshape(3, 4)))
    sound = sound.getvalue()
    end = sound.index(b"\n")
    paths, blobs = [], []
    for i in range(3000):
        blob = bytearray(sound)
        for _ in range(rng.choice((1, 1, 2))):
            kind, at = rng.randrange(4), rng.randrange(6, end)
            if kind == 0:
                blob[at] = rng.choice(b"0123456789{}()[]',: <>fiuLTF\\\"\x00\xff")
            elif kind == 1:
                blob[at] ^= 1 << rng.randrange(8)
            else:  # keep the length: one byte more, one space less
                where = rng.randrange(10, max(blob.rfind(b"}"), 60))
                if kind == 2:
                    blob.insert(where, rng.choice(b"0123456789(),' L"))
                    del blob[end - 1]
                else:
                    del blob[where]
                    blob.insert(end - 2, 32)
        paths.append(tmp_path / f"{i}.npy")
        paths[-1].write_bytes(blob)
        blobs.append(bytes(blob))
    both = 0
    for blob, seen in zip(blobs, dump(*paths), strict=True):
        theirs, ours = reference_accepts(blob), seen["status"] == "ok"
        both += theirs and ours
        assert not (ours and not theirs), (blob, seen)
        assert not (theirs and not ours and not stricter(seen["message"])), (blob, seen)
    assert 100 < both < 2900
