"""Agreement with the reference library (Python package onnx): tensors it writes are read equal in every type and place, and damaged files get the same verdict. What operators say about
a weight's axes is checked by computing with them. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import hashlib
import json
import os
import pathlib
import random
import subprocess

import pytest

onnx = pytest.importorskip("onnx", reason="the reference library (Python package onnx) is not installed")
np = pytest.importorskip("numpy")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

DUMP = os.environ["INTEROP_MODEL_DUMP"]


def dump(*paths):
    out = subprocess.run([DUMP], input="".join(f"{p}\n" for p in paths), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def dump_one(path):
    (seen,) = dump(path)
    assert seen["status"] == "ok", seen["message"]
    return {t["name"]: t for t in seen["tensors"]}


def digest(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def digest_of_values(array):
    return digest(np.ascontiguousarray(array, np.float64).tobytes())


def model(nodes=(), tensors=(), inputs=(), outputs=(), **arguments):
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(tensors))
    return helper.make_model(graph, producer_name="test", **arguments)


def ports(**shapes):
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]


# ---- types and places ------------------------------------------------------------------------------------------------------------------

NAMES = {"FLOAT": "f32", "UINT8": "u8", "INT8": "i8", "UINT16": "u16", "INT16": "i16", "INT32": "i32", "INT64": "i64", "BOOL": "bool", "FLOAT16": "f16",
         "DOUBLE": "f64", "UINT32": "u32", "UINT64": "u64", "COMPLEX64": "c64", "COMPLEX128": "c128", "BFLOAT16": "bf16", "FLOAT8E4M3FN": "f8_e4m3",
         "FLOAT8E4M3FNUZ": "f8_e4m3fnuz", "FLOAT8E5M2": "f8_e5m2", "FLOAT8E5M2FNUZ": "f8_e5m2fnuz", "UINT4": "u4", "INT4": "i4", "FLOAT4E2M1": "f4",
         "FLOAT8E8M0": "f8_e8m0", "UINT2": "u2", "INT2": "i2", "FLOAT6E2M3": "f6_e2m3", "FLOAT6E3M2": "f6_e3m2"}
TYPES = [(name, value) for name, value in TensorProto.DataType.items() if name in NAMES]
READABLE = {"f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e4m3fnuz", "f8_e5m2", "f8_e5m2fnuz"}


def an_array(data_type, shape, seed):
    rng = np.random.default_rng(seed)
    dtype = helper.tensor_dtype_to_np_dtype(data_type)
    if data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
    name = TensorProto.DataType.Name(data_type)
    if "FLOAT" in name or name == "DOUBLE":
        return np.abs(rng.normal(size=shape)).astype(dtype) if name == "FLOAT8E8M0" else rng.normal(size=shape).astype(dtype)
    low, high = (-2, 2) if name == "INT2" else (0, 4) if name == "UINT2" else (-8, 8) if name == "INT4" else (0, 16) if name == "UINT4" else (-100, 100)
    return rng.integers(low if not name.startswith(("U", "B")) else 0, high, size=shape).astype(dtype)


def typed(name, data_type, array):
    return helper.make_tensor(name, data_type, array.shape, array.flatten())


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def one_by_one(tensor):
    """The same with its values in an entry each, as the format allows ("unpacked")."""
    numbers = {"float_data": (4, 5), "double_data": (10, 1), "int32_data": (5, 0), "int64_data": (7, 0), "uint64_data": (11, 0)}
    out = TensorProto()
    out.CopyFrom(tensor)
    more = b""
    for name, (number, wire) in numbers.items():
        values = list(getattr(tensor, name))
        out.ClearField(name)
        for value in values:
            if wire == 0:
                more += varint(number << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)
            else:
                more += varint(number << 3 | wire) + np.array(value, "<f4" if wire == 5 else "<f8").tobytes()
    return out.SerializeToString() + more


def in_model(tensors):
    """A file with these serialised tensors as initialisers."""
    bare = model(ir_version=13)
    graph = bare.graph.SerializeToString() + b"".join(b"\x2a" + varint(len(t)) + t for t in tensors)
    bare.ClearField("graph")
    return bare.SerializeToString() + b"\x3a" + varint(len(graph)) + graph


@pytest.mark.parametrize("shape", [(3, 4, 2), (7,), (), (0, 3), (5, 1, 3, 3)])
@pytest.mark.parametrize("place", ["raw", "typed", "one by one"])
def test_types(tmp_path, place, shape):
    arrays = {name: an_array(value, shape, value) for name, value in TYPES}
    tensors = [numpy_helper.from_array(arrays[name], name) if place == "raw" else typed(name, value, arrays[name]) for name, value in TYPES]
    data = in_model([one_by_one(t) if place == "one by one" else t.SerializeToString() for t in tensors])
    (tmp_path / "a.onnx").write_bytes(data)
    read = {t.name: t for t in onnx.load(tmp_path / "a.onnx").graph.initializer}
    seen = dump_one(tmp_path / "a.onnx")
    assert list(seen) == [name for name, _ in TYPES]
    for name, value in TYPES:
        array, tensor = numpy_helper.to_array(read[name]), seen[name]
        assert array.tobytes() == arrays[name].tobytes(), name  # the reference reads what it wrote
        assert (tensor["dtype"], tensor["shape"]) == (NAMES[name], list(shape)), name
        assert tensor["damage"] is None
        if name.startswith("FLOAT6") and place != "raw" and array.size:
            assert tensor["blake2b"] is None  # a byte each: listed only
            continue
        raw = numpy_helper.from_array(array, name).raw_data
        if not (place == "one by one" and name in ("FLOAT", "DOUBLE") and array.size > 1):
            assert tensor["blake2b"] == digest(raw), name
        assert (tensor["values"] is not None) == (NAMES[name] in READABLE), name
        if tensor["values"]:
            assert tensor["values"] == digest_of_values(array.astype(np.float64)), name


def test_mixed_pieces(tmp_path):
    """Packed pieces and single values, one after the other."""
    head = TensorProto(name="a", data_type=TensorProto.FLOAT, dims=[5]).SerializeToString()
    values = np.arange(5, dtype="<f4")
    data = head + b"\x22\x08" + values[:2].tobytes() + b"\x25" + values[2:3].tobytes() + b"\x22\x00" + b"\x22\x08" + values[3:].tobytes()
    (tmp_path / "a.onnx").write_bytes(in_model([data]))
    assert list(onnx.load(tmp_path / "a.onnx").graph.initializer[0].float_data) == list(values)
    tensor = dump_one(tmp_path / "a.onnx")["a"]
    assert tensor["packed"] and tensor["blake2b"] == digest(values.tobytes()) and tensor["values"] == digest_of_values(values)


@pytest.mark.parametrize("one_file", [True, False])
def test_external_data(tmp_path, one_file):
    arrays = {name: an_array(value, (6, 5), value) for name, value in TYPES}
    m = model(tensors=[numpy_helper.from_array(array, name) for name, array in arrays.items()], ir_version=13)
    onnx.save(m, tmp_path / "a.onnx", save_as_external_data=True, all_tensors_to_one_file=one_file, location="weights.bin" if one_file else None, size_threshold=0)
    seen = dump_one(tmp_path / "a.onnx")
    assert len(list(tmp_path.iterdir())) == 2 if one_file else 1 + len(TYPES)
    for name, array in arrays.items():
        assert seen[name]["file"] > 0 and seen[name]["blake2b"] == digest(numpy_helper.from_array(array, name).raw_data), name


def test_metadata(tmp_path):
    m = model(opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)])
    helper.set_model_props(m, {"author": "somebody \u00e9", "producer_name": "not the field"})
    onnx.save(m, tmp_path / "a.onnx")
    (seen,) = dump(tmp_path / "a.onnx")
    assert seen["format"] == "onnx"
    assert seen["metadata"] == {"author": "somebody \u00e9", "producer_name": "not the field", "opset": "ai.onnx 17, com.microsoft 1"}


# ---- graphs ----------------------------------------------------------------------------------------------------------------------------

def test_graphs_within_graphs(tmp_path):
    def branch(k):
        weight = numpy_helper.from_array(np.full((4, 3), k, np.float32), "w")
        alone = numpy_helper.from_array(np.full((3, 3), 10 + k, np.float32), f"alone{k}")
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", f"alone{k}"], ["p"]),
                 helper.make_node("MatMul", ["p", "shared"], ["y"])]
        return helper.make_graph(nodes, "b", [], ports(y=[2, 5]), [weight, alone])

    shared = numpy_helper.from_array(np.ones((3, 5), np.float32), "shared")
    constant = numpy_helper.from_array(np.ones((2, 4), np.float32), "its own name")
    nodes = [helper.make_node("Constant", [], ["c"], value=constant), helper.make_node("Constant", [], ["f"], value_float=2.0),
             helper.make_node("Mul", ["in", "c"], ["x"]), helper.make_node("If", ["which"], ["y"], "choice", then_branch=branch(1), else_branch=branch(2))]
    m = model(nodes, [shared], ports(**{"in": [2, 4]}) + [helper.make_tensor_value_info("which", TensorProto.BOOL, [])], ports(y=[2, 5]))
    onnx.checker.check_model(m, full_check=True)
    onnx.save(m, tmp_path / "a.onnx")
    seen = dump_one(tmp_path / "a.onnx")
    assert set(seen) == {"c", "shared", "choice/then_branch/w", "choice/else_branch/w", "alone1", "alone2"}
    for name, (value, shape) in {"choice/then_branch/w": (1, (4, 3)), "choice/else_branch/w": (2, (4, 3)), "alone1": (11, (3, 3)), "alone2": (12, (3, 3))}.items():
        assert seen[name]["values"] == digest_of_values(np.full(shape, value)), name
    for name in set(seen) - {"c"}:
        assert (seen[name]["layout"], seen[name]["layout_known"]) == ("IO", True), name
    assert not seen["c"]["layout_known"]


# (nodes from x and the weight w to y, shape of x, shape of w, axis of x that holds inputs, axis of y that holds outputs, layout)
USES = {
    "conv1": ([("Conv", "x w", "y", {})], (1, 3, 8), (5, 3, 2), 1, 1, "OIW"),
    "conv2": ([("Conv", "x w", "y", {})], (1, 3, 6, 7), (5, 3, 2, 3), 1, 1, "OIHW"),
    "conv3": ([("Conv", "x w", "y", {})], (1, 3, 4, 5, 6), (5, 3, 2, 3, 2), 1, 1, "OIDHW"),
    "conv_transpose": ([("ConvTranspose", "x w", "y", {})], (1, 3, 6, 7), (3, 5, 2, 3), 1, 1, "IOHW"),
    "gemm": ([("Gemm", "x w", "y", {})], (2, 3), (3, 5), 1, 1, "IO"),
    "gemm_b": ([("Gemm", "x w", "y", {"transB": 1})], (2, 3), (5, 3), 1, 1, "OI"),
    "gemm_left": ([("Gemm", "w x", "y", {})], (3, 2), (5, 3), 0, 0, "OI"),
    "gemm_left_a": ([("Gemm", "w x", "y", {"transA": 1})], (3, 2), (3, 5), 0, 0, "IO"),
    "matmul": ([("MatMul", "x w", "y", {})], (4, 2, 3), (3, 5), 2, 2, "IO"),
    "matmul_left": ([("MatMul", "w x", "y", {})], (4, 3, 2), (5, 3), 1, 1, "OI"),
    "matmul_each": ([("MatMul", "x w", "y", {})], (4, 2, 3), (4, 3, 5), 2, 2, "DIO"),
    "transposed": ([("Transpose", "w", "t", {}), ("MatMul", "x t", "y", {})], (2, 3), (5, 3), 1, 1, "OI"),
    "permuted": ([("Transpose", "w", "t", {"perm": [3, 2, 0, 1]}), ("Conv", "x t", "y", {})], (1, 3, 6, 7), (2, 3, 3, 5), 1, 1, "HWIO"),
    "twice": ([("Identity", "w", "i", {}), ("Transpose", "i", "t", {"perm": [2, 0, 3, 1]}), ("Transpose", "t", "u", {"perm": [1, 3, 0, 2]}), ("Conv", "x u", "y", {})],
              (1, 3, 6, 7), (5, 3, 2, 4), 1, 1, "OIHW"),
}


@pytest.mark.parametrize("name", USES)
def test_layouts(tmp_path, name):
    """The letter O: changing one place along that axis changes one output. I: one input alone works on one place."""
    chain, x_shape, w_shape, input_axis, output_axis, layout = USES[name]
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=x_shape).astype(np.float32), rng.normal(size=w_shape).astype(np.float32)
    nodes = [helper.make_node(operator, a.split(), [b], **more) for operator, a, b, more in chain]
    m = model(nodes, [numpy_helper.from_array(w, "w")], ports(x=x_shape), ports(y=None), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(m, tmp_path / "a.onnx")
    seen = dump_one(tmp_path / "a.onnx")["w"]
    assert (seen["layout"], seen["layout_known"]) == (layout, True)

    def run(x, w):
        m.graph.initializer[0].CopyFrom(numpy_helper.from_array(w, "w"))
        return ReferenceEvaluator(m).run(None, {"x": x})[0]

    changed, lone = w.copy(), np.zeros_like(x)
    np.moveaxis(changed, layout.index("O"), 0)[1] += 1
    outputs = [k for k in range(w_shape[layout.index("O")]) if not np.array_equal(*(np.moveaxis(run(x, each), output_axis, 0)[k] for each in (w, changed)))]
    assert outputs == [1]
    np.moveaxis(lone, input_axis, 0)[2] = np.moveaxis(x, input_axis, 0)[2]
    kept = np.zeros_like(w)
    np.moveaxis(kept, layout.index("I"), 0)[2] = np.moveaxis(w, layout.index("I"), 0)[2]
    assert np.array_equal(run(lone, w), run(lone, kept)) and np.any(run(lone, w))


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("operator,order", [("LSTM", "iofc"), ("GRU", "zrh"), ("RNN", "i")])
def test_recurrent(tmp_path, operator, order, directions):
    """A matrix a direction, its gates in PyTorch's order."""
    rng = np.random.default_rng(2)
    gates = len(order)
    w, r, b = (rng.normal(size=(directions, *shape)).astype(np.float32) for shape in ((gates * 6, 5), (gates * 6, 6), (gates * 12,)))
    node = helper.make_node(operator, ["x", "w", "r", "b"], ["y"], hidden_size=6, direction="bidirectional" if directions == 2 else "forward")
    m = model([node], [numpy_helper.from_array(a, n) for n, a in (("w", w), ("r", r), ("b", b))], ports(x=[3, 1, 5]), ports(y=[3, directions, 1, 6]))
    onnx.checker.check_model(m, full_check=True)
    onnx.save(m, tmp_path / "a.onnx")
    seen = dump_one(tmp_path / "a.onnx")
    assert seen["b"]["layout"] == ""
    for name, weight in (("w", w), ("r", r)):
        for d in range(directions):
            tensor = seen[f"{name}[{d}]" if directions == 2 else name]
            blocks = dict(zip(order, np.split(weight[d], gates), strict=True))
            wanted = np.concatenate([blocks[c] for c in {"LSTM": "ifco", "GRU": "rzh", "RNN": "i"}[operator]])
            assert (tensor["layout"], tensor["layout_known"], tensor["writable"]) == ("OI", True, True)
            assert tensor["shape"] == list(wanted.shape) and tensor["values"] == digest_of_values(wanted)
    changed = "w[1]" if directions == 2 else "w"
    subprocess.run([DUMP, "--negate", tmp_path / "a.onnx", tmp_path / "b.onnx", changed], check=True)
    now = {t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "b.onnx").graph.initializer}
    w[-1] *= -1
    assert np.array_equal(now["w"], w) and np.array_equal(now["r"], r)


# ---- a patched copy --------------------------------------------------------------------------------------------------------------------

def test_patched_copy(tmp_path):
    rng = np.random.default_rng(3)
    arrays = {n: rng.normal(size=s).astype(np.float32) for n, s in (("raw", (4, 6)), ("typed", (6, 6)), ("single", (6, 5)), ("rest", (5, 5)))}
    parts = [numpy_helper.from_array(arrays["raw"], "raw").SerializeToString(), typed("typed", TensorProto.FLOAT, arrays["typed"]).SerializeToString(),
             one_by_one(typed("single", TensorProto.FLOAT, arrays["single"])), numpy_helper.from_array(arrays["rest"], "rest").SerializeToString()]
    nodes = [helper.make_node("MatMul", [a, w], [y]) for a, w, y in (("x", "raw", "a"), ("a", "typed", "b"), ("b", "single", "c"), ("c", "rest", "y"))]
    data = in_model(parts)
    m = onnx.load_from_string(data)
    m.graph.node.extend(nodes)
    m.graph.input.extend(ports(x=[2, 4]))
    m.graph.output.extend(ports(y=[2, 5]))
    bare = m.graph
    del bare.initializer[:]
    graph = bare.SerializeToString() + b"".join(b"\x2a" + varint(len(t)) + t for t in parts)
    m.ClearField("graph")
    data = m.SerializeToString() + b"\x3a" + varint(len(graph)) + graph
    (tmp_path / "a.onnx").write_bytes(data)
    subprocess.run([DUMP, "--negate", tmp_path / "a.onnx", tmp_path / "b.onnx", "raw", "typed", "single"], check=True)
    after = (tmp_path / "b.onnx").read_bytes()
    assert len(after) == len(data) and sum(a != b for a, b in zip(data, after)) == 24 + 36 + 30  # the sign's byte of each
    onnx.checker.check_model(str(tmp_path / "b.onnx"), full_check=True)
    for tensor in onnx.load(tmp_path / "b.onnx").graph.initializer:
        sign = 1 if tensor.name == "rest" else -1
        assert np.array_equal(numpy_helper.to_array(tensor), sign * arrays[tensor.name])
    x = rng.normal(size=(2, 4)).astype(np.float32)
    before, now = (ReferenceEvaluator(str(tmp_path / n)).run(None, {"x": x})[0] for n in ("a.onnx", "b.onnx"))
    assert np.array_equal(before, -now)
    subprocess.run([DUMP, "--negate", tmp_path / "b.onnx", tmp_path / "c.onnx", "raw", "typed", "single"], check=True)
    assert (tmp_path / "c.onnx").read_bytes() == data


def test_patched_copy_of_external_data(tmp_path):
    (tmp_path / "in").mkdir()
    arrays = {n: np.arange(12, dtype=t).reshape(3, 4) + 1 for n, t in (("a", np.float32), ("b", np.float16), ("c", np.float64))}
    m = model([helper.make_node("Identity", ["a"], ["y"])], [numpy_helper.from_array(v, n) for n, v in arrays.items()], [], ports(y=[3, 4]))
    onnx.save(m, tmp_path / "in" / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    subprocess.run([DUMP, "--negate", tmp_path / "in" / "m.onnx", tmp_path / "out", "a", "b"], check=True)
    assert (tmp_path / "out" / "m.onnx").read_bytes() == (tmp_path / "in" / "m.onnx").read_bytes()
    onnx.checker.check_model(str(tmp_path / "out" / "m.onnx"))
    for tensor in onnx.load(tmp_path / "out" / "m.onnx").graph.initializer:
        assert np.array_equal(numpy_helper.to_array(tensor), arrays[tensor.name] * (1 if tensor.name == "c" else -1))


# ---- damaged files ---------------------------------------------------------------------------------------------------------------------

def reference_reads(data):
    """Every tensor of the file as (bytes, shape) by name, or None. Order of the messages in a file plays no part."""
    try:
        m = onnx.load_from_string(data)
        tensors = [(t.name, t) for t in m.graph.initializer]
        tensors += [(n.output[0], a.t) for n in m.graph.node if n.op_type == "Constant" and n.output and n.output[0] for a in n.attribute if a.name == "value"]
        out = {}
        for name, tensor in tensors:
            if tensor.data_type != TensorProto.STRING:
                out[name] = (numpy_helper.to_array(tensor), tensor)
        return out
    except Exception:  # noqa: BLE001 - whatever it raises is its verdict
        return None


def stricter(seen):
    """Refusals of ours that the reference library does not make, each on purpose."""
    text = seen["message"]
    return any(part in text for part in (
        "is made twice", "has no name", "is given twice", "are given twice", "not UTF-8", "a NUL in it", "more than 8 axes", "which is a group", "in segments",
        "it has no graph", "is not a model file", "looks like", "has wire type", "have a wire type", "values are in field", "external data and values",
        "a wire type that", "deeper than", "metadata \"", "a Constant with two values", "field number"))


def test_mutated_files(tmp_path):
    rng = random.Random(20170625)
    tensors = [typed("f", TensorProto.FLOAT, np.arange(6, dtype=np.float32).reshape(2, 3)), numpy_helper.from_array(np.arange(4, dtype=np.float16), "h"),
               typed("i", TensorProto.INT8, np.array([1, -2, 3], np.int8)), typed("w", TensorProto.FLOAT16, np.array([[1, 2]], np.float16))]
    nodes = [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones((3, 2), np.float32), "inner")),
             helper.make_node("MatMul", ["f", "c"], ["y"]), helper.make_node("DequantizeLinear", ["i", "s", "z"], ["d"], axis=0)]
    m = model(nodes, tensors, [], ports(y=[2, 2]))
    helper.set_model_props(m, {"k": "v"})
    sound = m.SerializeToString()
    blobs = []
    for _ in range(1500):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                data[at] = (data[at] + rng.choice((1, -1))) % 256
            elif len(data) > 20:
                del data[at:at + rng.randrange(1, 3)]
        blobs.append(bytes(data))
    paths = []
    for i, blob in enumerate(blobs):
        paths.append(tmp_path / f"{i}.onnx")
        paths[-1].write_bytes(blob)
    both = 0
    for blob, seen in zip(blobs, dump(*paths), strict=True):
        theirs = reference_reads(blob)
        if seen["status"] != "ok":
            assert theirs is None or stricter(seen), (blob, seen)
            continue
        if theirs is None:
            continue
        both += 1
        ours = {t["name"]: t for t in seen["tensors"]}
        assert set(theirs) == set(ours) - {n for n, t in ours.items() if t["blake2b"] is None and not t["damage"]}, (blob, seen)
        for name, (array, tensor) in theirs.items():
            assert ours[name]["damage"] or ours[name]["shape"] == list(tensor.dims), (blob, name)
            same = ours[name]["blake2b"] == digest(numpy_helper.from_array(array, name).raw_data)
            assert ours[name]["damage"] or same or (ours[name]["writable"] and ours[name]["values"]), (blob, name)
    assert both > 200


# ---- files that others wrote -----------------------------------------------------------------------------------------------------------

def constants(graph):
    """Of the graph and those within: (name, tensor)."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], attribute.t
            for inner in [attribute.g] if attribute.type == onnx.AttributeProto.GRAPH else attribute.graphs:
                yield from constants(inner)


@pytest.mark.parametrize("package,folder", [("silero_vad", "data"), ("rapidocr_onnxruntime", "models")])
def test_networks_from_packages(package, folder):
    import importlib.util

    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"the Python package {package} is not installed")
    paths = sorted((pathlib.Path(found.origin).parent / folder).glob("*.onnx"))
    assert paths
    for path in paths:
        seen = dump_one(path)
        theirs = [(n, t) for n, t in constants(onnx.load(path).graph) if t.data_type != TensorProto.STRING]
        recurrent = {i for n in onnx.load(path).graph.node if n.op_type == "LSTM" for i in n.input[1:3]}  # see test_recurrent
        assert len(theirs) == len(seen) and len(seen) > 0
        for name, tensor in theirs:
            if name in recurrent:
                assert seen[name]["shape"] == list(tensor.dims)[1:]
                continue
            ours = seen.get(name) or next(t for n, t in seen.items() if n.endswith("/" + name))
            assert ours["shape"] == list(tensor.dims)
            if name in seen:
                assert ours["blake2b"] == digest(numpy_helper.from_array(numpy_helper.to_array(tensor), name).raw_data), (path, name)
