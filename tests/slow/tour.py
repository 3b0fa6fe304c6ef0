#!/usr/bin/env python3
"""One key, one model, a tour of formats: PyTorch, safetensors, ONNX, ONNX int8, Keras weights, GGUF F16, Q8_0, Q4_K; the mark is looked for at every stop.
Usage: tour.py WEIGHTMARK FOLDER. Needs torch, onnxruntime, onnx, keras, gguf, safetensors and Fashion-MNIST (Debian's dataset-fashion-mnist).
Every stop is converted from the one before it, by the format's own library. Exit status 1 when the mark is not found somewhere.
"""
import gzip, json, os, pathlib, subprocess, sys

os.environ["KERAS_BACKEND"] = "torch"
import numpy, torch

program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
DATA = pathlib.Path("/usr/share/datasets/fashion-mnist")
SIZES = [1024, 512, 512, 256, 10]
MARGIN = 8
rows = []


def weightmark(*arguments, codes=(0,)):
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    if done.returncode not in codes:
        sys.exit(f"weightmark {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def images(kind):
    with gzip.open(DATA / f"{kind}-images-idx3-ubyte.gz") as file:
        x = numpy.frombuffer(file.read(), "u1", offset=16).reshape(-1, 28, 28)
    with gzip.open(DATA / f"{kind}-labels-idx1-ubyte.gz") as file:
        y = numpy.frombuffer(file.read(), "u1", offset=8)
    return torch.from_numpy(numpy.pad(x, ((0, 0), (2, 2), (2, 2))).reshape(-1, 1024).astype("f4") / 255 - 0.28), torch.from_numpy(y.astype("i8"))


def network():
    layers = []
    for i in range(len(SIZES) - 1):
        layers += [torch.nn.Linear(SIZES[i], SIZES[i + 1]), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def trained():
    torch.manual_seed(1)
    x, y = images("train")
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for epoch in range(1):
        for rows_ in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[rows_]), y[rows_]).backward()
            optimizer.step()
    return net.eval()


def error(answer):
    x, y = images("t10k")
    return 100 * float((torch.as_tensor(answer(x)).argmax(1) != y).float().mean())


def stop(name, path, answer=None, options=()):
    found = json.loads(weightmark("verify", path, "--key", "owner.key", "--json", *options, codes=(0, 1)))
    told = [name, path.name, found["verdict"], f"{found['ber']:.4f}", f"{found['z']:.1f}", f"{found['evidence_bits']:.0f}", f"{error(answer):.2f} %" if answer else "-"]
    print(f"  {'ok    ' if found['verdict'] == 'found' else 'NOT SO'}  {name}: {', '.join(told[2:])}", flush=True)
    rows.append(told)


def from_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x.numpy()})[0]


def linears(state):
    return [(f"{2 * i}.weight", f"{2 * i}.bias") for i in range(len(SIZES) - 1)]


def apply(arrays):
    """The network from its arrays, [out, in]."""

    def answer(x):
        for i, (weight, bias) in enumerate(arrays):
            x = x @ torch.as_tensor(numpy.array(weight)).float().T + torch.as_tensor(numpy.array(bias)).float()
            x = torch.relu(x) if i + 1 < len(arrays) else x
        return x

    return answer


def gguf_file(path, state, kind):
    import gguf

    writer = gguf.GGUFWriter(path, "mlp")
    arrays = []
    for weight, bias in linears(state):
        value = state[weight]
        block = gguf.GGML_QUANT_SIZES[kind][0]
        use = kind if value.shape[1] % block == 0 else gguf.GGMLQuantizationType.F16
        stored = value.astype("f2") if use == gguf.GGMLQuantizationType.F16 else gguf.quants.quantize(value, use)
        writer.add_tensor(weight, stored, raw_dtype=use)
        writer.add_tensor(bias, state[bias])
        arrays.append((gguf.quants.dequantize(stored, use) if use != gguf.GGMLQuantizationType.F16 else stored.astype("f4"), state[bias]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return apply(arrays)


def q4_k(path, state):
    """gguf's Python has no Q4_K quantiser: blocks are written by the rule of its de-quantiser (ggml-common.h, block_q4_K), scales and minimums by range."""
    import gguf

    def quantize(x):
        blocks = x.reshape(-1, 8, 32)
        low = numpy.minimum(blocks.min(2), 0)
        scale = (blocks.max(2) - low) / 15
        d, dmin = scale.max(1) / 63, -low.min(1) / 63
        d, dmin = d.astype("f2"), dmin.astype("f2")
        sc = numpy.clip(numpy.rint(scale / numpy.where(d == 0, 1, d).astype("f4")[:, None]), 0, 63).astype("u1")
        mn = numpy.clip(numpy.rint(-low / numpy.where(dmin == 0, 1, dmin).astype("f4")[:, None]), 0, 63).astype("u1")
        step, base = d.astype("f4")[:, None] * sc, dmin.astype("f4")[:, None] * mn
        q = numpy.clip(numpy.rint((blocks + base[:, :, None]) / numpy.where(step == 0, 1, step)[:, :, None]), 0, 15).astype("u1")
        packed = numpy.zeros((len(blocks), 12), "u1")
        packed[:, 0:4] = sc[:, 0:4] | (sc[:, 4:8] >> 4) << 6
        packed[:, 4:8] = mn[:, 0:4] | (mn[:, 4:8] >> 4) << 6
        packed[:, 8:12] = (sc[:, 4:8] & 15) | (mn[:, 4:8] & 15) << 4
        nibbles = (q[:, 0::2] | q[:, 1::2] << 4).reshape(len(blocks), 128)
        return numpy.concatenate([d[:, None].view("u1").reshape(-1, 2), dmin[:, None].view("u1").reshape(-1, 2), packed, nibbles], 1).reshape(x.shape[0], -1)

    writer = gguf.GGUFWriter(path, "mlp")
    arrays = []
    for weight, bias in linears(state):
        stored = quantize(state[weight].astype("f4"))
        writer.add_tensor(weight, stored, raw_dtype=gguf.GGMLQuantizationType.Q4_K)
        writer.add_tensor(bias, state[bias])
        arrays.append((gguf.quants.dequantize(stored, gguf.GGMLQuantizationType.Q4_K), state[bias]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return apply(arrays)


def read_gguf(path):
    import gguf

    state = {}
    for tensor in gguf.GGUFReader(path).tensors:
        state[tensor.name] = numpy.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), "f4").reshape(tensor.shape[::-1])
    return state


def main():
    import gguf, keras, onnx, onnxruntime.quantization as quantization
    from safetensors.torch import load_file, save_file

    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "plain.pt").exists():
        torch.save(trained().state_dict(), folder / "plain.pt")
    if not (folder / "owner.key").exists():
        weightmark("keygen", "--model", "plain.pt", "--bits", 256, "-o", "owner.key")
    told = json.loads(weightmark("embed", "plain.pt", "--key", "owner.key", "--margin", MARGIN, "-o", "marked.pt", "--force", "--json"))
    before = json.loads(weightmark("verify", "plain.pt", "--key", "owner.key", "--json", codes=(1,)))
    net = network()
    net.load_state_dict(torch.load(folder / "plain.pt", weights_only=True))
    print(f"  original: {before['verdict']}, {before['evidence_bits']:.1f} bits, test error {error(lambda x: net(x).detach()):.2f} %; the mark changes {told['relative_change']:.3f} of the weights' norm")

    state = torch.load(folder / "marked.pt", weights_only=True)
    net.load_state_dict(state)
    stop("PyTorch", folder / "marked.pt", lambda x: net(x).detach())

    save_file(state, folder / "marked.safetensors")
    net.load_state_dict(load_file(folder / "marked.safetensors"))
    stop("safetensors", folder / "marked.safetensors", lambda x: net(x).detach())

    torch.onnx.export(net, (torch.zeros(1, 1024),), folder / "marked.onnx", input_names=["image"], dynamic_axes={"image": {0: "n"}}, dynamo=False)
    stop("ONNX", folder / "marked.onnx", from_onnx(folder / "marked.onnx"))

    quantization.quantize_dynamic(folder / "marked.onnx", folder / "marked.int8.onnx", weight_type=quantization.QuantType.QInt8)
    stop("ONNX int8", folder / "marked.int8.onnx", from_onnx(folder / "marked.int8.onnx"))

    # onward from what the int8 file still holds
    arrays = {a.name: onnx.numpy_helper.to_array(a) for a in onnx.load(folder / "marked.int8.onnx").graph.initializer}
    values = {}
    for weight, bias in linears(state):
        name = next(n for n in arrays if n.startswith(weight) and n.endswith("_quantized")).removesuffix("_quantized")
        values[weight] = (arrays[f"{name}_quantized"].astype("f4") - arrays[f"{name}_zero_point"].astype("f4")) * arrays[f"{name}_scale"]
        if "Transposed" in name:
            values[weight] = values[weight].T
        values[bias] = arrays[bias]
    layers = [keras.layers.Dense(size, activation="relu" if i + 2 < len(SIZES) else None) for i, size in enumerate(SIZES[1:])]
    model = keras.Sequential([keras.Input((1024,)), *layers])
    for layer, (weight, bias) in zip(layers, linears(state)):
        layer.set_weights([values[weight].T, values[bias]])
    model.save_weights(folder / "marked.weights.h5")
    stop("Keras weights", folder / "marked.weights.h5", lambda x: model(x).detach(), ["--any-tensor"])

    for layer, (weight, bias) in zip(layers, linears(state)):
        values[weight], values[bias] = (numpy.array(v) for v in layer.get_weights())
        values[weight] = numpy.ascontiguousarray(values[weight].T)
    stop("GGUF F16", folder / "marked.f16.gguf", gguf_file(folder / "marked.f16.gguf", values, gguf.GGMLQuantizationType.F16))
    values = read_gguf(folder / "marked.f16.gguf")
    stop("GGUF Q8_0", folder / "marked.q8_0.gguf", gguf_file(folder / "marked.q8_0.gguf", values, gguf.GGMLQuantizationType.Q8_0))
    values = read_gguf(folder / "marked.q8_0.gguf")
    stop("GGUF Q4_K", folder / "marked.q4_k.gguf", q4_k(folder / "marked.q4_k.gguf", values))

    print("\n| stop | file | verdict | BER | z | evidence (bits) | test error |\n|---|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.exit(any(row[2] != "found" for row in rows))


main()
