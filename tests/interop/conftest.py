import importlib.metadata
import os
import sys

sys.dont_write_bytecode = True


def version_of(package):
    try:
        return tuple(int(part) for part in importlib.metadata.version(package).split(".")[:2])
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return (0, 0)


# Keras runs on NumPy where PyTorch is missing or older than it takes.
os.environ.setdefault("KERAS_BACKEND", "torch" if version_of("torch") >= (2, 1) else "numpy")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: minutes; run by ctest under the label slow")
