"""Runs the examples of README.md and docs/*.md.

A ```console block whose first line begins with `$ weightmark` is run, in the order of the file, all of a file's blocks in one folder. That folder holds at first a
small `model.safetensors` with two convolutions and a linear layer. A line `$ command` is typed; what follows is what the program says (stdout, then stderr without
progress). Numbers may differ, words may not: in both texts every number, date and key id becomes N and blanks are squeezed; a line `...` stands for any lines. An
exit code of 2 or more is right only where the text shows the program's error message.

Files that train on real data are in the slow group, and so are blocks that begin with `$ pip`: they fetch a model that others trained.
"""
import os
import re
import subprocess
import sys

import pytest

import tools

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def blocks_of(path, first="weightmark"):
    """[(command, expected lines), ...] of every block whose first command is that one."""
    text = open(os.path.join(ROOT, path), encoding="utf-8").read()
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        if not block.startswith(f"$ {first}"):
            continue
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif steps[-1][0].endswith("\\"):
                steps[-1] = (steps[-1][0] + "\n" + line, [])
            else:
                steps[-1][1].append(line)
    return steps


def pages():
    names = ["README.md"] + sorted(os.path.join("docs", n) for n in os.listdir(os.path.join(ROOT, "docs")) if n.endswith(".md"))
    for name in names:
        if not os.path.exists(os.path.join(ROOT, name)):
            continue
        steps = blocks_of(name)
        trains = any("weightmark train" in command for command, _ in steps)
        if steps:
            yield pytest.param(name, "weightmark", id=name, marks=[pytest.mark.slow, pytest.mark.training] if trains else [])
        if blocks_of(name, "pip"):
            yield pytest.param(name, "pip", id=f"{name}-fetching", marks=[pytest.mark.slow])


def shape(line):
    line = re.sub(r"\b[0-9a-f]{64}\b", "N", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "N", line)
    line = re.sub(r"[-+]?(?<![A-Za-z_.\d])\d+(\.\d+)?([eE][-+]?\d+)?", "N", line)
    line = re.sub(r"\b[01]{16,}\b|\b[0-9a-f]{16,}\b", "N", line)
    line = re.sub(r"\[N(, N)*\]", "[N]", line)
    return re.sub(r"\s+", " ", line).strip()


def matches(expected, actual):
    """Lines against lines; `...` takes any number of them."""
    if not expected:
        return not actual
    if expected[0].strip() == "...":
        return any(matches(expected[1:], actual[i:]) for i in range(len(actual) + 1))
    return bool(actual) and shape(expected[0]) == shape(actual[0]) and matches(expected[1:], actual[1:])


def test_rule_of_comparison():
    assert shape("z = 12.5, p 10^-63.2") == shape("z  =  9, p 10^-1")
    assert shape("conv2.0.conv2.weight f32 [64, 64, 3, 3]") == shape("conv2.0.conv2.weight f32 [16, 16, 3, 3]")
    assert shape("found: 3 bits") != shape("not-found: 3 bits")
    assert shape("conv2.0.weight") != shape("conv3.0.weight")
    assert matches(["a", "...", "c 1"], ["a", "x", "y", "c 2"]) and not matches(["a", "..."], ["b"])
    assert not matches(["a"], ["a", "b"]) and not matches(["a", "b"], ["a"])


@pytest.mark.parametrize("page, first", pages())
def test_examples(scratch, page, first):
    tools.write_model("model.safetensors")
    os.mkdir("bin")
    os.symlink(tools.PROGRAM, "bin/weightmark")
    environment = {**os.environ, "PATH": f"{os.getcwd()}/bin:{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    for command, expected in blocks_of(page, first):
        done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        complaints = [line for line in done.stderr.splitlines() if not re.match(r"epoch \d|measuring the test error|weightmark report: (reading|measuring|drawing)", line)]
        actual = [line for line in done.stdout.splitlines() + complaints if line.strip()]
        wanted = [line for line in expected if line.strip()]
        said = f"{page}: $ {command}\nexit {done.returncode}\n" + "\n".join(actual)
        assert done.returncode < 2 or any(line.startswith("weightmark") for line in wanted), said
        assert matches(wanted, actual), said + "\n\nThe page says:\n" + "\n".join(wanted)
