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


def sum_of_losses(y, b, kappa):
    """-sum_j b_j log s(kappa y_j) + (1 - b_j) log(1 - s(kappa y_j)), s the logistic function."""
    return F.binary_cross_entropy_with_logits(kappa * y, b, reduction="sum")


def e_r_dense(layers, X, b, kappa):
    """Carrier `mean`: one layer's mean raw, several layers' means each over its RMS and the whole over ||w||."""
    if len(layers) == 1:
        return sum_of_losses(X @ mean_over_filters(layers[0]), b, 1.0)
    w = torch.cat([over_rms(mean_over_filters(layer)) for layer in layers])
    return sum_of_losses(X @ w / w.detach().norm(), b, kappa)


def e_r_partition(layers, row, sign, b, kappa):
    """Carrier `weights`, scheme `partition`: y_j = sum of sign * w over the positions dealt to bit j, over the norm of w there."""
    w = torch.cat([single_weights(layer) for layer in layers])
    zero = torch.zeros(len(b), dtype=w.dtype)
    norm = zero.index_add(0, row, w.detach().square()).sqrt()
    return sum_of_losses(zero.index_add(0, row, sign * w) / norm, b, kappa)
