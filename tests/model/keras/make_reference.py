#!/usr/bin/env python3
"""Writes reference.keras with Keras: Dense(name="head"), whose kernel [3, 2] has element i = i / 8."""
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras  # noqa: E402
import numpy as np  # noqa: E402

model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
model.layers[-1].set_weights([(np.arange(6, dtype="f4") / 8).reshape(3, 2), np.zeros(2, "f4")])
model.save(pathlib.Path(__file__).parent / "reference.keras")
