#!/usr/bin/env python3
"""Writes reference.onnx, reference-external.onnx and reference.bin beside this with the reference library (Python package onnx); test_onnx.c knows what is in them.
Values: element i of a tensor is (i - 3) / 4, or for quantised ones what the comments say."""
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent


def values(*shape, dtype=np.float32):
    return ((np.arange(np.prod(shape)) - 3) / 4).reshape(shape).astype(dtype)


def typed(name, data_type, array):
    return helper.make_tensor(name, data_type, array.shape, array.flatten())


def stored(name, data_type, *shape):
    return typed(name, data_type, (np.arange(np.prod(shape)) % 13 - 6).reshape(shape))


tensors = [
    numpy_helper.from_array(values(2, 3, 1, 2), "conv.weight"),
    typed("typed", TensorProto.FLOAT, values(2, 4)),
    typed("half", TensorProto.FLOAT16, values(4, 3, dtype=np.float16)),  # in int32_data: packed
    stored("q_quantized", TensorProto.INT8, 3, 5),  # (stored - zero) * scale by column
    typed("q_scale", TensorProto.FLOAT, np.array([1, 2, 4, 8, 16]) / 8),
    typed("q_zero", TensorProto.INT8, np.array([0, 1, -1, 2, 3])),  # packed, read by the codec
    numpy_helper.from_array((np.arange(15) % 13 - 6).reshape(5, 3).astype(onnx.helper.tensor_dtype_to_np_dtype(TensorProto.INT4)), "four"),  # an odd number of halves
    typed("four_scale", TensorProto.FLOAT, values(3, 3)),  # blocks of two along the first axis
    numpy_helper.from_array(np.arange(24, dtype=np.uint8).reshape(3, 2, 4) * 7, "onnx::MatMul_7_Q4"),  # [3, 12] in blocks of 8
    numpy_helper.from_array(values(6) + 1, "blocks_scale"),
    numpy_helper.from_array(values(2, 8, 2), "val_8"),  # of an LSTM: two directions, gates i o f c of two outputs
]
nodes = [
    helper.make_node("Conv", ["x", "conv.weight"], ["a"]),
    helper.make_node("Gemm", ["b", "typed"], ["c"], transB=1),
    helper.make_node("Transpose", ["half"], ["half_t"], perm=[1, 0]),
    helper.make_node("MatMul", ["d", "half_t"], ["e"]),
    helper.make_node("MatMulInteger", ["f", "q_quantized", "", "q_zero"], ["g"]),
    helper.make_node("Cast", ["g"], ["h"], to=TensorProto.FLOAT),
    helper.make_node("Mul", ["f_scale", "q_scale"], ["both"]),
    helper.make_node("Mul", ["h", "both"], ["i"]),
    helper.make_node("DequantizeLinear", ["four", "four_scale"], ["j"], axis=0, block_size=2),
    helper.make_node("MatMul", ["k", "j"], ["l"]),
    helper.make_node("MatMulNBits", ["m", "onnx::MatMul_7_Q4", "blocks_scale"], ["n"], "/encoder/layer.0/query/MatMul_Q4", domain="com.microsoft", K=12, N=3, bits=4,
                     block_size=8),
    helper.make_node("LSTM", ["o", "val_8", "p"], ["q"], "/decoder/rnn/LSTM_1", hidden_size=2, direction="bidirectional"),
]
graph = helper.make_graph(nodes, "reference", [], [], tensors)
onnx.save(helper.make_model(graph, producer_name="test", ir_version=10, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]),
          HERE / "reference.onnx")

tensors = [numpy_helper.from_array(values(3, 2), "a"), numpy_helper.from_array(values(4, 2, dtype=np.float64), "b")]
graph = helper.make_graph([helper.make_node("MatMul", ["x", "a"], ["y"])], "reference", [], [], tensors)
(HERE / "reference.bin").unlink(missing_ok=True)
onnx.save(helper.make_model(graph, producer_name="test", ir_version=10), HERE / "reference-external.onnx", save_as_external_data=True, location="reference.bin",
          size_threshold=0)
