"""Fixtures: a scratch folder with a model, keys and a tiny data set; the program is run in it."""
import shutil

import pytest

import tools


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """An own folder, made the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The inputs of most tests, made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("made")
    tools.write_model(folder / "m.safetensors")
    tools.run("keygen", "-o", folder / "own.key", "--model", folder / "m.safetensors", "--bits", "64")
    tools.run("embed", folder / "m.safetensors", "--key", folder / "own.key", "-o", folder / "marked.safetensors")
    tools.write_data(folder / "data")
    return folder


@pytest.fixture
def model(scratch, made):
    """m.safetensors: two convolutions, one linear layer, things that carry no mark."""
    shutil.copy(made / "m.safetensors", scratch)
    return scratch


@pytest.fixture
def marked(model, made):
    """Beside it own.key (partition over all weights) and marked.safetensors."""
    shutil.copy(made / "own.key", model)
    shutil.copy(made / "marked.safetensors", model)
    return model


@pytest.fixture
def data(scratch, made):
    """A folder `data` with 96 training and 48 test images in IDX format."""
    shutil.copytree(made / "data", scratch / "data")
    return scratch


needs_training = pytest.mark.skipif(not tools.has_training(), reason="built without the training engine")


def pytest_collection_modifyitems(items):
    for item in items:
        if "training" in item.keywords:
            item.add_marker(needs_training)


def pytest_configure(config):
    config.addinivalue_line("markers", "training: needs the training engine")
    config.addinivalue_line("markers", "slow: minutes")
