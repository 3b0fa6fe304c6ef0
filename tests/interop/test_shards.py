"""A sharded folder as Hugging Face publishes models, marked by the program: the reference library reads it as transformers does, and diff sees the changed shards only."""
import filecmp
import json
import os
import pathlib
import subprocess

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("safetensors", reason="the reference library (Python package safetensors) is not installed")
from safetensors import safe_open  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

import support  # noqa: E402

DUMP = os.environ["INTEROP_MODEL_DUMP"]
LAYERS = {f"model.layers.{i}.{part}.weight": shape for i in range(3) for part, shape in (("self_attn.q_proj", (48, 64)), ("mlp.up_proj", (96, 64)))}


def publish(folder, dtype):
    """Shards of two layers each, their index, and what else lies in such a folder."""
    rng = np.random.default_rng(8)
    names, weight_map = list(LAYERS) + ["model.norm.weight"], {}
    (folder / "original").mkdir(parents=True)
    for number in range(4):
        shard = f"model-{number + 1:05}-of-00004.safetensors"
        tensors = {name: rng.normal(0, 0.05, LAYERS.get(name, (64,))).astype(dtype) for name in names[2 * number : 2 * number + 2]}
        save_file(tensors, folder / shard, {"format": "pt"})
        weight_map |= {name: shard for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}, indent=2))
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "original" / "params.json").write_text("{}")


def load(folder):
    """As transformers' load_sharded_checkpoint: through the index, shard by shard."""
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    tensors = {}
    for shard in sorted(set(weight_map.values())):
        with safe_open(str(folder / shard), framework="numpy") as file:
            assert file.metadata() == {"format": "pt"}
            tensors |= {name: file.get_tensor(name) for name in file.keys()}
    assert tensors.keys() == weight_map.keys()
    return tensors


def differences(a, b):
    """Names below a and b that are not in both with the same bytes."""
    names = {str(p.relative_to(root)) for root in (a, b) for p in root.rglob("*") if not p.is_dir()}
    return {n for n in names if not ((a / n).is_file() and (b / n).is_file() and filecmp.cmp(a / n, b / n, shallow=False))}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_marked_folder(tmp_path, dtype):
    folder, marked, key = tmp_path / "model", tmp_path / "marked", tmp_path / "own.key"
    publish(folder, dtype)
    (seen,) = [json.loads(line) for line in subprocess.run([DUMP, folder], capture_output=True, text=True, check=True).stdout.splitlines()]
    before = load(folder)
    assert seen["status"] == "ok" and {t["name"]: t["shape"] for t in seen["tensors"]} == {n: list(t.shape) for n, t in before.items()}
    targets = "model.layers.0.*,model.layers.2.mlp*"
    support.run("weightmark", "keygen", "--model", folder, "--target", targets, "--bits", 32, "-o", key)
    support.run("weightmark", "verify", folder, "--key", key, allowed=(1,))
    support.run("weightmark", "embed", folder, "--key", key, "--margin", 3, "-o", marked)
    found = json.loads(support.run("weightmark", "verify", marked, "--key", key, "--json"))
    assert found["verdict"] == "found" and found["ber"] == 0
    index = marked / "model.safetensors.index.json"
    assert json.loads(support.run("weightmark", "verify", index, "--key", key, "--json"))["z"] == found["z"]

    assert differences(folder, marked) == {"model-00001-of-00004.safetensors", "model-00003-of-00004.safetensors"}
    after = load(marked)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.2.mlp.up_proj.weight"}
    for name in changed:
        assert after[name].dtype == dtype and 0 < support.relative(after[name], before[name]) < 0.25
    for shard in folder.glob("*.safetensors"):
        assert os.path.getsize(shard) == os.path.getsize(marked / shard.name)


def test_hub_cache(tmp_path):
    """snapshots/REVISION holds links into blobs/, which are left as they are; the copy holds files."""
    published, snapshot, marked, key = tmp_path / "published", tmp_path / "snapshots" / "0123", tmp_path / "marked", tmp_path / "own.key"
    publish(published, np.float32)
    (tmp_path / "blobs").mkdir()
    (snapshot / "original").mkdir(parents=True)
    for number, path in enumerate(sorted(p for p in published.rglob("*") if p.is_file())):
        blob = tmp_path / "blobs" / f"blob{number}"
        blob.write_bytes(path.read_bytes())
        blob.chmod(0o444)
        link = snapshot / path.relative_to(published)
        link.symlink_to(os.path.relpath(blob, link.parent))
    support.run("weightmark", "keygen", "--model", snapshot, "--bits", 64, "-o", key)
    support.run("weightmark", "embed", snapshot, "--key", key, "-o", marked)
    support.run("weightmark", "verify", marked, "--key", key)
    assert not differences(published, snapshot) and not any(p.is_symlink() for p in marked.rglob("*"))
    assert {pathlib.Path(n).suffix for n in differences(published, marked)} == {".safetensors"}
    load(marked)
