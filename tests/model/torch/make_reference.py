#!/usr/bin/env python3
"""Makes what test_torch.c reads, with PyTorch (2.13.0): reference.pt, legacy.pt, script.pt, and packed.pt, the first with its members deflated. Element i of the k-th tensor, in row-major
order of its shape, is 100 k + i, whatever its strides are. And values-PROTOCOL.pickle for test_pickle.c, with Python's pickle."""
import pathlib
import pickle
import zipfile

import torch

HERE = pathlib.Path(__file__).parent


def tensor(k, *shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return (100 * k + torch.arange(count, dtype=torch.float64)).reshape(shape).to(dtype)


def objects():
    spread = torch.zeros(4, 6)
    spread[::2, ::3] = tensor(4, 2, 2)
    return {
        "epoch": 3, "model": {"plain": tensor(0, 2, 3), "half": tensor(1, 5, dtype=torch.float16), "last": tensor(2, 2, 3, 2, 2).to(memory_format=torch.channels_last)},
        "list": [tensor(3, 4, 3).t().contiguous().t(), (spread[::2, ::3], "text")], "repeated": torch.full((1,), 500.0).expand(3),
        "double": tensor(6, 3, dtype=torch.float64), "bfloat": tensor(1, 2, 2, dtype=torch.bfloat16).t().contiguous().t(), "integers": tensor(8, 2, dtype=torch.int64),
        "quantised": torch.quantize_per_tensor(tensor(0, 3, 4), 1.0, -20, torch.qint8),
    }


class Script(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(tensor(0, 2, 3))
        self.inner = torch.nn.Linear(1, 1, bias=False)
        self.inner.weight.data = tensor(1, 1, 1)

    def forward(self, x):
        return self.inner(x) * self.weight


VALUES = [None, True, False, 0, 255, 256, 65536, -1, -2**31, 2**31, -2**63, 2**63, 1.5, -0.0, "text", b"bytes", (), (1,), (1, 2, 3, 4), {"a": 1}, {7}]


def main():
    for protocol in range(6):
        (HERE / f"values-{protocol}.pickle").write_bytes(pickle.dumps(VALUES, protocol))
    torch.save(objects(), HERE / "reference.pt")
    torch.save(objects(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.jit.script(Script()).save(str(HERE / "script.pt"))
    with zipfile.ZipFile(HERE / "reference.pt") as a, zipfile.ZipFile(HERE / "packed.pt", "w", zipfile.ZIP_DEFLATED) as b:
        for name in a.namelist():
            b.writestr(zipfile.ZipInfo(name), a.read(name), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
