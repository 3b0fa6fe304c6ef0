#!/usr/bin/env python3
"""Writes reference.tflite through the schema that the Python package ai-edge-litert ships, for test_tflite.c, which knows its values."""
import pathlib

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

tensors, buffers = [], [schema.BufferT()]


def constant(name, shape, kind, data, scale=None, zero=None, dimension=0):
    quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=zero, quantizedDimension=dimension) if scale else None
    buffers.append(schema.BufferT(data=np.frombuffer(data.tobytes(), np.uint8)))
    tensors.append(schema.TensorT(shape=shape, type=kind, buffer=len(buffers) - 1, name=name, quantization=quantization))


constant("conv/kernel;conv/bias", [2, 1, 3, 1], 0, np.arange(6, dtype=np.float32) / 4)
constant("depthwise", [1, 2, 2, 3], 9, np.arange(-6, 6, dtype=np.int8), [0.5, 2.0, 0.125], [0, 1, -1], 3)
constant("dense", [2, 3], 3, np.array([0, 255, 128, 127, 1, 2], np.uint8), [0.25], [128])
constant("nibbles", [3], 17, np.array([0x8F, 0x07], np.uint8), [1.0], [0])
constant("bias", [2], 2, np.array([-1000000, 3], np.int32), [0.5, 0.25], [0, 0])
constant("slope", [1, 1, 2], 0, np.array([1, 2], np.float32))
tensors.append(schema.TensorT(shape=[1, 4, 4, 1], type=0, buffer=0, name="input"))
tensors.append(schema.TensorT(shape=[1, 4, 2, 2], type=0, buffer=0, name="output"))
operators = [schema.OperatorT(opcodeIndex=0, inputs=[6, 0, -1], outputs=[7]), schema.OperatorT(opcodeIndex=1, inputs=[6, 1], outputs=[7]),
             schema.OperatorT(opcodeIndex=2, inputs=[6, 2, 4], outputs=[7])]
graph = schema.SubGraphT(tensors=tensors, inputs=[6], outputs=[7], operators=operators, name="main")
codes = [schema.OperatorCodeT(deprecatedBuiltinCode=c, builtinCode=c, version=1) for c in (3, 4, 9)]
model = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], description="reference", buffers=buffers)
builder = flatbuffers.Builder(1024)
builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
pathlib.Path(__file__).with_name("reference.tflite").write_bytes(bytes(builder.Output()))
