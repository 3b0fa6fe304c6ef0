#!/usr/bin/env python3
"""PyTorch beside weightmark, for bench/run.sh: the same network, data shape, batch and optimizer. One JSON object on standard output.

peer_torch.py version
peer_torch.py step --threads N --steps S     median milliseconds of a training step: eager f32, the same with channels last, bf16 autocast
peer_torch.py train --threads N --steps S    the peak memory of a process that does nothing but train in f32 (one batch of made data; no data set)
peer_torch.py program --threads N --steps S  the peak memory of training on Fashion-MNIST, crops and flips, then the test error over all test images
peer_torch.py randn --threads N              torch.randn, elements a second
"""
import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time

import torch

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "interop"))
import support
import wrn

HOST, CLASSES, WARM_UP = "wrn-10-4", 10, 3


class Trainer:
    """SGD with Nesterov momentum as in the watermark paper (section 4.1)."""

    def __init__(self, batch, channels_last=False, bf16=False):
        torch.manual_seed(1)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = wrn.by_name(HOST, CLASSES).to(memory_format=layout).train()
        self.images = torch.randn(batch, 3, 32, 32).to(memory_format=layout)
        self.labels = torch.randint(0, CLASSES, (batch,))
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.01, 0.9, nesterov=True, weight_decay=5e-4)
        self.precision = (lambda: torch.autocast("cpu", dtype=torch.bfloat16)) if bf16 else contextlib.nullcontext

    def step(self):
        begin = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        with self.precision():
            loss = torch.nn.functional.cross_entropy(self.network(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        loss.item()
        return 1e3 * (time.perf_counter() - begin)


def steps(arguments):
    forms = {"f32": Trainer(arguments.batch), "f32_channels_last": Trainer(arguments.batch, channels_last=True), "bf16": Trainer(arguments.batch, bf16=True)}
    times = {name: [] for name in forms}
    for name, trainer in forms.items():
        for _ in range(WARM_UP):
            trainer.step()
        times[name] = [trainer.step() for _ in range(arguments.steps)]
    return {name: statistics.median(values) for name, values in times.items()}


def peak_kib():
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def train(arguments):
    trainer = Trainer(arguments.batch)
    for _ in range(arguments.steps):
        trainer.step()
    return {"peak_kib": peak_kib()}


def read_images(split):
    """Fashion-MNIST as bytes [n, 28, 28] and labels [n], as an IDX reader of a few lines has them."""
    images = support.read_idx(support.folder_of_fashion_mnist() / f"{split}-images-idx3-ubyte")
    labels = support.read_idx(support.folder_of_fashion_mnist() / f"{split}-labels-idx1-ubyte")
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.astype("int64"))


def to_input(pixels):
    padded = torch.nn.functional.pad(pixels.float() / 255, (2, 2, 2, 2)).unsqueeze(1)
    return ((padded - 0.286) / 0.353).expand(-1, 3, -1, -1).contiguous()


def program(arguments):
    pixels, labels = read_images("train")
    test_pixels, test_labels = read_images("t10k")
    trainer = Trainer(arguments.batch)
    for chosen in torch.randperm(len(labels)).split(arguments.batch)[: arguments.steps]:
        y, x = torch.randint(0, 9, (2,)).tolist()
        images = torch.nn.functional.pad(to_input(pixels[chosen]), (4, 4, 4, 4))[:, :, y : y + 32, x : x + 32]
        flip = torch.rand(len(chosen)) < 0.5
        trainer.images = torch.where(flip.reshape(-1, 1, 1, 1), images.flip(3), images)
        trainer.labels = labels[chosen]
        trainer.step()
    trainer.network.eval()
    wrong = 0
    with torch.no_grad():
        for i in range(0, len(test_labels), 100):
            wrong += (trainer.network(to_input(test_pixels[i : i + 100])).argmax(1) != test_labels[i : i + 100]).sum().item()
    return {"peak_kib": peak_kib(), "test_error": wrong / len(test_labels)}


def randn(arguments):
    count, rates = 1 << 24, []
    for _ in range(9):
        begin = time.perf_counter()
        torch.randn(count)
        rates.append(count / (time.perf_counter() - begin))
    return {"elements_per_second": statistics.median(rates)}


parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["version", "step", "train", "program", "randn"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--batch", type=int, default=64)
arguments = parser.parse_args()
torch.set_num_threads(arguments.threads)
do = {"version": lambda _: {"torch": torch.__version__}, "step": steps, "train": train, "program": program, "randn": randn}
print(json.dumps(do[arguments.what](arguments)))
