#!/usr/bin/env python3
"""Makes the corpus of damaged GGUF files: hostile/ beside this file, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message.
Run it again after a change here; the files are committed because they are small. Files whose status is "ok" are odd but sound, and must be read."""
import sys
import pathlib
import struct

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
PARTS = pathlib.Path(__file__).parent / "parts"  # of split models; test_gguf.c says what is wrong with each
CASES = []
U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q", I64: "q", F64: "d"}
BIG = (1 << 64) - 1


def case(name, status, text, data):
    CASES.append((name + ".gguf", status, text, data))


def string(text, size=None):
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw) if size is None else size) + raw


def value(kind, content):
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        return array(*content)
    return struct.pack("<" + FORMATS[kind], content)


def array(kind, contents, count=None):
    return struct.pack("<IQ", kind, len(contents) if count is None else count) + b"".join(value(kind, c) for c in contents)


def pair(name, kind, content):
    return string(name) + struct.pack("<I", kind) + value(kind, content)


def raw(name, kind, content):
    return string(name) + struct.pack("<I", kind) + content


def tensor(name="w", shape=(2,), kind=0, offset=0, axes=None):
    """shape: innermost axis first, as in the file"""
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape) if axes is None else axes, *shape, kind, offset)


def head(tensors, pairs, version=3, magic=b"GGUF"):
    return magic + struct.pack("<IQQ", version, tensors, pairs)


def file(tensors=(), pairs=(), data=b"", version=3, align=32):
    start = head(len(tensors), len(pairs), version) + b"".join(pairs) + b"".join(tensors)
    return start + bytes(-len(start) % align) + data if data else start


def meta(*pairs):
    return file((), pairs)


FLOATS = struct.pack("<2f", 1.0, 2.0)

# the head
case("magic-only", "input", "truncated: the file ends inside of the header", b"GGUF")
case("head-cut", "input", "truncated: the file ends inside of the header", head(0, 0)[:-1])
case("magic-lower", "input", 'does not begin with "GGUF"', head(0, 0, magic=b"gguf"))
case("three-bytes", "input", "truncated: the file ends inside of the header", b"GGU")
case("version-0", "unsupported", "GGUF version 0", head(0, 0, 0))
case("version-1", "unsupported", "GGUF version 1; versions 2 and 3", head(0, 0, 1))
case("version-4", "unsupported", "GGUF version 4", head(0, 0, 4))
case("big-endian", "unsupported", "a big-endian GGUF file", b"GGUF" + struct.pack(">IQQ", 3, 0, 0))

# counts
case("pairs-missing", "input", "inside of metadata pair 1 of 1", head(0, 1))
case("pairs-2-64", "input", "inside of metadata pair 1 of 18446744073709551615", head(0, BIG))
case("pairs-one-less", "input", "inside of tensor 1 of 1", head(1, 1) + pair("a", U32, 1))
case("tensors-missing", "input", "inside of tensor 1 of 1", head(1, 0))
case("tensors-2-63", "input", "inside of tensor 2 of 9223372036854775808", head(1 << 63, 0) + tensor(shape=(0,)))

# metadata
case("name-cut", "input", "inside of metadata pair 1 of 1", head(0, 1) + string("abc", 4))
case("name-2-64", "input", "inside of metadata pair 1 of 1", head(0, 1) + string("abc", BIG))
case("name-utf8", "input", "the name of metadata pair 1 is not UTF-8", meta(pair(b"\xff", U32, 1)))
case("name-nul", "unsupported", "the name of metadata pair 1 has a NUL in it", meta(pair("a\0b", U32, 1)))
case("name-twice", "input", 'metadata "a" is listed twice', meta(pair("a", U32, 1), pair("a", U32, 1)))
case("kind-unknown", "input", 'metadata "a": a value of type 13', meta(raw("a", 13, bytes(8))))
case("kind-huge", "input", "a value of type 4294967295", meta(raw("a", 0xFFFFFFFF, bytes(8))))
case("kind-cut", "input", "inside of metadata pair 1 of 1", head(0, 1) + string("a") + b"\0\0")
case("number-cut", "input", 'metadata "a": truncated', meta(raw("a", F64, bytes(7))))
case("bool-2", "input", "a truth value that is neither 0 nor 1 but 2", meta(pair("a", BOOL, 2)))
case("bool-2-in-array", "input", "a truth value", meta(pair("a", ARRAY, (BOOL, [1, 2]))))
case("string-cut", "input", 'metadata "a": truncated', meta(raw("a", STRING, string("abc", 4))))
case("string-2-63", "input", 'metadata "a": truncated', meta(raw("a", STRING, string("abc", 1 << 63))))
case("array-kind-unknown", "input", "an array of type 13", meta(raw("a", ARRAY, struct.pack("<IQ", 13, 0))))
case("array-cut", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, array(U32, [1, 2], 3))))
case("array-long-cut", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, array(U32, [1, 2], 100))))
case("array-2-63", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, array(U64, [1, 2], 1 << 63))))
case("array-2-61", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, array(U64, [1, 2], 1 << 61))))
case("array-strings-2-64", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, array(STRING, ["x"], BIG))))
case("array-string-cut", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, struct.pack("<IQ", STRING, 1) + string("x", 2))))
deep = (U8, [1])
for _ in range(7):
    deep = (ARRAY, [deep])
case("ok-array-8-deep", "ok", "", meta(pair("a", ARRAY, deep)))
case("array-9-deep", "input", "arrays nested more than 8 deep", meta(pair("a", ARRAY, (ARRAY, [deep]))))
case("array-arrays-2-60", "input", 'metadata "a": truncated', meta(raw("a", ARRAY, array(ARRAY, [(U8, [])] * 5, 1 << 60))))

# what the file is read by
for kind, content, text in ((U64, 32, "general.alignment has a value of type u64"), (STRING, "32", "type strings"), (ARRAY, (U32, [32]), "type arrays"),
                            (U32, 0, "general.alignment is 0, no power of two"), (U32, 24, "is 24, no power of two")):
    case(f"alignment-{kind}-{len(CASES)}", "input", text, file([tensor()], [pair("general.alignment", kind, content)], FLOATS))
case("alignment-twice", "input", "general.alignment is given twice", meta(*[pair("general.alignment", U32, 32)] * 2))
case("alignment-2-31", "input", "the file has 0 bytes of data", file([tensor()], [pair("general.alignment", U32, 1 << 31)], FLOATS))
case("split-float", "input", "split.count has a value of type f32", meta(pair("split.count", F32, 2.0)))
case("split-negative", "input", "split.count is negative", meta(pair("split.count", I16, -2)))
case("split-number", "input", "split.no is 2, split.count 2", meta(pair("split.no", U16, 2), pair("split.count", U16, 2)))
case("split-name", "input", 'part 1 of 2: its name must end in "-00001-of-00002.gguf"', meta(pair("split.no", U16, 0), pair("split.count", U16, 2)))
case("split-name-00001-of-00003", "input", 'must end in "-00003-of-00003.gguf"', meta(pair("split.no", U16, 2), pair("split.count", U16, 3)))
case("split-count-2-64-00001-of-00001", "input", "part 1 of 18446744073709551615", meta(pair("split.no", U16, 0), pair("split.count", U64, BIG)))

# tensors
case("tensor-name-cut", "input", "inside of tensor 1 of 1", head(1, 0) + string("abc", 4))
case("tensor-name-utf8", "input", "the name of tensor 1 is not UTF-8", file([tensor(b"\xc0\xaf")], data=FLOATS))
case("tensor-name-nul", "unsupported", "the name of tensor 1 has a NUL in it", file([tensor("a\0b")], data=FLOATS))
case("tensor-name-twice", "input", 'tensor "w" is listed twice', file([tensor(), tensor(offset=32)], data=bytes(64)))
case("tensor-name-escape", "input", 'tensor "?[31m": 5 axes', file([tensor("\x1b[31m", (1,) * 5)], data=FLOATS))
case("tensor-cut", "input", "inside of tensor 1 of 1", file([tensor()])[:-1])
case("axes-5", "input", 'tensor "w": 5 axes, the format allows 4', file([tensor(shape=(1, 1, 1, 1, 2))], data=FLOATS))
case("axes-2-32", "input", "4294967295 axes", file([tensor(axes=0xFFFFFFFF)], data=FLOATS))
case("shape-product", "input", "more bits than 64-bit numbers count", file([tensor(shape=(1 << 33, 1 << 33))], data=FLOATS))
case("shape-bits", "input", "more bits than 64-bit numbers count", file([tensor(shape=(1 << 62,))], data=FLOATS))
case("shape-zero-product", "input", "more bits than 64-bit numbers count", file([tensor(shape=(0, 1 << 40, 1 << 40))], data=FLOATS))
case("shape-experts", "input", 'tensor "ffn_up_exps.weight": its shape overflows',
     file([tensor("ffn_up_exps.weight", shape=(0, 1 << 40, 1 << 40))], data=FLOATS))
case("shape-blocks", "input", "a row of 48 elements is no whole number of blocks of 32 (q4_0)", file([tensor(shape=(48, 2), kind=2)], data=bytes(54)))
case("shape-blocks-k", "input", "a row of 128 elements is no whole number of blocks of 256 (q4_k)", file([tensor(shape=(128, 2), kind=12)], data=bytes(144)))
case("shape-blocks-scalar", "input", "no whole number of blocks of 32", file([tensor(shape=(), kind=2)], data=bytes(54)))
case("type-removed", "unsupported", 'tensor "w": its type, 4, is not known', file([tensor(kind=4)], data=FLOATS))
case("type-q8_1", "unsupported", "its type, 9, is not known", file([tensor(shape=(32,), kind=9)], data=bytes(40)))
case("type-huge", "unsupported", "its type, 4294967295, is not known", file([tensor(kind=0xFFFFFFFF)], data=FLOATS))

# where data lies
case("data-missing", "input", 'truncated: tensor "w": 8 bytes at byte 0 of the data, the file has 0', file([tensor()]))
case("data-cut", "input", "the file has 7 bytes of data", file([tensor()], data=FLOATS[:7]))
case("data-cut-second", "input", 'tensor "v": 8 bytes at byte 32', file([tensor(), tensor("v", offset=32)], data=bytes(39)))
case("offset-unaligned", "input", "begins at byte 4, no multiple of the alignment, 32", file([tensor(offset=4)], data=bytes(12)))
case("offset-unaligned-64", "input", "no multiple of the alignment, 64",
     file([tensor(offset=32)], [pair("general.alignment", U32, 64)], bytes(40), align=64))
case("offset-past-end", "input", "8 bytes at byte 64 of the data", file([tensor(offset=64)], data=FLOATS))
case("offset-2-64", "input", "at byte 18446744073709551584 of the data", file([tensor(offset=BIG - 31)], data=FLOATS))
case("overlap", "input", 'tensor "v": its data overlaps that of "w" at byte 32',
     file([tensor(shape=(16,)), tensor("v", offset=32)], data=bytes(64)))
case("overlap-one-byte", "input", "overlaps", file([tensor(), tensor("v", offset=7)], [pair("general.alignment", U32, 1)], bytes(15), align=1))
case("overlap-same", "input", "overlaps", file([tensor(), tensor("v")], data=FLOATS))

# odd but sound
case("ok-empty", "ok", "", file())
case("ok-version-2", "ok", "", file([tensor()], [pair("a", U32, 1)], FLOATS, version=2))
case("ok-zero-elements", "ok", "", file([tensor("a", (0, 3)), tensor("b", (32, 0), 2, 0), tensor()], data=FLOATS))
case("ok-zero-elements-no-data", "ok", "", file([tensor(shape=(0,))]))
case("ok-scalar", "ok", "", file([tensor(shape=())], data=FLOATS[:4]))
case("ok-hole", "ok", "", file([tensor(), tensor("v", offset=128)], data=bytes(140)))
case("ok-reversed", "ok", "", file([tensor(offset=32), tensor("v")], data=bytes(64)))
case("ok-padding-and-more", "ok", "", file([tensor()], data=FLOATS + bytes(100)))
case("ok-unread-type", "ok", "", file([tensor(shape=(256, 2), kind=16)], data=bytes(132)))
case("ok-alignment-1", "ok", "", file([tensor()], [pair("general.alignment", U32, 1)], FLOATS, align=1))
case("ok-values", "ok", "", meta(pair("a", STRING, b"\xff\0text\xc3\xa9"), pair("b", STRING, ""), pair("c", F64, float("nan")), pair("d", ARRAY, (STRING, [])),
                                 pair("e", ARRAY, (BOOL, [0, 1])), pair("f", ARRAY, (I8, [-1] * 100))))
case("ok-unicode", "ok", "", file([tensor("\U0001f600 \u00e9")], data=FLOATS))
case("ok-empty-name", "ok", "", file([tensor("")], data=FLOATS))
case("ok-not-split", "ok", "", file([tensor()], [pair("split.no", U16, 0), pair("split.count", U16, 1)], FLOATS))


def part(number, count, *tensors, total=None, **more):
    pairs = [pair("split.no", U16, number), pair("split.count", U16, count)]
    if total is not None:
        pairs.append(pair("split.tensors.count", I32, total))
    return file(tensors, pairs + [pair(name, U32, number) for name in more], FLOATS)


def split(stem, *parts):
    for i, data in enumerate(parts):
        if data is not None:
            (PARTS / f"{stem}-{i + 1:05}-of-{len(parts):05}.gguf").write_bytes(data)


def make_parts():
    PARTS.mkdir(exist_ok=True)
    for old in PARTS.iterdir():
        old.unlink()
    a, b, c = tensor("a"), tensor("b"), tensor("c")
    split("sound", part(0, 3, a, total=3, only=True), part(1, 3, b), part(2, 3, c))
    split("lost", part(0, 2, a), None)
    split("other-kind", part(0, 2, a), struct.pack("<Q", 2) + b"{}")
    split("no-part", part(0, 2, a), file([b], data=FLOATS))
    split("wrong-number", part(0, 2, a), part(0, 2, b))
    split("wrong-count", part(0, 2, a), part(1, 3, b))
    split("tensors-lost", part(0, 2, a, total=3), part(1, 2, b))
    split("same-name", part(0, 2, a), part(1, 2, a))
    split("damaged", part(0, 2, a), part(1, 2, b)[:-1])


def main():
    make_parts()
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
