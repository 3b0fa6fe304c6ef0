"""ONNX files that PyTorch's exporters and onnxruntime's quantisers write: every layer's weight is found under its author's name, with its axes, and with the values of the network it was made
from; quantised ones equal NumPy's dequantisation. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import hashlib
import inspect
import json
import logging
import os
import subprocess
import warnings

import pytest

onnx = pytest.importorskip("onnx", reason="the reference library (Python package onnx) is not installed")
torch = pytest.importorskip("torch", reason="PyTorch is not installed")
np = pytest.importorskip("numpy")
from onnx import numpy_helper  # noqa: E402
from torch import nn  # noqa: E402

DUMP = os.environ["INTEROP_MODEL_DUMP"]


def dump_one(path):
    out = subprocess.run([DUMP, path], capture_output=True, text=True, check=True)
    seen = json.loads(out.stdout)
    assert seen["status"] == "ok", seen["message"]
    return {t["name"]: t for t in seen["tensors"]}


def digest_of_values(array):
    return hashlib.blake2b(np.ascontiguousarray(array, np.float64).tobytes(), digest_size=32).hexdigest()


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query, self.key, self.out = nn.Linear(width, width), nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(x + self.out(torch.softmax(self.query(x) @ self.key(x).transpose(1, 2), -1) @ x))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, groups=2))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.proj, self.emb = nn.Linear(8, 32), nn.Embedding(10, 32)
        self.layers = nn.ModuleList([Attention(32), Attention(32)])
        self.lstm = nn.LSTM(32, 16, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(32, 5)

    def forward(self, x, i):
        x = self.depthwise(torch.relu(self.up(self.conv(x))))
        x = self.proj(x.flatten(2).transpose(1, 2)) + self.emb(i)
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.lstm(x)[0][:, -1])


WEIGHTS = {"conv.0": "OIHW", "conv.3": "OIHW", "up": "IOHW", "depthwise": "OIHW", "proj": "OI", "emb": "OI", "layers.0.query": "OI", "layers.0.key": "OI",
           "layers.0.out": "OI", "layers.1.query": "OI", "layers.1.key": "OI", "layers.1.out": "OI", "fc": "OI"}
QUANTISED_WEIGHTS = [w for w in WEIGHTS if w not in ("emb", "up")]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(7)
    net = Network().eval()
    with torch.no_grad():
        net.conv[1].running_mean.normal_()
        net.conv[1].running_var.uniform_(0.5, 2)
    return net


def example(net):
    x = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    tokens = net.depthwise(torch.relu(net.up(net.conv(x)))).flatten(2).shape[2]
    return x, torch.arange(tokens).reshape(1, -1) % 10


def export(net, inputs, path, dynamo, **arguments):
    """By torch.onnx; dynamo: the newer one of its exporters."""
    if dynamo:
        pytest.importorskip("onnxscript", reason="the Python package onnxscript is not installed")
    if "dynamo" in inspect.signature(torch.onnx.export).parameters:
        arguments["dynamo"] = dynamo
    elif dynamo:
        pytest.skip("this PyTorch has only the older exporter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, inputs, str(path), **arguments)


NAMES = {"input_names": ["x", "i"], "output_names": ["y"]}


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export(network, example(network), path, dynamo=False, opset_version=16, **NAMES)
    return path


def expected(network, name):
    """The weight as PyTorch has it; conv.0 with the batch normalisation after it folded in, as the exporters do."""
    weight = network.get_parameter(name + ".weight").detach().double().numpy()
    if name == "conv.0":
        norm = network.conv[1]
        factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = weight * factor.detach().numpy()[:, None, None, None]
    return weight


def by_author(seen):
    """Tensors under the names that the network's author gave."""
    return {tensor["alias"] or name: tensor for name, tensor in seen.items() if tensor["layout"]}


def in_order_of(layout, array, axes):
    """`array`, whose axes are `axes`, with its axes as `layout` has them."""
    return array.transpose([axes.index(c) for c in layout])


def arrays_of(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("arguments", [{"dynamo": False, "opset_version": 16}, {"dynamo": True, "external_data": False}, {"dynamo": True, "external_data": True}],
                         ids=["older", "newer", "newer-external"])
def test_exporters(network, tmp_path, arguments):
    path = tmp_path / "a.onnx"
    export(network, example(network), path, **arguments, **NAMES)
    seen, arrays = by_author(dump_one(path)), arrays_of(path)
    names = {t["alias"] or n: n for n, t in dump_one(path).items()}
    for name, axes in WEIGHTS.items():
        tensor, array, weight = seen[name + ".weight"], arrays[names[name + ".weight"]], expected(network, name)
        assert tensor["layout_known"] == (name != "emb"), name
        ours = in_order_of(tensor["layout"], weight, axes)
        assert tensor["shape"] == list(ours.shape) and np.allclose(array, ours, rtol=1e-5, atol=1e-7), name
        assert tensor["values"] == digest_of_values(array) and tensor["writable"], name
    for name in ("weight_ih_l0", "weight_hh_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse"):
        tensor, weight = seen["lstm." + name], network.get_parameter("lstm." + name).detach().numpy()
        assert tensor["shape"] == list(weight.shape) and tensor["layout"] == "OI" and tensor["values"] == digest_of_values(weight)
    if arguments.get("external_data"):
        assert all(seen[name + ".weight"]["file"] == 1 for name in WEIGHTS)


@pytest.mark.parametrize("dynamo", [False, True])
def test_layers_of_recurrent_networks(tmp_path, dynamo):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.LSTM(6, 4, num_layers=2, bidirectional=True), nn.GRU(8, 5, num_layers=3), nn.LSTM(5, 2)

        def forward(self, x):
            return self.c(self.b(self.a(x)[0])[0])[0]

    net = Net().eval()
    export(net, (torch.randn(2, 5, 6),), tmp_path / "a.onnx", dynamo)
    seen = by_author(dump_one(tmp_path / "a.onnx"))
    weights = {name: value for name, value in net.named_parameters() if "weight" in name}
    assert len(weights) == 16
    for name, value in weights.items():
        assert seen[name]["values"] == digest_of_values(value.detach().numpy()), name


def test_twins(tmp_path):
    """Of two equal parameters the older exporter writes one."""
    net = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4))
    export(net, (torch.randn(2, 4),), tmp_path / "a.onnx", dynamo=False)
    seen = dump_one(tmp_path / "a.onnx")
    assert [t["alias"] for n, t in seen.items() if n.endswith("weight")] == ["1.weight"]


# ---- onnxruntime's quantisers ----------------------------------------------------------------------------------------------------------

def quantisers():
    logging.getLogger().setLevel(logging.ERROR)
    return pytest.importorskip("onnxruntime.quantization", reason="the Python package onnxruntime is not installed")


def reader(q, net):
    class Reader(q.CalibrationDataReader):
        left = [dict(zip("xi", (v.numpy() for v in example(net)), strict=True)) for _ in range(2)]

        def get_next(self):
            return self.left.pop() if self.left else None

    return Reader()


def check_quantised(network, path, weights, tolerance=0.51):
    """Values are (q - zero) * scale in NumPy, along the axis that fits; and near the weights they were made from."""
    seen, arrays = dump_one(path), arrays_of(path)
    names = {(t["alias"] or n).removesuffix(".weight"): n for n, t in seen.items()}
    for name in weights:
        own = names[name]
        tensor, stored = seen[own], arrays[own].astype(np.float64)
        base = own.removesuffix("_quantized")
        scale, zero = arrays[base + "_scale"].astype(np.float64), arrays[base + "_zero_point"].astype(np.float64)
        if scale.size > 1:
            shape = [1] * stored.ndim
            shape[tensor["layout"].index("O")] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        values = (stored - zero) * scale
        assert tensor["values"] == digest_of_values(values), name
        assert not tensor["writable"] and tensor["layout_known"] == (name != "emb"), name
        weight = in_order_of(tensor["layout"], expected(network, name), WEIGHTS[name])
        assert np.all(np.abs(values - weight) <= tolerance * scale), name


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_static(network, exported, tmp_path, form, per_channel, kind):
    q = quantisers()
    q.quantize_static(exported, tmp_path / "a.onnx", reader(q, network), quant_format=q.QuantFormat[form], per_channel=per_channel,
                      activation_type=q.QuantType.QUInt8, weight_type=q.QuantType[kind])
    check_quantised(network, tmp_path / "a.onnx", QUANTISED_WEIGHTS + ["emb"] + (["up"] if form == "QDQ" else []))
    for name, tensor in dump_one(tmp_path / "a.onnx").items():
        if form == "QDQ" and name.endswith("_quantized"):
            assert tensor["values"], name  # biases too


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_dynamic(network, exported, tmp_path, per_channel, kind):
    q = quantisers()
    q.quantize_dynamic(exported, tmp_path / "a.onnx", per_channel=per_channel, weight_type=q.QuantType[kind])
    check_quantised(network, tmp_path / "a.onnx", QUANTISED_WEIGHTS)
    seen, arrays = dump_one(tmp_path / "a.onnx"), arrays_of(tmp_path / "a.onnx")
    recurrent = [n for n, t in seen.items() if t["layout"] == "DIO"]
    assert len(recurrent) == 2
    for name in recurrent:
        scale, zero = (arrays[name.removesuffix("_quantized") + end].astype(np.float64) for end in ("_scale", "_zero_point"))
        scale, zero = (a[:, None, :] if a.ndim == 2 else a[:, None, None] for a in (scale, zero))
        assert seen[name]["values"] == digest_of_values((arrays[name] - zero) * scale)


@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_four_bits(network, exported, tmp_path, form, symmetric):
    q = quantisers()
    narrow = pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer", reason="onnxruntime is too old")
    quantiser = narrow.MatMulNBitsQuantizer(onnx.load(exported), block_size=16, is_symmetric=symmetric, quant_format=q.QuantFormat[form])
    quantiser.process()
    quantiser.model.save_model_to_file(str(tmp_path / "a.onnx"))
    seen, arrays = dump_one(tmp_path / "a.onnx"), arrays_of(tmp_path / "a.onnx")
    names = {(t["alias"] or n).removesuffix(".weight"): n for n, t in seen.items()}
    for name in [w for w in WEIGHTS if w.startswith(("proj", "layers"))]:
        own = names[name]
        base = own.removesuffix("_Q4")
        weight, scale = expected(network, name), arrays[base + "_scales"].astype(np.float64)
        rows, columns = weight.shape
        if form == "QOperator":  # [rows, blocks, bytes], low half first
            stored = np.stack([arrays[own] & 15, arrays[own] >> 4], -1).reshape(rows, -1)[:, :columns].astype(np.float64)
            scale = np.repeat(scale.reshape(rows, -1), 16, 1)[:, :columns]
            zero = 8
            if not symmetric:
                halves = arrays[base + "_zero_points"].reshape(rows, -1)
                zero = np.repeat(np.stack([halves & 15, halves >> 4], -1).reshape(rows, -1), 16, 1)[:, :columns].astype(np.float64)
            values, layout = (stored - zero) * scale, "OI"
        else:  # [columns, rows] in blocks along the first axis
            scale = np.repeat(scale, 16, 0)[:columns]
            zero = np.repeat(arrays[base + "_zero_points"].astype(np.float64), 16, 0)[:columns] if base + "_zero_points" in arrays else 0
            values, layout = (arrays[own].astype(np.float64) - zero) * scale, "IO"
        assert (seen[own]["layout"], seen[own]["layout_known"], seen[own]["shape"]) == (layout, True, list(values.shape)), name
        assert seen[own]["values"] == digest_of_values(values), name
        assert np.all(np.abs(values - in_order_of(layout, weight, "OI")) <= 1.01 * np.abs(scale)), name


def test_marked_copy_runs(network, exported, tmp_path):
    """A copy whose weights are changed a little runs in onnxruntime with nearly the same outputs; unchanged copies with the same."""
    runtime = pytest.importorskip("onnxruntime", reason="the Python package onnxruntime is not installed")
    names = [n for n, t in dump_one(exported).items() if t["alias"] == "layers.0.out.weight"]
    subprocess.run([DUMP, "--negate", exported, tmp_path / "a.onnx", *names], check=True)
    onnx.checker.check_model(str(tmp_path / "a.onnx"), full_check=True)
    feed = dict(zip("xi", (v.numpy() for v in example(network)), strict=True))
    with torch.no_grad():
        network.layers[0].out.weight.neg_()
        wanted = network(*example(network)).numpy()
        network.layers[0].out.weight.neg_()
        before = network(*example(network)).numpy()
    now = runtime.InferenceSession(str(tmp_path / "a.onnx")).run(None, feed)[0]
    assert np.allclose(now, wanted, atol=1e-5) and not np.allclose(now, before, atol=1e-3)


# ---- quantised operators, computed by onnxruntime --------------------------------------------------------------------------------------

def run_operator(path, node, tensors, x, **domains):
    """The node's output in onnxruntime, and what is read of its tensors."""
    runtime = pytest.importorskip("onnxruntime", reason="the Python package onnxruntime is not installed")
    helper = onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", kind, x.shape)],
                              [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)], tensors)
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)])
    onnx.save(model, path)
    return runtime.InferenceSession(str(path)).run(None, {"x": x})[0], dump_one(path)


def powers(rng, *shape):
    """Scales that are powers of two: their products are exact in every precision."""
    return np.exp2(rng.integers(-3, 3, size=shape)).astype(np.float32)


def as_four_bits(array, name, kind):
    return numpy_helper.from_array(array.astype(onnx.helper.tensor_dtype_to_np_dtype(kind)), name)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zero", [None, "packed", "float"])
@pytest.mark.parametrize("n,k,block", [(3, 32, 16), (5, 40, 16), (4, 96, 32)])
def test_matmul_n_bits(tmp_path, bits, zero, n, k, block):
    """The identity matrix times the weight is the weight."""
    rng = np.random.default_rng(bits)
    blocks = -(-k // block)
    if bits != 4 and zero == "float":
        pytest.skip("not computed by onnxruntime")
    tensors = [numpy_helper.from_array(rng.integers(0, 256, size=(n, blocks, block * bits // 8), dtype=np.uint8), "w"),
               numpy_helper.from_array(powers(rng, n, blocks), "s")]
    if zero == "packed":
        tensors.append(numpy_helper.from_array(rng.integers(0, 256, size=(n, -(-blocks * bits // 8)), dtype=np.uint8), "z"))
    if zero == "float":
        tensors.append(numpy_helper.from_array(rng.integers(0, 1 << bits, size=(n, blocks)).astype(np.float32), "z"))
    node = onnx.helper.make_node("MatMulNBits", ["x", "w", "s"] + (["z"] if zero else []), ["y"], domain="com.microsoft", N=n, K=k, bits=bits, block_size=block)
    y, seen = run_operator(tmp_path / "a.onnx", node, tensors, np.eye(k, dtype=np.float32))
    assert (seen["w"]["shape"], seen["w"]["layout"]) == ([n, k], "OI")
    assert seen["w"]["values"] == digest_of_values(y.T)


@pytest.mark.parametrize("kind", ["UINT8", "UINT4", "INT4"])
@pytest.mark.parametrize("zero", [True, False])
def test_gather_block_quantized(tmp_path, kind, zero):
    """Every row of a table."""
    rng = np.random.default_rng(4)
    tensors = [numpy_helper.from_array(powers(rng, 6, 4), "s")]
    if kind == "UINT8":
        tensors.append(numpy_helper.from_array(rng.integers(0, 256, size=(6, 32), dtype=np.uint8), "w"))
        tensors.append(numpy_helper.from_array(rng.integers(0, 256, size=(6, 2), dtype=np.uint8), "z"))
    else:
        low = 0 if kind == "UINT4" else -8
        tensors.append(as_four_bits(rng.integers(low, low + 16, size=(6, 64)), "w", getattr(onnx.TensorProto, kind)))
        tensors.append(as_four_bits(rng.integers(low, low + 16, size=(6, 4)), "z", getattr(onnx.TensorProto, kind)))
    node = onnx.helper.make_node("GatherBlockQuantized", ["w", "x", "s"] + (["z"] if zero else []), ["y"], domain="com.microsoft", block_size=16,
                                 **({"bits": 4} if kind == "UINT8" else {}))
    y, seen = run_operator(tmp_path / "a.onnx", node, tensors, np.arange(6))
    assert seen["w"]["shape"] == [6, 64] and seen["w"]["values"] == digest_of_values(y)


@pytest.mark.parametrize("kind,scales,more", [
    ("INT8", (), {}), ("UINT8", (6,), {"axis": 1}), ("INT16", (4,), {"axis": 0}), ("UINT16", (5,), {"axis": -1}), ("INT32", (5,), {"axis": 2}),
    ("INT4", (2, 6, 5), {"axis": 0, "block_size": 2}), ("UINT4", (4, 6, 2), {"axis": 2, "block_size": 3}), ("INT8", (4, 2, 5), {"axis": 1, "block_size": 4}),
    ("FLOAT8E4M3FN", (4,), {"axis": 0})])
def test_dequantize_linear(tmp_path, kind, scales, more):
    """The operator's own result, on a tensor that is handed to it at run time and one that is stored."""
    rng = np.random.default_rng(5)
    data_type = getattr(onnx.TensorProto, kind)
    low, high = {"INT8": (-128, 128), "UINT8": (0, 256), "INT4": (-8, 8), "UINT4": (0, 16), "FLOAT8E4M3FN": (-8, 8)}.get(kind, (0, 1000))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    stored, zero = rng.integers(low, high, size=(4, 6, 5)).astype(dtype), rng.integers(low, high, size=scales).astype(dtype)
    tensors = [numpy_helper.from_array(stored, "w"), numpy_helper.from_array(powers(rng, *scales), "s"), numpy_helper.from_array(zero, "z")]
    has_zero = not kind.startswith(("FLOAT", "INT32"))
    node = onnx.helper.make_node("DequantizeLinear", ["w", "s"] + (["z"] if has_zero else []), ["y"], **more)
    y, seen = run_operator(tmp_path / "a.onnx", node, tensors, np.zeros(1, np.float32))
    assert seen["w"]["shape"] == [4, 6, 5] and seen["w"]["values"] == digest_of_values(y)
