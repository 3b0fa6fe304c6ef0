#!/usr/bin/env python3
"""Makes the corpus of damaged TFLite models: hostile/, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message. Run it again after
a change here; the files are committed because they are small. Files whose status is "ok" are odd but sound, and must be read."""
import sys
import pathlib
import struct

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []


class Table(dict):
    """Fields by number: ("B", 1) a number in struct's letters, or another part of the file."""


class Vector(list):
    """Parts of the file, or numbers in `letter`."""

    def __init__(self, items, letter=None):
        super().__init__(items)
        self.letter = letter


class Bytes(bytes):
    """A vector of bytes as they are; a text when it ends in NUL (which is not counted)."""


def text(t):
    return Bytes(t.encode() + b"\0")


class At(int):
    """A place in the file, for distances that lead astray."""


def write(root, identifier=b"TFL3", tail=b""):
    """Every part comes after those that refer to it, once: two may share it. Places of parts are left in write.places."""
    out, places, wanted, queue = bytearray(8), {}, [(0, root)], [root]
    out[4:8] = identifier

    def put(number, letter):
        while len(out) % struct.calcsize(letter):
            out.append(0)
        out.extend(struct.pack("<" + letter, number))

    def refer(part):
        wanted.append((len(out), part))
        out.extend(bytes(4))
        queue.append(part)

    while queue:
        part = queue.pop(0)
        if id(part) in places or isinstance(part, At):
            continue
        if isinstance(part, Table):
            slots, at = [0] * (max(part, default=-1) + 1), 4
            for field in sorted(part):
                size = struct.calcsize(part[field][0]) if isinstance(part[field], tuple) else 4
                at += -at % size
                slots[field] = at
                at += size
            if len(out) % 2:
                out.append(0)
            vtable = len(out)
            for number in (4 + 2 * len(slots), at, *slots):
                put(number, "H")
            while len(out) % 8 != 0:
                out.append(0)
            start = len(out)
            places[id(part)] = start
            put(start - vtable, "i")
            for field in sorted(part):
                while len(out) < start + slots[field]:
                    out.append(0)
                if isinstance(part[field], tuple):
                    out.extend(struct.pack("<" + part[field][0], part[field][1]))
                else:
                    refer(part[field])
        elif isinstance(part, Bytes):
            while len(out) % 4:
                out.append(0)
            places[id(part)] = len(out)
            put(len(part) - (part[-1:] == b"\0"), "I")
            out.extend(part)
        else:
            while len(out) % 8 != (4 if part.letter == "q" else 0):
                out.append(0)
            places[id(part)] = len(out)
            put(len(part), "I")
            for item in part:
                put(item, part.letter) if part.letter else refer(item)
    for place, part in wanted:
        target = part if isinstance(part, At) else places[id(part)]
        struct.pack_into("<I", out, place, target - place & 0xffffffff)
    write.places = places
    return bytes(out) + tail


def tensor(shape=(2,), kind=0, buffer=1, name="a", **more):
    return Table({0: Vector(shape, "i"), 1: ("b", kind), 2: ("I", buffer), 3: text(name), **{int(k[1:]): v for k, v in more.items()}})


def operator(code=0, inputs=(0, 1), outputs=(2,), **more):
    return Table({0: ("I", code), 1: Vector(inputs, "i"), 2: Vector(outputs, "i"), **{int(k[1:]): v for k, v in more.items()}})


FLOATS = Bytes(struct.pack("<2f", 1, 2))


def parts(tensors=None, operators=None, buffers=None, codes=None, version=3, subgraphs=None):
    if subgraphs is None:
        subgraphs = [Table({0: Vector([tensor()] if tensors is None else tensors), 3: Vector(operators or [])})]
    return Table({0: ("I", version), 1: Vector(codes or []), 2: Vector(subgraphs), 3: text("test"),
                  4: Vector([Table(), Table({0: FLOATS})] if buffers is None else buffers)})


def model(*arguments, **more):
    return write(parts(*arguments, **more))


def quantised(scale, zero, dimension=0, details=None, shape=(2, 4), kind=9):
    fields = {2: Vector(scale, "f"), 3: Vector(zero, "q"), 6: ("i", dimension)}
    if details:
        fields[4] = ("B", details)
    return model([tensor(shape, kind, f4=Table(fields))])


def case(name, status, message, data):
    CASES.append((name + ".tflite", status, message, data))


def patched(data, at, letter, number):
    out = bytearray(data)
    struct.pack_into("<" + letter, out, at, number)
    return bytes(out)


SOUND = model()
ROOT = struct.unpack("<I", SOUND[:4])[0]
VTABLE = ROOT - struct.unpack_from("<i", SOUND, ROOT)[0]

# the FlatBuffer
case("identifier-only", "input", "the root lies outside of the file", b"\x1c\0\0\0TFL3")
case("root-outside", "input", "the root lies outside of the file", patched(SOUND, 0, "I", len(SOUND)))
case("root-2-32", "input", "the root lies outside of the file", patched(SOUND, 0, "I", 0xffffffff))
case("root-zeros", "input", "the vtable of the root has 0 bytes", b"\x1c\0\0\0TFL3" + bytes(28))
case("vtable-before", "input", "the vtable of the root lies outside", patched(SOUND, ROOT, "i", ROOT + 1))
case("vtable-behind", "input", "the vtable of the root lies outside", patched(SOUND, ROOT, "i", -len(SOUND)))
case("vtable-odd", "input", "the vtable of the root has 15 bytes", patched(SOUND, VTABLE, "H", 15))
case("vtable-long", "input", "the vtable of the root has 65534 bytes", patched(SOUND, VTABLE, "H", 65534))
case("table-long", "input", "the root lies outside of the file", patched(SOUND, VTABLE + 2, "H", 65535))
case("table-short", "input", "the root lies outside of the file", patched(SOUND, VTABLE + 2, "H", 3))
case("field-outside", "input", "the version lies outside of its table", patched(SOUND, VTABLE + 4, "H", 300))
case("field-in-head", "input", "the version lies outside of its table", patched(SOUND, VTABLE + 4, "H", 2))
case("version-2", "unsupported", "version 2 of the TFLite schema", model(version=2))
case("subgraphs-to-itself", "input", "the list of subgraphs lies outside of the file",
     patched(SOUND, ROOT + struct.unpack_from("<H", SOUND, VTABLE + 8)[0], "I", 0))
case("cut", "input", "outside of the file", SOUND[:-4])


def root_with(**fields):
    return write(Table({0: ("I", 3), **{int(k[1:]): v for k, v in fields.items()}}))


case("subgraphs-outside", "input", "the list of subgraphs lies outside of the file", root_with(f2=At(1 << 20)))
case("subgraphs-many", "input", "the list of subgraphs lies outside of the file", root_with(f2=Vector([1 << 31], "I")).replace(
    struct.pack("<II", 1, 1 << 31), struct.pack("<II", 1 << 31, 0)))
case("operator-codes-outside", "input", "the list of operator codes lies outside of the file", root_with(f1=At(1 << 20)))
case("buffers-outside", "input", "the list of buffers lies outside of the file", root_with(f4=At(1 << 20)))
case("description-open", "input", "the description has no NUL", root_with(f3=Bytes(b"open!")))
case("description-at-end", "input", "the description has no NUL", root_with(f3=Bytes(b"abcd")))
case("description-binary", "input", "the description is no UTF-8 text", root_with(f3=Bytes(b"\xff\xfe\0")))
case("description-nul", "input", "the description is no UTF-8 text", root_with(f3=Bytes(b"a\0b\0")))
case("subgraph-outside", "input", "a subgraph lies outside of the file", model(subgraphs=[At(1 << 20)]))
case("tensors-outside", "input", "subgraph 0: the list of tensors lies outside", model(subgraphs=[Table({0: At(1 << 20)})]))

# parts that are shared, which could be walked for ever
shared = Table({0: Vector([tensor()] * 40), 3: Vector([])})
case("subgraphs-shared", "input", "overlaps others: together they are longer than the file", model(subgraphs=[shared] * 60))
long_name = tensor(name="n" * 200)
case("names-shared", "input", "its name overlaps others", model(subgraphs=[Table({0: Vector([long_name] * 9)})]))
busy = Table({3: Vector([operator(inputs=(), outputs=())] * 60)})
case("operators-shared", "input", "the list of operators overlaps others", model(subgraphs=[busy] * 60, codes=[Table({0: ("b", 3)})]))
case("ok-tensor-twice", "ok", "", model([tensor()] * 2))

# tensors
case("tensor-outside", "input", "subgraph 0: tensor 1: it lies outside of the file", model([tensor(), At(1 << 20)]))
case("buffer-none", "input", "tensor 0: buffer 2 of 2", model([tensor(buffer=2)]))
case("buffer-2-32", "input", "buffer 4294967295 of 2", model([tensor(buffer=0xffffffff)]))
case("buffer-outside", "input", "its buffer lies outside of the file", model(buffers=[Table(), At(1 << 20)]))
case("data-outside", "input", "its data lies outside of the file", model(buffers=[Table(), Table({0: At(1 << 20)})]))
case("data-long", "input", "its data lies outside of the file", SOUND.replace(struct.pack("<I", 8) + FLOATS, struct.pack("<I", 80) + FLOATS))
case("data-short", "input", "type and shape need 12 bytes, its buffer has 8", model([tensor((3,))]))
case("data-over", "input", "type and shape need 4 bytes, its buffer has 8", model([tensor((1,))]))
case("data-overlap", "input", 'tensor "b": its data overlaps that of "a"', write(parts(
    [tensor(), tensor(buffer=2, name="b", shape=(1,), kind=2)], buffers=[Table(), Table({0: FLOATS}), Table({1: ("Q", len(model()) - 4), 2: ("Q", 4)})])))
case("shape-outside", "input", "its shape lies outside of the file", model([Table({0: At(1 << 20), 2: ("I", 1)})]))
case("shape-negative", "input", "axis 1 has -2 elements", model([tensor((1, -2))]))
case("shape-product", "input", "more bits than 64-bit numbers count", model([tensor((0x7fffffff,) * 3)]))
case("shape-rank-9", "unsupported", "more than 8 axes", model([tensor((1,) * 9)]))
case("name-outside", "input", "its name lies outside of the file", model([Table({0: Vector([2], "i"), 2: ("I", 1), 3: At(1 << 20)})]))
case("sparsity-outside", "input", "its sparsity lies outside of the file", model([tensor(f6=At(1 << 20))]))
case("external", "unsupported", "tensor 0: its data lies in another file", model([tensor(f10=("I", 1))]))
big = model(buffers=[Table(), Table({1: ("Q", 1 << 12), 2: ("Q", 8)})])
case("large-offset", "input", "its data, 8 bytes at 4096, ends beyond", big)
case("large-2-63", "input", "its data, 9223372036854775808 bytes at 40, ends beyond", model(buffers=[Table(), Table({1: ("Q", 40), 2: ("Q", 1 << 63)})]))
case("large-2-64", "input", "at 18446744073709551612, ends beyond", model(buffers=[Table(), Table({1: ("Q", (1 << 64) - 4), 2: ("Q", 8)})]))
case("ok-large", "ok", "", big + bytes((1 << 12) - len(big)) + FLOATS)
case("ok-large-placeholder", "ok", "", model(buffers=[Table(), Table({0: FLOATS, 1: ("Q", 1), 2: ("Q", 99)})]))

# quantisation
case("scales-outside", "input", "the list of its scales lies outside", model([tensor((2, 4), 9, f4=Table({2: At(1 << 20)}))]))
case("scales-without-zeros", "input", "it has 1 scales and 0 zero points", quantised([1.0], []))
case("scales-and-zeros", "input", "it has 2 scales and 1 zero points", quantised([1.0, 2.0], [0]))
case("scales-other-axis", "input", "it has 2 scales for the 4 elements of axis 1", quantised([1.0, 2.0], [0, 0], 1))
case("scales-no-axis", "input", "it has 2 scales along axis 2 of its 2", quantised([1.0, 2.0], [0, 0], 2))
case("scales-negative-axis", "input", "it has 2 scales along axis -1 of its 2", quantised([1.0, 2.0], [0, 0], -1))
case("scales-scalar", "input", "it has 2 scales along axis 0 of its 0", model(
    [tensor((), 9, f4=Table({2: Vector([1.0, 2.0], "f"), 3: Vector([0, 0], "q")}))], buffers=[Table(), Table({0: Bytes(b"\1")})]))
case("details-outside", "input", "its quantization lies outside", model([tensor((2, 4), 9, f4=At(1 << 20))]))
case("ok-quantised", "ok", "", quantised([1.0, -0.0], [1 << 62, -(1 << 63)]))
case("ok-quantised-custom", "ok", "", quantised([1.0], [0], details=1))
case("ok-quantised-float", "ok", "", model([tensor(f4=Table({2: At(1 << 20)}))]))

# operators
conv = [Table({0: ("b", 3)})]
case("operator-outside", "input", "operator 1: it lies outside", model(operators=[operator(inputs=()), At(1 << 20)], codes=conv, tensors=[tensor()] * 3))
case("operator-code", "input", "operator 0: operator code 1 of 1", model(operators=[operator(1)], codes=conv))
case("operator-code-outside", "input", "operator 0: its code lies outside", model(operators=[operator()], codes=[At(1 << 20)]))
case("operator-input", "input", "operator 0: tensor 1 of 1", model(operators=[operator(inputs=(0, 1), outputs=(0,))], codes=conv))
case("operator-input-negative", "input", "operator 0: tensor -2 of 1", model(operators=[operator(inputs=(0, -2), outputs=(0,))], codes=conv))
case("operator-output", "input", "operator 0: tensor 7 of 1", model(operators=[operator(inputs=(0, 0), outputs=(7,))], codes=conv))
case("operator-inputs-outside", "input", "its list of inputs lies outside", model(operators=[Table({1: At(1 << 20)})], codes=conv))
case("operator-outputs-outside", "input", "its list of outputs lies outside", model(operators=[Table({2: At(1 << 20)})], codes=conv))
case("operators-outside", "input", "the list of operators lies outside", model(subgraphs=[Table({0: Vector([tensor()]), 3: At(1 << 20)})]))
matmul = [Table({0: ("b", 126)})]
case("options-outside", "input", "operator 0: its options lies outside", model(operators=[operator(outputs=(), inputs=(), f3=("B", 101), f4=At(1 << 20))], codes=matmul))
case("output-name", "input", "the name of its operator's output has no NUL", model(
    [tensor((1, 1, 1, 2), name="arith.constant"), Table({3: Bytes(b"open")})], [operator(inputs=(-1, 0), outputs=(1,))], codes=conv))
case("ok-optional-input", "ok", "", model(operators=[operator(inputs=(0, -1), outputs=())], codes=conv))
case("ok-unknown-operator", "ok", "", model(operators=[operator(outputs=(0,))], codes=[Table({0: ("b", 127), 3: ("i", 30000)})]))
case("ok-dequantise-itself", "ok", "", model(operators=[operator(inputs=(0,), outputs=(0,))], codes=[Table({0: ("b", 6)})]))

# odd but sound
case("ok", "ok", "", SOUND)
case("ok-nothing", "ok", "", write(Table({0: ("I", 3)})))
case("ok-no-name", "ok", "", model([Table({0: Vector([2], "i"), 2: ("I", 1)}), Table({0: Vector([1, 2], "i"), 2: ("I", 1)})]))
case("ok-scalar", "ok", "", model([Table({2: ("I", 1), 1: ("b", 10), 3: text("pi")})]))
case("ok-unknown-type", "ok", "", model([tensor(kind=99), tensor(kind=-1, name="b"), tensor(kind=5, name="c", shape=(1,))]))
case("ok-names-twice", "ok", "", model([tensor(), tensor(kind=2), tensor(shape=(1, 2)), tensor(name="b;c")]))
graphs = [Table({0: Vector([tensor((1, 1, 1, 2))]), 3: Vector([operator(inputs=(-1, 0), outputs=())])}), Table({0: Vector([tensor((1, 1, 1, 2))])})]
case("ok-one-graph-tells", "ok", "", model(subgraphs=graphs, codes=conv))
case("ok-other-graph-tells", "ok", "", model(subgraphs=graphs[::-1], codes=conv))
case("ok-names-joined", "ok", "", model([tensor(name=";;"), tensor(name=";b;c"), tensor(name=";", kind=2)]))
case("name-taken", "input", 'tensor "a#2" is listed twice', model([tensor(), tensor(kind=2), tensor(name="a#2")]))
case("ok-four-bits-odd", "ok", "", model([tensor((3, 5), 17)]))
case("ok-tail", "ok", "", write(parts(), tail=b"behind"))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
