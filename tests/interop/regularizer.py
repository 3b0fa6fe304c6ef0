"""E_R of the paper (Uchida et al. 2017, eq. 4 and 5) in PyTorch, written from its formulas and from the definition of the carriers; the gradient is autograd's."""
import torch
from torch.nn import functional as F


def mean_over_filters(weights):
    """w of section 2.2: W [filter, channel, row, column] -> mean over filters, in the order row, column, channel."""
    return weights.mean(0).permute(1, 2, 0).reshape(-1)


def over_rms(w):
    return w / w.detach().square().mean().sqrt()


def single_weights(weights):
    """Every weight over the RMS of its own filter (a constant in the gradient), in the order row, column, channel, filter."""
    rms = weights.detach().square().flatten(1).mean(1).sqrt()
    scaled = weights / torch.where(rms > 0, rms, torch.ones_like(rms)).reshape(-1, *[1] * (weights.dim() - 1))
    return scaled.permute(*range(2, weights.dim()), 1, 0).reshape(-1)


def balanced_weights(weights):
    """The same with input channels brought to one size too (docs/spec.md, "a, r, c of balanced"; all constants in the gradient). No weight may be 0."""
    w = weights.detach().flatten(2) if weights.dim() > 2 else weights.detach().unsqueeze(2)  # filter, channel, window
    filters, channels, _ = w.shape
    count = min(filters, 256, max(16, 2**22 // w[0].numel()))
    exponent = torch.frexp(w[[k * filters // count for k in range(count)]]).exponent - 1
    a = exponent.double().mean((0, 2)).floor()
    b = (exponent - a.reshape(1, -1, 1)).flatten(1).median(1).values  # torch's median is the lower one
    a = (exponent - b.reshape(-1, 1, 1)).transpose(0, 1).flatten(1).median(1).values
    w = w * torch.pow(2.0, -a).reshape(1, -1, 1)
    r = w.square().mean((1, 2)).sqrt()
    c = (w / r.reshape(-1, 1, 1)).square().mean((0, 2)).sqrt()
    divisor = r.reshape(-1, 1) * (c * torch.pow(2.0, a)).reshape(1, -1)
    scaled = weights / divisor.reshape(filters, channels, *[1] * (weights.dim() - 2))
    return scaled.permute(*range(2, weights.dim()), 1, 0).reshape(-1)


def sum_of_losses(y, b, kappa):
    """-sum_j b_j log s(kappa y_j) + (1 - b_j) log(1 - s(kappa y_j)), s the logistic function."""
    return F.binary_cross_entropy_with_logits(kappa * y, b, reduction="sum")


def e_r_dense(layers, X, b, kappa):
    """Carrier `mean`: one layer's mean raw, several layers' means each over its RMS and the whole over ||w||."""
    if len(layers) == 1:
        return sum_of_losses(X @ mean_over_filters(layers[0]), b, 1.0)
    w = torch.cat([over_rms(mean_over_filters(layer)) for layer in layers])
    return sum_of_losses(X @ w / w.detach().norm(), b, kappa)


def e_r_partition(layers, row, sign, b, kappa, carrier):
    """Scheme `partition` over single weights: y_j = sum of sign * w over the positions of bit j, over the norm of w there."""
    w = torch.cat([{"weights": single_weights, "balanced": balanced_weights}[carrier](layer) for layer in layers])
    zero = torch.zeros(len(b), dtype=w.dtype)
    norm = zero.index_add(0, row, w.detach().square()).sqrt()
    return sum_of_losses(zero.index_add(0, row, sign * w) / norm, b, kappa)
