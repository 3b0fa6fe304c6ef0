"""Gradients of every parameter, the mark's regularizer included, against PyTorch's autograd in float64 from the same weights, batch, X and b.

Measure: ||ours - theirs|| / ||theirs|| for each parameter (Euclidean norm over its elements), at most 1e-4. Ours is computed in float32."""
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import regularizer
import support
import wrn

TOLERANCE = 1e-4
CASES = [
    # host, batch, what is marked and how (gradients.c)
    ("wrn-10-1", 8, "none"),
    ("wrn-10-1", 8, "random"),
    ("wrn-10-1", 8, "spread"),
    ("wrn-10-1", 8, "partition"),
    ("wrn-16-2", 4, "partition"),
    ("wrn-10-4", 4, "random"),
]


def double(array):
    return torch.from_numpy(array.copy()).double()


def e_r(network, arrays, metadata):
    """The regularizer's sum at the network's present weights, differentiable."""
    targets = [dict(network.named_parameters())[name] for name in metadata["targets"].split(",")]
    b, kappa = double(arrays["b"]), float(metadata["kappa"])
    if "X" in arrays:
        return regularizer.e_r_dense(targets, double(arrays["X"]), b, kappa)
    row = torch.from_numpy(arrays["row"].astype("int64"))
    return regularizer.e_r_partition(targets, row, double(arrays["sign"]), b, kappa)


@pytest.mark.parametrize("host, batch, case", CASES, ids=lambda value: str(value))
def test_gradients(host, batch, case, tmp_path):
    dump = tmp_path / "dump.safetensors"
    support.run("gradients", host, batch, case, dump)
    arrays, metadata = support.read_safetensors(dump)

    weights = {name.removeprefix("parameter."): value for name, value in arrays.items() if name.startswith("parameter.")}
    network = wrn.load(wrn.by_name(host), weights).double().train()
    logits = network(double(arrays["images"]))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(arrays["labels"].astype("int64")))
    assert float(metadata["loss"]) == pytest.approx(loss.item(), rel=1e-5)
    assert support.relative(arrays["logits"], logits.detach().numpy()) < 1e-5

    loss.backward(retain_graph=True)
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
    print(f"{host} {case}: {len(worst)} gradients, worst {worst[name]:.1e} ({name})")
    assert worst[name] <= TOLERANCE
