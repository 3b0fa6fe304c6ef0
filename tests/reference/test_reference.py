"""The reference against the known answers, and the program against the reference (WMK_CLI: the program)."""

import base64
import json
import math
import os
import pathlib
import struct
import subprocess
from dataclasses import replace

import numpy as np
import pytest

import weightmark_reference as ref
from weightmark_reference import Key, Target

SOURCE = pathlib.Path(__file__).resolve().parents[2]
VECTORS = SOURCE / "tests/mark/vectors"
CORPUS = SOURCE / "tests/fuzz/corpus/fuzz_key"
KEYS = sorted(VECTORS.glob("*.key"))
CLI = os.environ.get("WMK_CLI")
program = pytest.mark.skipif(not CLI, reason="WMK_CLI does not name the program")
WORST = {}  # quantity -> [largest difference, comparisons]


def answers(path):
    return json.loads(path.with_suffix(".json").read_text())


def vector_key(path):
    passphrase = answers(path).get("passphrase")
    if passphrase and not ref.libsodium():
        pytest.skip("no libsodium for Argon2id")
    return ref.read_key(path, passphrase and passphrase.encode())


# ---- Known answers ----


@pytest.mark.parametrize("path", KEYS, ids=lambda path: path.stem)
def test_known_answers(path):
    key, known = vector_key(path), answers(path)
    assert key.seed.hex() == known["seed"]
    assert ref.key_id(key).hex() == known["id"]
    assert ref.subkey(key, 1).hex() == known["subkey_b"]
    assert ref.x_key(key).hex() == known["subkey_x"]
    assert key.columns() == known["M"]
    assert "".join(map(str, ref.key_bits(key))) == known["b"]
    for part in known.get("x", []):
        x = ref.random_rows(key, [part["row"]], part["column"], len(part["bits"]) // 8)
        assert x.view("<u4").astype(">u4").tobytes().hex() == part["bits"]
    for part in known.get("partition", []):
        row, sign = ref.partition(key, part["column"], len(part["row"]))
        assert row.tolist() == part["row"]
        assert "".join("+" if one > 0 else "-" for one in sign) == part["sign"]
    if "plus" in known:
        plus, minus = ref.columns(key)
        assert plus.tolist() == known["plus"] and minus.tolist() == known.get("minus", [])
    if "digest" in known:
        assert ref.hashlib.blake2b(all_of_x(key), digest_size=32).hexdigest() == known["digest"]


def test_root():
    """The known answer of section 6."""
    assert ref.root(bytes(range(32)), b"\xff" * 32).hex() == "24b9b2d201acde323130485408b965b6f72dddf421d5d0cc90f20270f6aa67fe"


def vector_tensor(tensor):
    """The values of a tensor of original.json or balanced.json; None: it is missing."""
    if "counted" in tensor:
        rule, count = tensor["counted"], math.prod(tensor["shape"])
        k = (rule["first"] + np.arange(count, dtype=np.int64) * rule["step"]) % rule["modulus"]
        values = np.ldexp((k - rule["modulus"] // 2).astype(float), rule["exponent"])
        for place, value in rule["except"]:
            values[place] = value
    elif "data" in tensor:
        code = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "bf16": "<u2"}[tensor["dtype"]]
        values = np.frombuffer(bytes.fromhex(tensor["data"]), code)
        values = (values.astype(np.uint32) << 16).view(np.float32) if tensor["dtype"] == "bf16" else values
    else:
        return None
    return values.astype(np.float64).reshape(tensor["shape"])


ORIGINALS = json.loads((VECTORS / "original.json").read_text())
BALANCED = json.loads((VECTORS / "balanced.json").read_text())


@pytest.mark.parametrize("case", ORIGINALS, ids=lambda case: case["name"])
def test_known_originals(case):
    targets = [Target(t["name"], t["layout"], tuple(t["shape"])) for t in case["tensors"]]
    assert ref.original(targets, {t["name"]: vector_tensor(t) for t in case["tensors"]}).hex() == case["original"]


@pytest.mark.parametrize("case", BALANCED, ids=lambda case: case["key"])
def test_known_balanced(case):
    key = ref.read_key(VECTORS / case["key"])
    tensors = {}
    for target, tensor, factors in zip(key.targets, case["tensors"], case["factors"]):
        values = vector_tensor(tensor)
        if values is None:
            assert factors is None
            continue
        tensors[target.name] = values.transpose([tensor["layout"].index(axis) for axis in target.layout])
        p = ref.canonical(target, tensors[target.name])
        kept = np.where(np.isfinite(p), p, 0)
        a, r, c, overflow = ref.balance(target, kept)
        assert np.sum(p != np.where(overflow, 0, kept)) == factors["none"] and a.tolist() == factors["a"]
        close("r of balanced", r, factors["r"], floor=1e-9 * max(factors["r"]))
        close("c of balanced", c, factors["c"], floor=1e-9 * max(factors["c"]))
    reading = ref.read_tensors(key, tensors)
    close("y", reading.y, case["y"], floor=1e-3 * float(np.sqrt(np.mean(reading.y**2))))


def all_of_x(key):
    if key.scheme == "random":
        return ref.random_rows(key, range(key.bits), 0, key.columns()).astype("<f4").tobytes()
    if key.scheme == "partition":
        return b"".join(struct.pack("<Hb", r, s) for r, s in zip(*(part.tolist() for part in ref.partition(key, 0, key.columns()))))
    return b"".join(places.astype("<u8").tobytes() for places in ref.columns(key))


def test_normal_rule():
    u, bits, quantile = (np.array(column) for column in zip(*json.loads((VECTORS / "normal.json").read_text())))
    x = ref.normal(u.astype(np.uint32))
    assert np.array_equal(x.view(np.uint32), bits.astype(np.uint32))
    assert np.all(np.abs(x - quantile) <= 5e-7 * np.abs(quantile))


def test_tails():
    """Against tables: Q(1) and Q(30) to 15 digits, P(Bin(10, 1/2) >= 8) = 56 / 1024, and both tails joining where the rule changes."""
    assert math.isclose(ref.log10_normal_tail(1), math.log10(0.158655253931457), rel_tol=1e-14)
    assert math.isclose(ref.log10_normal_tail(30), math.log10(4.90671392714819) - 198, rel_tol=1e-15)
    assert math.isclose(ref.log10_normal_tail(25 - 1e-13), ref.log10_normal_tail(25), rel_tol=1e-14)
    assert math.isclose(ref.log10_binomial_tail(10, 8), math.log10(56 / 1024), rel_tol=1e-15)
    assert math.isclose(ref.log10_binomial_tail(16384, 16384), -16384 * math.log10(2), rel_tol=1e-15)


# ---- Keys and models for the program ----


def key_text(key, **change):
    content = {"format": "weightmark-key", "version": 2, "id": ref.key_id(key).hex(), "scheme": key.scheme, "carrier": key.carrier, "bits": key.bits,
               "b": "ones" if key.ones else "seed", "created": key.created, "original": key.original.hex() if key.original else "none",
               "targets": [{"name": t.name, "layout": t.layout, "shape": list(t.shape)} for t in key.targets], "seed": key.seed.hex()}
    content.update(change)
    return json.dumps({name: value for name, value in content.items() if value is not None})


def write_key(path, key):
    path.touch(0o600)
    path.write_text(key_text(key))
    return path


def write_model(path, tensors):
    """tensors: name -> (dtype, double array). Returns what a reader finds."""
    header, blobs, place = {"__metadata__": {"made": "by a test"}}, [], 0
    for name, (dtype, values) in tensors.items():
        if dtype == "BF16":
            wide = values.astype(np.float32).view(np.uint32)
            blob = ((wide + 0x7FFF + (wide >> 16 & 1)) >> 16).astype("<u2").tobytes()
        else:
            blob = values.astype({"F64": "<f8", "F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [place, place + len(blob)]}
        blobs.append(blob)
        place += len(blob)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(blobs))
    return path


TARGETS = (Target("stem.weight", "HWIO", (3, 3, 5, 12)), Target("block.conv.weight", "OIHW", (16, 12, 3, 3)), Target("net/énd", "OI", (20, 31)),
           Target("three", "ODHWI", (6, 2, 3, 1, 7)))
DTYPES = dict(zip((t.name for t in TARGETS), ("F32", "F16", "BF16", "F64")))


def random_model(targets, seed, dtype=None, dead=True):
    """Filters of different sizes, one of them all zeros if dead."""
    rng = np.random.default_rng(seed)
    tensors = {"bias": ("F32", rng.normal(size=7))}
    for t in targets:
        values = rng.normal(0.01, 0.2, t.shape) * np.exp(rng.normal(0, 0.5, [n if a == "O" else 1 for n, a in zip(t.shape, t.layout)]))
        if dead:
            np.moveaxis(values, t.layout.index("O"), 0)[3] = 0
        tensors[t.name] = (dtype or DTYPES.get(t.name, "F32"), values)
    return tensors


def seed(n):
    return bytes((n * 37 + i * 11) % 256 for i in range(32))


def run(*args, status=(0, 1)):
    done = subprocess.run([CLI, *map(str, args)], capture_output=True, text=True)
    assert done.returncode in status, f"{args}: {done.returncode} {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else done


def close(what, ours, theirs, relative=1e-9, floor=0.0):
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    assert ours.shape == theirs.shape and np.all(np.isfinite(theirs)), what
    size = np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), floor)
    gap = float(np.max(np.where(size > 0, np.abs(ours - theirs) / np.where(size > 0, size, 1), 0), initial=0))
    entry = WORST.setdefault(what, [0.0, 0])
    entry[0], entry[1] = max(entry[0], gap), entry[1] + ours.size
    assert gap <= relative, f"{what}: {ours} and {theirs} differ by {gap}"


def compare(key, key_file, model, redraws=0, tries=1, options=()):
    """verify and extract of the program, and what the specification says."""
    vector = ref.carrier(key, ref.safetensors(model))
    reading = ref.read_bits(key, vector.w)
    said = ref.evidence(key, vector.w, tries=tries, redraws=redraws, share=vector.share)
    extra = ["--redraws", redraws] if redraws else []
    got = run("verify", model, "--key", key_file, "--json", *extra, *options)
    assert got["verdict"] == said.verdict and got["bits"] == said.bits and got["bit_errors"] == said.bit_errors
    assert got["key_id"] == ref.key_id(key).hex() and got["tries"] == tries
    assert got["weights_lost"] == vector.none
    close("share_read", vector.share, got["share_read"])
    close("z", said.z, got["z"], floor=1e-6)
    close("log10_p", said.log10_p, got["log10_p"], floor=1e-6)
    close("evidence_bits", said.evidence_bits, got["evidence_bits"], floor=1e-6)
    if said.bits:
        close("ber", said.bit_errors / said.bits, got["ber"])
    got = run("extract", model, "--key", key_file, "--json", *[o for o in options if o not in ("--any-tensor", "--tries", tries)])
    assert got["erased"] == np.flatnonzero(reading.erased).tolist()
    near = np.abs(reading.y) < 1e-12 * np.maximum(reading.length, 1e-300)  # a sum of zero may round to either side
    assert all(a == str(b) or n for a, b, n in zip(got["bits"], reading.bit, near)) and len(got["bits"]) == key.bits
    close("y", reading.y, got["y"], floor=1e-3 * float(np.sqrt(np.mean(reading.y**2))))
    return said, reading


def prune(tensors, rate, rng):
    out = {}
    for name, (dtype, values) in tensors.items():
        out[name] = (dtype, np.where(np.abs(values) < np.quantile(np.abs(values), rate), 0, values))
    return out


def as_written(path, tensors):
    """The values of a model file with the data types it is to keep."""
    return {name: (tensors[name][0], np.asarray(values, float)) for name, values in ref.safetensors(path).items()}


MARGIN = {"direct": 0.5, "diff": 0.8, "random": 1.5, "partition": 1.5}
GRID = [(scheme, carrier, n, ones) for scheme in ref.SCHEMES for carrier, n in (("mean", 1), ("mean", 4), ("weights", 4), ("balanced", 4)) for ones in (False, True)]


@program
@pytest.mark.parametrize("scheme,carrier,n,ones", GRID, ids=lambda value: str(value))
def test_program_reads_the_same(scheme, carrier, n, ones, tmp_path):
    number = GRID.index((scheme, carrier, n, ones))
    targets = TARGETS if n > 1 else TARGETS[1:2]
    bits = 13 if carrier == "mean" else 48
    key = ref.check_key(Key(scheme, carrier, bits, ones, 1700000000 + number, targets, seed(number)))
    key_file = write_key(tmp_path / "owner.key", key)
    redraws = 39 if ones and scheme in ("direct", "diff") else 0
    plain = random_model(targets, number)
    said, _ = compare(key, key_file, write_model(tmp_path / "plain.safetensors", plain), redraws)
    assert said.verdict == "not-found"
    if scheme in ("direct", "diff"):  # a row of one or two weights cannot be marked where they are zeros, and rounding one weight weighs most
        plain = random_model(targets, number, "F32", dead=False)
    model = write_model(tmp_path / "model.safetensors", plain)

    marked = tmp_path / "marked.safetensors"
    margin = MARGIN[scheme]
    embedded = run("embed", model, "--key", key_file, "-o", marked, "--margin", margin, "--json")
    said, reading = compare(key, key_file, marked, redraws)
    s = 2.0 * ref.key_bits(key) - 1
    assert said.bit_errors == 0 and np.min((s * reading.score)[~reading.erased]) >= margin * (1 - 1e-12)
    before, after = ref.safetensors(model), ref.safetensors(marked)
    assert all(np.array_equal(before[t.name] == 0, after[t.name] == 0) for t in targets)
    norm = [math.sqrt(sum(np.sum((np.asarray(a[t.name], float) - (0 if b is None else b[t.name])) ** 2) for t in targets)) for a, b in
            ((after, before), (before, None))]
    close("relative_change", norm[0] / norm[1], embedded["relative_change"])
    close("z", ref.evidence(key, ref.carrier(key, before).w).z, embedded["z_before"], floor=1e-6)
    close("z", said.z, embedded["z_after"])

    pruned = prune(as_written(marked, plain), 0.7, None)
    compare(key, key_file, write_model(tmp_path / "pruned.safetensors", pruned), redraws)
    if n > 1:
        some = {name: values for name, values in as_written(marked, plain).items() if name not in (TARGETS[0].name, TARGETS[2].name)}
        said, reading = compare(key, key_file, write_model(tmp_path / "some.safetensors", some), redraws)
        assert said.bits == key.bits - reading.erased.sum()
        one = {"three": (plain["three"][0], np.where(plain["three"][1] > 0.5, plain["three"][1], 0))}
        compare(key, key_file, write_model(tmp_path / "one.safetensors", one), redraws)
    nothing = {t.name: ("F32", np.zeros(t.shape)) for t in targets}
    said, _ = compare(key, key_file, write_model(tmp_path / "zero.safetensors", nothing), redraws)
    assert said.bits == 0 and said.verdict == "not-found"


def flawed(flaw, values, layout):
    """A tensor with what a carrier must bear; None: the flaw does not apply."""
    by = {axis: np.moveaxis(values, place, 0) for place, axis in enumerate(layout)}  # views
    channels, filters = by.get("I", by["O"]), by["O"]
    if flaw == "scaled channels":
        channels[::2] *= 2.0**100
        channels[1::3] *= 2.0**-60
    elif flaw == "zeros":
        filters[0] = 0
        channels[-1] = 0
        values[np.abs(values) < 0.1] = 0
    elif flaw == "no numbers":
        filters[1].flat[0], filters[2].flat[1], filters[-1].flat[-1] = np.nan, np.inf, -np.inf
    elif flaw == "overflow":
        filters[2].flat[0] = 1e200
    elif flaw == "subnormals":
        values *= 2.0**-1040
        channels[0] = 0
    elif flaw == "far apart":
        filters[0] *= 2.0**300
        filters[1] *= 2.0**-300
        channels[0] *= 2.0**8
    return values


SHAPES = [("OI", (9, 21)), ("IO", (21, 9)), ("OIHW", (9, 7, 3, 3)), ("HWIO", (3, 3, 7, 9)), ("OHWI", (9, 3, 3, 7)), ("OHW", (9, 5, 5)), ("HWIO", (3, 3, 1, 30))]
WIDE = ("no numbers", "scaled channels")  # what a binary32 can hold too
FLAWS = [(dtype, flaw) for dtype in ("F64", "F32", "F16", "BF16") for flaw in ("none", "zeros", "no numbers", "scaled channels", "overflow", "subnormals", "far apart")
         if dtype == "F64" or flaw in ("none", "zeros", "no numbers") or (flaw == "scaled channels" and dtype != "F16")]


@program
@pytest.mark.parametrize("carrier", ref.CARRIERS)
@pytest.mark.parametrize("dtype,flaw", FLAWS, ids=lambda value: value.replace(" ", "-"))
def test_flawed_weights(carrier, dtype, flaw, tmp_path):
    """Each flaw in each layout, in one target and beside a good one, which may be missing."""
    rng = np.random.default_rng(7)
    for number, (layout, shape) in enumerate(SHAPES):
        sizes = [[n if axis == one else 1 for axis, n in zip(layout, shape)] for one in "OI"]
        values = rng.normal(0, 0.5, shape) * np.exp(rng.normal(0, 0.7, sizes[0])) * np.exp(rng.normal(0, 0.9, sizes[1]))
        tensors = {"w": (dtype, flawed(flaw, values, layout)), "v": ("F32", rng.normal(0, 0.2, (6, 10)))}
        targets = (Target("w", layout, shape), Target("v", "OI", (6, 10)))
        model = write_model(tmp_path / "m", tensors)
        for scheme in ref.SCHEMES if dtype == "F64" else ["partition"]:
            key = Key(scheme, carrier, 4, False, 1, targets[:1 + (number + ref.SCHEMES[scheme]) % 2], seed(number))
            compare(key, write_key(tmp_path / "k", key), model)
        if len(key.targets) == 2:
            compare(key, tmp_path / "k", write_model(tmp_path / "w", {"w": tensors["w"]}))


@program
@pytest.mark.parametrize("layout,shape", [("OIH", (600, 3, 2)), ("OIHW", (17, 3, 296, 296)), ("HWIO", (2049, 1024, 2, 2))], ids=["256", "16", "as-weights"])
def test_samples_of_balanced(layout, shape, tmp_path):
    """More filters than are sampled; filters so large that 16 are; filters too large to be balanced."""
    rng = np.random.default_rng(8)
    values = (rng.integers(1, 2048, shape) * 2.0 ** rng.integers(-20, 4, [n if axis in "OI" else 1 for axis, n in zip(layout, shape)])).astype(np.float32)
    key = Key("partition", "balanced", 20, False, 1, (Target("w", layout, shape),), seed(9))
    compare(key, write_key(tmp_path / "k", key), write_model(tmp_path / "m", {"w": ("F32", values)}))


def keygen_for_host(path, *options):
    made = run("keygen", "-o", path, "--host", "wrn-10-1", *options, "--json", status=(0, 3))
    if not isinstance(made, dict):
        assert "without the training engine" in made.stderr
        pytest.skip("the program was built without hosts")
    return made


@program
@pytest.mark.parametrize("options", [["--target", "conv", "--bits", 300], ["--target", "conv2", "--bits", 24]], ids=["partition", "random"])
def test_keys_of_keygen(options, tmp_path):
    key_file = tmp_path / "host.key"
    made = keygen_for_host(key_file, *options)
    key = ref.read_key(key_file)
    assert made["key_id"] == ref.key_id(key).hex() and made["m"] == key.columns()
    model = write_model(tmp_path / "host.safetensors", random_model(key.targets, 5))
    compare(key, key_file, model)
    margin = 8 if "conv" in options else 1.2
    run("embed", model, "--key", key_file, "-o", tmp_path / "marked.safetensors", "--margin", margin, "--json")
    said, _ = compare(key, key_file, tmp_path / "marked.safetensors")
    assert said.verdict == ("found" if margin == 8 else "inconclusive")


@program
@pytest.mark.parametrize("scheme", ref.SCHEMES)
def test_keygen_over_a_model(scheme, tmp_path):
    model = write_model(tmp_path / "m.safetensors", random_model(TARGETS[1:3], 6))
    for carrier, extra in (("mean", ["--ones"]), ("weights", []), ("balanced", [])):
        made = run("keygen", "-o", tmp_path / carrier, "--model", model, "--scheme", scheme, "--carrier", carrier, "--bits", 40, *extra, "--json")
        key = ref.read_key(tmp_path / carrier)
        assert (key.scheme, key.carrier, key.bits, key.ones, len(key.targets)) == (scheme, carrier, 40, bool(extra), 2)
        assert key.original == ref.original(key.targets, ref.safetensors(model)) and made["original"] == key.original.hex()
        compare(key, tmp_path / carrier, model, 19 if extra and scheme in ("direct", "diff") else 0)


@program
def test_sealed_by_keygen(tmp_path):
    if not ref.libsodium():
        pytest.skip("no libsodium for Argon2id")
    (tmp_path / "pass").write_text("correct horse ♞\n")
    made = keygen_for_host(tmp_path / "k", "--target", "conv3", "--passphrase-file", tmp_path / "pass")
    key = ref.read_key(tmp_path / "k", "correct horse ♞".encode())
    assert made["key_id"] == ref.key_id(key).hex()
    with pytest.raises(ref.Refused, match="wrong passphrase"):
        ref.read_key(VECTORS / "sealed.key", b"correct horse")


@program
def test_tries(tmp_path):
    """p is multiplied by what was looked at; the thresholds make the word."""
    t = Target("a", "OIHW", (16, 6, 3, 3))
    key = Key("random", "mean", 48, False, 1, (t,), seed(77))
    key_file = write_key(tmp_path / "k", key)
    tensors = random_model([t], 3)
    model = write_model(tmp_path / "m.safetensors", tensors)
    run("embed", model, "--key", key_file, "-o", tmp_path / "marked", "--margin", 0.4, "--json")
    plain, _ = compare(key, key_file, tmp_path / "marked")
    paid, _ = compare(key, key_file, tmp_path / "marked", tries=1000, options=("--tries", 1000))
    assert math.isclose(paid.evidence_bits, plain.evidence_bits - math.log2(1000), rel_tol=1e-12)
    marked = as_written(tmp_path / "marked", tensors)
    other = random_model([replace(t, name="x"), replace(t, name="y")], 4)
    renamed = write_model(tmp_path / "renamed", {"b": marked["a"], **other})
    got = run("verify", renamed, "--key", key_file, "--any-tensor", "--json")
    assert got["tries"] == 4 and got["tensors"] == ["b"]
    said = ref.evidence(key, ref.carrier(key, {"a": ref.safetensors(renamed)["b"]}).w, tries=4)
    close("log10_p", said.log10_p, got["log10_p"])
    got = run("verify", renamed, "--key", key_file, "--tensor", "x", "--json")
    said = ref.evidence(key, ref.carrier(key, {"a": ref.safetensors(renamed)["x"]}).w, tries=3)
    close("log10_p", said.log10_p, got["log10_p"])
    for threshold in (plain.evidence_bits - 1, plain.evidence_bits + 1, 5000):
        got = run("verify", tmp_path / "marked", "--key", key_file, "--threshold-bits", threshold, "--json")
        assert got["verdict"] == ref.evidence(key, ref.carrier(key, ref.safetensors(tmp_path / "marked")).w, threshold=threshold).verdict


@program
@pytest.mark.parametrize("carrier,layout,shape", [("mean", "IO", (600, 1)), ("weights", "OI", (600, 1)), ("balanced", "OI", (600, 1))])
@pytest.mark.parametrize("ones", [False, True])
def test_ties(carrier, layout, shape, ones, tmp_path):
    """Every y_j is 0: it reads as 1, which is a match of a drawn bit and none of a fixed one."""
    key = Key("partition", carrier, 30, ones, 1, (Target("w", layout, shape),), seed(2))
    row, sign = ref.partition(key, 0, 600)
    w = np.zeros(600)
    for j in range(30):
        first, second = np.flatnonzero(row == j)[:2]
        w[first], w[second] = sign[first], -sign[second]
    said, reading = compare(key, write_key(tmp_path / "k", key), write_model(tmp_path / "m", {"w": ("BF16", w.reshape(shape))}))
    assert not reading.y.any() and said.bits == 30 and said.bit_errors == 30 - ref.key_bits(key).sum() and said.log10_p == 0


@program
def test_refused_models(tmp_path):
    key = Key("partition", "weights", 30, False, 1, TARGETS, seed(3))
    key_file = write_key(tmp_path / "k", key)
    good = random_model(TARGETS, 1)
    for bad in (np.nan, -np.inf):
        nothing = {t.name: ("F32", np.full(t.shape, bad if t.name == "three" else 0)) for t in TARGETS}
        model = write_model(tmp_path / "m", nothing)
        with pytest.raises(ref.Refused):
            ref.carrier(key, ref.safetensors(model))
        run("verify", model, "--key", key_file, "--json", status=(3,))
        compare(key, key_file, write_model(tmp_path / "m", {**good, "three": nothing["three"]}))
    rng = np.random.default_rng(3)
    for name, shape in (("net/énd", (21, 31)), ("net/énd", (10, 40)), ("three", (6, 2, 2, 1, 3)), ("stem.weight", (3, 3, 6, 11))):  # read where both have weights
        compare(key, key_file, write_model(tmp_path / "m", {**good, name: ("F32", rng.normal(size=shape))}))
    told = run("verify", write_model(tmp_path / "m", {**good, "three": ("F32", np.zeros(7))}), "--key", key_file, "--json")  # as if it were not there
    without = run("verify", write_model(tmp_path / "w", {n: v for n, v in good.items() if n != "three"}), "--key", key_file, "--json")
    assert told["z"] == without["z"] and told["tensors"] == without["tensors"] and "three" not in told["tensors"]
    model = write_model(tmp_path / "m", {"bias": good["bias"]})
    with pytest.raises(ref.Refused):
        ref.carrier(key, ref.safetensors(model))
    run("verify", model, "--key", key_file, "--json", status=(3,))


# ---- The strict reader ----


def accepts(data):
    try:
        ref.parse_key(data)
        return True
    except ref.Refused:
        return False


@program
def test_reader_of_keys(tmp_path):
    """The program and the reference accept and refuse the same files: a fuzzer's finds, and one file for each rule."""
    key = Key("partition", "weights", 16, False, 1700000000, (Target("w", "OI", (8, 8)), Target("v", "IO", (4, 5))), seed(1))
    good = key_text(key)
    target = {"name": "w", "layout": "OI", "shape": [8, 8]}

    def other(**change):  # with an id that fits, where the rest can be hashed at all
        return key_text(replace(key, **change))

    def edit(old, *news):
        assert old in good
        return [good.replace(old, new, 1) for new in news]

    digits = seed(1).hex()
    escaped = f"\\u{ord(digits[0]):04x}{digits[1:]}"
    wrong = edit('"bits": 16', '"bits": NaN', '"bits": 1e999', '"bits": .5', '"bits": null', '"bits": 16, "lambda": 0.01','"bits": 16.0', '"bits": 1.6e1', '"bits": "16"', '"bits": 16, "bits": 16', '"bits": true', '"bits": 0')
    wrong += edit('"original": "none"', '"original": null', '"original": ""', '"original": "None"', f'"original": "{"0" * 64}"', f'"original": "{digits}"', '"original": 0')
    wrong += edit('"version": 2', '"version": 1', '"version": 3', '"version": 2.0') + edit('"id"', '"Id"') + edit(digits, digits.upper(), escaped)
    bound = key_text(replace(key, original=seed(2)))
    wrong += [bound.replace(seed(2).hex(), digest, 1) for digest in (seed(2).hex()[1:], seed(2).hex() + "0", seed(2).hex().upper(), seed(3).hex(), "none")]
    stamped = [key_text(key, timestamp=text) for text in ("AA==", "AAA=", "AAAA", "/+8=", base64.b64encode(bytes(65536)).decode())]
    wrong += [key_text(key, timestamp=text) for text in ("", "A", "AA", "AA=", "AAAA=", "AA==AA==", " AA==", "AA==\n", "AA-_", "AB==", "AÄ==", 7, [], base64.b64encode(bytes(65537)).decode())]
    wrong += [good + "x", good + "\0", "\ufeff" + good, good[:-1], good[1:], "", "[" * 9 + "]" * 9, "[" + good + "]"]
    wrong += [key_text(key, **change) for change in ({"more": 1}, {"b": None}, {"id": "0" * 64}, {"scheme": "Partition"}, {"sealed": {}}, {"targets": []},
                                                     {"targets": {}}, {"targets": [{**target, "more": 1}]}, {"targets": [{**target, "shape": 8}]},
                                                     {"targets": [{**target, "shape": [8, [8]]}]})]
    wrong += [key_text(key, original=None), other(created=0), other(created=-5), other(bits=16385), other(scheme="direct", bits=85), other(scheme="diff", bits=43)]
    for name, layout, shape in (("w", "OO", (8, 8)), ("w", "IH", (8, 8)), ("w", "OIX", (8, 8, 1)), ("w", "OI", (8, 8, 1)), ("", "OI", (8, 8)),
                                ("w", "OI", (0, 8)), ("w\x01", "OI", (8, 8)), ("w\x7f", "OI", (8, 8)), ("w" * 1025, "OI", (8, 8)), ("v", "OI", (8, 8)),
                                ("w", "OI", (2**24, 2**24 + 1)), ("w", "OI", (2**48, 1))):
        wrong.append(other(targets=(Target(name, layout, shape), key.targets[1])))
    right = [good, bound, *stamped, stamped[3].replace("/", "\\/"), other(carrier="balanced"), other(ones=True), other(scheme="direct", bits=84)]
    right += [other(scheme="diff", bits=42), other(created=2**63 - 1), other(targets=(Target("\x80é♞", "O", (1,)),))]
    right += [other(targets=(Target("w" * 1024, "OIDHW", (2, 1, 1, 1, 1)), key.targets[0])), other(targets=(Target("w", "OI", (2**24, 2**24)),))]
    right += edit('"w"', '"\\u0077"') + edit('"format"', '"f\\u006frmat"') + edit('"none"', '"n\\u006fne"') + [good.replace(", ", " ,\r\n\t")]
    for data, expected in [(t, False) for t in wrong] + [(t, True) for t in right]:
        assert accepts(data.encode("utf-8", "surrogatepass")) == expected, data
    disagree = []
    files = [path.read_bytes() for path in CORPUS.iterdir()] + [t.encode() for t in wrong + right]
    for data in files:
        path = tmp_path / "k"
        path.write_bytes(data)
        done = subprocess.run([CLI, "key", path], capture_output=True, text=True)
        assert done.returncode in (0, 3), done
        if (done.returncode == 0 or "the key is sealed" in done.stderr) != accepts(data):
            disagree.append((data[:2000], done.stderr))
    assert len(files) > 200 and not disagree, disagree


# ---- Embedding and the regularizer ----


@program
@pytest.mark.parametrize("scheme,carrier", [(s, c) for s in ("partition", "diff") for c in ref.CARRIERS])
def test_embedding_in_closed_form(scheme, carrier, tmp_path):
    """In double precision the program's change is the cone's, but for the renewed lengths (the targets rise a little)."""
    key = Key(scheme, carrier, 24, False, 5, TARGETS[:2], seed(8))
    tensors = random_model(key.targets, 8, "F64", dead=scheme == "partition")
    model, key_file = write_model(tmp_path / "m", tensors), write_key(tmp_path / "k", key)
    run("embed", model, "--key", key_file, "-o", tmp_path / "marked", "--margin", 0.7, "--unbalanced", "--json")
    before, after = ref.safetensors(model), ref.safetensors(tmp_path / "marked")
    vector = ref.carrier(key, before)
    ours = ref.change_of_weights(key, before, vector, ref.embed_cones(key, vector.w, 0.7 * (1 + 1e-6)) - vector.w)
    for name, values in ours.items():
        change = np.linalg.norm(values - before[name])
        assert np.linalg.norm(values - after[name]) <= 0.05 * change and change > 0, name


@program
@pytest.mark.parametrize("scheme,lam", [("random", 10), ("direct", 1), ("diff", 100)])
def test_equation_6(scheme, lam, tmp_path):
    key = Key(scheme, "mean", 40, False, 5, (TARGETS[1],), seed(9))
    name = TARGETS[1].name
    tensors = random_model(key.targets, 9, "F64")
    model, key_file = write_model(tmp_path / "m", tensors), write_key(tmp_path / "k", key)
    got = run("embed", model, "--key", key_file, "-o", tmp_path / "marked", "--eq6", "--lambda", lam, "--json")
    before, after = ref.safetensors(model), ref.safetensors(tmp_path / "marked")
    w0, w1 = (ref.carrier(key, tensors).w for tensors in (before, after))
    ours, _ = ref.embed_equation6(key, w0, lam)
    close("eq6 w' - w", (ours - w0) / np.linalg.norm(ours - w0), (w1 - w0) / np.linalg.norm(ours - w0), 1e-6, floor=1)
    value, gradient = ref.regularizer(key, after)
    close("eq6 E_R", value / key.bits, got["eq6_e_r"], 1e-6)
    close("eq6 distance", np.sum((w1 - w0) ** 2) / 2, got["eq6_distance"], 1e-6)
    slope = ref.canonical(TARGETS[1], gradient[name]) * TARGETS[1].filters()  # dE_R/dw: stationary, so the program's answer knows our gradient
    rest = (w1 - w0)[:, None] + lam / key.bits * slope
    assert np.max(np.abs(rest)) <= 1e-6 * np.max(np.abs(w1 - w0))


@program
@pytest.mark.parametrize("scheme", ["random", "direct", "diff"])
def test_smallest_change(scheme, tmp_path):
    """Rows measured by one length: w' is a multiple of w + sum mu_j s_j X_j with mu >= 0, and mu_j = 0 where the margin is exceeded (double precision)."""
    key = Key(scheme, "mean", 40, False, 5, (TARGETS[1],), seed(10))
    tensors = random_model(key.targets, 10, "F64")
    model, key_file = write_model(tmp_path / "m", tensors), write_key(tmp_path / "k", key)
    margin = {"random": 1.0, "direct": 0.3, "diff": 0.3}[scheme]
    run("embed", model, "--key", key_file, "-o", tmp_path / "marked", "--margin", margin, "--json")
    w0, w1 = (ref.carrier(key, ref.safetensors(path)).w for path in (model, tmp_path / "marked"))
    s = 2.0 * ref.key_bits(key) - 1
    rows = np.stack([ref.back_project(key, row) for row in np.diag(s)])
    held = s * ref.read_bits(key, w1).score - margin
    solution = np.linalg.lstsq(np.vstack([w0, rows]).T, w1, rcond=None)[0]
    assert np.linalg.norm(np.vstack([w0, rows]).T @ solution - w1) <= 1e-9 * np.linalg.norm(w1)
    mu = solution[1:] / solution[0]
    size = np.max(np.abs(mu))
    assert solution[0] > 0 and np.min(mu) >= -1e-6 * size and np.min(held) >= 0
    assert np.all(np.minimum(mu / size, held / margin) <= 1e-4)
    assert abs(np.dot(w1, w0) / np.dot(w1, w1) - 1) <= 1e-6  # the multiple nearest to w


@pytest.mark.parametrize("scheme,carrier,n", [(s, c, n) for s in ref.SCHEMES for c, n in (("mean", 1), ("mean", 3), ("weights", 3), ("balanced", 3))])
def test_gradient(scheme, carrier, n):
    """Central differences of E_R, factors held as section 15 says."""
    key = Key(scheme, carrier, 20, scheme == "diff", 5, TARGETS[:n] if n > 1 else TARGETS[1:2], seed(11))
    tensors = {name: values for name, (_, values) in random_model(key.targets, 11).items()}
    vector = ref.carrier(key, tensors)
    reading = ref.read_bits(key, vector.w)
    value, gradient = ref.regularizer(key, tensors, 1.7)
    rng = np.random.default_rng(1)
    direction = {t.name: rng.normal(size=t.shape) for t in key.targets}
    dw = []
    for t, factor in zip(key.targets, vector.factors):
        p = ref.canonical(t, direction[t.name])
        dw.append(((p.mean(1, keepdims=True) if carrier == "mean" else p) * factor).reshape(-1))
    dy = ref.project(key, np.concatenate(dw))[0] / (1 if key.raw() else np.where(reading.erased, np.inf, reading.length))
    steepness = (2.0 * ref.key_bits(key) - 1) * (1 if key.raw() else 1.7)

    def energy(step):
        return np.sum(np.log1p(np.exp(-steepness * (reading.y + step * dy))))

    assert math.isclose(energy(0), value, rel_tol=1e-12)
    slope = sum(np.sum(gradient[name] * direction[name]) for name in gradient)
    assert math.isclose((energy(1e-6) - energy(-1e-6)) / 2e-6, slope, rel_tol=1e-7, abs_tol=1e-8)


@program
def test_zz_figures(capsys):
    """Last: says how close it was."""
    with capsys.disabled():
        print()
        for what, (gap, count) in WORST.items():
            print(f"  {what}: largest relative difference {gap:.2g} over {count} values")
