#!/usr/bin/env python3
"""Makes reference.gguf and reference.f32 with the reference library (Python package gguf 0.19): a row of 256 elements of each type that is read, named after it, and their values as
that library de-quantises them, float32, in the file's order. Where it can quantise, the row is a ramp; else random blocks."""
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent
HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,)}  # where the scales of a block are
TYPES = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 MXFP4 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()

rng = np.random.default_rng(20170406)
writer = gguf.GGUFWriter(HERE / "reference.gguf", "llama")
writer.add_head_count(32)
values = []
for name in TYPES:
    qtype = gguf.GGMLQuantizationType[name]
    if name in HALVES:
        elements, size = gguf.GGML_QUANT_SIZES[qtype]
        data = rng.integers(0, 256, (256 // elements, size), dtype=np.uint8)
        for at in HALVES[name]:
            data[:, at : at + 2] = rng.uniform(-1, 1, (len(data), 1)).astype(np.float16).view(np.uint8)
        data = data.reshape(1, -1)
    else:
        data = gguf.quants.quantize(np.linspace(-1.5, 2, 256, dtype=np.float32).reshape(1, 256), qtype)
    writer.add_tensor(name.lower(), data, raw_dtype=None if name in ("F32", "F16") else qtype)
    values.append(gguf.quants.dequantize(data, qtype))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
np.concatenate(values).astype("<f4").tofile(HERE / "reference.f32")
