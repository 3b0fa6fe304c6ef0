#!/usr/bin/env python3
"""Makes the corpus of damaged ONNX files: hostile/ beside this, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message.
Run it again after a change here; the files are committed because they are small. Those whose status is "ok" are odd but sound, and must be read.
Messages are built from bytes: the reference library would not write most of them. Field numbers: onnx.proto."""
import sys
import pathlib
import struct

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []


def case(name, status, text, data):
    CASES.append((name + ".onnx", status, text, data))


# ---- protobuf ----

def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def number(field, value):
    return varint(field << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


FLOATS = struct.pack("<4f", 1, 2, 3, 4)


def tensor(name="a", kind=1, dims=(2, 2), raw=FLOATS, more=b""):
    out = b"".join(number(1, d) for d in dims)
    out += number(2, kind) if kind is not None else b""
    out += block(8, name) if name is not None else b""
    return out + (block(9, raw) if raw is not None else b"") + more


def entry(key, value):
    return block(1, key) + block(2, value)


def external(*entries, name="a", dims=(2, 2)):
    return tensor(name, dims=dims, raw=None, more=b"".join(block(13, entry(*e)) for e in entries) + number(14, 1))


def node(operator, inputs="", outputs="", name="", attributes=(), domain=""):
    out = b"".join(block(1, i) for i in inputs.split()) + b"".join(block(2, o) for o in outputs.split())
    out += (block(3, name) if name else b"") + block(4, operator) + b"".join(block(5, a) for a in attributes)
    return out + (block(7, domain) if domain else b"")


def attribute(name, field, value, kind):
    return block(1, name) + (number(field, value) if isinstance(value, int) else block(field, value)) + number(20, kind)


def integer(name, value):
    return attribute(name, 3, value, 2)


def graph(*tensors, nodes=(), more=b""):
    return b"".join(block(1, n) for n in nodes) + block(2, "graph") + b"".join(block(5, t) for t in tensors) + more


HEAD = number(1, 8) + block(2, "test")
OPSET = block(8, number(2, 17))


def file(*tensors, nodes=(), more=b"", after=b""):
    return HEAD + block(7, graph(*tensors, nodes=nodes, more=more)) + OPSET + after


def inner(depth):
    """Graphs within graphs, `depth` of them in the outermost."""
    data = graph(tensor())
    for _ in range(depth):
        data = graph(nodes=[node("If", "c", "y", attributes=[attribute("then_branch", 6, data, 5)])])
    return HEAD + block(7, data) + OPSET


# the wire
case("cut-in-tag", "input", "cut off within a number", file(tensor()) + b"\x80")
case("cut-in-graph", "input", "truncated: field 7 has", HEAD + varint(7 << 3 | 2) + varint(1000) + graph(tensor()))
case("cut-in-raw", "input", "truncated: field 9 has 16 bytes, 15 are left", HEAD + block(7, block(5, tensor()[:-1])))
case("length-2-63", "input", "truncated: field 5 has 9223372036854775808 bytes", HEAD + block(7, varint(5 << 3 | 2) + varint(1 << 63)))
case("varint-long", "input", "a number of more than 64 bits", file(tensor(more=varint(2 << 3) + b"\xff" * 10 + b"\x01")))
case("varint-65-bits", "input", "a number of more than 64 bits", file(tensor(more=varint(2 << 3) + b"\xff" * 9 + b"\x02")))
case("field-zero", "input", "field number 0", file(tensor(more=b"\x00\x00")))
case("field-huge", "input", "field number 536870912", file(tensor(more=varint(1 << 32) + b"\x00")))
case("group", "input", "which is a group or nothing", file(tensor(more=b"\x7b\x7c")))
case("wire-7", "input", "has wire type 7", file(tensor(more=b"\x7f")))
case("wire-of-model", "input", "field 3 of the model has wire type 0, not 2", HEAD + block(7, graph()) + b"".join(OPSET for _ in range(64)) + number(3, 1))
case("wire-of-numbers", "input", "field 4 has a wire type that its values cannot have", file(tensor(raw=None, more=number(4, 1))))
case("no-graph", "input", "it has no graph", HEAD + OPSET)
case("graph-twice", "input", "the graph is given twice", HEAD + block(7, graph(tensor())) + block(7, graph(tensor("b"))))
case("deep", "input", "deeper than 8", inner(9))
case("deep-many", "input", "deeper than 8", inner(40))

# texts
case("name-none", "input", "a tensor has no name", file(tensor(None)))
case("name-latin-1", "input", "not UTF-8", file(tensor(b"\xe9")))
case("name-nul", "unsupported", "a text with a NUL in it, \"a\"", file(tensor("a\0b")))
case("name-twice", "input", 'the value "a" is made twice', file(tensor(), tensor()))
case("name-of-output", "input", 'the value "a" is made twice', file(tensor(), nodes=[node("Identity", "x", "a")]))
case("metadata-twice", "input", 'metadata "k" is listed twice', file(tensor(), after=block(14, entry("k", "1")) * 2))
case("metadata-not-utf-8", "input", "not UTF-8", file(tensor(), after=block(14, entry(b"\xff", "1"))))

# a tensor
case("type-none", "input", 'tensor "a": it has no data type', file(tensor(kind=None)))
case("type-0", "input", "it has no data type", file(tensor(kind=0)))
case("type-29", "unsupported", 'tensor "a": an unknown data type', file(tensor(kind=29)))
case("type-2-40", "unsupported", "an unknown data type", file(tensor(kind=1 << 40)))
case("rank-9", "unsupported", "more than 8 axes", file(tensor(dims=(1,) * 9, raw=FLOATS[:4])))
case("dim-negative", "input", "a negative extent", file(tensor(dims=(-2, -2))))
case("dims-overflow", "input", "more bits than 64-bit numbers count", file(tensor(dims=(1 << 32, 1 << 32))))
case("dims-overflow-bits", "input", "more bits than 64-bit numbers count", file(tensor(dims=(1 << 31, 1 << 30))))
case("dims-packed-cut", "input", "cut off within a number", file(tensor(dims=(), more=block(1, b"\x80"))))
case("segment", "unsupported", "a tensor in segments", file(tensor(more=block(3, b""))))
case("raw-short", "input", "type and shape need 16 bytes, it has 12", file(tensor(raw=FLOATS[:12])))
case("raw-long", "input", "type and shape need 16 bytes, it has 20", file(tensor(raw=FLOATS + bytes(4))))
case("raw-none", "input", "type and shape need 16 bytes, it has 0", file(tensor(raw=None)))
case("raw-twice", "input", '"raw_data" is given twice', file(tensor(more=block(9, FLOATS))))
case("raw-and-floats", "input", "its values are given twice", file(tensor(more=block(4, FLOATS))))
case("two-fields", "input", "its values are given twice", file(tensor(raw=None, more=block(4, FLOATS) + block(10, bytes(32)))))
case("wrong-field", "input", "its values are in field 10, those of its type belong in 4", file(tensor(raw=None, more=block(10, bytes(32)))))
case("floats-short", "input", "type and shape need 4 values, it has 3", file(tensor(raw=None, more=block(4, FLOATS[:12]))))
case("floats-odd", "input", "field 4 has 15 bytes, no whole number of values of 4", file(tensor(raw=None, more=block(4, FLOATS[:15]))))
case("integers-long", "input", "type and shape need 4 values, it has 5", file(tensor(kind=3, raw=None, more=block(5, bytes(5)))))
case("halves-of-four-bits", "input", "type and shape need 2 values, it has 4", file(tensor(kind=22, raw=None, more=block(5, bytes(4)))))
case("complex-short", "input", "type and shape need 4 values, it has 2", file(tensor(kind=14, dims=(2,), raw=None, more=block(4, bytes(8)))))
case("four-bits-short", "input", "type and shape need 2 bytes, it has 1", file(tensor(kind=22, dims=(3,), raw=b"\x12")))
case("sparse-no-values", "input", "a tensor has no name", file(more=block(15, b"")))
case("sparse-rank-9", "input", "the shape of a sparse tensor", file(more=block(15, block(1, tensor(dims=(4,))) + number(3, 1) * 9)))
case("sparse-overflow", "input", 'tensor "a": its shape gives more bits', file(more=block(15, block(1, tensor(dims=(4,))) + number(3, 1 << 62) * 2)))
case("constant-two-values", "input", "a Constant with two values",
     file(nodes=[node("Constant", "", "c", attributes=[attribute("value", 5, tensor(), 4)] * 2)]))

# external data
case("external-absolute", "input", "is not named relative", file(external(("location", "/etc/passwd"))))
case("external-above", "input", "lies outside of this one's folder", file(external(("location", "../weights.bin"))))
case("external-hidden-above", "input", "lies outside of this one's folder", file(external(("location", "./x/.././../weights.bin"))))
case("external-empty", "input", "the name of another file is empty", file(external(("location", ""))))
case("external-none", "input", "the name of another file is empty", file(external()))
case("external-self", "input", "in the model's own file", file(external(("location", "./external-self.onnx"))))
case("external-nul", "unsupported", "a text with a NUL in it", file(external(("location", "a\0b"))))
case("external-offset-text", "input", "the external data's offset is no number: \"0x10\"", file(external(("location", "w"), ("offset", "0x10"))))
case("external-offset-negative", "input", "the external data's offset is no number: \"-1\"", file(external(("location", "w"), ("offset", "-1"))))
case("external-offset-2-64", "input", "the external data's offset is no number", file(external(("location", "w"), ("offset", "18446744073709551616"))))
case("external-length", "input", "type and shape need 16 bytes, its external data has 12", file(external(("location", "w"), ("length", "12"))))
case("external-and-raw", "input", "it has external data and values of its own", file(tensor(more=block(13, entry("location", "w")) + number(14, 1))))

# odd but sound
SCALED = [tensor("q", 3, (2, 2), bytes(4)), tensor("s", 1, (), FLOATS[:4]), tensor("z", 3, (), b"\1")]
case("ok-empty-graph", "ok", "", HEAD + block(7, b"") + OPSET)
case("ok-unknown-fields", "ok", "", file(tensor(more=number(99, 1) + block(100, b"x") + varint(101 << 3 | 1) + bytes(8)), after=block(200, b"")))
case("ok-long-varint", "ok", "", file(tensor(dims=(), more=varint(1 << 3) + b"\x84\x80\x80\x00")))
case("ok-text", "ok", "", file(tensor(), tensor("t", 8, (1,), None, block(6, "text"))))
case("ok-no-elements", "ok", "", file(tensor(dims=(0, 3), raw=None), tensor("b", dims=(0,), raw=b""), external(("location", "nowhere"), name="c", dims=(0,))))
case("ok-packed-dims", "ok", "", file(tensor(dims=(), more=block(1, b"\x02\x02"))))
case("ok-one-by-one", "ok", "", file(tensor(raw=None, more=b"".join(b"\x25" + FLOATS[i:i + 4] for i in range(0, 16, 4)))))
case("ok-pieces", "ok", "", file(tensor(raw=None, more=block(4, FLOATS[:8]) + b"\x25" + FLOATS[8:12] + block(4, FLOATS[12:]))))
case("ok-value-too-big", "ok", "", file(tensor(kind=3, raw=None, more=block(5, b"\1\2\3\xff\x01"))))  # found when it is unpacked
case("ok-deep", "ok", "", inner(8))
case("ok-branches", "ok", "", file(tensor("w"), nodes=[node("If", "c", "y", attributes=[
    attribute(b, 6, graph(tensor("w"), nodes=[node("MatMul", "x w", "y")]), 5) for b in ("then_branch", "else_branch")])]))
case("ok-graphs", "ok", "", file(nodes=[node("Odd", "", "y", "n", attributes=[block(1, "g") + block(11, graph(tensor())) + block(11, graph(tensor("b")))])]))
case("ok-sparse", "ok", "", file(more=block(15, block(1, tensor("s", dims=(4,))) + block(3, b"\x05\x05"))))
case("ok-scale-does-not-fit", "ok", "", file(SCALED[0], tensor("s", dims=(3,), raw=FLOATS[:12]), nodes=[node("DequantizeLinear", "q s", "d")]))
case("ok-scale-of-itself", "ok", "", file(*SCALED, nodes=[node("DequantizeLinear", "q q q", "d"), node("DequantizeLinear", "d d", "e")]))
case("ok-scale-in-a-circle", "ok", "", file(*SCALED, nodes=[node("DequantizeLinear", "q s z", "d"), node("DequantizeLinear", "z d q", "e")]))
case("ok-axis-far", "ok", "", file(SCALED[0], tensor("s", dims=(2,), raw=FLOATS[:8]),
                                   nodes=[node("DequantizeLinear", "q s", "d", attributes=[integer("axis", -(1 << 63)), integer("block_size", -1)])]))
case("ok-block-far", "ok", "", file(SCALED[0], tensor("s", dims=(1, 2), raw=FLOATS[:8]),
                                    nodes=[node("DequantizeLinear", "q s", "d", attributes=[integer("axis", 0), integer("block_size", (1 << 63) - 1)])]))
case("ok-no-columns", "ok", "", file(tensor("q", 3, (2, 0), b""), *SCALED[1:], nodes=[node("DequantizeLinear", "q s z", "d")]))
case("ok-transpose-bad", "ok", "", file(tensor("w"), nodes=[node("Transpose", "w", "t", attributes=[attribute("perm", 8, b"\x00\x00", 7)]),
                                                            node("Transpose", "w", "u", attributes=[attribute("perm", 8, b"\x05\x80", 7)]),
                                                            node("MatMul", "x t", "y"), node("MatMul", "x u", "z")]))
MANY = [tensor("b", 2, (2, 2, 8), bytes(32)), tensor("s", 1, (4,), FLOATS)]
for name, numbers in {"sound": (2, 32, 4, 16), "n": (3, 32, 4, 16), "k": (2, 64, 4, 16), "bits": (2, 32, 3, 16), "bits-0": (2, 32, 0, 16), "block-0": (2, 32, 4, 0),
                      "block-1": (2, 32, 4, 1), "negative": (-2, -32, 4, 16), "far": ((1 << 62), (1 << 62), 4, 1 << 62)}.items():
    attributes = [integer(a, v) for a, v in zip(("N", "K", "bits", "block_size"), numbers)]
    case(f"ok-blocks-{name}", "ok", "", file(*MANY, nodes=[node("MatMulNBits", "x b s", "y", attributes=attributes, domain="com.microsoft")]))
ATTRIBUTES = [integer("N", 2), integer("K", 32), integer("block_size", 16)]
case("ok-blocks-and-convolution", "ok", "", file(*MANY, nodes=[node("ConvInteger", "x b", "y"),
                                                               node("MatMulNBits", "x b s", "z", attributes=ATTRIBUTES, domain="com.microsoft")]))
case("ok-blocks-transposed", "ok", "", file(*MANY, nodes=[node("Transpose", "b", "t"), node("MatMulNBits", "x b s", "z", attributes=ATTRIBUTES, domain="com.microsoft"),
                                                          node("MatMul", "x t", "y")]))
case("ok-recurrent-transposed", "ok", "", file(tensor("w", dims=(2, 4, 2), raw=FLOATS * 4), nodes=[node("Transpose", "w", "t"), node("LSTM", "x w r", "y"),
                                                                                                     node("MatMul", "x t", "z"), node("GRU", "x w w", "v")]))
case("ok-names-made-up", "ok", "", file(tensor("onnx::MatMul_1"), tensor("val_2"), tensor("3"), nodes=[
    node("MatMul", "x onnx::MatMul_1", "a", "/a/a.0/MatMul"), node("MatMul", "a val_2", "b", "//MatMul"),
    node("MatMul", "b 3", "c") + block(9, entry("pkg.torch.onnx.name_scopes", "['', 'it'"))]))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
