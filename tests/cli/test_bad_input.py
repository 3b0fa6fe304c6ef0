"""Bad input gets one clear line on stderr, its exit code, and loses nothing: no output appears, none is touched."""
import json
import os
import struct

import pytest

import tools
from tools import run, run_json, standard_tensors

# ---- models --------------------------------------------------------------------------------------------------------------------------


def damage_missing():
    os.unlink("bad.safetensors")


def damage_empty():
    open("bad.safetensors", "wb").close()


def damage_truncated():
    os.truncate("bad.safetensors", os.path.getsize("bad.safetensors") - 100)


def damage_truncated_in_header():
    os.truncate("bad.safetensors", 40)


def damage_corrupt():
    content = bytearray(open("bad.safetensors", "rb").read())
    content[8:40] = b"\xff" * 32
    open("bad.safetensors", "wb").write(content)


def damage_random_bytes():
    open("bad.safetensors", "wb").write(bytes(range(256)) * 40)


def damage_huge_header():
    content = open("bad.safetensors", "rb").read()
    open("bad.safetensors", "wb").write(struct.pack("<Q", 1 << 62) + content[8:])


def damage_header_over_100_mb():
    with open("bad.safetensors", "wb") as file:
        file.write(struct.pack("<Q", 200 << 20))
        file.truncate(8 + (201 << 20))


def damage_overlapping():
    with open("bad.safetensors", "wb") as file:
        file.write(tools.header_bytes({"a": ("F32", [4, 4], (0, 64)), "b": ("F32", [4, 4], (32, 96))}) + bytes(96))


def damage_shape_overflow():
    with open("bad.safetensors", "wb") as file:
        file.write(tools.header_bytes({"a": ("F32", [1 << 62, 1 << 62], (0, 64))}) + bytes(64))


def damage_a_folder():
    os.unlink("bad.safetensors")
    os.mkdir("bad.safetensors")


DAMAGES = {name[len("damage_"):]: function for name, function in list(globals().items()) if name.startswith("damage_")}
READERS = {
    "inspect": ["inspect", "bad.safetensors"],
    "verify": ["verify", "bad.safetensors", "--key", "own.key"],
    "extract": ["extract", "bad.safetensors", "--key", "own.key"],
    "embed": ["embed", "bad.safetensors", "--key", "own.key", "-o", "out"],
    "keygen": ["keygen", "--model", "bad.safetensors", "-o", "out"],
    "attack": ["attack", "prune", "bad.safetensors", "--rate", "0.5", "-o", "out"],
    "report": ["report", "bad.safetensors", "--key", "own.key", "-o", "out"],
    "eval": ["eval", "bad.safetensors"],
    "train": ["train", "--init", "bad.safetensors", "--data", "data", "--epochs", "1", "-o", "out"],
}
TRAINING = {"attack", "report", "eval", "train"}


@pytest.mark.parametrize("reader", [pytest.param(r, marks=[pytest.mark.training] if r in TRAINING else []) for r in READERS])
@pytest.mark.parametrize("damage", DAMAGES)
def test_unusable_model(marked, data, damage, reader):
    tools.write_model("bad.safetensors")
    DAMAGES[damage]()
    run(*READERS[reader], code=3, err="bad.safetensors")
    assert not os.path.exists("out") and not tools.leftovers()


def with_value(value):
    tensors = standard_tensors()
    dtype, shape, values = tensors["conv3.0.conv2.weight"]
    values[4711] = value
    return {"conv3.0.conv2.weight": (dtype, shape, values)}


def put(source, target, name, place, value):
    """A copy of a safetensors file with another number in one tensor of binary32."""
    content = bytearray(open(source, "rb").read())
    size = 8 + int.from_bytes(content[:8], "little")
    struct.pack_into("<f", content, size + json.loads(content[8:size])[name]["data_offsets"][0] + 4 * place, value)
    open(target, "wb").write(content)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("reader", ["embed", pytest.param("attack", marks=pytest.mark.training)])
def test_model_holding_nan(marked, value, reader):
    """Nothing is written from what is no number."""
    tools.write_model("bad.safetensors", **with_value(value))
    run("keygen", "--model", "bad.safetensors", "-o", "own.key", "--force", "--bits", "64")
    run(*READERS[reader], code=3, err=r"bad\.safetensors.*conv3\.0\.conv2\.weight.*4711")
    assert not os.path.exists("out") and not tools.leftovers()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_planted_nan_silences_nothing(marked, value):
    """It counts as 0, and that is said."""
    put("marked.safetensors", "bad.safetensors", "conv3.0.conv2.weight", 4711, value)
    put("marked.safetensors", "zero.safetensors", "conv3.0.conv2.weight", 4711, 0)
    found, zero = (run_json("verify", name, "--key", "own.key") for name in ("bad.safetensors", "zero.safetensors"))
    assert (found["verdict"], found["weights_lost"], zero["weights_lost"]) == ("found", 1, 0)
    assert (found["z"], found["bit_errors"]) == (zero["z"], 0) and found["share_read"] == pytest.approx(1 - 1 / 14144, abs=1e-12)
    run("verify", "bad.safetensors", "--key", "own.key", out=r"(?m)^found: (.*\n)*counted +as 0: 1 ")
    assert run("extract", "bad.safetensors", "--key", "own.key").stdout == run("extract", "zero.safetensors", "--key", "own.key").stdout


def test_model_of_nothing_but_nan(marked):
    """Only when nothing is left there is no answer."""
    tools.write_model("bad.safetensors", **{n: (d, s, [float("nan")] * len(v)) for n, (d, s, v) in standard_tensors().items() if n.endswith(("conv2.weight", "fc.weight"))})
    for reader in ("verify", "extract"):
        run(*READERS[reader], code=3, err=r"bad\.safetensors.*conv2\.0\.conv2\.weight.*element 0")


def test_nan_elsewhere_is_no_matter(marked):
    tensors = standard_tensors()
    tensors["bn.weight"][2][3] = float("nan")
    tools.write_model("nan.safetensors", **{"bn.weight": tensors["bn.weight"]})
    run("embed", "nan.safetensors", "--key", "own.key", "-o", "out")


# ---- keys ----------------------------------------------------------------------------------------------------------------------------


def edit_key(change):
    key = json.load(open("own.key"))
    change(key)
    json.dump(key, open("bad.key", "w"))


def flip_hex(text):
    return ("1" if text[0] == "0" else "0") + text[1:]


KEYS = {
    "missing": (lambda: None, "bad.key: No such file"),
    "empty": (lambda: open("bad.key", "w").close(), "bad.key"),
    "truncated": (lambda: open("bad.key", "w").write(open("own.key").read()[:200]), "bad.key"),
    "not_json": (lambda: open("bad.key", "wb").write(b"\x00\xffkey"), "bad.key"),
    "another_json": (lambda: open("bad.key", "w").write("[1, 2, 3]"), "bad.key"),
    "a_model": (lambda: tools.write_model("bad.key"), "bad.key"),
    "another_version": (lambda: edit_key(lambda k: k.update(version=k["version"] + 1)), "not supported: bad.key: key format version 3"),
    "format_1": (lambda: edit_key(lambda k: k.update(version=1, **{"lambda": 0.01})), "not supported: bad.key: key format version 1, whose X did not depend on its targets.*make a new key"),
    "with_lambda": (lambda: edit_key(lambda k: k.update(**{"lambda": 0.01})), 'unknown member "lambda"'),
    "without_original": (lambda: edit_key(lambda k: k.pop("original")), 'lacks the member "original"'),
    "another_original": (lambda: edit_key(lambda k: k.update(original=flip_hex(k["original"]))), "bad.key.*id"),
    "original_of_zeros": (lambda: edit_key(lambda k: k.update(original="0" * 64)), '"original": all zeros'),
    "short_original": (lambda: edit_key(lambda k: k.update(original=k["original"][1:])), '"original": not a string of 64'),
    "damaged_seed": (lambda: edit_key(lambda k: k.update(seed=flip_hex(k["seed"]))), "bad.key.*id"),
    "damaged_id": (lambda: edit_key(lambda k: k.update(id=flip_hex(k["id"]))), "bad.key.*id"),
    "damaged_bits": (lambda: edit_key(lambda k: k.update(bits=k["bits"] + 1)), "bad.key"),
    "without_seed": (lambda: edit_key(lambda k: k.pop("seed")), "bad.key.*seed"),
    "huge_bits": (lambda: edit_key(lambda k: k.update(bits=1 << 40)), "bad.key"),
    "deep": (lambda: open("bad.key", "w").write("[" * 100000), "bad.key"),
    "a_folder": (lambda: os.mkdir("bad.key"), "bad.key"),
}


@pytest.mark.parametrize("command", ["verify", "key", "embed"])
@pytest.mark.parametrize("defect", KEYS)
def test_unusable_key(marked, defect, command):
    make, pattern = KEYS[defect]
    make()
    arguments = {"verify": ["marked.safetensors", "--key", "bad.key"], "key": ["bad.key"], "embed": ["m.safetensors", "--key", "bad.key", "-o", "out"]}
    run(command, *arguments[command], code=3, err=pattern)
    assert not os.path.exists("out")


def test_damaged_key_shows_no_secret(marked):
    seed = json.load(open("own.key"))["seed"]
    edit_key(lambda k: k.update(bits=k["bits"] + 1))
    assert seed not in run("verify", "m.safetensors", "--key", "bad.key", code=3).stderr


def sealed_key():
    open("phrase", "w").write("right\n")
    run("keygen", "-o", "sealed.key", "--model", "m.safetensors", "--bits", "64", "--passphrase-file", "phrase")


def test_wrong_passphrase(marked):
    sealed_key()
    open("wrong", "w").write("wrong\n")
    done = run("verify", "m.safetensors", "--key", "sealed.key", "--passphrase-file", "wrong", code=3, err="passphrase")
    assert "wrong\n" not in done.stderr.replace("wrong passphrase", "")


def test_no_passphrase(marked):
    sealed_key()
    run("verify", "m.safetensors", "--key", "sealed.key", code=3, err="sealed.*passphrase|passphrase.*sealed")


@pytest.mark.parametrize("content", ["", "\nsecond line\n", "x" * 5000])
def test_unusable_passphrase_file(marked, content):
    open("phrase", "w").write(content)
    run("verify", "m.safetensors", "--key", "own.key", "--passphrase-file", "phrase", code=3, err="passphrase file phrase")


def test_missing_passphrase_file(marked):
    run("keygen", "-o", "out", "--model", "m.safetensors", "--passphrase-file", "none", code=3, err="none: No such file")
    assert not os.path.exists("out")


# ---- keys and models that do not fit -------------------------------------------------------------------------------------------------


def test_key_for_tensors_the_model_lacks(marked):
    tools.safetensors("other.safetensors", {"x.weight": ("F32", [8, 8], [0.5] * 64)})
    run("verify", "other.safetensors", "--key", "own.key", code=3, err=r"conv2\.0\.conv2\.weight")
    run("embed", "other.safetensors", "--key", "own.key", "-o", "out", code=3, err=r"conv2\.0\.conv2\.weight")
    assert not os.path.exists("out")


def test_one_missing_layer_is_an_erasure(marked):
    content = open("marked.safetensors", "rb").read()
    open("headless.safetensors", "wb").write(content.replace(b'"fc.weight"', b'"zz.weight"'))
    run("verify", "headless.safetensors", "--key", "own.key", out=r"(?s)^found: .*read +97\.\d % of the key's weights; missing: 1 .*--map or --any-tensor")


def test_key_of_other_sizes(marked):
    """A layer of other sizes is read where both have weights; with less than half of them a negative answer is none. A mark goes into all or none."""
    changed = {"conv3.0.conv2.weight": ("F32", [16, 32, 3, 3], tools.gauss(16 * 32 * 9, 9))}
    tools.write_model("other.safetensors", **changed)
    run("verify", "other.safetensors", "--key", "own.key", code=1, out=r"^not-found(.*\n)*read +67\.4 %.*other sizes: 1(.*\n)*.*50\.0 % of it")
    run("embed", "other.safetensors", "--key", "own.key", "-o", "out", code=3, err=r"conv3\.0\.conv2\.weight.*16, 32.*32, 32")
    run("keygen", "-o", "one.key", "--model", "m.safetensors", "--target", "conv3", "--carrier", "weights", "--bits", "64")
    changed["conv3.0.conv2.weight"] = ("F32", [15, 32, 3, 3], tools.gauss(15 * 32 * 9, 9))
    tools.write_model("other.safetensors", **changed)
    said = run_json("verify", "other.safetensors", "--key", "one.key", code=1)
    assert (said["verdict"], said["reason"], said["share_read"], said["tensors_partial"]) == ("inconclusive", "little-read", 15 / 32, 1)
    run("verify", "other.safetensors", "--key", "one.key", code=1, out=r"^inconclusive: .*too little of its weights could be read")
    assert not os.path.exists("out")


def test_key_of_another_number_of_axes(marked):
    tools.write_model("other.safetensors", **{"conv3.0.conv2.weight": ("F32", [32, 288], tools.gauss(32 * 288, 9))})
    run("verify", "other.safetensors", "--key", "own.key", code=1, out=r"^not-found(.*\n)*read +34.*missing: 1|^inconclusive(.*\n)*read +34.*missing: 1")
    run("keygen", "-o", "one.key", "--model", "m.safetensors", "--target", "conv3")
    run("verify", "other.safetensors", "--key", "one.key", code=3, err=r"conv3\.0\.conv2\.weight.*32, 288.*32, 32, 3, 3")


def test_missing_names_what_to_try(marked):
    run("keygen", "-o", "one.key", "--model", "m.safetensors", "--target", "conv3", "--carrier", "weights", "--bits", "64")
    tools.safetensors("other.safetensors", {"x": ("F32", [4, 4], tools.gauss(16, 1))})
    run("verify", "other.safetensors", "--key", "one.key", code=3, err="among its 1; if it has another name there: --map or --any-tensor")
    done = run("embed", "other.safetensors", "--key", "one.key", "-o", "out", code=3, err="no tensor")
    assert "--map" not in done.stderr


MAPS = {
    "no_pair": ("fc.weight\n", r"map: line 1: .*key-name = model-name"),
    "empty_name": ("# ok\nfc.weight = \n", r"map: line 2: an empty name"),
    "twice": ("fc.weight = a\n\nfc.weight = b\n", r"map: line 3: .*second time"),
    "no_such_target": ("other = fc.weight\n", r"line 1: the key has no tensor .other."),
    "no_such_tensor": ("fc.weight = fc.weights\n", r"line 1: .*nearest: fc\.weight"),
    "half_json": ('{"fc.weight": "fc.weight",\n', "map: .*"),
    "json_number": ('{"fc.weight": 5}', "map: .*"),
    "binary": ("fc.weight\0 = x\n", "map: .*NUL"),
}


@pytest.mark.parametrize("defect", MAPS)
def test_unusable_map(marked, defect):
    content, pattern = MAPS[defect]
    open("map", "w").write(content)
    run("verify", "marked.safetensors", "--key", "own.key", "--map", "map", code=3, err=pattern)


def test_missing_map(marked):
    run("verify", "marked.safetensors", "--key", "own.key", "--map", "none", code=3, err="none: No such file")


def test_several_of_which_none_can_be_read(marked):
    open("a.safetensors", "wb").write(b"{}")
    run("verify", "a.safetensors", "gone.safetensors", "--key", "own.key", code=3, err="none of 2 pairs could be looked at; the first: a.safetensors")
    run("verify", "a.safetensors", "marked.safetensors", "--key", "own.key", out=r"(?m)^- .* a\.safetensors: .*\nfound .*marked\.safetensors$")


@pytest.mark.parametrize("scheme,bits,numbers", [("direct", 145, "145.*144"), ("diff", 73, "146.*144|73.*144")])
def test_too_many_bits(model, scheme, bits, numbers):
    run("keygen", "-o", "out", "--model", "m.safetensors", "--target", "conv2", "--scheme", scheme, "--bits", bits, code=3, err=numbers)
    run("keygen", "-o", "fits", "--model", "m.safetensors", "--target", "conv2", "--scheme", scheme, "--bits", bits - 1)
    assert not os.path.exists("out")


@pytest.mark.parametrize("target", ["conv9", "nothing*", "steps", "conv2,nothing"])
def test_target_that_matches_nothing(model, target):
    run("keygen", "-o", "out", "--model", "m.safetensors", "--target", target, code=3, err=r"matches nothing; there are: conv2\.0\.conv2\.weight")
    assert not os.path.exists("out")


def test_margin_that_cannot_be_met(model):
    run("keygen", "-o", "one.key", "--model", "m.safetensors", "--target", "conv2", "--bits", "64")
    run("embed", "m.safetensors", "--key", "one.key", "-o", "out", "--margin", "50", code=3, err="margin")
    assert not os.path.exists("out") and not tools.leftovers()


# ---- command lines -------------------------------------------------------------------------------------------------------------------

USAGE = {
    "no_command": ([], "no command"),
    "unknown_command": (["verfy"], "did you mean 'verify'"),
    "far_command": (["xyzzyplugh"], "unknown command 'xyzzyplugh'; see"),
    "unknown_option": (["verify", "m.safetensors", "--kee", "own.key"], "unknown option '--kee' .did you mean '--key'"),
    "unknown_option_with_value": (["verify", "m.safetensors", "--thresold-bits=9"], "'--thresold-bits' .did you mean '--threshold-bits'"),
    "unknown_option_far": (["verify", "m.safetensors", "--zzzzzzzzzz"], "unknown option '--zzzzzzzzzz'; see"),
    "unknown_letter": (["verify", "m.safetensors", "-Z"], "unknown option '-Z'"),
    "unknown_first_option": (["--verbose"], "unknown option '--verbose'"),
    "no_model": (["verify", "--key", "own.key"], "MODEL"),
    "no_key": (["verify", "m.safetensors"], "--key KEY must be given"),
    "no_output": (["keygen", "--model", "m.safetensors"], "--output FILE must be given"),
    "two_models": (["extract", "m.safetensors", "n.safetensors", "--key", "own.key"], "'n.safetensors' is one argument too many"),
    "value_missing": (["verify", "m.safetensors", "--key"], "--key needs a value"),
    "value_for_a_flag": (["verify", "m.safetensors", "--json=yes", "--key", "own.key"], "takes no value"),
    "number_expected": (["embed", "m.safetensors", "--key", "own.key", "-o", "out", "--margin", "big"], "--margin: 'big' is not a number"),
    "nan": (["embed", "m.safetensors", "--key", "own.key", "-o", "out", "--margin", "nan"], "--margin: 'nan'"),
    "negative_count": (["keygen", "-o", "out", "--model", "m.safetensors", "--bits", "-5"], "--bits: '-5'"),
    "huge_count": (["keygen", "-o", "out", "--model", "m.safetensors", "--bits", "99999999999999999999999"], "--bits"),
    "many_threads": (["verify", "m.safetensors", "--key", "own.key", "--threads", "1000000"], "--threads"),
    "unknown_scheme": (["keygen", "-o", "out", "--model", "m.safetensors", "--scheme", "magic"], "'magic' is none of direct|diff|random|partition"),
    "zero_bits": (["keygen", "-o", "out", "--model", "m.safetensors", "--bits", "0"], "bits"),
    "too_many_bits": (["keygen", "-o", "out", "--model", "m.safetensors", "--bits", "5000000000"], "bits"),
    "lambda_of_a_key": (["keygen", "-o", "out", "--model", "m.safetensors", "--lambda", "1"], "unknown option '--lambda'"),
    "zero_margin": (["embed", "m.safetensors", "--key", "own.key", "-o", "out", "--margin", "0"], "margin"),
    "zero_tries": (["verify", "m.safetensors", "--key", "own.key", "--tries", "0"], "tries"),
    "model_and_host": (["keygen", "-o", "out", "--model", "m.safetensors", "--host", "wrn-10-1"], "either --model or --host|not supported"),
    "neither_model_nor_host": (["keygen", "-o", "out"], "either --model or --host"),
    "tensor_and_any": (["verify", "m.safetensors", "--key", "own.key", "--tensor", "a", "--any-tensor"], "exclude"),
    "help_about_nothing": (["help", "nothing"], "no command 'nothing'"),
}


@pytest.mark.parametrize("case", USAGE)
def test_usage(marked, case):
    arguments, pattern = USAGE[case]
    code = 3 if case == "model_and_host" and not tools.has_training() else 2
    done = run(*arguments, code=code, err=pattern)
    assert done.stdout == "" and not os.path.exists("out")


TRAINING_USAGE = {
    "zero_epochs": (["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "0", "-o", "out"], 2, "epochs"),
    "negative_epochs": (["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "-1", "-o", "out"], 2, "epochs"),
    "negative_lambda": (["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "1", "--lambda", "-1", "-o", "out"], 2, "lambda"),
    "epochs_missing": (["train", "--host", "wrn-10-1", "--data", "data", "-o", "out"], 2, "--epochs N must be given"),
    "host_and_init": (["train", "--host", "wrn-10-1", "--init", "m.safetensors", "--epochs", "1", "-o", "out"], 2, "either"),
    "unknown_host": (["train", "--host", "resnet-50", "--data", "data", "--epochs", "1", "-o", "out"], 3, "resnet-50.*wrn"),
    "impossible_host": (["train", "--host", "wrn-11-1", "--data", "data", "--epochs", "1", "-o", "out"], 2, "depth 11"),
    "keygen_unknown_host": (["keygen", "--host", "resnet-50", "--target", "conv2", "-o", "out"], 3, "resnet-50"),
    "keygen_host_without_target": (["keygen", "--host", "wrn-10-1", "-o", "out"], 2, "--target"),
    "resume_without_checkpoint": (["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "1", "--resume", "-o", "out"], 2, "--checkpoint"),
    "resume_from_nothing": (["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "1", "--checkpoint", "none", "--resume", "-o", "out"], 3, "none"),
    "resume_from_a_model": (["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "1", "--checkpoint", "m.safetensors", "--resume", "-o", "out"], 3,
                            "m.safetensors"),
    "unknown_data": (["train", "--host", "wrn-10-1", "--data", "no-such-set", "--epochs", "1", "-o", "out"], 3, "no-such-set.*fashion-mnist"),
    "empty_data": (["train", "--host", "wrn-10-1", "--data", "empty", "--epochs", "1", "-o", "out"], 3, "empty"),
    "key_for_another_network": (["train", "--host", "wrn-10-1", "--data", "data", "--key", "own.key", "--epochs", "1", "-o", "out"], 3, "conv2|fc.weight"),
    "eval_of_a_foreign_model": (["eval", "m.safetensors", "--data", "data"], 3, "m.safetensors"),
    "unknown_attack": (["attack", "prun", "m.safetensors", "-o", "out"], 2, "did you mean 'prune'"),
    "attack_without_rate": (["attack", "prune", "m.safetensors", "-o", "out"], 2, "--rate"),
    "attack_rate": (["attack", "prune", "m.safetensors", "--rate", "2", "-o", "out"], 2, "rate"),
    "attack_order": (["attack", "prune", "m.safetensors", "--rate", "0.5", "--order", "up", "-o", "out"], 2, "order"),
    "attack_no_tensor": (["attack", "prune", "m.safetensors", "--rate", "0.5", "--tensor", "none*", "-o", "out"], 3, "none"),
    "report_without_key": (["report", "m.safetensors", "-o", "out"], 3, "key"),
    "report_too_many_keys": (["report", "m.safetensors", "-k", "own.key", "-k", "own.key", "-o", "out"], 2, "keys"),
}


@pytest.mark.training
@pytest.mark.parametrize("case", TRAINING_USAGE)
def test_training_usage(marked, data, case):
    arguments, code, pattern = TRAINING_USAGE[case]
    os.mkdir("empty")
    before = sorted(os.listdir())
    run(*arguments, code=code, err=pattern)
    assert sorted(os.listdir()) == before


# ---- data sets -----------------------------------------------------------------------------------------------------------------------


def resize(name, size):
    os.truncate(os.path.join("data", name), size)


def relabel():
    with open("data/train-labels-idx1-ubyte", "r+b") as file:
        file.seek(8 + 5)
        file.write(b"\xc8")


DATA = {
    "missing_file": (lambda: os.unlink("data/t10k-labels-idx1-ubyte"), "t10k-labels"),
    "short_images": (lambda: resize("train-images-idx3-ubyte", 1000), "train-images"),
    "long_images": (lambda: open("data/train-images-idx3-ubyte", "ab").write(b"x"), "train-images"),
    "short_labels": (lambda: resize("train-labels-idx1-ubyte", 50), "train-labels"),
    "empty_file": (lambda: resize("train-images-idx3-ubyte", 0), "train-images"),
    "wrong_magic": (lambda: open("data/train-images-idx3-ubyte", "r+b").write(b"\x00\x00\x0d\x03"), "train-images"),
    "more_labels_than_images": (lambda: tools.idx("data/train-labels-idx1-ubyte", [97], [0] * 97), "labels"),
    "no_examples": (lambda: tools.idx("data/train-images-idx3-ubyte", [0, 28, 28], b""), "train-images"),
    "damaged_gzip": (lambda: (os.unlink("data/train-images-idx3-ubyte"), open("data/train-images-idx3-ubyte.gz", "wb").write(b"\x1f\x8b" + b"x" * 99)), "train-images"),
}


@pytest.mark.training
@pytest.mark.parametrize("defect", DATA)
def test_unusable_data(data, defect):
    make, pattern = DATA[defect]
    make()
    run("train", "--host", "wrn-10-1", "--data", "data", "--epochs", "1", "-o", "out", code=3, err=pattern)
    assert os.listdir() == ["data"]


@pytest.mark.training
def test_nan_loss(data):
    """A learning rate far out of range: training stops, says at which step, and keeps the last good checkpoint."""
    run("train", "--host", "wrn-10-1", "--data", "data", "--epochs", "1", "--batch", "8", "--lr", "1e30", "--schedule", "constant", "--checkpoint", "run.ckpt",
        "--checkpoint-seconds", "0", "-o", "out", code=3, err="step [0-9]+", quiet=False)
    assert sorted(os.listdir()) == ["data", "run.ckpt"]
    assert os.path.getsize("run.ckpt") > 0
