"""Agreement with LiteRT (TensorFlow Lite): models written through its schema and run by its interpreter have the constants that weightmark lists, scaled integers have the values that
its DEQUANTIZE gives, and a patched copy loads, differs in the patched tensors and computes with them. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import hashlib
import json
import os
import subprocess

import pytest

np = pytest.importorskip("numpy")
flatbuffers = pytest.importorskip("flatbuffers", reason="the Python package flatbuffers is not installed")
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="the reference library (Python package ai-edge-litert) is not installed")
from ai_edge_litert import schema_py_generated as schema  # noqa: E402

DUMP = os.environ["INTEROP_MODEL_DUMP"]
KINDS = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float64": 10, "uint32": 15}
WORDS = {"float32": "f32", "float16": "f16", "float64": "f64", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "u8", "uint32": "u32",
         "bool": "bool"}
Op, Options = schema.BuiltinOperator, schema.BuiltinOptions


class Builder:
    """A model of one subgraph, operator by operator."""

    def __init__(self):
        self.tensors, self.operators, self.codes, self.inputs, self.outputs = [], [], [], [], []
        self.buffers = [schema.BufferT()]

    def tensor(self, name, shape, kind="float32", buffer=0, scale=None, zero=None, dimension=0):
        quantization = None
        if scale is not None:
            quantization = schema.QuantizationParametersT(scale=list(scale), zeroPoint=list(zero), quantizedDimension=dimension)
        number = KINDS[kind] if isinstance(kind, str) else kind
        self.tensors.append(schema.TensorT(shape=list(shape), type=number, buffer=buffer, name=name, quantization=quantization))
        return len(self.tensors) - 1

    def constant(self, name, array, **more):
        array = np.ascontiguousarray(array)
        self.buffers.append(schema.BufferT(data=np.frombuffer(array.tobytes(), np.uint8)))
        return self.tensor(name, more.pop("shape", array.shape), more.pop("kind", array.dtype.name), buffer=len(self.buffers) - 1, **more)

    def input(self, name, shape):
        self.inputs.append(self.tensor(name, shape))
        return self.inputs[-1]

    def operator(self, code, inputs, output, options=None):
        kind = getattr(Options, type(options).__name__[:-1]) if options else 0
        if code not in self.codes:
            self.codes.append(code)
        self.operators.append(schema.OperatorT(opcodeIndex=self.codes.index(code), inputs=inputs, outputs=[output], builtinOptionsType=kind,
                                               builtinOptions=options))
        self.outputs.append(output)

    def pack(self):
        graph = schema.SubGraphT(tensors=self.tensors, inputs=self.inputs, outputs=self.outputs, operators=self.operators, name="main")
        codes = [schema.OperatorCodeT(deprecatedBuiltinCode=min(c, 127), builtinCode=c, version=self.version(c)) for c in self.codes]
        model = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], description="interop", buffers=self.buffers)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    @staticmethod
    def version(code):
        return {Op.DEQUANTIZE: 5, Op.BATCH_MATMUL: 1, Op.CONV_3D: 1}.get(code, 1)


def dump(path):
    out = subprocess.run([DUMP, str(path)], capture_output=True, text=True, check=True)
    seen = json.loads(out.stdout)
    assert seen["status"] == "ok", seen
    return {t["name"]: t for t in seen["tensors"]}, seen["metadata"]


def digest(array):
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=32).hexdigest()


def values(array):
    return digest(np.asarray(array, np.float64))


def interpreter(path):
    made = litert.Interpreter(str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    made.allocate_tensors()
    return made


def run(path, **inputs):
    """The network's outputs by name."""
    made = interpreter(path)
    for detail in made.get_input_details():
        made.set_tensor(detail["index"], inputs[detail["name"]])
    made.invoke()
    return {detail["name"]: made.get_tensor(detail["index"]) for detail in made.get_output_details()}


def constants(path):
    made = interpreter(path)
    out = {}
    for detail in made.get_tensor_details():
        if detail["name"].startswith("w/"):
            out[detail["name"]] = made.get_tensor(detail["index"])
    return out


rng = np.random.default_rng(7)


def floats(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def network():
    """Each operator whose weights have a layout, on the same few inputs."""
    b = Builder()
    image, row = b.input("image", (1, 6, 6, 4)), b.input("row", (1, 6))
    bias = b.constant("w/bias", floats(5))
    conv = b.constant("w/conv", floats(5, 3, 3, 4))
    out = b.tensor("net/conv/out", (1, 4, 4, 5))
    b.operator(Op.CONV_2D, [image, conv, bias], out, schema.Conv2DOptionsT(padding=1, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1))
    deep, deep_bias = b.constant("w/depthwise", floats(1, 3, 3, 8)), b.constant("w/depthwise_bias", floats(8))
    out = b.tensor("net/depthwise/out", (1, 4, 4, 8))
    b.operator(Op.DEPTHWISE_CONV_2D, [image, deep, deep_bias], out, schema.DepthwiseConv2DOptionsT(
        padding=1, strideW=1, strideH=1, depthMultiplier=2, dilationWFactor=1, dilationHFactor=1))
    dense = b.constant("w/dense", floats(3, 6))
    b.operator(Op.FULLY_CONNECTED, [row, dense, -1], b.tensor("net/dense/out;x", (1, 3)), schema.FullyConnectedOptionsT())
    named = b.constant("arith.constant7", floats(2, 6))
    b.operator(Op.FULLY_CONNECTED, [row, named, -1], b.tensor("net/named;add", (1, 2)), schema.FullyConnectedOptionsT())
    size, up = b.constant("w/size", np.array([1, 13, 13, 3], np.int32)), b.constant("w/transposed", floats(3, 3, 3, 4))
    b.operator(Op.TRANSPOSE_CONV, [size, up, image], b.tensor("net/up", (1, 13, 13, 3)), schema.TransposeConvOptionsT(padding=1, strideW=2, strideH=2))
    right, left = b.constant("w/matmul", floats(6, 2)), b.constant("w/matmul_adjoint", floats(2, 6))
    b.operator(Op.BATCH_MATMUL, [row, right], b.tensor("net/matmul", (1, 2)), schema.BatchMatMulOptionsT())
    b.operator(Op.BATCH_MATMUL, [row, left], b.tensor("net/adjoint", (1, 2)), schema.BatchMatMulOptionsT(adjY=True))
    half = b.constant("w/half", floats(4, 6, dtype=np.float16))
    wide = b.tensor("wide", (4, 6))
    b.operator(Op.DEQUANTIZE, [half], wide)
    b.operator(Op.FULLY_CONNECTED, [row, wide, -1], b.tensor("net/half", (1, 4)), schema.FullyConnectedOptionsT())
    volume, cube = b.input("volume", (1, 3, 3, 3, 2)), b.constant("w/conv3d", floats(2, 2, 2, 2, 3))
    b.operator(Op.CONV_3D, [volume, cube], b.tensor("net/conv3d", (1, 2, 2, 2, 3)), schema.Conv3DOptionsT(
        padding=1, strideW=1, strideH=1, strideD=1, dilationWFactor=1, dilationHFactor=1, dilationDFactor=1))
    table, ids = b.constant("w/embedding;t;u", floats(7, 3)), b.constant("w/ids", np.array([2], np.int32))
    b.operator(Op.EMBEDDING_LOOKUP, [ids, table], b.tensor("net/embedded", (1, 3)))
    return b.pack()


LAYOUTS = {"w/conv": "OHWI", "w/depthwise": "IHWO", "w/dense": "OI", "arith.constant7": "OI", "w/transposed": "OHWI", "w/matmul": "IO",
           "w/matmul_adjoint": "OI", "w/half": "OI", "w/conv3d": "DHWIO", "w/embedding;t;u": "OI"}
INPUTS = {"image": floats(1, 6, 6, 4), "row": floats(1, 6), "volume": floats(1, 3, 3, 3, 2)}


def test_constants_layouts_and_names(tmp_path):
    (tmp_path / "a.tflite").write_bytes(network())
    seen, metadata = dump(tmp_path / "a.tflite")
    theirs = constants(tmp_path / "a.tflite")
    assert metadata == {"description": "interop"}
    assert len(theirs) == 13 and set(seen) == set(theirs) | {"arith.constant7"}
    for name, array in theirs.items():
        tensor = seen[name]
        assert (tensor["dtype"], tensor["shape"]) == (WORDS[array.dtype.name], list(array.shape))
        assert tensor["blake2b"] == digest(array)
        assert tensor["values"] == (values(array) if array.dtype.kind == "f" else None)
    assert {name: t["layout"] for name, t in seen.items() if t["layout_known"]} == LAYOUTS
    assert all(t["layout"] == "" for t in seen.values() if not t["layout_known"])
    assert {name: t["alias"] for name, t in seen.items() if t["alias"]} == {"arith.constant7": "net/named", "w/embedding;t;u": "w/embedding"}


def test_layouts_are_what_the_operators_compute():
    """With "OHWI" and so on read from the weights' axes, numpy gets the interpreter's numbers: an output unit's weights are those at its index of O."""
    import tempfile
    with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
        file.write(network())
        file.flush()
        seen, _ = dump(file.name)
        weights, outputs = constants(file.name), run(file.name, **INPUTS)

    def canonical(name, order):
        return weights[name].transpose([seen[name]["layout"].index(axis) for axis in order]).astype(np.float64)

    image, row, volume = INPUTS["image"], INPUTS["row"], INPUTS["volume"]
    patches = np.lib.stride_tricks.sliding_window_view(image[0], (3, 3), (0, 1))  # [4, 4, channel, h, w]
    near = dict(rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(outputs["net/conv/out"][0], np.einsum("yxihw,oihw->yxo", patches, canonical("w/conv", "OIHW")) + weights["w/bias"], **near)
    deep = np.einsum("yxihw,oqhw->yxoi", patches, canonical("w/depthwise", "OIHW"))  # filter o sees channel o / multiplier
    np.testing.assert_allclose(outputs["net/depthwise/out"][0], np.stack([deep[:, :, o, o // 2] for o in range(8)], -1) + weights["w/depthwise_bias"], **near)
    for name, weight in (("net/dense/out;x", "w/dense"), ("net/matmul", "w/matmul"), ("net/adjoint", "w/matmul_adjoint"), ("net/half", "w/half")):
        np.testing.assert_allclose(outputs[name], row @ canonical(weight, "OI").T, **near)
    blocks = np.lib.stride_tricks.sliding_window_view(volume[0], (2, 2, 2), (0, 1, 2))  # [2, 2, 2, channel, d, h, w]
    np.testing.assert_allclose(outputs["net/conv3d"][0], np.einsum("zyxidhw,oidhw->zyxo", blocks, canonical("w/conv3d", "OIDHW")), **near)
    up = np.zeros((13, 13, 3))
    for y in range(6):
        for x in range(6):
            up[2 * y:2 * y + 3, 2 * x:2 * x + 3] += np.einsum("i,oihw->hwo", image[0, y, x], canonical("w/transposed", "OIHW"))
    np.testing.assert_allclose(outputs["net/up"][0], up, **near)


def quantised():
    """Scaled integers of every kind, each through DEQUANTIZE; name -> output's name."""
    b = Builder()
    b.inputs.append(b.tensor("unused", (1,)))
    cases = []

    def add(name, array, **more):
        shape = more.get("shape", array.shape)
        constant = b.constant(name, array, **more)
        b.operator(Op.DEQUANTIZE, [constant], b.tensor("out/" + name, shape))
        cases.append(name)

    def integers(kind, *shape):
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, size=shape, endpoint=True, dtype=kind)

    add("i8", integers(np.int8, 5, 7), scale=[0.05], zero=[-3])
    add("u8", integers(np.uint8, 5, 7), scale=[0.01], zero=[128])
    add("i16", integers(np.int16, 3, 3), scale=[1e-4], zero=[0])
    scales = rng.uniform(1e-3, 1, 4).astype(np.float32)
    add("i8/axis0", integers(np.int8, 4, 3, 3, 2), scale=scales, zero=[0] * 4, dimension=0)
    add("i8/axis3", integers(np.int8, 1, 3, 3, 4), scale=scales, zero=[0, 1, -2, 3], dimension=3)
    add("i8/axis1", integers(np.int8, 2, 4, 3), scale=scales, zero=[0, 1, -2, 3], dimension=1)
    nibbles = rng.integers(-8, 8, size=15)
    packed = np.append(nibbles, 0).reshape(-1, 2) & 15
    add("i4", (packed[:, 0] | packed[:, 1] << 4).astype(np.uint8), shape=(3, 5), kind=17, scale=[0.25], zero=[0])
    return b.pack(), cases


def test_scaled_integers(tmp_path):
    model, cases = quantised()
    (tmp_path / "q.tflite").write_bytes(model)
    seen, _ = dump(tmp_path / "q.tflite")
    outputs = run(tmp_path / "q.tflite", unused=np.zeros(1, np.float32))
    assert set(seen) == set(cases)
    for name in cases:
        theirs = outputs["out/" + name]
        assert seen[name]["shape"] == list(theirs.shape) and not seen[name]["writable"]
        assert seen[name]["values"] is not None
        assert seen[name]["values_f32"] == digest(theirs), name  # it computes in float


def test_a_patched_copy(tmp_path):
    before, after = tmp_path / "a.tflite", tmp_path / "b.tflite"
    before.write_bytes(network())
    names = ["w/dense", "w/half", "w/conv"]
    subprocess.run([DUMP, "--negate", before, after, *names], check=True)
    old, new = constants(before), constants(after)
    for name in old:
        np.testing.assert_array_equal(new[name], -old[name] if name in names else old[name])
    outputs, changed = run(before, **INPUTS), run(after, **INPUTS)
    for name in outputs:
        expected = outputs[name]
        if name in ("net/dense/out;x", "net/half", "wide"):
            expected = -expected
        elif name == "net/conv/out":
            expected = 2 * old["w/bias"] - expected
        np.testing.assert_allclose(changed[name], expected, rtol=1e-5, atol=1e-5)
    a, b = before.read_bytes(), after.read_bytes()
    assert len(a) == len(b) and sum(x != y for x, y in zip(a, b)) == sum(old[name].size for name in names)  # one byte an element: its sign


def test_shared_buffers_and_subgraphs(tmp_path):
    """Two subgraphs that show one buffer under one name list it once; under two names, twice."""
    b = Builder()
    row = b.input("row", (1, 6))
    weight = b.constant("w/shared", floats(3, 6))
    b.operator(Op.FULLY_CONNECTED, [row, weight, -1], b.tensor("y", (1, 3)), schema.FullyConnectedOptionsT())
    b.tensor("w/other", (3, 6), buffer=1)
    graphs = []
    for name in ("first", "second"):
        graphs.append(schema.SubGraphT(tensors=b.tensors, inputs=b.inputs, outputs=b.outputs, operators=b.operators, name=name))
    model = schema.ModelT(version=3, operatorCodes=[schema.OperatorCodeT(deprecatedBuiltinCode=9, builtinCode=9, version=1)], subgraphs=graphs,
                          description="", buffers=b.buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    (tmp_path / "a.tflite").write_bytes(bytes(builder.Output()))
    out = json.loads(subprocess.run([DUMP, str(tmp_path / "a.tflite")], capture_output=True, text=True, check=True).stdout)
    assert [(t["name"], t["layout"]) for t in out["tensors"]] == [("w/shared", "OI"), ("w/other", "")]
    assert out["tensors"][0]["blake2b"] == out["tensors"][1]["blake2b"]
