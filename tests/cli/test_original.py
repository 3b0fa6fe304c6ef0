"""A key made from a model is bound to it: `original` is the digest of its unmarked weights, and embed takes no other."""
import json
import os
import re

import pytest

import tools
from tools import run, run_json

REFUSED = "not the weights that the key was made for; one key marks one model.*keygen --model"


def test_the_same_model_gives_the_same_digest(model):
    first, second = (run_json("keygen", "-o", name, "--model", "m.safetensors", "--bits", "32") for name in ("a.key", "b.key"))
    assert re.fullmatch("[0-9a-f]{64}", first["original"]) and first["original"] == second["original"] == json.load(open("a.key"))["original"]
    assert first["key_id"] != second["key_id"]
    other = run_json("keygen", "-o", "c.key", "--model", "m.safetensors", "--bits", "8", "--scheme", "random", "--carrier", "weights", "--ones")
    assert other["original"] == first["original"]  # of a key only its targets count
    fewer = run_json("keygen", "-o", "d.key", "--model", "m.safetensors", "--target", "conv2,fc.weight")
    assert fewer["original"] != first["original"]


def test_what_is_no_target_does_not_count(model):
    before = run_json("keygen", "-o", "a.key", "--model", "m.safetensors", "--bits", "32")
    tools.write_model("other.safetensors", **{"bn.weight": ("F32", [32], [2.0] * 32), "more": ("F32", [7], [1.0] * 7)})
    assert run_json("keygen", "-o", "b.key", "--model", "other.safetensors", "--bits", "32")["original"] == before["original"]
    run("embed", "other.safetensors", "--key", "a.key", "-o", "marked")


def test_a_type_that_holds_the_values_does_not_count(scratch):
    values = [round(512 * v) / 512 for v in tools.gauss(1200, 3, 0.3)]
    digests = set()
    for dtype in ("F32", "F64"):
        tools.safetensors(dtype, {"w": (dtype, [30, 40], values)})
        digests.add(run_json("keygen", "-o", dtype + ".key", "--model", dtype, "--bits", "16")["original"])
    assert len(digests) == 1
    run("embed", "F64", "--key", "F32.key", "-o", "out", "--margin", "4")


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--margin", "4"], ["--fill-zeros"]])
def test_embed_refuses_another_model(marked, options):
    values = tools.gauss(320, 3)
    values[319] += 2.0**-12
    tools.write_model("other.safetensors", **{"fc.weight": ("F32", [10, 32], values)})
    for name in ("other.safetensors", "marked.safetensors"):  # the least change; a copy that is marked
        run("embed", name, "--key", "own.key", "-o", "out", *options, code=3, err=rf"{name}.*{REFUSED}")
        assert not os.path.exists("out") and not tools.leftovers()
        said = run("embed", name, "--key", "own.key", "-o", "out", "--other-model", *options)
        assert os.path.exists("out") == ("--dry-run" not in options) and " 0 bits wrong" in said.stdout
        if os.path.exists("out"):
            os.unlink("out")
    run("embed", "m.safetensors", "--key", "own.key", "-o", "out", *options)


def test_a_key_made_before_its_model(scratch):
    """keygen --host knows no weights yet: the key is bound to none, says so, and marks any model with such targets."""
    if not tools.has_training():
        pytest.skip("built without the training engine")
    made = run_json("keygen", "-o", "own.key", "--host", "wrn-10-1", "--target", "conv2", "--bits", "8")
    assert made["original"] is None and json.load(open("own.key"))["original"] == "none"
    run("key", "own.key", out=r"(?m)^original +none: the key is bound to no model$")
    shape = made["targets"][0]["shape"]
    for number in range(2):
        count = shape[0] * shape[1] * shape[2] * shape[3]
        tools.safetensors("m", {made["targets"][0]["name"]: ("F32", shape, tools.gauss(count, number))})
        run("embed", "m", "--key", "own.key", "-o", "out", "--margin", "3.6", "--force")


def test_zeros_stay_zeros(scratch):
    """A sparse model stays sparse, unless its zeros are to be filled."""
    values = [v if abs(v) > 0.04 else 0.0 for v in tools.gauss(64 * 256, 8)]
    tools.safetensors("m", {"w": ("F32", [64, 256], values)})
    run("keygen", "-o", "own.key", "--model", "m", "--bits", "32")
    zeros = {}
    for name, options in (("kept", []), ("filled", ["--fill-zeros"])):
        run("embed", "m", "--key", "own.key", "-o", name, *options)
        content = open(name, "rb").read()
        stored = memoryview(content[8 + int.from_bytes(content[:8], "little"):]).cast("f")
        zeros[name] = [i for i, v in enumerate(stored) if v == 0]
        assert run_json("verify", name, "--key", "own.key")["ber"] == 0
    assert zeros["kept"] == [i for i, v in enumerate(values) if v == 0] and len(zeros["kept"]) > 5000
    assert len(zeros["filled"]) < 10
