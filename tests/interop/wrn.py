"""The Wide Residual Network WRN-D-k (Zagoruyko and Komodakis 2016, arXiv 1605.07146) in PyTorch, D = 6N + 4: batch normalisation and ReLU before each
convolution, strided convolutions, no biases but the last layer's. Modules are named so that a state_dict and a weightmark file have the same names."""
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut. Where the shape changes, the shortcut is a 1x1 convolution of the activated input."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        skip = self.shortcut(active) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(active)))) + skip


class WideResNet(nn.Module):
    def __init__(self, depth, k, classes=10):
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth {depth} is not 6N + 4")
        blocks = (depth - 4) // 6
        widths = [16, 16 * k, 32 * k, 64 * k]
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        for group in (1, 2, 3):
            stride = 1 if group == 1 else 2
            members = [Block(widths[group - 1] if i == 0 else widths[group], widths[group], stride if i == 0 else 1) for i in range(blocks)]
            setattr(self, f"conv{group + 1}", nn.Sequential(*members))
        self.bn = nn.BatchNorm2d(widths[3])
        self.fc = nn.Linear(widths[3], classes)

    def forward(self, x):
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        return self.fc(F.relu(self.bn(x)).mean((2, 3)))


def by_name(host, classes=10):
    """ "wrn-10-4" -> the network."""
    kind, depth, k = host.split("-")
    if kind != "wrn":
        raise ValueError(f"no such host: {host}")
    return WideResNet(int(depth), int(k), classes)


def load(model, arrays):
    """load_state_dict from numpy arrays by name, strictly; arrays of other names must not be there."""
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, strict=True)
    return model
