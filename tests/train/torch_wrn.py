"""A trained host in PyTorch: loads the file by load_state_dict (strict) and compares logits on real test images.

    python3 tests/train/torch_wrn.py DUMP_LOGITS MODEL DATA_FOLDER [COUNT]

Needs torch, numpy, safetensors; exits with 77 (skipped) when one is missing. The module below is the WRN paper's network, written for PyTorch alone.
"""

import gzip
import os
import subprocess
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open
    from safetensors.torch import load_file
    from torch import nn
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


class Block(nn.Module):
    def __init__(self, ic, oc, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(ic)
        self.conv1 = nn.Conv2d(ic, oc, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(oc)
        self.conv2 = nn.Conv2d(oc, oc, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(ic, oc, 1, stride, bias=False) if ic != oc or stride != 1 else None

    def forward(self, x):
        o = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(o))))
        return y + (self.shortcut(o) if self.shortcut else x)


class WRN(nn.Module):
    def __init__(self, depth, k, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        ic = 16
        for group in range(3):
            blocks = []
            for i in range((depth - 4) // 6):
                oc = 16 * k << group
                blocks.append(Block(ic, oc, 2 if group and not i else 1))
                ic = oc
            setattr(self, f"conv{group + 2}", nn.Sequential(*blocks))
        self.bn = nn.BatchNorm2d(ic)
        self.fc = nn.Linear(ic, classes)

    def forward(self, x):
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        return self.fc(F.relu(self.bn(x)).mean((2, 3)))


def read_idx(path):
    plain = os.path.exists(path)
    raw = open(path, "rb").read() if plain else gzip.open(path + ".gz").read()
    return np.frombuffer(raw, np.uint8, offset=16).reshape(np.frombuffer(raw, ">u4", 3, 4))


def main():
    dump, path, folder = sys.argv[1:4]
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 1000
    with safe_open(path, "pt") as f:
        meta = f.metadata()
    depth, k = map(int, meta["weightmark.host"].split("-")[1:])
    model = WRN(depth, k, int(meta["weightmark.classes"]))
    model.load_state_dict(load_file(path))
    model.eval()
    images = read_idx(f"{folder}/t10k-images-idx3-ubyte")[:count]
    edge = (32 - images.shape[1]) // 2
    images = np.pad(images, ((0, 0), (edge, edge), (edge, edge)))[:, None].repeat(3, 1).astype(np.float32) / 255
    constants = [torch.tensor(list(map(float, meta[f"weightmark.{c}"].split(",")))).view(1, 3, 1, 1) for c in ("mean", "deviation")]
    with torch.no_grad():
        theirs = model((torch.from_numpy(images) - constants[0]) / constants[1]).numpy()
    out = subprocess.run([dump, path, folder, str(count)], stdout=subprocess.PIPE, check=True).stdout
    ours = np.frombuffer(out, np.float32).reshape(theirs.shape)
    worst = np.abs(ours - theirs).max()
    print(f"{len(images)} images, largest difference of a logit {worst:.3g}, largest logit {np.abs(theirs).max():.3g}")
    sys.exit(not worst < 1e-4)


if __name__ == "__main__":
    main()
