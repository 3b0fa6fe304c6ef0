"""PyTorch in float64 as the oracle: a small wide residual network, its loss, every gradient, the running statistics, and some steps of SGD.

WMK_RUN_WRN names the program built from run_wrn.c.
"""
import functools
import os
import subprocess

import numpy
import pytest
import torch
from torch import nn
from torch.nn import functional

PROGRAM = os.environ["WMK_RUN_WRN"]
BATCH, STEPS, SIDE, CLASSES, RATE = 6, 4, 16, 10, 0.05


class Block(nn.Module):
    def __init__(self, ic, oc, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(ic)
        self.conv1 = nn.Conv2d(ic, oc, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(oc)
        self.conv2 = nn.Conv2d(oc, oc, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(ic, oc, 1, stride, bias=False) if ic != oc or stride != 1 else None

    def forward(self, x):
        y = functional.relu(self.bn1(x))
        around = self.shortcut(y) if self.shortcut else x
        return self.conv2(functional.relu(self.bn2(self.conv1(y)))) + around


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.conv2 = nn.Sequential(Block(16, 16, 1))
        self.conv3 = nn.Sequential(Block(16, 32, 2))
        self.conv4 = nn.Sequential(Block(32, 64, 2))
        self.bn = nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x):
        x = functional.relu(self.bn(self.conv4(self.conv3(self.conv2(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


def listing():
    lines = subprocess.run([PROGRAM, "--list"], check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
    return {name: (role, tuple(map(int, shape))) for name, role, *shape in map(str.split, lines)}


@functools.cache
def oracle(soft):
    """The network, its data, and what training it gives."""
    random = numpy.random.default_rng(5)
    torch.manual_seed(3)
    network = Network().double()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point() and value.dim() == 1:  # nothing stays at the neutral 0 or 1
                value += torch.from_numpy(random.uniform(0.1, 0.5, value.shape))
            value.copy_(value.float())  # both sides start from the same f32 numbers
    start = {name: value.clone() for name, value in network.state_dict().items()}
    images = random.standard_normal((STEPS, BATCH, 3, SIDE, SIDE)).astype("f4")
    labels = random.integers(0, CLASSES, (STEPS, BATCH)).astype("i4")
    targets = random.dirichlet(numpy.ones(CLASSES), (STEPS, BATCH)).astype("f4")

    sgd = torch.optim.SGD(network.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    out = {"loss": []}
    for step in range(STEPS):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        sgd.zero_grad()
        logits = network(torch.from_numpy(images[step]).double())
        target = torch.from_numpy(targets[step]).double() if soft else torch.from_numpy(labels[step]).long()
        loss = functional.cross_entropy(logits, target)
        loss.backward()
        out["loss"].append(loss.item())
        sizes = {"bn": 4, "conv2.0.bn1": 16, "conv2.0.bn2": 16, "conv3.0.bn1": 16, "conv3.0.bn2": 8, "conv4.0.bn1": 8, "conv4.0.bn2": 4}
        with torch.no_grad():  # PyTorch keeps the sample variance, ONNX (our contract) the population's
            for name, size in sizes.items():
                n = BATCH * size * size
                kept = 0.9 * before[name + ".running_var"]
                now = network.get_submodule(name).running_var
                now.copy_(kept + (now - kept) * (n - 1) / n)
        if step == 0:
            out["logits"] = logits.detach().numpy()
            out |= {"gradient." + name: p.grad.numpy().copy() for name, p in network.named_parameters()}
            out |= {"first." + name: v.numpy().copy() for name, v in network.state_dict().items() if "running" in name}
        sgd.step()
    out["loss"] = numpy.array(out["loss"])
    out |= {"last." + name: value.numpy().copy() for name, value in network.state_dict().items()}
    return start, {"images.f32": images, "labels.i32": labels, "targets.f32": targets}, out


def run(folder, engine, precision, soft):
    start, data, expected = oracle(soft)
    listed = listing()
    for name, (_, shape) in listed.items():
        assert tuple(start[name].shape) == shape
        start[name].numpy().astype("f4").tofile(folder / f"{name}.f32")
    for name, array in data.items():
        array.tofile(folder / name)
    arguments = [PROGRAM, folder, engine, precision, "targets" if soft else "labels", str(BATCH), str(STEPS)]
    result = subprocess.run(arguments, capture_output=True, text=True)
    if result.returncode == 3:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    got = {}
    for path in folder.glob("*.out"):
        name = path.name[: -len(".out")]
        got[name] = numpy.fromfile(path, "f4").astype("f8").reshape(expected[name].shape)
    assert len(got) == 2 + 2 * len(listed)  # nothing is left out: loss, logits, a first and a last for each parameter
    return start, got, expected


def distance(a, b):
    return numpy.linalg.norm(a - b) / numpy.linalg.norm(b)


@pytest.mark.parametrize("soft", [False, True], ids=["labels", "targets"])
@pytest.mark.parametrize("engine", ["reference", "onednn"])
def test_f32(tmp_path, engine, soft):
    start, got, expected = run(tmp_path, engine, "f32", soft)
    assert abs(got["loss"][0] / expected["loss"][0] - 1) < 1e-5
    assert distance(got["logits"], expected["logits"]) < 1e-5
    far = {name: distance(got[name], expected[name]) for name in got if name.startswith(("gradient.", "first."))}
    assert max(far.values()) < 1e-4, far
    assert numpy.abs(got["loss"] / expected["loss"] - 1).max() < 1e-3
    for name in got:  # what the steps moved, not what was there before
        if name.startswith("last."):
            begin = start[name[len("last.") :]].numpy()
            assert distance(got[name] - begin, expected[name] - begin) < 1e-3, name


def test_bf16(tmp_path):
    """Eight bits of mantissa cost what they cost PyTorch's own bf16 (autocast): the error of each gradient is of the same size."""
    start, got, expected = run(tmp_path, "onednn", "bf16", False)
    network = Network()
    network.load_state_dict(start)
    _, data, _ = oracle(False)
    with torch.autocast("cpu", torch.bfloat16):
        loss = functional.cross_entropy(network(torch.from_numpy(data["images.f32"][0])), torch.from_numpy(data["labels.i32"][0]).long())
    loss.backward()
    assert numpy.abs(got["loss"] / expected["loss"] - 1).max() < 2e-2
    assert distance(got["logits"], expected["logits"]) < 2e-2
    ours, theirs = {}, {}
    for name, parameter in network.named_parameters():
        ours[name] = distance(got["gradient." + name], expected["gradient." + name])
        theirs[name] = distance(parameter.grad.numpy(), expected["gradient." + name])
    assert all(ours[name] < 2 * theirs[name] + 1e-3 for name in ours), (ours, theirs)
    assert sum(ours.values()) < 1.25 * sum(theirs.values())
    assert max(distance(got[name], expected[name]) for name in got if name.startswith("first.")) < 2e-2
