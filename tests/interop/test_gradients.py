"""Gradients of every parameter, the mark's regularizer included, against PyTorch's autograd in float64 from the same weights, batch, X and b.

Measure: ||ours - theirs|| / ||theirs|| for each parameter (Euclidean norm over its elements), at most 1e-4. Ours is computed in float32.

Where a pre-activation lies within rounding of ReLU's kink, float32 and float64 may take different sides, and one element's choice moves a gradient by up to a per cent.
So the biases of the batch normalisations are first set so that zero lies in a gap between each channel's values, far wider than rounding."""
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import regularizer
import support
import wrn

TOLERANCE = 1e-4
CLASSES = 10
CASES = [
    # host, batch, what is marked and how (dump.h)
    ("wrn-10-1", 8, "none"),
    ("wrn-10-1", 8, "random"),
    ("wrn-10-1", 8, "spread"),
    ("wrn-10-1", 8, "partition"),
    ("wrn-16-2", 4, "partition"),
    ("wrn-10-1", 8, "balanced"),
    ("wrn-10-4", 4, "random"),
]


def open_a_gap(norm, _, output):
    """Forward hook of a batch normalisation: moves each channel's bias, by at most a fifth, so that zero is in the middle of the widest gap there."""
    shifts = []
    for channel in output.detach().transpose(0, 1).flatten(1):
        near = channel[channel.abs() < 0.2].sort().values
        widest = near.diff().argmax()
        shifts.append(-(near[widest] + near[widest + 1]) / 2)
    before = norm.bias.detach().clone()
    with torch.no_grad():
        norm.bias.copy_((before + torch.stack(shifts)).float())
    return output + (norm.bias - before).reshape(-1, 1, 1)


def smallest_activation(network, images):
    found = []
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(lambda _, __, output: found.append(output.abs().min().item())) for norm in norms]
    network(images)
    for hook in hooks:
        hook.remove()
    return min(found)


def generic_network(host, images):
    """A network in float64 whose numbers are float32's, with no neutral 0 or 1 in it, and with gaps at the kinks for these images."""
    torch.manual_seed(11)
    network = wrn.by_name(host, CLASSES)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
    network = network.double().train()
    hooks = [norm.register_forward_hook(open_a_gap) for norm in norms]
    network(images)
    for hook in hooks:
        hook.remove()
    assert smallest_activation(network, images) > 1e-4
    return network


def double(array):
    return torch.from_numpy(array.copy()).double()


def e_r(network, arrays, metadata):
    """The regularizer's sum at the network's present weights, differentiable."""
    targets = [dict(network.named_parameters())[name] for name in metadata["targets"].split(",")]
    b, kappa = double(arrays["b"]), float(metadata["kappa"])
    if "X" in arrays:
        return regularizer.e_r_dense(targets, double(arrays["X"]), b, kappa)
    row = torch.from_numpy(arrays["row"].astype("int64"))
    return regularizer.e_r_partition(targets, row, double(arrays["sign"]), b, kappa, metadata["carrier"])


@pytest.mark.parametrize("host, batch, case", CASES, ids=lambda value: str(value))
def test_gradients(host, batch, case, tmp_path):
    random = np.random.default_rng(4)
    images = random.uniform(-2, 2, (batch, 3, 32, 32)).astype(np.float32)
    labels = random.integers(0, CLASSES, batch).astype(np.int32)
    network = generic_network(host, double(images))
    given = {name: value.float().numpy() if value.is_floating_point() else value.numpy() for name, value in network.state_dict().items()}
    support.write_safetensors(tmp_path / "in", {**given, "images": images, "labels": labels}, {"weightmark.host": host, "weightmark.classes": str(CLASSES)})
    support.run("gradients", tmp_path / "in", case, tmp_path / "out")
    arrays, metadata = support.read_safetensors(tmp_path / "out")

    logits = network(double(images))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).long())
    assert float(metadata["loss"]) == pytest.approx(loss.item(), rel=1e-5)
    assert support.relative(arrays["logits"], logits.detach().numpy()) < 1e-5

    loss.backward()
    if case != "none":
        mark = e_r(network, arrays, metadata)
        assert float(metadata["e_r"]) == pytest.approx(mark.item(), rel=1e-6)
        (float(metadata["lambda"]) * mark).backward()

    worst, share = {}, 0.0
    for name, parameter in network.named_parameters():
        worst[name] = support.relative(arrays["gradient." + name], parameter.grad.numpy())
        if "mark." + name in arrays:  # the regularizer's part alone
            share = max(share, support.relative(arrays["gradient." + name] - arrays["mark." + name], arrays["gradient." + name]))
            alone = torch.autograd.grad(e_r(network, arrays, metadata), parameter)[0] * float(metadata["lambda"])
            worst["mark." + name] = support.relative(arrays["mark." + name], alone.numpy())
    assert len(worst) > 20 and (case == "none" or share > 0.01)  # the mark's part is no rounding error of the whole
    name = max(worst, key=worst.get)
    print(f"{host} {case}: {len(worst)} gradients, worst {worst[name]:.1e} ({name}); logits {support.relative(arrays['logits'], logits.detach().numpy()):.1e}")
    assert worst[name] <= TOLERANCE
