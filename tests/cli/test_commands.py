"""What each command answers when all is well."""
import json
import math
import os
import re
import shutil
import stat
import subprocess

import pytest

import tools
from tools import run, run_json

VERIFY_KEYS = ["verdict", "bits", "bit_errors", "ber", "z", "log10_p", "evidence_bits", "tries", "tensors", "key_id", "model", "matched",
               "dated", "dated_by", "share_read", "tensors_partial", "weights_lost", "tensors_missing", "reason"]


def test_version_and_help(scratch):
    run("--version", out=r"^weightmark \d+\.\d+\.\d+\n$")
    run("--help", out=r"(?s)Commands:.*keygen.*verify.*report")
    run("help", "verify", out=r"Usage: weightmark verify MODEL")
    assert run("help", "verify").stdout == run("verify", "--help").stdout


def test_keygen_and_key(model):
    made = run_json("keygen", "-o", "own.key", "--model", "m.safetensors")
    assert stat.S_IMODE(os.stat("own.key").st_mode) == 0o600
    assert (made["scheme"], made["carrier"], made["bits"]) == ("partition", "balanced", 256)
    assert made["m"] == 32 * 16 * 9 + 32 * 32 * 9 + 320
    assert [t["name"] for t in made["targets"]] == ["conv2.0.conv2.weight", "conv3.0.conv2.weight", "fc.weight"]
    assert re.fullmatch("[0-9a-f]{64}", made["key_id"])
    assert run_json("key", "own.key") == made
    run("key", "own.key", out=rf"(?m)^key id +{made['key_id']}\nscheme +partition, carrier balanced\n(.*\n)*created +[-0-9T:]+Z \(says the key\)\n(.*\n)*original +{made['original']}\n")


def test_keygen_names_one_layer(model):
    made = run_json("keygen", "-o", "own.key", "--model", "m.safetensors", "--target", "conv2", "--bits", "32", "--ones")
    assert (made["scheme"], made["carrier"], made["bits"], made["m"], made["ones"]) == ("random", "mean", 32, 16 * 9, True)
    made = run_json("keygen", "-o", "other.key", "--model", "m.safetensors", "--target", "fc.*", "--carrier", "weights")
    assert (made["scheme"], made["m"]) == ("partition", 320)


def test_key_never_prints_secrets(model):
    run("keygen", "-o", "own.key", "--model", "m.safetensors")
    seed = json.load(open("own.key"))["seed"]
    for arguments in (["key", "own.key"], ["key", "own.key", "--json"]):
        assert seed not in run(*arguments).stdout


def test_verify_json_is_the_contract(marked):
    found = run_json("verify", "marked.safetensors", "--key", "own.key")
    assert list(found) == VERIFY_KEYS
    assert (found["verdict"], found["bits"], found["bit_errors"], found["ber"], found["tries"]) == ("found", 64, 0, 0, 1)
    assert found["evidence_bits"] > 64 and found["log10_p"] < -19
    assert abs(found["evidence_bits"] + found["log10_p"] / 0.30102999566398120) < 1e-6 * found["evidence_bits"]
    assert found["model"] == "marked.safetensors" and found["key_id"] == run_json("key", "own.key")["key_id"]
    assert found["tensors"] == ["conv2.0.conv2.weight", "conv3.0.conv2.weight", "fc.weight"]
    assert (found["share_read"], found["tensors_partial"], found["tensors_missing"], found["reason"]) == (1, 0, 0, None)
    assert [m["share"] for m in found["matched"]] == [1, 1, 1]


def test_verify_in_words(marked):
    run("verify", "marked.safetensors", "--key", "own.key", out=r"(?s)^found: .*bits +0 of 64 wrong, BER 0\.0000\n.*z = .*p +10\^-.*evidence +\d")


def test_not_found_is_exit_1(marked):
    run("verify", "m.safetensors", "--key", "own.key", code=1, out="^not-found: ")
    run("keygen", "-o", "stranger.key", "--model", "m.safetensors")
    assert run_json("verify", "marked.safetensors", "--key", "stranger.key", code=1)["verdict"] == "not-found"


def test_verify_another_tensor(model):
    """A one-tensor key finds its mark in a renamed tensor; each try is paid for."""
    run("keygen", "-o", "one.key", "--model", "m.safetensors", "--target", "conv3.0.conv2.weight", "--bits", "64")
    run("embed", "m.safetensors", "--key", "one.key", "-o", "marked.safetensors", "--margin", "1.5")
    content = open("marked.safetensors", "rb").read()
    open("renamed.safetensors", "wb").write(content.replace(b"conv3.0.conv2.weight", b"layer9.9.convX.other"))
    run("verify", "renamed.safetensors", "--key", "one.key", code=3, err="conv3.0.conv2.weight")
    named = run_json("verify", "renamed.safetensors", "--key", "one.key", "--tensor", "layer9.9.convX.other")
    # one tensor of its sizes and one of others with as many axes; or none, or the one of its sizes
    assert (named["verdict"], named["tries"], named["tensors"]) == ("found", 2, ["layer9.9.convX.other"])
    any_tensor = run_json("verify", "renamed.safetensors", "--key", "one.key", "--any-tensor", "--tries", "5")
    assert (any_tensor["verdict"], any_tensor["tries"]) == ("found", 10)
    assert any_tensor["log10_p"] == pytest.approx(named["log10_p"] + 0.698970004, abs=1e-6)


def rename(source, target, changes):
    """A copy of a safetensors file whose tensors have other names."""
    content = open(source, "rb").read()
    size = 8 + int.from_bytes(content[:8], "little")
    header = {changes.get(name, name): entry for name, entry in json.loads(content[8:size]).items()}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    open(target, "wb").write(len(text).to_bytes(8, "little") + text + content[size:])


WRAPPED = {"conv2.0.conv2.weight": "module.conv2.0.conv2.weight", "conv3.0.conv2.weight": "conv3/0/conv2/kernel:0", "fc.weight": "head.fc.weight"}


def test_verify_finds_renamed_tensors(marked):
    before = run_json("verify", "marked.safetensors", "--key", "own.key")
    assert [m["how"] for m in before["matched"]] == ["exact"] * 3
    rename("marked.safetensors", "wrapped.safetensors", WRAPPED)
    after = run_json("verify", "wrapped.safetensors", "--key", "own.key")
    assert after["matched"] == [{"target": t, "tensor": n, "how": "renamed", "share": 1} for t, n in WRAPPED.items()]
    assert {k: after[k] for k in ("z", "tries", "bit_errors")} == {k: before[k] for k in ("z", "tries", "bit_errors")}
    run("verify", "wrapped.safetensors", "--key", "own.key", out=r"module\.conv2\.0\.conv2\.weight for conv2\.0\.conv2\.weight \(renamed\)")


def test_verify_by_a_map(marked):
    names = {"conv2.0.conv2.weight": "a = b", "conv3.0.conv2.weight": "p", "fc.weight": "q"}
    rename("marked.safetensors", "other.safetensors", names)
    run("verify", "other.safetensors", "--key", "own.key", code=3, err="3 of the key's 3 tensors are missing")
    open("map", "w").write("# what is what\n\n conv2.0.conv2.weight = a = b \nfc.weight=q\n")
    open("map.json", "w").write(json.dumps(names))
    before = run_json("verify", "marked.safetensors", "--key", "own.key")
    part = run_json("verify", "other.safetensors", "--key", "own.key", "--map", "map")
    assert [(m["target"], m["tensor"], m["how"]) for m in part["matched"]] == [("conv2.0.conv2.weight", "a = b", "map"), ("fc.weight", "q", "map")]
    whole = run_json("verify", "other.safetensors", "--key", "own.key", "--map", "map.json")
    # three of three lines, of convolutions one of the sizes and one of others, of matrices one
    assert (whole["z"], whole["tries"], len(whole["matched"])) == (before["z"], 3 * 1 * 2 * 2 * 1, 3)
    open("twice", "w").write("conv2.0.conv2.weight = p\n\nfc.weight = p\n")
    run("verify", "other.safetensors", "--key", "own.key", "--map", "twice", code=3, err='map: line [13]: tensor "p" is named for')
    run("verify", "other.safetensors", "--key", "own.key", "--map", "map", "--any-tensor", code=2, err="exclude each other")


def test_verify_any_tensor_with_a_key_of_many(scratch):
    """Names that say nothing, two layers of one shape: every target finds its own, for the price of all that it could have been."""
    shapes = {"a.weight": [16, 8, 3, 3], "b.weight": [16, 8, 3, 3], "c.weight": [12, 40], "d.weight": [16, 8, 3, 3]}
    tools.safetensors("m.safetensors", {n: ("F32", s, tools.gauss(math.prod(s), i + 20)) for i, (n, s) in enumerate(shapes.items())})
    run("keygen", "-o", "own.key", "--model", "m.safetensors", "--target", "a.weight,b.weight,c.weight", "--bits", "32")
    run("embed", "m.safetensors", "--key", "own.key", "-o", "marked.safetensors", "--margin", "4")
    before = run_json("verify", "marked.safetensors", "--key", "own.key")
    rename("marked.safetensors", "other.safetensors", {"a.weight": "3", "b.weight": "1", "c.weight": "2", "d.weight": "4"})
    run("verify", "other.safetensors", "--key", "own.key", code=3, err="3 of the key's 3 tensors are missing")
    after = run_json("verify", "other.safetensors", "--key", "own.key", "--any-tensor")
    assert [(m["target"], m["tensor"], m["how"]) for m in after["matched"]] == [("a.weight", "3", "shape"), ("b.weight", "1", "shape"), ("c.weight", "2", "shape")]
    assert after["z"] == before["z"] and after["tries"] == (1 + 3) * (1 + 3) * (1 + 1)  # a and b: none, or one of three tensors
    assert after["evidence_bits"] == pytest.approx(before["evidence_bits"] - 5, abs=1e-9)


def test_verify_several(marked):
    """Every pair has a row; p is multiplied by their number; non-models in folders are passed over, damaged models are not."""
    run("keygen", "-o", "stranger.key", "--model", "m.safetensors", "--bits", "64")
    os.makedirs("up/deep/er")
    for source, target in (("marked", "up/deep/er/x"), ("m", "up/y"), ("m", "up/deep/z")):
        shutil.copy(source + ".safetensors", target + ".safetensors")
    os.symlink("..", "up/deep/loop")
    os.symlink("x.safetensors", "up/deep/er/same.safetensors")
    open("up/notes.txt", "w").write("no model")
    open("up/deep/cut.safetensors", "wb").write(open("m.safetensors", "rb").read()[:3000])
    one = run_json("verify", "marked.safetensors", "--key", "own.key")
    all_pairs = run_json("verify", "up", "--key", "own.key", "--key", "stranger.key")
    assert list(all_pairs) == ["results", "tries", "originals", "first"] and all_pairs["tries"] == 8
    rows = [(r["model"], r["verdict"], r["key_id"] == one["key_id"]) for r in all_pairs["results"]]
    found = [r for r in all_pairs["results"] if r["verdict"] == "found"]
    assert len(found) == 1 and found[0]["tries"] == 8 and found[0]["evidence_bits"] == pytest.approx(one["evidence_bits"] - 3, abs=1e-9)
    assert rows == [(model, verdict, own) for model, verdicts in [
        ("up/y.safetensors", ("not-found", "not-found")), ("up/deep/cut.safetensors", (None, None)),
        ("up/deep/er/same.safetensors", ("found", "not-found")), ("up/deep/z.safetensors", ("not-found", "not-found"))]
        for verdict, own in zip(verdicts, (True, False))]
    assert all("up/deep/cut.safetensors" in r["error"] for r in all_pairs["results"] if r["verdict"] is None)
    only = run_json("verify", "up", "--key", "own.key", "--key", "stranger.key", "--only-found", "--tries", "10")
    assert [r["verdict"] for r in only["results"]] == ["found"] and only["tries"] == only["results"][0]["tries"] == 80
    run("verify", "up", "--key", "stranger.key", code=1, out="0 of 4 pairs found; every p is multiplied by 4")
    run("verify", "up/y.safetensors", "marked.safetensors", "--key", "own.key", out=r"(?m)^verdict .*\n^not-found .*y\.safetensors\n^found .*marked\.safetensors\n^key +own.key: undated [^~]*\n^1 of 2 pairs")
    assert run_json("verify", "up/deep/er", "--key", "own.key") == {**one, "model": "up/deep/er/same.safetensors"}  # one pair answers as ever
    os.unlink("up/deep/er/same.safetensors")
    assert run_json("verify", "up/deep/er", "--key", "own.key") == {**one, "model": "up/deep/er"}  # a folder that is a model


def test_extract(marked):
    bits = run("extract", "marked.safetensors", "--key", "own.key").stdout.strip()
    assert re.fullmatch("[01]{64}", bits)
    assert run("extract", "marked.safetensors", "--key", "own.key", "--hex").stdout.strip() == f"{int(bits, 2):016x}"
    answer = run_json("extract", "marked.safetensors", "--key", "own.key")
    assert answer["bits"] == bits and len(answer["y"]) == 64 and answer["erased"] == []
    assert "".join("01"[y >= 0] for y in answer["y"]) == bits


def test_inspect(model):
    answer = run_json("inspect", "m.safetensors")
    assert list(answer) == ["format", "tensors", "files", "weights", "costs", "signatures"] and answer["format"] == "safetensors"
    assert answer["tensors"][0] == {"name": "conv2.0.conv2.weight", "dtype": "f32", "shape": [32, 16, 3, 3], "embeddable": True, "m": 144, "layout": "OIHW",
                                    "readable": True, "bytes": 4 * 32 * 16 * 9, "file": 0, "alias": None}
    assert answer["files"] == ["m.safetensors"] and answer["weights"] == 32 * 16 * 9 + 32 * 32 * 9 + 320 and answer["signatures"] == []
    assert [t["readable"] for t in answer["tensors"]] == [True, True, True, False, True]
    assert [t["embeddable"] for t in answer["tensors"]] == [True, True, False, False, True]
    assert [t["m"] for t in answer["tensors"]] == [144, 288, 0, 0, 32]
    run("inspect", "m.safetensors", out=r"(?s)steps +i64 +\[1\] +-.*3 tensors can carry a mark")


def test_inspect_tells_what_a_margin_costs(scratch):
    """As embedding does change them, about: every bit of a balanced mark over [64, 512] and [512, 64]."""
    tools.safetensors("m.safetensors", {n: ("F32", s, tools.gauss(64 * 512, i)) for i, (n, s) in enumerate({"a.weight": [64, 512], "b.weight": [512, 64]}.items())})
    costs = {c["margin"]: c["relative_change"] for c in run_json("inspect", "m.safetensors")["costs"]}
    assert list(costs) == [1, 2, 4, 8]
    run("keygen", "-o", "own.key", "--model", "m.safetensors", "--bits", "256")
    for margin, cost in costs.items():
        done = run_json("embed", "m.safetensors", "--key", "own.key", "-o", "out", "--margin", margin, "--unbalanced", "--dry-run")
        assert done["relative_change"] == pytest.approx(cost, rel=0.1 + 0.1 / margin)  # four deviations from key to key
    run("inspect", "m.safetensors", out=rf"256 bits over all of them change the weights by .*{100 * costs[8]:.2g} % at margin 8")


def test_inspect_tree(scratch):
    shapes = {f"model.layers.{i}.{n}.weight": [8, 8] for i in range(12) for n in ("attn.q", "attn.k", "mlp")}
    shapes |= {"model.embed.weight": [20, 8], "model.layers.12.mlp.weight": [8, 8], "head": [20, 8]}
    tools.safetensors("m.safetensors", {n: ("F32", s, [1.0] * math.prod(s)) for n, s in shapes.items()})
    text = run("inspect", "m.safetensors", "--tree").stdout
    assert re.search(r"^head +f32 +\[20, 8\] +640 B$", text, re.M)
    assert re.search(r"^model +38 tensors, [0-9.]+ kB\n  embed\.weight +f32 .*\n  layers +37 tensors, .*\n    0 to 11 +12 alike, 3 tensors each, 9\.2 kB\n", text, re.M)
    assert re.search(r"^      attn +2 tensors, 512 B\n        k\.weight .*\n        q\.weight .*\n      mlp\.weight .*\n    12\.mlp\.weight ", text, re.M)


def test_signatures_are_named(model):
    """What signs a model is told by inspect, and embed warns that it will not hold."""
    run("keygen", "-o", "own.key", "--model", "m.safetensors", "--bits", "16")
    for name in ("model.sig", "m.safetensors.asc"):
        open(name, "w").write("signature")
    assert run_json("inspect", "m.safetensors")["signatures"] == ["m.safetensors.asc", "model.sig"]
    run("inspect", "m.safetensors", out=r"signed +m\.safetensors\.asc \(a mark breaks it\)")
    done = run("embed", "m.safetensors", "--key", "own.key", "-o", "out", "--margin", "8")
    assert [line.split(" signs ")[0] for line in done.stderr.splitlines()] == [f"weightmark embed: warning: {n}" for n in ("m.safetensors.asc", "model.sig")]


def test_embed_says_what_it_does(model):
    run("keygen", "-o", "own.key", "--model", "m.safetensors", "--bits", "64")
    done = run("embed", "m.safetensors", "--key", "own.key", "-o", "marked.safetensors", "--margin", "4",
               out=r"(?s)change +\|\|dW\|\| / \|\|W\|\| = .*before +z = .*after +z = .*found: ")
    assert done.stderr == ""
    answer = run_json("embed", "m.safetensors", "--key", "own.key", "-o", "marked.safetensors", "--force")
    assert answer["errors_after"] == 0 and answer["margin_reached"] >= 7.999 and 0 < answer["relative_change"] < 1
    assert answer["verification"] == run_json("verify", "marked.safetensors", "--key", "own.key")


def test_embed_changes_nothing_else(marked):
    before, after = (open(name, "rb").read() for name in ("m.safetensors", "marked.safetensors"))
    assert len(before) == len(after) and before != after
    size = int.from_bytes(before[:8], "little") + 8
    assert before[:size] == after[:size]
    header = json.loads(before[8:size])
    for name in ("bn.weight", "steps"):
        begin, end = header[name]["data_offsets"]
        assert before[size + begin:size + end] == after[size + begin:size + end]


def test_embed_dry_run_writes_nothing(model):
    run("keygen", "-o", "own.key", "--model", "m.safetensors", "--bits", "64")
    run("embed", "m.safetensors", "--key", "own.key", "-o", "marked.safetensors", "--dry-run", out=r"(?s)change.*nothing was written")
    assert sorted(os.listdir()) == ["m.safetensors", "own.key"]


def test_embed_equation_6(model):
    run("keygen", "-o", "one.key", "--model", "m.safetensors", "--target", "conv3", "--bits", "64")
    answer = run_json("embed", "m.safetensors", "--key", "one.key", "-o", "strong.safetensors", "--eq6", "--lambda", "100")
    assert answer["verification"]["ber"] == 0 and answer["eq6_distance"] > 0 and 0 < answer["eq6_e_r"] < 0.7
    weak = run_json("embed", "m.safetensors", "--key", "one.key", "-o", "weak.safetensors", "--eq6", "--lambda", "0.001", code=1)
    assert weak["verification"]["verdict"] != "found" and weak["eq6_distance"] < answer["eq6_distance"]


@pytest.mark.training
def test_attack_prune(marked):
    answer = run_json("attack", "prune", "marked.safetensors", "--rate", "0.65", "-o", "pruned.safetensors")
    weights = 32 * 16 * 9 + 32 * 32 * 9 + 320
    assert (answer["attack"], answer["tensors"], answer["weights"]) == ("prune", 3, weights)
    assert answer["changed"] == round(0.65 * 32 * 16 * 9) + round(0.65 * 32 * 32 * 9) + round(0.65 * 320)
    run("verify", "pruned.safetensors", "--key", "own.key", out="^found: ")
    one = run_json("attack", "prune", "marked.safetensors", "--rate", "1", "--tensor", "fc.*", "--order", "random", "--seed", "3", "-o", "fc.safetensors")
    assert (one["tensors"], one["changed"]) == (1, 320)


def test_passphrase(model):
    open("phrase", "w").write("correct horse\nnot this line\n")
    open("same", "w").write("correct horse")
    run("keygen", "-o", "own.key", "--model", "m.safetensors", "--bits", "64", "--passphrase-file", "phrase", out="sealed")
    assert "seed" not in json.load(open("own.key"))
    run("embed", "m.safetensors", "--key", "own.key", "--passphrase-file", "same", "-o", "marked.safetensors")
    run("verify", "marked.safetensors", "--key", "own.key", "--passphrase-file", "phrase", out="^found: ")
    run("key", "own.key", "--passphrase-file", "/dev/stdin", stdin=open("phrase"))


def test_options_may_come_first_and_be_shortened(marked):
    run("verify", "--ke", "own.key", "marked.safetensors", out="^found: ")
    run("verify", "-kown.key", "marked.safetensors", "--threshold-bits=1000000", code=1, out="^inconclusive: ")


def test_threads_do_not_change_the_answer(marked):
    answers = [run("verify", "marked.safetensors", "--key", "own.key", "--json", "--threads", n).stdout for n in (1, 2, 3)]
    assert answers[0] == answers[1] == answers[2]


def test_colour_only_on_a_terminal(marked):
    """script(1) gives the program a terminal; a pipe and NO_COLOR give none."""
    command = f"{tools.PROGRAM} verify marked.safetensors --key own.key"
    assert "\033" not in run("verify", "marked.safetensors", "--key", "own.key").stdout
    tools.need_terminal()
    def on_terminal(**environment):
        clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        return subprocess.run(["script", "-qec", command, "/dev/null"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                              env={**clean, "TERM": "xterm", **environment}).stdout
    assert "\033[1;32mfound" in on_terminal()
    assert "\033" not in on_terminal(NO_COLOR="1")
    assert "\033" not in on_terminal(TERM="dumb")


def test_file_names_that_are_no_utf8(marked):
    os.rename("marked.safetensors", b"\xff\xfe.safetensors")
    done = subprocess.run([tools.PROGRAM, "verify", b"\xff\xfe.safetensors", "--key", "own.key", "--json"], stdout=subprocess.PIPE)
    assert done.returncode == 0 and json.loads(done.stdout)["model"] == "??.safetensors"


@pytest.mark.skipif(tools.has_training(), reason="built with the training engine")
@pytest.mark.parametrize("command", ["train", "eval", "attack", "report"])
def test_build_without_training(scratch, command):
    run(command, "m.safetensors", "--key", "k", "-o", "out", code=3, err=f"weightmark {command}: not supported: built without the training engine")
    run(command, "--help", out="no training engine")
