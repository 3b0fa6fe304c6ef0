"""Agreement with the reference libraries (Python packages h5py, of libhdf5, and keras): files they write are read equal, dataset for dataset; marked files load in them, differ in
the marked tensors only, and give the same outputs. INTEROP_MODEL_DUMP names the program tests/model/dump.c."""
import hashlib
import json
import os
import random
import struct
import subprocess
import zipfile

import pytest

h5py = pytest.importorskip("h5py", reason="the reference library (Python package h5py) is not installed")
np = pytest.importorskip("numpy")

DUMP = os.environ["INTEROP_MODEL_DUMP"]
LIBVERS = ["earliest", "v108", "v110", "latest"]


def dump(*paths):
    out = subprocess.run([DUMP, *paths], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


def negate(source, target, *names):
    done = subprocess.run([DUMP, "--negate", source, target, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def digest(array):
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=32).hexdigest()


def word(dtype):
    return "bool" if dtype.kind == "b" else {"f": "f", "i": "i", "u": "u"}[dtype.kind] + str(dtype.itemsize * 8)


def datasets(path):
    """{path: array} of every dataset of numbers, by the reference library."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and item.shape is not None and item.dtype.kind in "fiub":
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def check_equal(path):
    (seen,) = dump(path)
    assert seen["status"] == "ok", seen
    theirs = datasets(path)
    assert [t["damage"] for t in seen["tensors"] if t["damage"]] == []
    ours = {t["name"]: (t["dtype"], t["shape"], t["blake2b"]) for t in seen["tensors"]}
    assert ours == {name: (word(a.dtype), list(a.shape), digest(a)) for name, a in theirs.items()}
    return {t["name"]: t for t in seen["tensors"]}


def check_marked(source, target, names):
    """Negated tensors, and no others, differ: by the reference library."""
    negate(source, target, *names)
    before, after = datasets(source), datasets(target)
    assert before.keys() == after.keys()
    for name, array in before.items():
        wanted = -array if name in names else array
        assert after[name].dtype == array.dtype and after[name].tobytes() == wanted.tobytes(), name
    check_equal(target)


STORAGE = {
    "contiguous": {},
    "chunked": {"chunks": (5, 7)},
    "gzip": {"chunks": (5, 7), "compression": "gzip"},
    "gzip9": {"chunks": (20, 30), "compression": 9},
    "shuffle": {"chunks": (8, 8), "shuffle": True},
    "gzip-shuffle": {"chunks": (16, 3), "compression": 4, "shuffle": True},
    "fletcher": {"chunks": (6, 6), "fletcher32": True},
    "all": {"chunks": (6, 9), "compression": 1, "shuffle": True, "fletcher32": True},
    "one-chunk": {"chunks": (23, 31)},
    "one-chunk-gzip": {"chunks": (23, 31), "compression": "gzip"},
    "grows-first": {"chunks": (5, 7), "maxshape": (None, 31)},
    "grows-last": {"chunks": (5, 7), "maxshape": (23, None), "compression": "gzip"},
    "grows-both": {"chunks": (4, 4), "maxshape": (None, None), "compression": "gzip", "shuffle": True},
    "grows-both-plain": {"chunks": (4, 4), "maxshape": (None, None)},
    "grows-to": {"chunks": (5, 7), "maxshape": (100, 100)},
    "many": {"chunks": (1, 1), "maxshape": (23, 31), "compression": "gzip"},
    "many-growing": {"chunks": (1, 1), "maxshape": (None, 31)},
    "many-growing-gzip": {"chunks": (1, 1), "maxshape": (None, 31), "compression": "gzip"},
    "many-both": {"chunks": (1, 1), "maxshape": (None, None), "compression": "gzip"},
}


@pytest.mark.parametrize("libver", LIBVERS)
def test_storage(tmp_path, libver):
    rng = np.random.default_rng(7)
    smooth = (np.arange(23 * 31).reshape(23, 31) // 8).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        for kind, options in STORAGE.items():
            file.create_dataset(f"{kind}/smooth", data=smooth, **options)
            file.create_dataset(f"{kind}/other", data=smooth, **options)
            file.create_dataset(f"{kind}/f64", data=rng.standard_normal((23, 31)), **options)
            file.create_dataset(f"{kind}/f16", data=rng.standard_normal((23, 31)).astype(np.float16), **options)
            file.create_dataset(f"{kind}/i8", data=rng.integers(-128, 128, (23, 31), dtype=np.int8), **options)
    tensors = check_equal(tmp_path / "a.h5")
    assert all(tensors[f"{kind}/smooth"]["packed"] == (kind != "contiguous") for kind in STORAGE)
    check_marked(tmp_path / "a.h5", tmp_path / "b.h5", [f"{kind}/{name}" for kind in STORAGE for name in ("smooth", "f64", "f16")])


@pytest.mark.parametrize("libver", LIBVERS)
def test_types_and_shapes(tmp_path, libver):
    rng = np.random.default_rng(3)
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        for dtype in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 bool".split():
            array = rng.integers(0, 2, (3, 4)).astype(np.dtype(dtype))
            file[f"type/{dtype}"] = array
            file.create_dataset(f"chunked/{dtype}", data=array, chunks=(2, 3), compression="gzip")
        for shape in [(), (1,), (0,), (3, 0, 2), (1,) * 8, (2, 3, 4, 5), (7, 1, 2, 1, 3)]:
            file["shape/" + ("x".join(map(str, shape)) or "scalar")] = rng.standard_normal(shape).astype(np.float32)
        file.create_dataset("shape/five", data=rng.standard_normal((7, 4, 2, 5, 3)), chunks=(2, 3, 2, 2, 3), compression="gzip", shuffle=True)
        file.create_dataset("shape/none-yet", shape=(0, 4), maxshape=(None, 4), chunks=(2, 2), dtype="f4")
        file["\u00e9 \U0001f600"] = np.arange(3.0)
        # no numbers: passed over
        file["text"] = "text"
        file["texts"] = ["a", "bc"]
        file["complex"] = np.ones(3, np.complex64)
        file["fixed"] = np.array([b"abc", b"d"])
        file["table"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
        file["nothing"] = h5py.Empty("f4")
        file["soft"] = h5py.SoftLink("/type/f4")
        file["away"] = h5py.ExternalLink("other.h5", "/x")
    tensors = check_equal(tmp_path / "a.h5")
    assert len(tensors) == 12 * 2 + 7 + 3
    check_marked(tmp_path / "a.h5", tmp_path / "b.h5", ["type/f2", "type/f4", "type/f8", "chunked/f4", "shape/five", "shape/7x1x2x1x3"])


@pytest.mark.parametrize("libver", LIBVERS)
def test_compact_and_fill(tmp_path, libver):
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        property_list = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        property_list.set_layout(h5py.h5d.COMPACT)
        for name in (b"compact", b"compact2"):
            space = h5py.h5s.create_simple((5, 3))
            made = h5py.h5d.create(file.id, name, h5py.h5t.IEEE_F32LE, space, dcpl=property_list)
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(15, dtype=np.float32).reshape(5, 3))
        part = file.create_dataset("part", shape=(20, 20), chunks=(6, 6), dtype="f4", fillvalue=2.5, compression="gzip")
        part[3:8, 2:9] = 1 + np.arange(35).reshape(5, 7)
        plain = file.create_dataset("part-plain", shape=(20, 20), chunks=(6, 6), dtype="f8", fillvalue=-1.0)
        plain[18:, 18:] = 7
        shrunk = file.create_dataset("shrunk", data=np.arange(400.0).reshape(20, 20), chunks=(6, 6), maxshape=(None, 20))
        shrunk.resize((9, 20))
    tensors = check_equal(tmp_path / "a.h5")
    assert not tensors["compact"]["packed"]
    check_marked(tmp_path / "a.h5", tmp_path / "b.h5", ["compact", "shrunk"])
    done = subprocess.run([DUMP, "--negate", tmp_path / "a.h5", tmp_path / "c.h5", "part"], capture_output=True, text=True)
    assert done.returncode != 0 and not (tmp_path / "c.h5").exists()
    assert "stores only that they are all the same" in done.stderr


def test_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("plain", shape=(20, 20), dtype="f4")
        file.create_dataset("huge", shape=(1 << 20, 1 << 20), chunks=(64, 64), dtype="f4", compression="gzip")[0, 0] = 1
    (seen,) = dump(tmp_path / "a.h5")
    assert {t["name"]: (t["packed"], t["values"]) for t in seen["tensors"]} == {"plain": (False, None), "huge": (False, None)}


@pytest.mark.parametrize("libver", LIBVERS)
def test_many_members(tmp_path, libver):
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        for i in range(700):
            file[f"wide/member-{i}"] = np.float32(i)
        for i in range(50):
            group = file.create_group(f"group{i}")
            for name in range(20):
                group.attrs[f"attribute{name}"] = "y" * name
            group["data"] = np.arange(i)
        file["/".join("deep" for _ in range(60))] = np.arange(3)
    assert len(check_equal(tmp_path / "a.h5")) == 700 + 50 + 1
    check_marked(tmp_path / "a.h5", tmp_path / "b.h5", ["wide/member-555"])


def test_user_block(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=2048) as file:
        file["x"] = np.arange(12.0).reshape(3, 4)
        file.create_dataset("y", data=np.zeros((300, 40), np.float32), chunks=(30, 40), compression="gzip")
        file["y"][::7, ::3] = np.random.default_rng(1).standard_normal((43, 14))
    check_equal(tmp_path / "a.h5")
    check_marked(tmp_path / "a.h5", tmp_path / "b.h5", ["x", "y"])


@pytest.mark.parametrize("libver", LIBVERS)
def test_changed_chunks_that_grow(tmp_path, libver):
    """Zeros become what does not compress, so that every chunk moves; the file goes on being writable."""
    rng = np.random.default_rng(11)
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        data = rng.standard_normal((64, 64)).astype(np.float32)
        # -x of these deflates worse than x: sign bits of one kind beside exponents of another
        data[::2] = 0
        for name, options in {"tree": {}, "growing": {"maxshape": (None, None)}, "fixed": {"chunks": (64, 64)}}.items():
            file.create_dataset(name, data=data, compression=1, **({"chunks": (16, 16)} | options))
    before = (tmp_path / "a.h5").stat().st_size
    check_marked(tmp_path / "a.h5", tmp_path / "b.h5", ["tree", "growing", "fixed"])
    assert (tmp_path / "b.h5").stat().st_size >= before
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["new"] = data
        file["tree"][...] = data
    assert datasets(tmp_path / "b.h5")["tree"].tobytes() == data.tobytes()


def test_refused(tmp_path):
    cases = {
        "big-endian": ({"data": np.arange(3.0).astype(">f4")}, "big-endian numbers"),
        "lzf": ({"data": np.arange(30.0), "compression": "lzf"}, "filter 32000 (lzf)"),
        "scaleoffset": ({"data": np.arange(30.0), "scaleoffset": 2}, "filter 6 (scaleoffset)"),
    }
    for name, (options, text) in cases.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file.create_dataset("group/weight", **options)
        (seen,) = dump(tmp_path / f"{name}.h5")
        assert seen["status"] == "unsupported" and text in seen["message"] and '"group/weight"' in seen["message"], seen
    with h5py.File(tmp_path / "twice.h5", "w") as file:
        file["a"] = np.arange(3)
        file["b"] = file["a"]
    (seen,) = dump(tmp_path / "twice.h5")
    assert seen["status"] == "unsupported" and "two links to one object" in seen["message"]
    with h5py.File(tmp_path / "cycle.h5", "w") as file:
        inner = file.create_group("a/b")
        inner["up"] = file["a"]
    (seen,) = dump(tmp_path / "cycle.h5")
    assert seen["status"] == "input" and "a link to a group that it lies in" in seen["message"]


# ---- damaged files --------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_damaged_files(tmp_path, libver):
    """Never a crash; a status and a message that names the file."""
    rng = random.Random(5)
    with h5py.File(tmp_path / "a.h5", "w", libver=libver) as file:
        for i in range(12):
            file[f"g/{i}"] = np.arange(4.0)
        file.create_dataset("c", data=np.arange(400.0).reshape(20, 20), chunks=(6, 6), compression="gzip", shuffle=True, fletcher32=True)
    whole = (tmp_path / "a.h5").read_bytes()
    paths = []
    for i in range(300):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 5))):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
        paths.append(tmp_path / f"{i}.h5")
        paths[-1].write_bytes(data if i % 4 else data[:rng.randrange(len(data))])
    refused = 0
    for path, seen in zip(paths, dump(*paths), strict=True):
        refused += seen["status"] != "ok"
        assert seen["status"] == "ok" or str(path) in seen["message"]
    assert refused > 60


# ---- Keras ----------------------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    pytest.importorskip(os.environ["KERAS_BACKEND"], reason="Keras' backend is not installed")
    return pytest.importorskip("keras", reason="the reference library (Python package keras) is not installed")


def a_network(keras):
    layers = keras.layers
    keras.utils.set_random_seed(4)
    image, words = keras.Input((16, 16, 3)), keras.Input((5,))
    x = layers.Conv2D(4, 3, activation="relu", name="first")(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(5, 3)(x)
    x = layers.Conv2DTranspose(6, 3)(x)
    x = layers.Reshape((-1, 6))(x)
    x = layers.Conv1D(7, 3)(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.LSTM(8)(x)
    y = layers.GRU(4)(layers.Embedding(11, 6)(words))
    x = layers.Dense(9, name="head")(layers.Concatenate()([x, y]))
    model = keras.Model([image, words], x)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(weight.numpy() + 0.05 * np.random.default_rng(2).standard_normal(weight.shape).astype("float32"))
    return model


def outputs(model):
    rng = np.random.default_rng(0)
    return np.asarray(model.predict([rng.standard_normal((2, 16, 16, 3)).astype("float32"), rng.integers(0, 11, (2, 5))], verbose=0))


# by the layer's class: each weight's shape as it is listed, and its layout
LAYOUTS = {
    "conv2d": [([3, 3, 3, 4], "HWIO")],
    "depthwise_conv2d": [([3, 3, 8, 1], "HWOI")],
    "separable_conv2d": [([3, 3, 8, 1], "HWOI"), ([1, 1, 8, 5], "HWIO")],
    "conv2d_transpose": [([3, 3, 6, 5], "HWOI")],
    "conv1d": [([3, 6, 7], "WIO")],
    "attention": [([7, 6], "IO"), ([7, 6], "IO"), ([7, 6], "IO"), ([6, 7], "IO")],
    "lstm": [([7, 32], "IO"), ([8, 32], "IO")],
    "gru": [([6, 12], "IO"), ([4, 12], "IO")],
    "embedding": [([11, 6], "OI")],
    "dense": [([12, 9], "IO")],
}


@pytest.mark.parametrize("suffix", ["keras", "h5", "weights.h5"])
def test_keras(tmp_path, keras, suffix):
    model, source, target = a_network(keras), tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    if suffix == "weights.h5":
        model.save_weights(source)
    else:
        model.save(source)
    (seen,) = dump(source)
    assert seen["status"] == "ok" and seen["format"] == ("keras" if suffix == "keras" else "hdf5")
    if suffix != "weights.h5":
        assert seen["metadata"]["keras_version"] == keras.__version__
    values = {t["blake2b"]: t for t in seen["tensors"]}
    for weight in model.weights:
        assert digest(weight.numpy()) in values, weight.path
    weights = [t for t in seen["tensors"] if t["layout"]]
    assert all(t["layout_known"] for t in seen["tensors"])
    assert sorted((t["shape"], t["layout"]) for t in weights) == sorted(pair for pairs in LAYOUTS.values() for pair in pairs)
    aliases = {t["alias"] for t in weights}
    assert {"first/kernel", "head/kernel"} <= aliases
    for weight in model.weights:
        if weight.path == "first/kernel":
            assert next(t["layout"] for t in weights if t["alias"] == "first/kernel") == "HWIO"

    named = next(t["name"] for t in weights if t["alias"] == "head/kernel")
    negate(source, target, named)
    if suffix == "weights.h5":
        marked = a_network(keras)
        marked.load_weights(target)
    else:
        marked = keras.models.load_model(target)
    for old, new in zip(model.weights, marked.weights, strict=True):
        wanted = -old.numpy() if old.path == "head/kernel" else old.numpy()
        assert new.numpy().tobytes() == wanted.tobytes(), old.path
    bias = model.get_layer("head").bias.numpy()
    assert np.allclose(outputs(marked) - bias, -(outputs(model) - bias), atol=1e-5)
    if suffix == "keras":
        with zipfile.ZipFile(source) as a, zipfile.ZipFile(target) as b:
            assert b.testzip() is None and a.namelist() == b.namelist()
            assert all(a.read(n) == b.read(n) for n in a.namelist() if n != "model.weights.h5")
    assert source.stat().st_size == target.stat().st_size


def test_keras_trained_and_narrow(tmp_path, keras):
    """An optimizer's state is no weight; bfloat16 is read as such."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dense(3, dtype="bfloat16")])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # its state, without training: not every backend trains
    model.save(tmp_path / "a.keras")
    (seen,) = dump(tmp_path / "a.keras")
    kinds = {t["name"]: (t["dtype"], t["layout"]) for t in seen["tensors"]}
    assert kinds["layers/dense/vars/0"] == ("f32", "IO") and kinds["layers/dense_1/vars/0"] == ("bf16", "IO"), kinds
    state = {n: k for n, k in kinds.items() if n.startswith("optimizer")}
    assert len(state) > 4 and all(layout == "" for _, layout in state.values())
    negate(tmp_path / "a.keras", tmp_path / "b.keras", "layers/dense_1/vars/0")
    marked = keras.models.load_model(tmp_path / "b.keras")
    assert (marked.layers[1].kernel.numpy() == -model.layers[1].kernel.numpy()).all()


def test_keras_archive_refusals(tmp_path, keras):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5)])
    model.save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with zipfile.ZipFile(tmp_path / "c.keras", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data[:-1] if name.endswith("h5") else data)
    b, c = dump(tmp_path / "b.keras", tmp_path / "c.keras")
    assert b["status"] == "unsupported" and "model.weights.h5 is compressed" in b["message"]
    assert c["status"] == "input" and "model.weights.h5: truncated" in c["message"]
