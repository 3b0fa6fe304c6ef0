"""A file that weightmark trained, loaded by PyTorch's load_state_dict, answers as it does in weightmark."""
import json
import os
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
import support
import wrn

IMAGES = 1000
TOLERANCE = 1e-4  # absolute, on logits of size 1 to 10 in float32


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(model file, folder of its data): a few steps on small shapes."""
    folder = tmp_path_factory.mktemp("logits")
    data = support.small_data(folder / "data")
    model = folder / "model.safetensors"
    support.run("weightmark", "train", "--host", "wrn-10-1", "--data", data, "--epochs", 3, "--batch", 32, "--lr", 0.05, "--seed", 3, "-o", model)
    return model, data


def compare(model_path, data, tmp_path):
    arrays, metadata = support.read_safetensors(model_path)
    host, classes = metadata["weightmark.host"], int(metadata["weightmark.classes"])
    mean = [float(v) for v in metadata["weightmark.mean"].split(",")]
    deviation = [float(v) for v in metadata["weightmark.deviation"].split(",")]

    pixels = support.read_idx(data / "train-images-idx3-ubyte") / 255.0
    assert np.allclose(mean, pixels.mean(), atol=1e-6) and np.allclose(deviation, pixels.std(), atol=1e-6)

    network = wrn.load(wrn.by_name(host, classes), arrays).eval()
    images = support.network_input(support.read_idx(data / "t10k-images-idx3-ubyte")[:IMAGES], mean, deviation)
    with torch.no_grad():
        theirs = np.concatenate([network(torch.from_numpy(images[i : i + 100])).numpy() for i in range(0, len(images), 100)])

    out = tmp_path / "logits"
    support.run("logits", model_path, data, len(images), out)
    ours = np.fromfile(out, np.float32).reshape(-1, classes)
    assert ours.shape == theirs.shape
    worst = np.abs(ours - theirs).max()
    print(f"{host}: {len(images)} images, logits up to {np.abs(theirs).max():.2f}, largest difference {worst:.2e}")
    assert np.abs(theirs).max() > 0.5  # not all alike: the comparison says something
    assert worst <= TOLERANCE
    return network, mean, deviation


def test_a_small_model(trained, tmp_path):
    model, data = trained
    network, mean, deviation = compare(model, data, tmp_path)

    labels = support.read_idx(data / "t10k-labels-idx1-ubyte")
    with torch.no_grad():
        scores = network(torch.from_numpy(support.network_input(support.read_idx(data / "t10k-images-idx3-ubyte"), mean, deviation)))
    answer = json.loads(support.run("weightmark", "eval", model, "--data", data, "--json"))
    assert answer["examples"] == len(labels)
    assert answer["loss"] == pytest.approx(torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels.astype(np.int64))).item(), rel=1e-4)
    assert answer["test_error"] == pytest.approx((scores.argmax(1).numpy() != labels).mean(), abs=1.5 / len(labels))


def test_the_model_of_the_demo(tmp_path):
    model = os.environ.get("WEIGHTMARK_MODEL")
    if not model:
        pytest.skip("WEIGHTMARK_MODEL names no model trained on Fashion-MNIST")
    data = support.folder_of_fashion_mnist()
    if data is None:
        pytest.skip("Fashion-MNIST is not installed")
    compare(pathlib.Path(model), data, tmp_path)
