#!/usr/bin/env python3
"""Writes old.h5 and new.h5 with h5py (libhdf5), in the oldest and the newest form of the format: arrays [6, 4] whose element i is i / 8 in row-major order, however they are stored."""
import pathlib

import h5py
import numpy as np

HERE = pathlib.Path(__file__).parent
VALUES = (np.arange(24) / 8).reshape(6, 4)


def write(path, libver):
    with h5py.File(path, "w", libver=libver, meta_block_size=256) as file:
        file.attrs["backend"] = np.bytes_("none")
        file["plain/f32"] = VALUES.astype("f4")
        file["plain/f16"] = VALUES.astype("f2")
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        made = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((6, 4)), dcpl=compact)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, VALUES.astype("f4"))
        all_filters = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("chunks", data=VALUES, chunks=(4, 3))
        file.create_dataset("filtered", data=VALUES, chunks=(4, 3), **all_filters)
        file.create_dataset("deflated", data=VALUES, chunks=(6, 4), compression="gzip")
        file.create_dataset("growing", data=VALUES, chunks=(1, 4), maxshape=(None, 4), compression="gzip")
        file.create_dataset("growing-twice", data=VALUES, chunks=(4, 3), maxshape=(None, None), **all_filters)


write(HERE / "old.h5", "earliest")
write(HERE / "new.h5", "latest")
