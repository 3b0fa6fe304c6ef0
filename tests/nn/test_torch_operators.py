"""Every case of cases.h against PyTorch in float64: output, loss, gradients, running statistics.

The meaning of each operator is written here once more, from ONNX's text; WMK_RUN_CASES names the program built from run_cases.c.
"""
import itertools
import os
import subprocess

import numpy
import pytest
import torch
from torch.nn import functional

PROGRAM = os.environ["WMK_RUN_CASES"]
LINES = subprocess.run([PROGRAM, "--list"], check=True, capture_output=True, text=True).stdout.splitlines()


def parse(line):
    op, *tokens = line.split()
    operands, attributes = [], {}
    for token in tokens:
        if "=" in token:
            key, value = token.split("=")
            lists = ("strides", "pads", "dilations", "kernel_shape")
            attributes[key] = [int(v) for v in value.split(",")] if key in lists else value
        else:
            name, _, dims = token.partition(":")
            operands.append((name, tuple(map(int, dims.split("x"))) if dims else None))
    return op, operands, attributes


def window(a, spatial, kernel):
    """Strides, dilations, and for each axis (low, high, extra): extra is what ceil_mode reaches beyond the padding."""
    axes = len(spatial)
    strides, dilations, pads = a.get("strides", [1] * axes), a.get("dilations", [1] * axes), a.get("pads", [0] * 2 * axes)
    around = []
    for i, size in enumerate(spatial):
        extent, low, high, extra = (kernel[i] - 1) * dilations[i] + 1, pads[i], pads[axes + i], 0
        if a.get("auto_pad", "NOTSET").startswith("SAME"):
            total = max((-(-size // strides[i]) - 1) * strides[i] + extent - size, 0)
            low, high = (total // 2, total - total // 2) if a["auto_pad"] == "SAME_UPPER" else (total - total // 2, total // 2)
        if a.get("ceil_mode") == "1":
            out = -(-(size + low + high - extent) // strides[i]) + 1
            if (out - 1) * strides[i] >= size + low:  # a window that would begin in the upper padding
                out -= 1
            extra = max((out - 1) * strides[i] + extent - size - low - high, 0)
        around.append((low, high, extra))
    return strides, dilations, around


def pad(x, around, value, with_extra=True):
    sides = list(itertools.chain.from_iterable((low, high + (extra if with_extra else 0)) for low, high, extra in reversed(around)))
    return functional.pad(x, sides, value=value)


def conv_of(x, w, b, strides, dilations, groups):
    return {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[x.dim() - 2](x, w, b, strides, 0, dilations, groups)


def Conv(a, x, w, b=None):
    strides, dilations, around = window(a, x.shape[2:], w.shape[2:])
    return conv_of(pad(x, around, 0.0), w, b, strides, dilations, int(a.get("group", 1)))


def MaxPool(a, x):
    strides, dilations, around = window(a, x.shape[2:], a["kernel_shape"])
    pool = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}[x.dim() - 2]
    return pool(pad(x, around, -torch.inf), a["kernel_shape"], strides, 0, dilations)


def AveragePool(a, x):
    """The sum over the window divided by how many of its places count."""
    strides, dilations, around = window(a, x.shape[2:], a["kernel_shape"])
    ones = torch.ones(x.shape[1], 1, *a["kernel_shape"], dtype=x.dtype)
    counts = pad(torch.ones_like(x), around, 1.0 if a.get("count_include_pad") == "1" else 0.0, with_extra=False)
    counts = pad(counts, [(0, 0, extra) for _, _, extra in around], 0.0)
    total, places = (conv_of(v, ones, None, strides, dilations, x.shape[1]) for v in (pad(x, around, 0.0), counts))
    return total / places


def GlobalAveragePool(a, x):
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def BatchNormalization(a, x, scale, bias, mean, var):
    axes, shape = (0, *range(2, x.dim())), (1, -1, *[1] * (x.dim() - 2))
    now, spread, keep = x.mean(axes), x.var(axes, unbiased=False), float(a.get("momentum", 0.9))
    with torch.no_grad():
        mean.copy_(mean * keep + now * (1 - keep))
        var.copy_(var * keep + spread * (1 - keep))
    u = (x - now.reshape(shape)) / torch.sqrt(spread.reshape(shape) + float(a.get("epsilon", 1e-5)))
    return u * scale.reshape(shape) + bias.reshape(shape)


def Flatten(a, x):
    axis = int(a.get("axis", 1))
    return x.reshape(int(numpy.prod(x.shape[:axis])), -1)


def Gemm(a, x, w, c=None):
    x, w = (x.T if a.get("transA") == "1" else x), (w.T if a.get("transB") == "1" else w)
    dst = float(a.get("alpha", 1)) * (x @ w)
    return dst if c is None else dst + float(a.get("beta", 1)) * c


def SoftmaxCrossEntropyLoss(a, x, labels):
    return functional.cross_entropy(x, labels.long(), reduction=a.get("reduction", "mean"), ignore_index=int(a.get("ignore_index", -100)))


OPERATORS = {
    "Conv": Conv,
    "MaxPool": MaxPool,
    "AveragePool": AveragePool,
    "GlobalAveragePool": GlobalAveragePool,
    "BatchNormalization": BatchNormalization,
    "Flatten": Flatten,
    "Gemm": Gemm,
    "Relu": lambda a, x: torch.relu(x),
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Tanh": lambda a, x: torch.tanh(x),
    "Add": lambda a, x, y: x + y,
    "MatMul": lambda a, x, y: x @ y,
    "Softmax": lambda a, x: torch.softmax(x, int(a.get("axis", -1))),
    "SoftmaxCrossEntropyLoss": SoftmaxCrossEntropyLoss,
    "SoftTargetCrossEntropy": lambda a, x, t: -(t * torch.log_softmax(x, 1)).sum(1).mean(),
}


@pytest.fixture(scope="module", params=["reference", "onednn"])
def folder(request, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param)
    result = subprocess.run([PROGRAM, out, request.param], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return out


def close(got, expected):
    """The worst element, relative to the largest."""
    assert got.shape == expected.shape
    return numpy.abs(got - expected).max() <= 2e-5 * numpy.abs(expected).max()


@pytest.mark.parametrize("index", range(len(LINES)), ids=LINES)
def test_case(folder, index):
    def read(name, kind, dtype="f4"):
        return numpy.fromfile(folder / f"{index}.{name}.{kind}", dtype)

    op, operands, attributes = parse(LINES[index])
    values = {}
    for name, shape in operands:
        if name not in values:
            data = read(name, "in", "i4" if name == "labels" else "f4").reshape(shape)
            values[name] = torch.from_numpy(data.astype("i8" if name == "labels" else "f8"))
    trained = [name for name in values if name not in ("labels", "targets", "mean", "var")]
    for name in trained:
        values[name].requires_grad_()
    dst = loss = OPERATORS[op](attributes, *(values[name] for name, _ in operands))
    if dst.dim():
        by_dst = -torch.log_softmax(torch.from_numpy(read("scores", "in").astype("f8")), 0)
        loss = dst.flatten() @ by_dst
    loss.backward()
    assert close(read("dst", "out"), dst.detach().numpy().ravel())
    # Terms of the loss may cancel, so it is held against the same sum over the operator's own output.
    expected = by_dst.numpy() @ read("dst", "out").astype("f8") if dst.dim() else loss.detach().numpy()
    assert close(read("loss", "out"), expected.ravel())
    for name in trained:
        assert close(read(name, "out"), values[name].grad.numpy().ravel()), name
    for name in ("mean", "var"):
        if name in values:
            assert close(read(name, "out"), values[name].numpy().ravel()), name
