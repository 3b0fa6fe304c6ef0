#!/usr/bin/env python3
"""Writes reference.npy, stored.npz and deflated.npz with numpy, for test_npy.c, which knows the values."""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
ramp = np.arange(24).reshape(2, 3, 4) / 8
arrays = {
    "plain": ramp.astype("<f4"),
    "fortran": np.asfortranarray(ramp.astype("<f8")),
    "big": ramp.astype(">f2"),
    "both": np.asfortranarray(ramp.astype(">f4")),
    "steps": np.arange(6).reshape(2, 3),
}
np.save(HERE / "reference.npy", arrays["both"])
np.savez(HERE / "stored.npz", **arrays)
np.savez_compressed(HERE / "deflated.npz", **arrays)
