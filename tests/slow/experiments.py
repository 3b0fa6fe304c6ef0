#!/usr/bin/env python3
"""The paper's comparisons on Fashion-MNIST, with the program as a user runs it. Usage: experiments.py WEIGHTMARK FOLDER [NAME...]

NAMEs: schemes embed situations. Models stay in FOLDER and are reused; every promise is printed with its figure; exit status 1 when one fails.
Needs NumPy.
"""
import csv, json, pathlib, shutil, statistics, struct, subprocess, sys

import numpy

program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
failures = 0
LAYER = "conv2.0.conv2.weight"
HOST = "wrn-10-4"


def weightmark(*arguments, codes=(0,)):
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    if done.returncode not in codes:
        sys.exit(f"weightmark {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def asked(*arguments, codes=(0, 1)):
    return json.loads(weightmark(*arguments, "--json", codes=codes))


def promise(what, figure, kept):
    global failures
    failures += not kept
    print(f"  {'ok    ' if kept else 'NOT SO'}  {what}: {figure}", flush=True)


def precision():
    """bf16 is quicker where the processor multiplies it, and slower elsewhere."""
    return "bf16" if "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text().split() else "f32"


def key(name, *arguments):
    if not (folder / name).exists():
        weightmark("keygen", "-o", name, *arguments)
    return name


def train(name, *arguments, epochs=1):
    if not (folder / f"{name}.safetensors").exists():
        print(f"  training {name}", flush=True)
        weightmark("train", "--epochs", epochs, "--augment", "none", "--precision", PRECISION, "--history", f"{name}.csv", "--quiet", *arguments, "-o", f"{name}.safetensors", "--force")
    return f"{name}.safetensors"


def error(model):
    """Test error in per cent, measured once a model."""
    known = folder / f"{model}.eval"
    if not known.exists():
        known.write_text(json.dumps(asked("eval", model)))
    return 100 * json.loads(known.read_text())["test_error"]


def tensors(model):
    """Name -> (header entry, array); header bytes and data, for writing back."""
    raw = (folder / model).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    data = bytearray(raw[8 + size :])
    arrays = {
        name: numpy.frombuffer(data, dtype="<f4", count=(entry["data_offsets"][1] - entry["data_offsets"][0]) // 4, offset=entry["data_offsets"][0]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return raw[: 8 + size], data, arrays


def last_e_r(name):
    with open(folder / f"{name}.csv") as rows:
        return float([row for row in csv.DictReader(rows) if row["e_r"]][-1]["e_r"])


def distance(a, b):
    """Kolmogorov-Smirnov distance of two samples, each over its own deviation: how differently shaped they are."""
    a, b = numpy.sort(a.ravel() / a.std()), numpy.sort(b.ravel() / b.std())
    both = numpy.concatenate([a, b])
    return float(numpy.abs(numpy.searchsorted(a, both, "right") / a.size - numpy.searchsorted(b, both, "right") / b.size).max())


def twin():
    return train("unmarked", "--host", HOST)


def schemes():
    """Paper section 4.2.1, Table 4 and figure 3: the three schemes trained alike. The paper trains 200 epochs with lambda 0.01; here a third of one epoch with
    lambda 1 pulls the mark as far as some thirty of those would."""
    print("schemes: direct, diff and random in conv 2, 256 bits all one, lambda 1, 0.3 epochs")
    plain = train("scheme-unmarked", "--host", HOST, epochs=0.3)
    unmarked = tensors(plain)[2][LAYER]
    e_r, shape = {}, {}
    for scheme in ("direct", "diff", "random"):
        name = f"scheme-{scheme}"
        key(f"{name}.key", "--host", HOST, "--target", "conv2", "--scheme", scheme, "--ones")
        model = train(name, "--host", HOST, "--key", f"{name}.key", "--lambda", 1, epochs=0.3)
        e_r[scheme] = last_e_r(name)
        shape[scheme] = distance(tensors(model)[2][LAYER], unmarked)
        verdict = asked("verify", model, "--key", f"{name}.key")
        print(f"  {scheme}: test error {error(model):.2f} %, mean E_R {e_r[scheme]:.3g}, BER {verdict['ber']:.4f}, evidence {verdict['evidence_bits']:.1f} bits,"
              f" distance of W's distribution from the unmarked one's {shape[scheme]:.4f}")
    print(f"  unmarked: test error {error(plain):.2f} %")
    promise("mean E_R of random far below direct and diff", f"{e_r['random']:.3g} against {e_r['direct']:.3g} and {e_r['diff']:.3g}", e_r["random"] < 0.5 * min(e_r["direct"], e_r["diff"]))
    promise("direct and diff deform W, random does not", ", ".join(f"{name} {value:.4f}" for name, value in shape.items()),
            min(shape["direct"], shape["diff"]) > 2 * shape["random"])
    weightmark("report", *(f"scheme-{name}.safetensors" for name in ("direct", "diff", "random", "unmarked")), "-o", "schemes.html", "--force")


def embed():
    """A partition key over all convolutions, without training or data."""
    print("embed: 256 bits over all convolutions of the unmarked twin, margin 8")
    model = twin()
    before = error(model)
    changes = []
    for number in range(1, 6):
        name = key(f"partition-{number}.key", "--model", model, "--target", "conv")
        marked = f"embedded-{number}.safetensors"
        if not (folder / marked).exists():
            weightmark("embed", model, "--key", name, "-o", marked, "--force")
        changes.append(error(marked) - before)
    promise("test error changes by at most 0.20 points", f"{before:.2f} %, changes " + ", ".join(f"{change:+.2f}" for change in changes), max(map(abs, changes)) <= 0.20)
    promise("mean over 5 keys by at most 0.10", f"{statistics.mean(changes):+.3f}", abs(statistics.mean(changes)) <= 0.10)
    marked, name = "embedded-1.safetensors", "partition-1.key"
    verdict = asked("verify", marked, "--key", name)
    promise("found", f"z {verdict['z']:.1f}, {verdict['evidence_bits']:.0f} bits of evidence", verdict["verdict"] == "found" and verdict["bit_errors"] == 0)
    promise("not in the twin", asked("verify", model, "--key", name)["verdict"], asked("verify", model, "--key", name)["verdict"] == "not-found")
    for rate in ("0.95", "0.99"):
        weightmark("attack", "prune", marked, "--rate", rate, "-o", "pruned.safetensors", "--force")
        verdict = asked("verify", "pruned.safetensors", "--key", name)
        promise(f"every layer pruned {rate}: " + ("BER 0" if rate == "0.95" else "found"), f"{verdict['verdict']}, BER {verdict['ber']:.4f}, z {verdict['z']:.1f}",
                verdict["bit_errors"] == 0 if rate == "0.95" else verdict["verdict"] == "found")
    later = train("embedded-tuned", "--init", marked, "--lr", "0.1", "--schedule", "constant", epochs=150 / 937.5)
    verdict = asked("verify", later, "--key", name)
    promise("150 training steps at rate 0.1 without the mark: BER 0", f"BER {verdict['ber']:.4f}, z {verdict['z']:.1f}, test error {error(later):.2f} %", verdict["bit_errors"] == 0)
    head, data, arrays = tensors(marked)
    random = numpy.random.default_rng(1)
    for tensor in arrays.values():
        if tensor.ndim == 4:
            tensor *= numpy.exp(0.7 * random.standard_normal((tensor.shape[0], 1, 1, 1))).astype("f4")
    (folder / "rescaled.safetensors").write_bytes(head + data)
    verdict = asked("verify", "rescaled.safetensors", "--key", name)
    promise("every filter rescaled by a random positive factor: BER 0", f"BER {verdict['ber']:.4f}, z {verdict['z']:.1f}", verdict["bit_errors"] == 0)


def situations():
    """Paper Table 2 and Table 5: fine-tune-to-embed and distill-to-embed, from the unmarked twin, mark in conv 3."""
    print("situations: from the unmarked twin, 256 bits in conv 3, one epoch")
    model = twin()
    key("conv3.key", "--host", HOST, "--target", "conv3", "--scheme", "random")
    noise = 100 * (2 * 0.1 * 0.9 / 10000) ** 0.5  # deviation of the difference of two test errors near 10 %
    for name, arguments in (("fine-tune", ()), ("distill", ("--teacher", model))):
        shutil.copy(folder / "conv3.key", folder / f"{name}-marked.key")  # where report looks for it
        marked = train(f"{name}-marked", "--init", model, *arguments, "--key", "conv3.key")
        plain = train(f"{name}-unmarked", "--init", model, *arguments)
        verdict = asked("verify", marked, "--key", "conv3.key")
        promise(f"{name}-to-embed: BER 0", f"BER {verdict['ber']:.4f}, z {verdict['z']:.1f}, {verdict['evidence_bits']:.0f} bits of evidence", verdict["bit_errors"] == 0)
        change = error(marked) - error(plain)
        promise(f"{name}-to-embed: test error within two deviations ({2 * noise:.2f} points) of the same training without the mark",
                f"first training {error(model):.2f} %, second: {error(marked):.2f} % with, {error(plain):.2f} % without", abs(change) <= 2 * noise)
    weightmark("report", "fine-tune-to-embed=fine-tune-marked.safetensors", "fine-tune without=fine-tune-unmarked.safetensors",
               "distill-to-embed=distill-marked.safetensors", "distill without=distill-unmarked.safetensors", "-o", "situations.html", "--force")


PRECISION = precision()
for name in sys.argv[3:] or ("schemes", "embed", "situations"):
    globals()[name]()
sys.exit(failures > 0)
