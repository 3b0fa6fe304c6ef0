"""Agreement with the reference library (Python package gguf, of llama.cpp): files it writes hold the same tensors here, value for value and bit for bit, whatever their type; what
it refuses is refused; and it reads marked files, which differ in the marked tensors only. INTEROP_MODEL_DUMP names the program tests/model/dump.c, INTEROP_WEIGHTMARK the command line."""
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess

import pytest

from support import run

gguf = pytest.importorskip("gguf", reason="the reference library (Python package gguf) is not installed")
np = pytest.importorskip("numpy")

DUMP = os.environ["INTEROP_MODEL_DUMP"]
HOSTILE = pathlib.Path(__file__).parents[1] / "model" / "gguf" / "hostile"
Type = gguf.GGMLQuantizationType
PLAIN = {Type.F64: np.float64, Type.F32: np.float32, Type.F16: np.float16, Type.I8: np.int8, Type.I16: np.int16, Type.I32: np.int32, Type.I64: np.int64}
READ = ["F64", "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
READ = [name for name in READ if name in Type.__members__]  # an older library may lack the newest
WRITTEN = ["F64", "F32", "F16", "BF16", "Q8_0"]


def dump(*paths):
    out = subprocess.run([DUMP, *paths], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def digest(array):
    return hashlib.blake2b(array.tobytes(), digest_size=32).hexdigest()


def random_bytes(qtype, rows, columns, rng):
    """Any bytes are a block; but its half-precision scales are made finite."""
    elements, size = gguf.GGML_QUANT_SIZES[qtype]
    data = rng.integers(0, 256, (rows, columns // elements, size), dtype=np.uint8)
    halves = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2],
              "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
    for at in halves.get(qtype.name, []):
        high = data[..., at + 1]
        high[(high & 0x7C) == 0x7C] ^= 0x40
    return data.reshape(rows, -1)


def a_tensor(qtype, rows, columns, rng):
    """(what is handed to the writer, its values as the library sees them)"""
    if qtype in PLAIN:
        array = (100 * rng.standard_normal((rows, columns))).astype(PLAIN[qtype])
        return array, array.astype(np.float64)
    data = random_bytes(qtype, rows, columns, rng)
    return data, gguf.quants.dequantize(data, qtype).astype(np.float64)


def write(path, tensors, metadata=(), **options):
    """tensors: {name: (array, type)}"""
    writer = gguf.GGUFWriter(path, "llama", **options)
    for name, value in metadata:
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string, list: writer.add_array}[type(value)]
        add(name, value)
    for name, (array, qtype) in tensors.items():
        writer.add_tensor(name, array, raw_dtype=None if qtype in PLAIN else qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_every_type_is_known(tmp_path):
    """Listed with the right shape and size, and read with the same values, or said to be unreadable."""
    rng = np.random.default_rng(1)
    tensors, values = {}, {}
    with np.errstate(all="ignore"):  # float64 NaN of random bytes in types that are not read
        for qtype in Type:
            if qtype == Type.Q8_1:
                continue  # its size there is a mistake; no file holds it
            elements, size = gguf.GGML_QUANT_SIZES[qtype]
            if qtype.name in READ or qtype in PLAIN:
                array, values[qtype.name] = a_tensor(qtype, 6, 2 * 256, rng)
            else:
                array = random_bytes(qtype, 6, 512, rng)
            tensors[qtype.name] = array, qtype
    write(tmp_path / "a.gguf", tensors)
    (seen,) = dump(tmp_path / "a.gguf")
    assert seen["status"] == "ok" and seen["format"] == "gguf"
    found = {t["name"]: t for t in seen["tensors"]}
    assert found.keys() == tensors.keys() and set(READ) < found.keys()
    for tensor in gguf.GGUFReader(tmp_path / "a.gguf").tensors:
        here = found[tensor.name]
        assert here["dtype"] == tensor.name.lower() and here["shape"] == [6, 512] and here["layout"] == "OI" and here["layout_known"]
        assert here["offset"] == tensor.data_offset and here["size"] == tensor.n_bytes and here["blake2b"] == digest(tensor.data)
        assert here["values"] == (digest(values[tensor.name]) if tensor.name in READ else None), tensor.name
        assert here["writable"] == (tensor.name in WRITTEN)


@pytest.mark.parametrize("name", READ)
def test_values_of_many_blocks(tmp_path, name):
    """Random blocks reach every scale and bit; sums of squares of so many would not agree by luck."""
    rng = np.random.default_rng(2)
    with np.errstate(all="ignore"):
        array, values = a_tensor(Type[name], 101, 256 * 13, rng)
    write(tmp_path / "a.gguf", {"w": (array, Type[name])})
    (seen,) = dump(tmp_path / "a.gguf")
    assert seen["tensors"][0]["values"] == digest(values)


@pytest.mark.parametrize("name", [name for name in READ if name in ("BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4")])
def test_values_of_what_its_quantiser_makes(tmp_path, name):
    weights = np.random.default_rng(3).standard_normal((64, 512)).astype(np.float32)
    data = gguf.quants.quantize(weights, Type[name])
    write(tmp_path / "a.gguf", {"w": (data, Type[name])})
    (seen,) = dump(tmp_path / "a.gguf")
    assert seen["tensors"][0]["values"] == digest(gguf.quants.dequantize(data, Type[name]).astype(np.float64))


def test_shapes_and_layouts(tmp_path):
    rng = np.random.default_rng(4)
    shapes = {"bias": (8,), "fc.weight": (8, 64), "conv1d.weight": (8, 4, 5), "conv.weight": (8, 4, 3, 2), "blk.0.ffn_up_exps.weight": (4, 8, 64)}
    write(tmp_path / "a.gguf", {n: (rng.standard_normal(s).astype(np.float32), Type.F32) for n, s in shapes.items()})
    (seen,) = dump(tmp_path / "a.gguf")
    assert [(t["name"], t["shape"], t["layout"], t["layout_known"]) for t in seen["tensors"]] == [
        ("bias", [8], "", False), ("fc.weight", [8, 64], "OI", True), ("conv1d.weight", [8, 4, 5], "OIW", True),
        ("conv.weight", [8, 4, 3, 2], "OIHW", True), ("blk.0.ffn_up_exps.weight", [32, 64], "OI", True)]


def test_metadata(tmp_path):
    tokens = [f"token {i}" for i in range(1000)]
    metadata = [("llama.attention.head_count", 32), ("general.name", "a \u00e9\n\U0001f600"), ("x.f", 0.1), ("x.yes", True), ("tokenizer.ggml.tokens", tokens),
                ("tokenizer.ggml.scores", [0.5] * 1000), ("x.heads", [1, -2, 3]), ("general.tags", ["a", "b"])]
    write(tmp_path / "a.gguf", {"w": (np.zeros((1, 1), np.float32), Type.F32)}, metadata)
    (seen,) = dump(tmp_path / "a.gguf")
    assert seen["metadata"] == {
        "general.architecture": "llama", "llama.attention.head_count": "32", "general.name": "a \u00e9\n\U0001f600", "x.f": "0.100000001", "x.yes": "true",
        "tokenizer.ggml.tokens": "[1000 strings]", "tokenizer.ggml.scores": "[1000 f32]", "x.heads": "[1, -2, 3]", "general.tags": '["a", "b"]'}


def test_every_kind_of_number(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "x")
    for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"):
        bits = int(name.lstrip("uint"))
        getattr(writer, "add_" + name)(name, 2**bits - 1 if name[0] == "u" else -(2 ** (bits - 1)))
    writer.add_float64("float64", 1 / 3)
    writer.add_bool("bool", False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (seen,) = dump(tmp_path / "a.gguf")
    assert seen["metadata"] == {
        "general.architecture": "x", "uint8": "255", "int8": "-128", "uint16": "65535", "int16": "-32768", "uint32": "4294967295", "int32": "-2147483648",
        "uint64": str(2**64 - 1), "int64": str(-(2**63)), "float64": f"{1 / 3:.17g}", "bool": "false"}


@pytest.mark.parametrize("alignment", [1, 8, 256])
def test_alignment(tmp_path, alignment):
    rng = np.random.default_rng(5)
    tensors = {f"t{i}": (rng.standard_normal((i + 1, 3)).astype(np.float16), Type.F16) for i in range(5)}
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "x")
    writer.add_custom_alignment(alignment)
    for name, (array, _) in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (seen,) = dump(tmp_path / "a.gguf")
    assert {t["name"]: t["blake2b"] for t in seen["tensors"]} == {n: digest(a) for n, (a, _) in tensors.items()}


def test_split_models(tmp_path):
    """Whichever part is opened, the model is the same; a lost part is said."""
    rng = np.random.default_rng(6)
    tensors = {f"t{i}": (rng.standard_normal((4, 32)).astype(np.float32), Type.F32) for i in range(7)}
    write(tmp_path / "a.gguf", tensors, [("general.name", "split")], split_max_tensors=3)
    parts = sorted(tmp_path.glob("a-*.gguf"))
    assert [p.name for p in parts] == [f"a-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    seen = dump(*parts)
    for model in seen:
        assert [(t["name"], t["blake2b"]) for t in model["tensors"]] == [(n, digest(a)) for n, (a, _) in tensors.items()]
        assert model["metadata"] == {"general.architecture": "llama", "general.name": "split", "split.no": "0", "split.count": "3",
                                     "split.tensors.count": "7"}
    changed = tmp_path / "changed"
    subprocess.run([DUMP, "--negate", parts[1], changed, "t0", "t6"], check=True)
    assert sorted(p.name for p in changed.iterdir()) == [p.name for p in parts]
    for part in parts:
        for before, after in zip(gguf.GGUFReader(part).tensors, gguf.GGUFReader(changed / part.name).tensors, strict=True):
            assert np.array_equal(after.data, -before.data if before.name in ("t0", "t6") else before.data)
    parts[2].unlink()
    (seen,) = dump(parts[0])
    assert seen["status"] == "missing" and parts[2].name in seen["message"]


@pytest.mark.parametrize("name", WRITTEN)
def test_the_reference_reads_what_it_changes(tmp_path, name):
    qtype, rng = Type[name], np.random.default_rng(7)
    weights = rng.standard_normal((16, 256)).astype(np.float32)
    array = weights.astype(PLAIN[qtype]) if qtype in PLAIN else gguf.quants.quantize(weights, qtype)
    write(tmp_path / "a.gguf", {"x": (array, qtype), "w": (array, qtype), "y": (array, qtype)}, [("general.name", "w")])
    subprocess.run([DUMP, "--negate", tmp_path / "a.gguf", tmp_path / "b.gguf", "w"], check=True)
    before, after = gguf.GGUFReader(tmp_path / "a.gguf"), gguf.GGUFReader(tmp_path / "b.gguf")
    assert [t.name for t in after.tensors] == ["x", "w", "y"] and after.fields.keys() == before.fields.keys()
    values = {t.name: t.data if qtype in PLAIN else gguf.quants.dequantize(t.data, qtype) for t in after.tensors}
    original = before.tensors[1].data if qtype in PLAIN else gguf.quants.dequantize(before.tensors[1].data, qtype)
    assert np.array_equal(values["w"], -original) and np.array_equal(values["x"], original) and np.array_equal(values["y"], original)
    w = after.tensors[1]
    differ = np.flatnonzero(np.fromfile(tmp_path / "a.gguf", np.uint8) != np.fromfile(tmp_path / "b.gguf", np.uint8))
    assert w.data_offset <= differ[0] and differ[-1] < w.data_offset + w.n_bytes


def verify(model, key):
    return json.loads(run("weightmark", "verify", model, "--key", key, "--json", allowed=(0, 1)))


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "Q8_0"])
def test_marked_files(tmp_path, name):
    """A mark in one tensor: found, also in what the reference makes of the marked values in fewer bits; nothing else in the file has changed."""
    qtype, rng = Type[name], np.random.default_rng(8)
    weights = rng.standard_normal((256, 256)).astype(np.float32)
    array = gguf.quants.quantize(weights, qtype)
    original, marked, key = tmp_path / "a.gguf", tmp_path / "b.gguf", tmp_path / "key"
    write(original, {"x": (array, qtype), "blk.0.ffn_up.weight": (array, qtype), "y": (array, qtype)}, [("general.name", "w")])
    run("weightmark", "keygen", "-m", original, "-t", "blk.0.ffn_up.weight", "--scheme", "partition", "--carrier", "weights", "-b", 64, "-o", key)
    assert verify(original, key)["verdict"] == "not-found"
    run("weightmark", "embed", original, "--key", key, "--margin", 4, "-o", marked)
    z = verify(marked, key)["z"]
    assert z > 4 * 64**0.5
    reader = gguf.GGUFReader(marked)
    tensor = reader.tensors[1]
    differ = np.flatnonzero(np.fromfile(original, np.uint8) != np.fromfile(marked, np.uint8))
    assert tensor.data_offset <= differ[0] and differ[-1] < tensor.data_offset + tensor.n_bytes
    values = tensor.data if qtype in PLAIN else gguf.quants.dequantize(tensor.data, qtype)
    change = np.linalg.norm(values.astype(np.float64) - gguf.quants.dequantize(array, qtype)) / np.linalg.norm(weights)
    assert 0 < change < 0.2  # margin * sqrt(T / M) is 0.125
    for fewer in ("Q8_0", "Q5_1", "Q4_0"):
        write(tmp_path / "c.gguf", {"blk.0.ffn_up.weight": (gguf.quants.quantize(values.astype(np.float32), Type[fewer]), Type[fewer])})
        seen = verify(tmp_path / "c.gguf", key)
        assert seen["verdict"] == "found" and abs(seen["z"] / z - 1) < {"Q8_0": 0.01, "Q5_1": 0.02, "Q4_0": 0.05}[fewer]
        (tmp_path / "c.gguf").unlink()


# ---- damaged files: the same verdict --------------------------------------------------------------------------------------------------

def too_long(*_):
    raise TimeoutError


def reference_accepts(path):
    """It counts to 2^64 where a file says so."""
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        gguf.GGUFReader(path)
        return True
    except Exception:  # noqa: BLE001 whatever it stumbles over
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


STRICTER = ("overlaps that of", "no multiple of the alignment", "5 axes", "a NUL in it", "truth value", "nested more than", "an array of type 13", "split", "part ",
            "big-endian", "is negative", "has a value of type", "truncated", "its type, 9,",
            "power of two", "is given twice", "is listed twice")  # the last three: older versions


def test_hostile_corpus():
    """What the reference cannot read is refused. It checks less: the other way round, each refusal is one of a list."""
    paths = [p for p in sorted(HOSTILE.iterdir()) if p.suffix == ".gguf"]
    assert len(paths) > 40
    for path, seen in zip(paths, dump(*paths), strict=True):
        theirs, ours = reference_accepts(path), seen["status"] == "ok"
        assert theirs or not ours, (path.name, "read here, refused there")
        assert ours or not theirs or any(text in seen["message"] for text in STRICTER), (path.name, seen)


def test_mutated_files(tmp_path):
    """One changed byte anywhere before the data: never read here where the reference fails, unless in ways it has of its own."""
    rng = random.Random(20170406)
    write(tmp_path / "a.gguf", {"w": (np.ones((2, 32), np.float32), Type.F32), "v": (np.zeros((1, 34), np.uint8), Type.Q8_0)},
          [("a.text", "text"), ("a.list", [1, 2, 3]), ("a.flag", True)])
    sound = (tmp_path / "a.gguf").read_bytes()
    head = gguf.GGUFReader(tmp_path / "a.gguf").data_offset
    paths = []
    for i in range(400):
        blob = bytearray(sound)
        blob[rng.randrange(head)] = rng.choice((0, 1, 2, 8, 9, 127, 128, 255, rng.randrange(256)))
        paths.append(tmp_path / f"{i}.gguf")
        paths[-1].write_bytes(blob)
    accepted = 0
    for path, seen in zip(paths, dump(*paths), strict=True):
        accepted += seen["status"] == "ok"
        assert seen["status"] != "ok" or reference_accepts(path), (path.read_bytes(), "read here, refused there")
    assert 20 < accepted < 380
