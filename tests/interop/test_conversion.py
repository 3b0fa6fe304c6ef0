"""A key made for one file finds its mark in converted ones: the same weights under other names, in other layouts and containers, written by the formats' own libraries. Where nothing is
rounded on the way the score must be the same. INTEROP_WEIGHTMARK names the program."""
import json
import math
import os
import subprocess

import pytest

np = pytest.importorskip("numpy")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="the Python package safetensors is not installed")
from safetensors.numpy import load_file, save_file  # noqa: E402

PROGRAM = os.environ["INTEROP_WEIGHTMARK"]


def weightmark(*arguments, allowed=(0,)):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode in allowed, f"weightmark {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def verify(model, key, *more, allowed=(0,)):
    return json.loads(weightmark("verify", model, "--key", key, "--json", *more, allowed=allowed))


def how(answer):
    return {m["target"]: (m["tensor"], m["how"]) for m in answer["matched"]}


def mark(path, tensors, *keygen, margin=3, metadata=None):
    """The marked copy of these tensors and its key; what verify says of it."""
    save_file(tensors, path / "plain.safetensors", metadata=metadata)
    weightmark("keygen", "-o", path / "own.key", "--model", path / "plain.safetensors", "--bits", 32, *keygen)
    weightmark("embed", path / "plain.safetensors", "--key", path / "own.key", "-o", path / "marked.safetensors", "--margin", margin)
    answer = verify(path / "marked.safetensors", path / "own.key")
    return load_file(path / "marked.safetensors"), path / "own.key", answer


def same(before, after, tries=1, missing=0):
    """The same score from the same weights; p paid for `tries`."""
    assert after["verdict"] == "found" and after["tries"] == tries
    assert len(after["matched"]) == len(before["matched"]) - missing
    assert after["z"] == pytest.approx(before["z"], rel=1e-9)
    assert after["evidence_bits"] == pytest.approx(before["evidence_bits"] - math.log2(tries), rel=1e-9)


def need_reader(model):
    done = subprocess.run([PROGRAM, "inspect", model], capture_output=True, text=True)
    if "looks like" in done.stderr:
        pytest.skip(done.stderr.strip())


def gauss(seed, **shapes):
    random = np.random.default_rng(seed)
    return {name.replace("__", "."): random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}


# ---- names -------------------------------------------------------------------------------------------------------------------------------


def llama_names(layers=2):
    """Hugging Face's name -> GGUF's (llama.cpp, gguf-py/gguf/tensor_mapping.py)."""
    names = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight"}
    for i in range(layers):
        for theirs, ours in {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
                             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}.items():
            names[f"model.layers.{i}.{theirs}.weight"] = f"blk.{i}.{ours}.weight"
    return names


HEADS, KV_HEADS, HIDDEN, INNER, VOCABULARY = 4, 2, 64, 96, 100


def llama(seed=1, layers=2):
    shapes = {"embed_tokens": (VOCABULARY, HIDDEN), "lm_head": (VOCABULARY, HIDDEN), "q_proj": (HIDDEN, HIDDEN), "o_proj": (HIDDEN, HIDDEN),
              "k_proj": (HIDDEN // HEADS * KV_HEADS, HIDDEN), "v_proj": (HIDDEN // HEADS * KV_HEADS, HIDDEN), "gate_proj": (INNER, HIDDEN),
              "up_proj": (INNER, HIDDEN), "down_proj": (HIDDEN, INNER)}
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.05, shapes[name.split(".")[-2]]).astype(np.float32) for name in llama_names(layers)}


def permute(weights, heads):
    """llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def to_gguf_order(name, weights):
    return permute(weights, HEADS) if "q_proj" in name else permute(weights, KV_HEADS) if "k_proj" in name else weights


RENAMINGS = {
    "without_model": lambda n: n.removeprefix("model."),
    "torch_compile": lambda n: "_orig_mod." + n,
    "data_parallel": lambda n: "module." + n,
    "peft": lambda n: "base_model.model." + n,
    "multimodal": lambda n: "language_model.model." + n.removeprefix("model."),
    "checkpoint": lambda n: "state_dict.net." + n,
    "lightning_wrapper": lambda n: "student.decoder." + n,
    "slashes": lambda n: n.removesuffix(".weight").replace(".", "/") + "/kernel:0",
    "meta": lambda n: META.get(n, n) if n in META else None,
}
META = {"model.embed_tokens.weight": "tok_embeddings.weight", "lm_head.weight": "output.weight"}
for _i in range(2):
    for _hf, _meta in {"self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
                       "mlp.down_proj": "feed_forward.w2", "mlp.up_proj": "feed_forward.w3"}.items():
        META[f"model.layers.{_i}.{_hf}.weight"] = f"layers.{_i}.{_meta}.weight"


@pytest.mark.parametrize("renaming", RENAMINGS)
def test_renamed(tmp_path, renaming):
    rename = RENAMINGS[renaming]
    tensors = {n: t for n, t in llama().items() if rename(n)}
    marked, key, before = mark(tmp_path, tensors)
    save_file({rename(n): t for n, t in marked.items()}, tmp_path / "other.safetensors")
    after = verify(tmp_path / "other.safetensors", key)
    same(before, after)
    assert how(after) == {n: (rename(n), "exact" if rename(n) == n else "renamed") for n in tensors}


def test_a_name_that_could_be_two_tensors_is_none(tmp_path):
    marked, key, before = mark(tmp_path, gauss(3, a__fc__weight=(40, 64), a__conv__weight=(16, 8, 3, 3)))
    both = {"x.a.fc.weight": marked["a.fc.weight"], "y.a.fc.weight": marked["a.fc.weight"] + 1, "x.a.conv.weight": marked["a.conv.weight"]}
    save_file(both, tmp_path / "two.safetensors")
    assert how(verify(tmp_path / "two.safetensors", key, allowed=(0, 1))) == {"a.conv.weight": ("x.a.conv.weight", "renamed")}
    both["y.a.fc.weight"] = np.zeros((41, 64), np.float32)  # of another shape it is no rival
    save_file(both, tmp_path / "one.safetensors")
    same(before, verify(tmp_path / "one.safetensors", key))


# ---- layouts -----------------------------------------------------------------------------------------------------------------------------


def test_transposed_matrices(tmp_path):
    """[in, out] instead of [out, in], in a container that does not say so: other matrices tell how the square one lies, free of charge."""
    marked, key, before = mark(tmp_path, gauss(4, a__weight=(40, 64), b__weight=(48, 48), c__weight=(64, 40)))
    save_file({n: np.ascontiguousarray(t.T) for n, t in marked.items()}, tmp_path / "other.safetensors")
    after = verify(tmp_path / "other.safetensors", key)
    same({**before, "matched": before["matched"]}, after)


def test_axes_of_one(tmp_path):
    """1 x 1 convolutions are matrices, and the other way round."""
    marked, key, before = mark(tmp_path, gauss(5, a__weight=(40, 64, 1, 1), b__weight=(48, 24), c__weight=(1, 512)))
    save_file({"a.weight": marked["a.weight"].reshape(40, 64), "b.weight": marked["b.weight"].reshape(48, 24, 1), "c.weight": marked["c.weight"].reshape(512, 1)},
              tmp_path / "other.safetensors")
    same(before, verify(tmp_path / "other.safetensors", key))


# ---- GGUF --------------------------------------------------------------------------------------------------------------------------------


def write_gguf(path, tensors, architecture="llama", heads=HEADS, kv_heads=KV_HEADS):
    gguf = pytest.importorskip("gguf", reason="the Python package gguf is not installed")
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_llama_to_gguf(tmp_path):
    marked, key, before = mark(tmp_path, llama())
    names = llama_names()
    write_gguf(tmp_path / "m.gguf", {names[n]: to_gguf_order(n, t) for n, t in marked.items()})
    after = verify(tmp_path / "m.gguf", key)
    same(before, after)
    assert how(after) == {n: (names[n], "renamed") for n in names}
    write_gguf(tmp_path / "plain.gguf", {names[n]: t for n, t in marked.items()}, architecture="qwen2")  # whose converter leaves rows where they are
    same(before, verify(tmp_path / "plain.gguf", key))


def test_llama_to_gguf_of_half_precision(tmp_path):
    marked, key, before = mark(tmp_path, llama())
    names = llama_names()
    write_gguf(tmp_path / "m.gguf", {names[n]: to_gguf_order(n, t).astype(np.float16) for n, t in marked.items()})
    after = verify(tmp_path / "m.gguf", key)
    assert after["verdict"] == "found" and after["bit_errors"] == 0 and after["z"] == pytest.approx(before["z"], rel=1e-3)


@pytest.mark.parametrize("quantisation", ["Q8_0", "Q4_0"])
def test_llama_to_quantised_gguf(tmp_path, quantisation):
    gguf = pytest.importorskip("gguf", reason="the Python package gguf is not installed")
    marked, key, before = mark(tmp_path, llama())
    names = llama_names()
    kind = getattr(gguf.GGMLQuantizationType, quantisation)
    writer = gguf.GGUFWriter(str(tmp_path / "m.gguf"), "llama")
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    for name, tensor in marked.items():
        writer.add_tensor(names[name], gguf.quants.quantize(np.ascontiguousarray(to_gguf_order(name, tensor)), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    exact = {n: gguf.quants.dequantize(gguf.quants.quantize(np.ascontiguousarray(to_gguf_order(n, t)), kind), kind) for n, t in marked.items()}
    back = {n: (permute_back(t, HEADS) if "q_proj" in n else permute_back(t, KV_HEADS) if "k_proj" in n else t) for n, t in exact.items()}
    save_file({n: np.ascontiguousarray(t) for n, t in back.items()}, tmp_path / "back.safetensors")
    after = verify(tmp_path / "m.gguf", key)
    assert after["z"] == pytest.approx(verify(tmp_path / "back.safetensors", key)["z"], rel=1e-9)  # as the reference library de-quantises it
    assert after["verdict"] == "found" and len(after["matched"]) == len(names)


def permute_back(weights, heads):
    return weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def test_gguf_to_llama(tmp_path):
    """A key made on the GGUF file; the folder on the hub says in config.json how many heads there are."""
    names, tensors = llama_names(), llama()
    write_gguf(tmp_path / "plain.gguf", {names[n]: to_gguf_order(n, t) for n, t in tensors.items()})
    weightmark("keygen", "-o", tmp_path / "own.key", "--model", tmp_path / "plain.gguf", "--bits", 32)
    weightmark("embed", tmp_path / "plain.gguf", "--key", tmp_path / "own.key", "-o", tmp_path / "marked.gguf", "--margin", 3)
    before = verify(tmp_path / "marked.gguf", tmp_path / "own.key")
    gguf = pytest.importorskip("gguf")
    marked = {t.name: np.array(t.data).reshape(list(reversed([int(n) for n in t.shape]))) for t in gguf.GGUFReader(str(tmp_path / "marked.gguf")).tensors}
    folder = tmp_path / "hub"
    folder.mkdir()
    back = {n: (permute_back(marked[g], HEADS) if "q_proj" in n else permute_back(marked[g], KV_HEADS) if "k_proj" in n else marked[g]) for n, g in names.items()}
    save_file({n: np.ascontiguousarray(t) for n, t in back.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "rope_scaling": None, "model_type": "llama",
                                                    "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS}))
    same(before, verify(folder, tmp_path / "own.key"))


def test_mark_goes_into_the_converted_file(tmp_path):
    """A key made on the hub's file marks the GGUF file, rows permuted and all; what comes out, converted back, has the mark too."""
    gguf = pytest.importorskip("gguf", reason="the Python package gguf is not installed")
    names, tensors = llama_names(), llama()
    save_file(tensors, tmp_path / "plain.safetensors")
    weightmark("keygen", "-o", tmp_path / "own.key", "--model", tmp_path / "plain.safetensors", "--bits", 32)
    write_gguf(tmp_path / "plain.gguf", {names[n]: to_gguf_order(n, t) for n, t in tensors.items()})
    weightmark("embed", tmp_path / "plain.gguf", "--key", tmp_path / "own.key", "-o", tmp_path / "marked.gguf", "--margin", 3)
    before = verify(tmp_path / "marked.gguf", tmp_path / "own.key")
    assert before["bit_errors"] == 0
    marked = {t.name: np.array(t.data).reshape(list(reversed([int(n) for n in t.shape]))) for t in gguf.GGUFReader(str(tmp_path / "marked.gguf")).tensors}
    back = {n: (permute_back(marked[g], HEADS) if "q_proj" in n else permute_back(marked[g], KV_HEADS) if "k_proj" in n else marked[g]) for n, g in names.items()}
    save_file({n: np.ascontiguousarray(t) for n, t in back.items()}, tmp_path / "back.safetensors")
    same(before, verify(tmp_path / "back.safetensors", tmp_path / "own.key"))


def test_gpt2_to_gguf(tmp_path):
    """llama.cpp turns the matrices of GPT-2's Conv1D ([in, out] in the hub's file) and leaves the embedding: what the shapes say of the key's letters differs, so the square matrix is tried."""
    marked, key, before = mark(tmp_path, gauss(12, wte__weight=(100, 48), h__0__attn__c_attn__weight=(48, 144), h__0__attn__c_proj__weight=(48, 48), h__0__mlp__c_fc__weight=(48, 192)))
    names = {"wte.weight": "token_embd.weight", "h.0.attn.c_attn.weight": "blk.0.attn_qkv.weight", "h.0.attn.c_proj.weight": "blk.0.attn_output.weight",
             "h.0.mlp.c_fc.weight": "blk.0.ffn_up.weight"}
    write_gguf(tmp_path / "m.gguf", {names[n]: t if n == "wte.weight" else t.T for n, t in marked.items()}, architecture="gpt2")
    after = verify(tmp_path / "m.gguf", key)
    same(before, after, tries=2)
    assert how(after) == {n: (g, "renamed") for n, g in names.items()}


# ---- ONNX --------------------------------------------------------------------------------------------------------------------------------


def write_onnx(path, nodes, initialisers):
    onnx = pytest.importorskip("onnx", reason="the Python package onnx is not installed")
    from onnx import TensorProto, helper, numpy_helper

    made = [helper.make_node(*node, name=name, **attributes) for name, node, attributes in nodes]
    graph = helper.make_graph(made, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in initialisers.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))


def test_matrices_of_onnx(tmp_path):
    """MatMul's [in, out], Gemm with and without transB, under the names that an exporter invents: the nodes' own tell which layer it is. All are square: the operators tell how they lie,
    and whether the key's own guess was right is tried."""
    marked, key, before = mark(tmp_path, gauss(6, block__q__weight=(48, 48), block__k__weight=(48, 48), head__weight=(48, 48)))
    q, k, head = (marked[n] for n in ("block.q.weight", "block.k.weight", "head.weight"))
    write_onnx(tmp_path / "m.onnx",
               [("/block/q/MatMul", ("MatMul", ["x", "onnx::MatMul_1"], ["a"]), {}), ("/block/k/Gemm", ("Gemm", ["a", "block.k.weight"], ["b"]), {"transB": 1}),
                ("/head/Gemm", ("Gemm", ["b", "head.weight"], ["y"]), {})], {"onnx::MatMul_1": q.T, "block.k.weight": k, "head.weight": head.T})
    after = verify(tmp_path / "m.onnx", key)
    same(before, after, tries=4)  # of q and head; k's letters are the key's
    assert how(after) == {"block.q.weight": ("onnx::MatMul_1", "alias"), "block.k.weight": ("block.k.weight", "exact"), "head.weight": ("head.weight", "exact")}


def test_a_key_made_on_onnx_knows_the_layers(tmp_path):
    """Its targets go by the network's names where an exporter made others up; both can be asked for."""
    tensors = gauss(9, block__q__weight=(48, 64), head__weight=(32, 48))
    write_onnx(tmp_path / "plain.onnx", [("/block/q/MatMul", ("MatMul", ["x", "onnx::MatMul_7"], ["a"]), {}), ("/head/Gemm", ("Gemm", ["a", "head.weight"], ["y"]), {"transB": 1})],
               {"onnx::MatMul_7": tensors["block.q.weight"].T, "head.weight": tensors["head.weight"]})
    key = tmp_path / "own.key"
    made = json.loads(weightmark("keygen", "-o", key, "--model", tmp_path / "plain.onnx", "--bits", 32, "--json"))
    assert [t["name"] for t in made["targets"]] == ["block.q.weight", "head.weight"]
    one = json.loads(weightmark("keygen", "-o", tmp_path / "one.key", "--model", tmp_path / "plain.onnx", "--target", "onnx::MatMul_7", "--json"))
    assert [t["name"] for t in one["targets"]] == ["block.q.weight"]
    listed = json.loads(weightmark("inspect", tmp_path / "plain.onnx", "--json"))["tensors"]
    assert {t["name"]: t["embeddable"] for t in listed} == {"onnx::MatMul_7": True, "head.weight": True}
    weightmark("embed", tmp_path / "plain.onnx", "--key", key, "-o", tmp_path / "marked.onnx", "--margin", 3)
    before = verify(tmp_path / "marked.onnx", key)
    import onnx
    from onnx import numpy_helper

    marked = {i.name: numpy_helper.to_array(i) for i in onnx.load(str(tmp_path / "marked.onnx")).graph.initializer}
    save_file({"model.block.q.weight": np.ascontiguousarray(marked["onnx::MatMul_7"].T), "model.head.weight": marked["head.weight"]}, tmp_path / "other.safetensors")
    same(before, verify(tmp_path / "other.safetensors", key))


def test_a_wrong_guess_in_the_key(tmp_path):
    """GPT-2's Conv1D keeps [in, out] where a key from safetensors takes [out, in]; ONNX says what they are. The matrices that are not square give it away, and the square one follows."""
    marked, key, before = mark(tmp_path, gauss(7, h__0__attn__c_attn__weight=(48, 144), h__0__attn__c_proj__weight=(48, 48), h__0__mlp__c_fc__weight=(48, 96)))
    write_onnx(tmp_path / "m.onnx",
               [("/1", ("MatMul", ["x", "transformer.h.0.attn.c_attn.weight"], ["a"]), {}), ("/2", ("MatMul", ["a", "transformer.h.0.attn.c_proj.weight"], ["b"]), {}),
                ("/3", ("MatMul", ["b", "transformer.h.0.mlp.c_fc.weight"], ["y"]), {})], {"transformer." + n: t for n, t in marked.items()})
    same(before, verify(tmp_path / "m.onnx", key))


def test_torch_to_onnx(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript")
    network = torch.nn.Sequential()
    network.add_module("conv1", torch.nn.Conv2d(3, 16, 3))
    network.add_module("conv2", torch.nn.Conv2d(16, 24, 3))
    network.add_module("flat", torch.nn.Flatten())
    network.add_module("fc1", torch.nn.Linear(24 * 16, 40))
    network.add_module("fc2", torch.nn.Linear(40, 10))
    marked, key, before = mark(tmp_path, {n: t.numpy() for n, t in network.state_dict().items()})
    network.load_state_dict({n: torch.from_numpy(t) for n, t in marked.items()})
    for dynamo in (True, False):
        torch.onnx.export(network.eval(), (torch.zeros(1, 3, 8, 8),), str(tmp_path / "m.onnx"), dynamo=dynamo)
        same(before, verify(tmp_path / "m.onnx", key))
    torch.save(network.state_dict(), tmp_path / "m.pt")
    same(before, verify(tmp_path / "m.pt", key))
    torch.save({"epoch": 3, "model": {"module." + n: t for n, t in network.state_dict().items()}}, tmp_path / "checkpoint.pt")
    same(before, verify(tmp_path / "checkpoint.pt", key))
    torch.jit.save(torch.jit.script(network), str(tmp_path / "script.pt"))
    same(before, verify(tmp_path / "script.pt", key))


def test_onnx_of_eight_bits(tmp_path):
    """onnxruntime's quantisers, by tensor and by channel: the mark is read from what the integers stand for."""
    pytest.importorskip("onnx")
    quantization = pytest.importorskip("onnxruntime.quantization", reason="the Python package onnxruntime is not installed")
    marked, key, before = mark(tmp_path, gauss(10, block__q__weight=(48, 64), block__k__weight=(32, 48)), margin=4)
    write_onnx(tmp_path / "m.onnx", [("/block/q/MatMul", ("MatMul", ["x", "onnx::MatMul_7"], ["a"]), {}), ("/block/k/MatMul", ("MatMul", ["a", "block.k.weight"], ["y"]), {})],
               {"onnx::MatMul_7": marked["block.q.weight"].T, "block.k.weight": marked["block.k.weight"].T})
    same(before, verify(tmp_path / "m.onnx", key))
    for per_channel in (False, True):
        quantization.quantize_dynamic(str(tmp_path / "m.onnx"), str(tmp_path / "q.onnx"), per_channel=per_channel, weight_type=quantization.QuantType.QInt8)
        after = verify(tmp_path / "q.onnx", key)
        assert after["bit_errors"] == 0 and len(after["matched"]) == 2 and after["z"] == pytest.approx(before["z"], rel=0.02)


# ---- NumPy, Keras, TensorFlow Lite -------------------------------------------------------------------------------------------------------


def test_npz(tmp_path):
    marked, key, before = mark(tmp_path, gauss(8, a__weight=(40, 64), conv__weight=(16, 8, 3, 3)))
    np.savez(tmp_path / "m.npz", **marked)
    need_reader(tmp_path / "m.npz")
    same(before, verify(tmp_path / "m.npz", key))
    np.savez_compressed(tmp_path / "packed.npz", **marked)
    same(before, verify(tmp_path / "packed.npz", key))
    np.savez_compressed(tmp_path / "nameless.npz", *marked.values())
    after = verify(tmp_path / "nameless.npz", key, "--any-tensor")
    same(before, after, tries=(1 + 1) * (1 + 1))
    assert {h for _, h in how(after).values()} == {"shape"}


def test_means_of_several_layers(tmp_path):
    """The mean carrier over several targets: turned, renamed, and one of them gone."""
    marked, key, before = mark(tmp_path, gauss(11, a__weight=(24, 40), b__conv__weight=(16, 24, 3, 3), c__conv__weight=(16, 24, 3, 3)), "--carrier", "mean", "--scheme", "random", margin=2)
    renamed = {"module." + n: np.ascontiguousarray(t.T) if t.ndim == 2 else t for n, t in marked.items()}
    save_file(renamed, tmp_path / "other.safetensors")
    after = verify(tmp_path / "other.safetensors", key, allowed=(0, 1))
    assert after["z"] == pytest.approx(before["z"], rel=1e-9) and len(after["matched"]) == 3 and after["tries"] == 1
    del renamed["module.b.conv.weight"]
    save_file(renamed, tmp_path / "less.safetensors")
    less = verify(tmp_path / "less.safetensors", key, allowed=(0, 1))
    assert list(how(less)) == ["a.weight", "c.conv.weight"] and less["bits"] == 32 and less["z"] < before["z"]


def keras_model():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="the Python package keras is not installed")
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(16, 3, name="stem")(inputs)
    x = keras.layers.DepthwiseConv2D(3, name="depth")(x)
    x = keras.layers.Conv2D(24, 1, name="point")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(24, name="square")(x)
    return keras, keras.Model(inputs, keras.layers.Dense(10, name="head")(x))


def test_keras(tmp_path):
    """PyTorch's layouts under Keras' names, into each of Keras' files, and from one of them to the others."""
    keras, model = keras_model()
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    kernels = {name: np.array(keras.ops.convert_to_numpy(layer.weights[0])) for name, layer in layers.items()}
    as_torch = {n: k.transpose(2, 3, 0, 1).reshape(-1, 1, *k.shape[:2]) if n == "depth" else k.transpose(3, 2, 0, 1) if k.ndim == 4 else k.T for n, k in kernels.items()}
    marked, key, before = mark(tmp_path, {n + ".weight": np.ascontiguousarray(t) for n, t in as_torch.items()})
    for name, layer in layers.items():
        t = marked[name + ".weight"]
        back = t.reshape(-1, 1, *t.shape[2:]).transpose(2, 3, 0, 1) if name == "depth" else t.transpose(2, 3, 1, 0) if t.ndim == 4 else t.T
        layer.weights[0].assign(back)
    for file in ("m.weights.h5", "m.h5", "m.keras"):
        (model.save_weights if "weights" in file else model.save)(tmp_path / file)
        need_reader(tmp_path / file)
        same(before, verify(tmp_path / file, key))
    weightmark("keygen", "-o", tmp_path / "keras.key", "--model", tmp_path / "m.keras", "--bits", 32)
    weightmark("embed", tmp_path / "m.keras", "--key", tmp_path / "keras.key", "-o", tmp_path / "again.keras", "--margin", 3)
    again = keras.saving.load_model(tmp_path / "again.keras")
    first = verify(tmp_path / "again.keras", tmp_path / "keras.key")
    again.save_weights(tmp_path / "again.weights.h5")
    same(first, verify(tmp_path / "again.weights.h5", tmp_path / "keras.key"))
    again.save(tmp_path / "again.h5")
    same(first, verify(tmp_path / "again.h5", tmp_path / "keras.key"))
