#!/usr/bin/env python3
"""Makes tests/model/reference.safetensors with the reference library (Python package safetensors): what test_model.c expects in it is written there."""
import pathlib

import numpy as np
from safetensors.numpy import save_file

tensors = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
    "conv.weight": np.arange(16, dtype=np.float16).reshape(2, 2, 2, 2) - 8,
    "steps": np.array(123456789012, dtype=np.int64),
    "mask": np.array([True, False, True]),
    "wide": np.array([[1e-300, -2.5]], dtype=np.float64),
}
save_file(tensors, pathlib.Path(__file__).parent / "reference.safetensors", metadata={"format": "np", "caf\u00e9 \"q\"": "line\nbreak"})
