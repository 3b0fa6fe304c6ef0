"""Models of several files: a folder in, a folder out, everything else in it as it was; nothing is lost and nothing is left lying about."""
import filecmp
import json
import os
import shutil
import signal

import pytest

import tools
from test_interruption import DELAYS, stop_after
from tools import gauss, run, run_json


def publish(folder, weights=256 * 64, layers=3):
    os.makedirs(os.path.join(folder, "tokenizer"))
    weight_map = {}
    for i in range(layers):
        shard = f"model-{i + 1:05}-of-{layers:05}.safetensors"
        tools.safetensors(os.path.join(folder, shard), {f"layer{i}.weight": ("F32", [weights // 64, 64], gauss(weights, i))})
        weight_map[f"layer{i}.weight"] = shard
    for name, text in (("model.safetensors.index.json", json.dumps({"weight_map": weight_map})), ("config.json", "{}"), ("tokenizer/vocab.txt", "a b"), ("README.md", "")):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)


def files(folder):
    return {os.path.relpath(os.path.join(where, name), folder) for where, _, names in os.walk(folder) for name in names}


def changed(a, b):
    """Files that differ, in two folders that hold files of the same names."""
    assert files(a) == files(b)
    return {n for n in files(a) if not filecmp.cmp(os.path.join(a, n), os.path.join(b, n), shallow=False)}


@pytest.fixture
def hub(scratch):
    publish("hub")
    shutil.copytree("hub", "before")
    run("keygen", "-o", "own.key", "--model", "hub", "--target", "layer1.weight,layer2.weight", "--scheme", "partition", "--bits", "64")
    return scratch


SHARDS = {"model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"}


def test_a_folder_in_a_folder_out(hub):
    run("verify", "hub", "--key", "own.key", code=1)
    run("embed", "hub", "--key", "own.key", "-o", "out")
    assert changed("before", "hub") == set() and changed("hub", "out") == SHARDS
    for way in ("out", "out/", "out/model.safetensors.index.json"):
        assert run_json("verify", way, "--key", "own.key")["ber"] == 0
    assert run_json("inspect", "out")["format"] == "safetensors"
    assert run("extract", "out", "--key", "own.key").stdout == run("extract", "out/", "--key", "own.key").stdout
    assert sorted(os.listdir()) == ["before", "hub", "out", "own.key"]


def test_by_its_index_only_the_model_goes_along(hub):
    run("embed", "hub/model.safetensors.index.json", "--key", "own.key", "-o", "out")
    assert files("out") == {n for n in files("hub") if n.startswith("model")}
    run("verify", "out", "--key", "own.key")


def test_a_folder_with_one_model(scratch):
    publish("hub", layers=1)
    os.rename("hub/model-00001-of-00001.safetensors", "hub/model.safetensors")
    os.unlink("hub/model.safetensors.index.json")
    run("keygen", "-o", "own.key", "--model", "hub", "--bits", "64")
    run("embed", "hub", "--key", "own.key", "-o", "out")
    assert changed("hub", "out") == {"model.safetensors"}
    run("verify", "out/model.safetensors", "--key", "own.key")


def test_what_is_there_is_kept(hub):
    os.mkdir("out")
    run("embed", "hub", "--key", "own.key", "-o", "out", code=3, err="out: exists already and is kept")
    open("file", "w").close()
    run("embed", "hub", "--key", "own.key", "-o", "file", "--force", code=3, err="file: is a file, and the output is a folder")
    shutil.copytree("hub", "precious")
    open("precious/thesis", "w").close()
    run("embed", "hub", "--key", "own.key", "-o", "precious", "--force", code=3, err='"thesis".* would be lost')
    assert os.path.exists("precious/thesis") and not tools.leftovers()
    run("embed", "hub", "--key", "own.key", "-o", ".", "--force", code=3, err="would be lost")
    assert changed("before", "hub") == set()


def test_forced(hub):
    run("embed", "hub", "--key", "own.key", "-o", "out")
    run("keygen", "-o", "other.key", "--model", "hub", "--bits", "64")
    run("embed", "hub", "--key", "other.key", "-o", "out", "--force")
    run("verify", "out", "--key", "own.key", code=1)
    run("embed", "hub", "--key", "own.key", "-o", "hub", "--force") # over itself
    assert changed("before", "hub") == SHARDS
    run("embed", "hub", "--key", "other.key", "-o", "hub/inside", "--other-model") # into itself
    assert files("hub/inside") == files("before")
    assert not tools.leftovers() and not tools.leftovers("hub")


def test_dry_run(hub):
    run("embed", "hub", "--key", "own.key", "-o", "out", "--dry-run", out="nothing was written")
    assert sorted(os.listdir()) == ["before", "hub", "own.key"]


def test_damaged_folders(hub):
    for name in os.listdir("hub"):
        if name.startswith("model-"):
            shutil.copy(f"hub/{name}", "keep")
            os.unlink(f"hub/{name}")
            run("inspect", "hub", code=3, err=f"hub/{name}: No such file")
            with open("keep", "rb") as whole, open(f"hub/{name}", "wb") as cut:
                cut.write(whole.read()[:-1])
            run("inspect", "hub", code=3, err=f"hub/{name}: tensor")
            shutil.copy("keep", f"hub/{name}")
    os.rename("hub/model.safetensors.index.json", "index")
    run("inspect", "hub", code=3, err="which of the folder's 3 model files")
    os.mkdir("empty")
    run("inspect", "empty", code=3, err="no model file in this folder")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_cut_off(scratch, which):
    """Ctrl-C leaves nothing; kill -9 at most a folder whose name begins with .wmk-."""
    publish("hub", weights=1 << 20, layers=2)
    run("keygen", "-o", "own.key", "--model", "hub")
    codes = []
    for delay in DELAYS:
        code, _ = stop_after(delay, which, "embed", "hub", "--key", "own.key", "-o", "out")
        codes.append(code)
        if os.path.exists("out"):
            run("verify", "out", "--key", "own.key", out="^found: ")
            shutil.rmtree("out")
        if which == signal.SIGKILL:
            for name in tools.leftovers():
                shutil.rmtree(name)
        assert sorted(os.listdir()) == ["hub", "own.key"]
    assert any(codes), "no run was slow enough to be cut off"
