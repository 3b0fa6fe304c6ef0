"""train, eval and report on a tiny data set: the paper's three situations, the history, the page."""
import base64
import csv
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree

import pytest

import tools
from tools import run, run_json

pytestmark = pytest.mark.training
QUICK = ["--data", "data", "--batch", "16", "--threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """marked (with marked.key and marked.csv) and unmarked, both trained for real, small."""
    folder = tmp_path_factory.mktemp("trained")
    before = os.getcwd()
    os.chdir(folder)
    tools.write_data("data")
    run("keygen", "-o", "marked.key", "--host", "wrn-10-1", "--target", "conv2", "--bits", "100")
    train = ["train", "--host", "wrn-10-1", "--epochs", "6", "--lambda", "1", *QUICK]
    answers = {
        "marked": run_json(*train, "--key", "marked.key", "-o", "marked.safetensors", "--history", "marked.csv"),
        "unmarked": run_json(*train, "-o", "unmarked.safetensors", "--history", "unmarked.csv"),
    }
    json.dump(answers, open("answers.json", "w"))
    os.chdir(before)
    return folder


@pytest.fixture
def work(trained, scratch):
    shutil.copytree(trained, scratch, dirs_exist_ok=True)
    return scratch


def test_train_json(work):
    marked, unmarked = (json.load(open("answers.json"))[name] for name in ("marked", "unmarked"))
    assert list(marked) == ["model", "steps", "seconds", "images_per_second", "train_loss", "test_error", "test_loss", "e_r", "ber"]
    assert marked["steps"] == 36 and 0 <= marked["test_error"] <= 1 and marked["model"] == "marked.safetensors"
    assert marked["ber"] == 0 and marked["e_r"] > 0
    assert unmarked["e_r"] is None and unmarked["ber"] is None


def test_marked_while_training(work):
    found = run_json("verify", "marked.safetensors", "--key", "marked.key")
    assert (found["verdict"], found["ber"], found["bits"]) == ("found", 0, 100)
    assert run_json("verify", "unmarked.safetensors", "--key", "marked.key", code=1)["verdict"] == "not-found"


def test_eval_agrees_with_train(work):
    answer = run_json("eval", "marked.safetensors", "--data", "data")
    trained = json.load(open("answers.json"))["marked"]
    assert list(answer) == ["test_error", "loss", "examples"] and answer["examples"] == 48
    assert answer["test_error"] == pytest.approx(trained["test_error"]) and answer["loss"] == pytest.approx(trained["test_loss"], rel=1e-5)
    run("eval", "marked.safetensors", "--data", "data", out=r"test error +\d+\.\d\d %\nloss +\d")


def test_history(work):
    rows = list(csv.DictReader(open("marked.csv")))
    assert len(rows) >= 6
    assert float(rows[-1]["epoch"]) == pytest.approx(6) and float(rows[-1]["ber"]) == 0
    assert float(rows[-1]["test_error"]) == pytest.approx(json.load(open("answers.json"))["marked"]["test_error"], rel=1e-5)
    assert float(rows[0]["e_r"]) > float(rows[-1]["e_r"])


def test_fine_tune_and_distil(work):
    run("keygen", "-o", "second.key", "--host", "wrn-10-1", "--target", "conv3", "--bits", "16")
    tuned = run_json("train", "--init", "unmarked.safetensors", "--key", "second.key", "--lambda", "1", "--epochs", "3", *QUICK, "-o", "tuned.safetensors")
    distilled = run_json("train", "--init", "unmarked.safetensors", "--teacher", "unmarked.safetensors", "--key", "second.key", "--lambda", "1", "--epochs", "3", *QUICK,
                         "-o", "distilled.safetensors")
    assert tuned["ber"] == 0 and distilled["ber"] == 0


def test_two_marks_at_once(work):
    run("keygen", "-o", "second.key", "--host", "wrn-10-1", "--target", "conv3", "--bits", "16")
    both = run_json("train", "--host", "wrn-10-1", "--key", "marked.key", "--key", "second.key", "--lambda", "1", "--epochs", "3", *QUICK, "-o", "both.safetensors")
    assert both["ber"] == 0


def test_same_seed_same_file(work):
    contents = []
    for seed in (5, 5, 6):
        run("train", "--host", "wrn-10-1", "--epochs", "0.5", *QUICK, "--seed", seed, "-o", "again.safetensors", "--force")
        contents.append(open("again.safetensors", "rb").read())
    assert contents[0] == contents[1] != contents[2]


def test_progress_without_a_terminal(work):
    """At most a line each tenth, no control characters; none at all with --quiet."""
    done = run("train", "--host", "wrn-10-1", "--data", "data", "--batch", "4", "--epochs", "0.5", "--key", "marked.key", "-o", "out", quiet=False)
    lines = done.stderr.splitlines()
    assert 5 <= len(lines) <= 12 and "\r" not in done.stderr and "\033" not in done.stderr
    assert re.match(r"epoch \d.* step \d+/12  loss \d.*  E_R \d.*  BER \d.*  \d+ images/s  .* left", lines[0])
    assert run("train", "--host", "wrn-10-1", *QUICK, "--epochs", "0.2", "-o", "out", "--force").stderr == ""


def test_progress_on_a_terminal(work):
    """One line, drawn anew."""
    tools.need_terminal()
    command = f"{tools.PROGRAM} train --host wrn-10-1 --data data --batch 4 --epochs 0.5 -o out"
    done = subprocess.run(["script", "-qec", command, "/dev/null"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
    assert done.returncode == 0 and b"\r\033[Kepoch" in done.stdout and b"step 12/12" in done.stdout
    for columns, has, lacks in ((120, b" images/s", b"never"), (79, b"step 12/12", b" images/s"), (66, b" left", b"step")):
        narrow = f"stty cols {columns}; {command} --key marked.key --force"
        done = subprocess.run(["script", "-qec", narrow, "/dev/null"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
        lines = re.findall(rb"\r\033\[K(epoch[^\r]*)", done.stdout)
        assert done.returncode == 0 and lines and max(map(len, lines)) < columns, "a line that is wrapped cannot be drawn anew"
        assert has in lines[-1] and lacks not in lines[-1]


# ---- report --------------------------------------------------------------------------------------------------------------------------


def page_of(path):
    page = open(path, encoding="utf-8").read()
    for outside in ("http://", "https://", "<script", "<link", "src=\"/"):
        assert outside not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", page), "the page must stand alone"
    return page


def figures(page):
    """Title -> SVG."""
    return {title: base64.b64decode(data).decode() for title, data in re.findall(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,([^"]*)"', page)}


def test_report(work):
    answer = run_json("report", "marked.safetensors", "unmarked.safetensors", "--note", "A < B", "-o", "report.html")
    page = page_of("report.html")
    drawn = figures(page)
    assert list(drawn) == ["Test error", "Training loss E_0", "Mean E_R while training", "Values of the bits: marked",
                           "Distribution of W: conv2.0.conv2.weight", "Mean E_R after pruning: marked", "Bit error rate after pruning: marked",
                           "Evidence after pruning: marked"]
    for svg in drawn.values():
        assert svg.lstrip().startswith("<?xml") and "</svg>" in svg
    assert all(word in drawn["Values of the bits: marked"] for word in ("marked, its key", "unmarked (unmarked), the same key", "stranger"))
    assert "A &lt; B" in page and "0 of 100 bits are wrong" in page
    errors = [json.load(open("answers.json"))[name]["test_error"] for name in ("marked", "unmarked")]
    assert f"test error {100 * errors[0]:.2f} % with the mark, {100 * errors[1]:.2f} % without" in page
    assert [r["label"] for r in answer["runs"]] == ["marked", "unmarked"]
    assert answer["runs"][0]["test_error"] == pytest.approx(errors[0], rel=1e-5)
    assert answer["runs"][0]["verification"]["ber"] == 0 and answer["runs"][1]["verification"] is None
    assert answer["runs"][0]["e_r"] == pytest.approx(json.load(open("answers.json"))["marked"]["e_r"], rel=1e-3)


def test_report_pruning_agrees_with_attack_and_verify(work):
    """The sweep in memory gives what attack prune and verify give on files."""
    run("report", "marked.safetensors", "-o", "report.html")
    rows = re.findall(r"<tr><td>(\d+) %</td><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td></tr>", open("report.html").read())
    assert len(rows) == 14
    for rate, _, ber, z, bits in rows[5:]:
        run("attack", "prune", "marked.safetensors", "--rate", int(rate) / 100, "--tensor", "conv2.0.conv2.weight", "-o", "pruned.safetensors", "--force")
        done = subprocess.run([tools.PROGRAM, "verify", "pruned.safetensors", "--key", "marked.key", "--json"], stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout)
        assert (ber, z, bits) == (f"{found['ber']:.4f}", f"{found['z']:.2f}", f"{found['evidence_bits']:.1f}")


def test_report_of_several_schemes(work):
    for scheme, bits in (("direct", 100), ("diff", 72)):
        run("keygen", "-o", f"{scheme}.key", "--host", "wrn-10-1", "--target", "conv2", "--bits", bits, "--scheme", scheme)
        run("embed", "unmarked.safetensors", "--key", f"{scheme}.key", "-o", f"{scheme}.safetensors", "--margin", "0.5")
    run("report", "direct.safetensors", "diff.safetensors", "Rand=marked.safetensors", "unmarked.safetensors", "--key", "direct.key", "--key", "diff.key",
        "--key", "marked.key", "--data", "data", "--title", "Three schemes", "-o", "report.html", "--quiet")
    page = page_of("report.html")
    drawn = figures(page)
    weights = drawn["Distribution of W: conv2.0.conv2.weight"]
    assert all(word in weights for word in ("direct", "diff", "Rand", "unmarked"))
    assert len([t for t in drawn if t.startswith("Distribution")]) == 1
    assert len(re.findall(r"test error [\d.]+ % with the mark", page)) == 3
    assert "<title>Three schemes</title>" in page


def test_report_pairs_each_training_with_its_own_twin(work):
    """A marked run is compared with the unmarked one that follows it: fine-tuning with fine-tuning, distilling with distilling."""
    for name in ("tuned", "plain"):
        for ending in (".safetensors", ".csv", ".key"):
            source = ("marked" if name == "tuned" else "unmarked") + ending
            if os.path.exists(source):
                shutil.copy(source, name + ending)
    rows = open("plain.csv").read().rstrip("\n").rsplit(",", 1)[0]
    open("plain.csv", "w").write(rows + ",0.125\n")
    run("report", "marked.safetensors", "unmarked.safetensors", "tuned.safetensors", "plain.safetensors", "-o", "report.html", "--quiet")
    said = re.findall(r"<p>(\w+): test error [\d.]+ % with the mark, ([\d.]+) % without \((\w+)\)", open("report.html").read())
    assert [(a, c) for a, _, c in said] == [("marked", "unmarked"), ("tuned", "plain")] and said[1][1] == "12.50"


def test_report_of_names_that_are_no_utf8(work):
    """Bytes of a file name must not make the drawings malformed XML."""
    os.rename("marked.safetensors", b"m\xff<&.safetensors")
    done = subprocess.run([tools.PROGRAM, "report", b"m\xff<&.safetensors", "-k", "marked.key", "-o", "report.html", "--quiet"], stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    for svg in figures(page_of("report.html")).values():
        xml.etree.ElementTree.fromstring(svg)


def test_report_unusable_history(work):
    open("marked.csv", "w").write("this is no history\n1,2,3\n")
    run("report", "marked.safetensors", "-o", "report.html", "--quiet", code=3, err="marked.csv: not a training history")
    os.unlink("marked.csv")
    os.mkfifo("marked.csv")
    run("report", "marked.safetensors", "-o", "report.html", "--quiet", code=3, err="marked.csv: not a training history")
    assert not os.path.exists("report.html")


@pytest.mark.parametrize("rows", ["", "nan,1\n", "1,-1\n2,0\n", "inf,inf\n1,1\n", "1e308,1e308\n-1e308,-1e308\n", "1,0.5,,,\n\n,\n"])
def test_report_draws_what_can_be_drawn(work, rows):
    """A point that no axis can hold is left out, a figure without points too; the page comes."""
    open("marked.csv", "w").write("epoch,e_r\n" + rows)
    run("report", "marked.safetensors", "-o", "report.html")
    page_of("report.html")


def test_report_of_a_very_long_name(work):
    run("report", "\u00e9" * 300 + "=marked.safetensors", "-o", "report.html")
    svgs = re.findall(r'base64,([A-Za-z0-9+/=]+)"', page_of("report.html"))
    assert svgs
    for svg in svgs:
        xml.etree.ElementTree.fromstring(base64.b64decode(svg)) # cut off, yet whole characters


def test_report_without_gnuplot(work):
    run("report", "marked.safetensors", "-o", "report.html", "--quiet", code=3, err="not supported: .*gnuplot", env={**os.environ, "PATH": "/nowhere"})
    assert not os.path.exists("report.html")
