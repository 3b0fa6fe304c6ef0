"""Agreement with PyTorch on its own files: what torch.save and torch.jit.save write, in both forms, is read equal tensor for tensor; changed files load again and differ only in what was
changed; on damaged pickles nothing is read that torch reads otherwise. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import argparse
import collections
import hashlib
import io
import json
import os
import random
import subprocess
import warnings
import zipfile

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
np = pytest.importorskip("numpy")

DUMP = os.environ["INTEROP_MODEL_DUMP"]
FORMS = {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}
warnings.filterwarnings("ignore", category=UserWarning)  # of what torch will drop: TypedStorage, quantised tensors
warnings.filterwarnings("ignore", category=DeprecationWarning)

form = pytest.mark.parametrize("form", FORMS)


def dump(*paths):
    out = subprocess.run([DUMP], input="".join(f"{p}\n" for p in paths), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def read(path):
    (seen,) = dump(path)
    assert seen["status"] == "ok", seen["message"]
    return {t["name"]: t for t in seen["tensors"]}


def digest(data):
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def raw(tensor):
    """The bytes of the elements in row-major order."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def values(tensor):
    return digest(tensor.detach().to(torch.float64).contiguous().numpy().tobytes())


def save(objects, path, form="zip"):
    torch.save(objects, path, **FORMS[form])
    return path


def load(path):
    return torch.load(path, weights_only=True)


def negate(source, target, *names):
    done = subprocess.run([DUMP, "--negate", source, target, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check_equal(seen, tensors):
    assert list(seen) == list(tensors)
    for name, tensor in tensors.items():
        assert seen[name]["shape"] == list(tensor.shape), name
        if tensor.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            assert seen[name]["values"] == values(tensor), name
        elif seen[name]["blake2b"]:
            assert seen[name]["blake2b"] == digest(raw(tensor)), name


# ---- types and shapes ------------------------------------------------------------------------------------------------------------------

NAMES = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "int64": "i64", "int32": "i32", "int16": "i16", "int8": "i8", "uint8": "u8",
         "bool": "bool", "complex64": "c64", "complex128": "c128", "uint16": "u16", "uint32": "u32", "uint64": "u64", "float8_e5m2": "f8_e5m2",
         "float8_e4m3fn": "f8_e4m3", "float8_e5m2fnuz": "f8_e5m2fnuz", "float8_e4m3fnuz": "f8_e4m3fnuz", "float8_e8m0fnu": "f8_e8m0"}


@form
def test_types(tmp_path, form):
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name in NAMES:
        dtype = getattr(torch, name, None)
        if dtype is not None:
            size = torch.empty((), dtype=dtype).element_size()
            data = torch.randint(0, 2 if name == "bool" else 100, (6 * size,), dtype=torch.uint8, generator=generator)
            tensors[name] = data.view(dtype).reshape(2, 3)
    assert len(tensors) >= 12
    seen = read(save(tensors, tmp_path / "a.pt", form))
    assert {n: (t["dtype"], t["shape"], t["blake2b"]) for n, t in seen.items()} == {n: (NAMES[n], [2, 3], digest(raw(t))) for n, t in tensors.items()}
    for name in ("float64", "float32", "float16", "bfloat16"):
        assert seen[name]["values"] == values(tensors[name]) and seen[name]["writable"]
    for name in set(tensors) & {"float8_e5m2", "float8_e4m3fn"}:
        assert seen[name]["values"] == values(tensors[name])


@form
def test_shapes(tmp_path, form):
    shapes = [(), (1,), (0,), (0, 3), (3, 0), (2, 3, 4), (1,) * 8, (2, 1, 3, 1)]
    tensors = {f"t{i}": torch.randn(shape) for i, shape in enumerate(shapes)}
    check_equal(read(save(tensors, tmp_path / "a.pt", form)), tensors)


def views():
    """Tensors that are no plain run of elements, and whether all of their elements can be written."""
    base, square = torch.randn(6, 8), torch.randn(4, 3, 5, 5)
    return {
        "slice": (base[1:4], True), "columns": (base[:, 2:5], True), "steps": (base[::2, ::3], True), "transposed": (base.t(), True),
        "row": (base[2], True), "column": (base[:, 3], True), "element": (base[4, 4], True), "channels_last": (square.to(memory_format=torch.channels_last), True),
        "permuted": (square.permute(3, 1, 0, 2), True), "half": (torch.randn(5, 4).half().t(), True), "bf16": (torch.randn(5, 4).bfloat16().t(), True),
        "double": (torch.randn(300, 7).double().t(), True), "expanded": (torch.randn(3, 1).expand(3, 4), False),
        "windows": (torch.randn(10).as_strided((4, 3), (2, 1)), False), "gaps": (torch.randn(100).as_strided((3, 4), (20, 2)), True)}


@form
def test_views(tmp_path, form):
    tensors = {name: tensor for name, (tensor, _) in views().items()}
    seen = read(save(tensors, tmp_path / "a.pt", form))
    check_equal(seen, tensors)
    assert {n: t["writable"] for n, t in seen.items()} == {n: writable for n, (_, writable) in views().items()}
    storages = {t["offset"] - t["offset"] % 64 for t in seen.values()}
    assert len(storages) < len(tensors)  # those of one storage lie in the same bytes


@form
def test_an_element_for_many(tmp_path, form):
    """A tensor of 2^40 equal elements is listed; its values, which no memory holds, are not given."""
    seen = read(save({"a": torch.ones(1).expand(1 << 20, 1 << 20)}, tmp_path / "a.pt", form))
    assert seen["a"]["shape"] == [1 << 20, 1 << 20] and seen["a"]["values"] is None


# ---- quantised -------------------------------------------------------------------------------------------------------------------------

def quantised():
    torch.manual_seed(2)
    x, y = torch.randn(6, 10), torch.randn(4, 3, 2, 2)
    scales, zeros = torch.rand(6, dtype=torch.float64) / 50 + 0.01, torch.randint(-3, 4, (6,))
    out = {"tensor": torch.quantize_per_tensor(x, 0.03, 5, torch.qint8), "unsigned": torch.quantize_per_tensor(x, 0.03, 120, torch.quint8),
           "wide": torch.quantize_per_tensor(x, 1e-5, 7, torch.qint32), "channel": torch.quantize_per_channel(x, scales, zeros, 0, torch.qint8),
           "last": torch.quantize_per_channel(x.t().contiguous(), scales, zeros, 1, torch.qint8),
           "transposed": torch.quantize_per_tensor(x, 0.03, 0, torch.qint8).t(),
           "window": torch.quantize_per_channel(y, scales[:4], zeros[:4], 0, torch.qint8)}
    try:
        out["floats"] = torch.quantize_per_channel(x, scales.float(), torch.rand(6), 0, torch.quint8)
    except (RuntimeError, TypeError):
        pass
    return out


def dequantised(q):
    """(integer - zero point) * scale, in double."""
    if q.qscheme() == torch.per_tensor_affine:
        return (q.int_repr().double() - q.q_zero_point()) * q.q_scale()
    shape = [-1 if i == q.q_per_channel_axis() else 1 for i in range(q.dim())]
    return (q.int_repr().double() - q.q_per_channel_zero_points().double().reshape(shape)) * q.q_per_channel_scales().double().reshape(shape)


@form
def test_quantised(tmp_path, form):
    tensors = quantised()
    seen = read(save(tensors, tmp_path / "a.pt", form))
    assert list(seen) == list(tensors)
    for name, q in tensors.items():
        assert torch.allclose(q.dequantize().double(), dequantised(q), rtol=1e-5, atol=1e-6), name  # the formula is torch's
        assert seen[name]["values"] == values(dequantised(q)), name
        assert seen[name]["dtype"] == {torch.qint8: "i8", torch.quint8: "u8", torch.qint32: "i32"}[q.dtype]


def test_quantised_changed(tmp_path):
    tensors = quantised()
    tensors = {n: t for n, t in tensors.items() if n != "floats"}
    negate(save(tensors, tmp_path / "a.pt"), tmp_path / "b.pt", *tensors)
    for name, after in torch.load(tmp_path / "b.pt", weights_only=False).items():  # older restricted loaders know no quantised tensors
        scale = tensors[name].q_scale() if tensors[name].qscheme() == torch.per_tensor_affine else tensors[name].q_per_channel_scales().max().item()
        low, high = torch.iinfo(after.int_repr().dtype).min, torch.iinfo(after.int_repr().dtype).max
        inside = (after.int_repr() > low) & (after.int_repr() < high)
        assert inside.float().mean() > 0.9
        assert torch.all(((dequantised(after) + dequantised(tensors[name])).abs() <= scale * 0.5001)[inside]), name


# ---- objects ---------------------------------------------------------------------------------------------------------------------------

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 4, 3)
        self.norm = torch.nn.BatchNorm2d(4)
        self.register_buffer("table", torch.arange(6.0).reshape(2, 3))
        self.register_buffer("absent", None)
        self.free = torch.nn.Parameter(torch.randn(2))
        self.activation = torch.relu
        self.note, self.extra = "text", {"not": ["a", "parameter", torch.ones(1)]}


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = torch.nn.ModuleList([Block(), Block()])
        self.embedding = torch.nn.Embedding(5, 6)
        self.head = torch.nn.Linear(6, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.blocks[0].owner = [self]  # a cycle

    def forward(self, x):
        return self.head(x)


@form
def test_modules(tmp_path, form):
    network = Network()
    check_equal(read(save(network.state_dict(), tmp_path / "s.pt", form)), network.state_dict())
    check_equal(read(save(network, tmp_path / "m.pt", form)), network.state_dict())


@form
def test_checkpoint(tmp_path, form):
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    best = collections.OrderedDict([("loss", 0.5), ("weights", [torch.ones(2), (torch.zeros(3), "x")])])
    objects = {"epoch": 3, "model": network.state_dict(), "optimizer": optimizer.state_dict(), "args": argparse.Namespace(seed=1, mean=torch.ones(3)),
               "best": best, "rng": np.random.default_rng(1).normal(size=3), "big": 1 << 70, ("a", 1): torch.ones(1), "size": torch.Size([1, 2])}
    seen = read(save(objects, tmp_path / "a.pt", form))
    expected = {f"model.{n}": t for n, t in network.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        expected.update({f"optimizer.state.{i}.{n}": t for n, t in state.items() if torch.is_tensor(t)})
    expected.update({"args.mean": torch.ones(3), "best.weights.0": torch.ones(2), "best.weights.1.0": torch.zeros(3)})
    check_equal(seen, expected)


@form
def test_roots(tmp_path, form):
    check_equal(read(save(torch.ones(2, 2), tmp_path / "a.pt", form)), {"tensor": torch.ones(2, 2)})
    check_equal(read(save([torch.ones(2), torch.zeros(3)], tmp_path / "b.pt", form)), {"0": torch.ones(2), "1": torch.zeros(3)})
    check_equal(read(save({"epoch": 3}, tmp_path / "c.pt", form)), {})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@form
def test_protocols(tmp_path, form, protocol):
    tensors = {f"layer.{i}.weight": torch.randn(3, 4) for i in range(300)}
    torch.save(tensors, tmp_path / "a.pt", pickle_protocol=protocol, **FORMS[form])
    check_equal(read(tmp_path / "a.pt"), tensors)


# ---- TorchScript -----------------------------------------------------------------------------------------------------------------------

class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
        self.lstm = torch.nn.LSTM(4, 5)
        self.scale = torch.nn.Parameter(torch.full((1,), 2.0))

    def forward(self, x):
        return self.layers(x) * self.scale


@pytest.fixture(params=["script", "trace", "freeze"])
def torchscript(request):
    torch.manual_seed(4)
    network = Scripted().eval()
    if request.param == "trace":
        return torch.jit.trace(network, torch.randn(1, 1, 5, 5))
    scripted = torch.jit.script(network)
    return torch.jit.freeze(scripted) if request.param == "freeze" else scripted


def test_torchscript(tmp_path, torchscript):
    torchscript.save(str(tmp_path / "a.pt"))
    (seen,) = dump(tmp_path / "a.pt")
    assert seen["status"] == "ok" and seen["format"] == "pytorch" and seen["metadata"]["framework"] == "torchscript"
    seen = {t["name"]: t for t in seen["tensors"]}
    named = {n: t for n, t in seen.items() if not n.startswith("CONSTANTS.")}
    state = torchscript.state_dict()
    assert {n: (t["shape"], t["values"]) for n, t in named.items() if t["values"]} == {
        n: (list(t.shape), values(t)) for n, t in state.items() if t.is_floating_point()}
    if not state:  # frozen: what were parameters are constants of the code
        constants = [values(t) for t in Scripted().layers[0].parameters()]
        assert len(seen) >= len(constants) and all(n.startswith("CONSTANTS.c") for n in seen)


def test_torchscript_changed(tmp_path, torchscript):
    torchscript.save(str(tmp_path / "a.pt"))
    names = [n for n, t in read(tmp_path / "a.pt").items() if t["shape"] == [2, 1, 3, 3]]
    assert len(names) == 1
    negate(tmp_path / "a.pt", tmp_path / "b.pt", *names)
    after = torch.jit.load(str(tmp_path / "b.pt"))
    x = torch.randn(1, 1, 5, 5)
    assert not torch.allclose(after(x), torchscript(x))
    negate(tmp_path / "b.pt", tmp_path / "c.pt", *names)
    assert torch.equal(torch.jit.load(str(tmp_path / "c.pt"))(x), torchscript(x))
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "c.pt").read_bytes()


# ---- changed files ---------------------------------------------------------------------------------------------------------------------

def check_changed(before, after, names):
    assert list(before) == list(after)
    for name in before:
        assert torch.equal(after[name], -before[name] if name in names else before[name]), name


@form
def test_changed(tmp_path, form):
    tensors = {name: tensor.clone(memory_format=torch.preserve_format) for name, (tensor, writable) in views().items() if writable}
    tensors.update({"plain": torch.randn(70, 30), "odd": torch.randn(7).half(), "integers": torch.arange(5), "empty": torch.randn(0, 2)})
    tensors["base"] = torch.randn(4, 6)
    tensors["within"] = tensors["base"][1:3, 1:5].t()
    save(tensors, tmp_path / "a.pt", form)
    names = ["plain", "odd", "channels_last", "transposed", "bf16", "double", "gaps", "empty"]
    negate(tmp_path / "a.pt", tmp_path / "b.pt", *names)
    check_changed(load(tmp_path / "a.pt"), load(tmp_path / "b.pt"), names)
    negate(tmp_path / "a.pt", tmp_path / "w.pt", "within")  # another tensor's elements
    after = load(tmp_path / "w.pt")
    assert torch.equal(after["within"], -tensors["within"]) and torch.equal(after["base"][1:3, 1:5].t(), after["within"])
    assert (tmp_path / "a.pt").stat().st_size == (tmp_path / "b.pt").stat().st_size
    if form == "zip":
        for name in ("a.pt", "b.pt", "w.pt"):
            assert zipfile.ZipFile(tmp_path / name).testzip() is None
        a, b = zipfile.ZipFile(tmp_path / "a.pt"), zipfile.ZipFile(tmp_path / "b.pt")
        assert a.namelist() == b.namelist()
        assert sum(a.read(n) != b.read(n) for n in a.namelist()) == len(names) - 1  # one is empty


def rezip(source, target, compression):
    with zipfile.ZipFile(source) as a, zipfile.ZipFile(target, "w", compression) as b:
        for name in a.namelist():
            b.writestr(name, a.read(name))
    return target


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_packed_again(tmp_path, compression):
    """Archives that another program packed: members deflated, no alignment, another order of everything."""
    base = torch.randn(100, 50)
    tensors = {"ones": torch.ones(1000), "base": base, "left": base[:, :20], "right": base[:, 20:45], "last": torch.arange(3000.0), "integers": torch.arange(50)}
    path = rezip(save(tensors, tmp_path / "a.pt"), tmp_path / "z.pt", compression)
    seen = read(path)
    check_equal(seen, tensors)
    assert {t["packed"] for t in seen.values()} == {compression == zipfile.ZIP_DEFLATED}
    negate(path, tmp_path / "b.pt", "ones", "left", "right", "last")  # left and right lie between each other
    after = load(tmp_path / "b.pt")
    base[:, :45] *= -1
    expected = {"ones": -torch.ones(1000), "base": base, "left": base[:, :20], "right": base[:, 20:45], "last": -tensors["last"], "integers": tensors["integers"]}
    assert all(torch.equal(after[n], expected[n]) for n in expected) and after.keys() == expected.keys()
    check_equal(read(tmp_path / "b.pt"), expected)
    a, b = zipfile.ZipFile(path), zipfile.ZipFile(tmp_path / "b.pt")
    assert b.testzip() is None and a.namelist() == b.namelist()
    assert [(i.date_time, i.extra, i.external_attr, i.compress_type) for i in a.infolist()] == [
        (i.date_time, i.extra, i.external_attr, i.compress_type) for i in b.infolist()]


def test_without_checksums(tmp_path):
    """torch.save can be told to write none that is right; torch.load never looks."""
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("this PyTorch always writes checksums")
    torch.serialization.set_crc32_options(False)
    try:
        save({"a": torch.ones(5), "b": torch.ones(6)}, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    check_equal(read(tmp_path / "a.pt"), {"a": torch.ones(5), "b": torch.ones(6)})
    negate(tmp_path / "a.pt", tmp_path / "b.pt", "a")
    check_changed(load(tmp_path / "a.pt"), load(tmp_path / "b.pt"), ["a"])


# ---- pickles that are not what torch.save writes ---------------------------------------------------------------------------------------

class Call:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


@form
def test_calls_are_refused(tmp_path, form):
    flag = tmp_path / "executed"
    for i, call in enumerate([Call(os.system, f"touch {flag}"), Call(eval, f"open({str(flag)!r}, 'w')"), Call(getattr, "text", "upper"),
                              Call(subprocess.check_output, ["touch", str(flag)])]):
        save({"a": torch.ones(2), "b": call}, tmp_path / "a.pt", form)
        (seen,) = dump(tmp_path / "a.pt")
        assert seen["status"] == "unsupported" and "nothing was executed" in seen["message"], seen
        name = {"system": "posix.system", "eval": ".eval", "getattr": ".getattr", "check_output": ".check_output"}
        assert name[call.made[0].__name__] in seen["message"]
    assert not flag.exists()


def archive_with(pickle, source, target):
    with zipfile.ZipFile(source) as a, zipfile.ZipFile(target, "w") as b:
        for name in a.namelist():
            b.writestr(name, pickle if name.endswith("/data.pkl") else a.read(name))


def reference(path):
    try:
        return load(path)
    except Exception:  # whatever damaged bytes make of it
        return None


STRICTER = ("bytes, the pickle says",  # a storage smaller than its record
            "is listed twice", "is no UTF-8", "a text with a NUL in it", "values are left on the stack", "no whole number from 0 on", "pickle protocol")


def mutation(rng, pickle):
    text = bytearray(pickle)
    at, kind = rng.randrange(len(text)), rng.randrange(5)
    if kind == 0:
        text[at] = rng.randrange(256)
    elif kind < 3:
        text[at] ^= 1 << rng.randrange(3)
    elif kind == 3:
        del text[at]
    else:
        text.insert(at, rng.choice(b"012Nh)tR(K\x85\x86q."))
    return bytes(text)


def test_mutated_pickles(tmp_path):
    """Whatever opens here and there gives the same tensors."""
    rng = random.Random(5)
    tensors = collections.OrderedDict([("conv.weight", torch.randn(2, 3, 1, 2)), ("t", torch.randn(4, 5).t()), ("h", torch.ones(3).half())])
    save(tensors, tmp_path / "a.pt")
    archive = zipfile.ZipFile(tmp_path / "a.pt")
    pickle = archive.read(next(n for n in archive.namelist() if n.endswith("/data.pkl")))
    paths = [tmp_path / f"{i}.pt" for i in range(1000)]
    texts = [mutation(rng, pickle) for _ in paths]
    for path, text in zip(paths, texts):
        archive_with(text, tmp_path / "a.pt", path)
    both, only_there = 0, []
    for path, text, seen in zip(paths, texts, dump(*paths)):
        theirs = reference(path)
        if seen["status"] != "ok" and theirs is not None:
            only_there.append((text, seen["message"]))
        if seen["status"] != "ok" or not isinstance(theirs, dict):
            continue
        both += 1
        found = {t["name"]: t for t in seen["tensors"]}
        for name, tensor in theirs.items():
            if not torch.is_tensor(tensor) or not isinstance(name, str) or not name:
                continue
            assert found[name]["shape"] == list(tensor.shape), (text, name)
            if tensor.is_floating_point() and found[name]["values"]:
                assert found[name]["values"] == values(tensor), (text, name)
    assert both > 50
    assert [(t, m) for t, m in only_there if not any(reason in m for reason in STRICTER)] == []
