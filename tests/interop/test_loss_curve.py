"""The f32 loss of 100 training steps follows PyTorch's from the same initial weights and batches of Fashion-MNIST.

Training is chaotic: whenever a pre-activation lies within rounding of ReLU's kink, two float32 programs may take different sides, and the difference grows from step to step.
PyTorch does not agree with itself either: measured (wrn-10-1, batch 16, rate 0.01), its float32 losses are 1e-8 from its float64 ones for five steps, 5e-4 after nine. What is
asked here therefore:
  - the first loss, before any training, agrees to 1e-6; each of the first ten to 2e-3 (measured: 5e-4);
  - each of the hundred to 3e-2, and the curve smoothed over ten steps to 1e-2 (measured: 7e-3 and 2e-3);
  - nowhere are we much further from PyTorch than PyTorch is from itself when its initial weights are moved by 1e-6 of their size, which is what f32 Winograd convolutions
    round by.
All are relative differences."""
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import regularizer
import support
import wrn

RATE, MOMENTUM, WEIGHT_DECAY, STEPS = 0.01, 0.9, 5e-4, 100
FIRST, EARLY_STEPS, EARLY, EACH, SMOOTH_STEPS, SMOOTH = 1e-6, 10, 2e-3, 3e-2, 10, 1e-2
MOVED_BY, CHAOS_FACTOR, CHAOS_FLOOR = 1e-6, 5, 2e-3


def train(host, arrays, metadata, moved_by=0.0):
    """The same training in PyTorch: (E_0 of each step, E_R of each step). moved_by: relative noise on the initial weights."""
    torch.manual_seed(9)
    weights = {name.removeprefix("parameter."): value for name, value in arrays.items() if name.startswith("parameter.")}
    network = wrn.load(wrn.by_name(host), weights).train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + moved_by * torch.randn_like(parameter))
    sgd = torch.optim.SGD(network.parameters(), RATE, MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    grey, labels = torch.from_numpy(arrays["images"].copy()), torch.from_numpy(arrays["labels"].astype("int64"))
    marked = "X" in arrays
    if marked:
        X, b = torch.from_numpy(arrays["X"].copy()), torch.from_numpy(arrays["b"].astype("float32"))
        target = dict(network.named_parameters())[metadata["targets"]]
    losses, marks = [], []
    for step in range(STEPS):
        sgd.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(grey[step].unsqueeze(1).expand(-1, 3, -1, -1)), labels[step])
        e_r = regularizer.e_r_dense([target], X, b, 1.0) if marked else torch.zeros(())
        (loss + float(metadata.get("lambda", 0)) * e_r).backward()
        sgd.step()
        losses.append(loss.item())
        marks.append(e_r.item())
    return np.array(losses), np.array(marks)


def smooth(curve):
    return np.convolve(curve, np.ones(SMOOTH_STEPS) / SMOOTH_STEPS, "valid")


def difference(curve, reference):
    return np.abs(curve - reference) / np.abs(reference)


def figures(values):
    return ", ".join(f"{values[:step].max():.0e}" for step in (1, 2, 5, 10, 30, 100))


@pytest.mark.parametrize(
    "host, batch, kind",
    [("wrn-10-1", 32, "none"), ("wrn-10-1", 32, "random"), pytest.param("wrn-10-4", 64, "random", marks=pytest.mark.slow)],
    ids=lambda value: str(value),
)
def test_curve(host, batch, kind, tmp_path):
    data = support.folder_of_fashion_mnist()
    if data is None:
        pytest.skip("Fashion-MNIST is not installed")
    dump = tmp_path / "curve.safetensors"
    support.run("curve", host, data, batch, STEPS, RATE, kind, dump)
    arrays, metadata = support.read_safetensors(dump)
    dump.unlink()
    assert not all(np.array_equal(arrays["images"][0], images) for images in arrays["images"][1:])

    ours, our_marks = arrays["loss"].astype(np.float64), arrays["e_r"]
    theirs, their_marks = train(host, arrays, metadata)
    moved, moved_marks = train(host, arrays, metadata, MOVED_BY)
    assert smooth(ours)[-1] < 0.8 * ours[0]  # it learns, so the curve says something

    apart, natural = difference(ours, theirs), difference(moved, theirs)
    smoothed = difference(smooth(ours), smooth(theirs))
    print(f"{host} batch {batch} mark {kind}: loss {ours[0]:.3f} -> {smooth(ours)[-1]:.3f}; largest difference from PyTorch within 1, 2, 5, 10, 30, 100 steps:")
    print(f"  ours {figures(apart)}; PyTorch moved by {MOVED_BY:.0e}: {figures(natural)}; ours smoothed {smoothed.max():.1e}")
    assert apart[0] <= FIRST
    assert apart[:EARLY_STEPS].max() <= EARLY
    assert apart.max() <= EACH
    assert smoothed.max() <= SMOOTH
    assert apart.max() <= CHAOS_FACTOR * natural.max() + CHAOS_FLOOR
    if kind != "none":
        marks_apart = difference(our_marks, their_marks)
        print(f"  E_R {our_marks[0]:.2f} -> {our_marks[-1]:.2f}: ours {figures(marks_apart)}; moved {figures(difference(moved_marks, their_marks))}")
        assert marks_apart[0] <= FIRST and marks_apart[:EARLY_STEPS].max() <= EARLY and marks_apart.max() <= EACH
        assert our_marks[-1] < 0.9 * our_marks[0]
