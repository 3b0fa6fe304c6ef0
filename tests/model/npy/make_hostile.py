#!/usr/bin/env python3
"""Makes the corpus of damaged NumPy files, arrays and archives: hostile/, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message. Run it
again after a change here; the files are committed because they are small. Files whose status is "ok" are odd but sound, and must be read."""
import sys
import io
import pathlib
import struct
import zipfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []


def case(name, status, message, data):
    CASES.append((name, status, message, data))


def array(header, data=bytes(24), version=1, length=None, minor=0):
    raw = header if isinstance(header, bytes) else header.encode()
    size = len(raw) if length is None else length
    return b"\x93NUMPY" + bytes((version, minor)) + struct.pack("<H" if version == 1 else "<I", size) + raw + data


def header(descr="'<f4'", order="False", shape="(2, 3)"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }  \n" % (descr, order, shape)


def npy(name, status, message, *arguments, **more):
    case(name + ".npy", status, message, array(*arguments, **more))


SOUND = array(header())

# the head
case("magic-only.npy", "input", "is no NumPy array", b"\x93NUMPY")
case("head-cut.npy", "input", "truncated: 11 bytes", SOUND[:6] + b"\2\0" + SOUND[8:11])
npy("version-0", "unsupported", "version 0.0", header(), version=0)
npy("version-4", "unsupported", "version 4.0", header(), version=4)
npy("version-1-1", "unsupported", "version 1.1", header(), minor=1)
npy("header-past-end", "input", "truncated: a head of 10010 bytes", header(), length=10000)
npy("header-long", "input", "a header of 10001 bytes, at most 10000", header(), version=2, length=10001)
npy("header-2-32", "input", "a header of 4294967295 bytes", header(), version=2, length=0xffffffff)

# the literal
npy("empty", "input", "byte 0 of the header: expected '{'", "")
npy("no-dict", "input", "byte 0 of the header: expected '{'", "[1, 2]\n")
npy("call", "input", "byte 0 of the header: expected '{'", "__import__('os')\n")
npy("call-inside", "input", "expected a text", "{'descr': str('<f4'), 'fortran_order': False, 'shape': (2, 3), }\n")
npy("key-number", "input", "expected a text", "{1: 2}\n")
npy("key-unknown", "input", 'the header has a key "extra"', "{'descr': '<f4', 'extra': 1, 'fortran_order': False, 'shape': (2, 3), }\n")
npy("key-twice", "input", 'the header has "descr" twice', "{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }\n")
npy("key-missing", "input", 'the header lacks "shape"', "{'descr': '<f4', 'fortran_order': False, }\n")
npy("key-long", "input", "expected the end of a short text", "{'" + "k" * 40 + "': 1}\n")
npy("key-escape", "input", "expected the end of a short text", "{'desc\\x72': '<f4'}\n")
npy("key-control", "input", "expected the end of a short text", "{'desc\x1b': '<f4'}\n")
npy("key-open", "input", "expected the end of a text", "{'descr")
npy("no-colon", "input", "expected ':'", "{'descr' '<f4'}\n")
npy("no-comma", "input", "expected ',' or '}'", "{'descr': '<f4' 'fortran_order': False}\n")
npy("dict-open", "input", "expected a text", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ")
npy("tail", "input", "expected its end", header() + "x")
npy("comment", "input", "expected its end", header() + "# x")
npy("nul", "input", "expected its end", header() + "\0")
npy("bool-number", "input", "expected True or False", header(order="1"))
npy("bool-cut", "input", "expected True or False", "{'fortran_order': Tru")
npy("shape-list", "input", "expected '('", header(shape="[2, 3]"))
npy("shape-no-tuple", "input", "expected ','", header(shape="(6)"))
npy("shape-negative", "input", "expected a whole number", header(shape="(-2, 3)"))
npy("shape-hex", "input", "expected ')'", header(shape="(2, 0x3)"))
npy("shape-fraction", "input", "expected ')'", header(shape="(2, 3.0)"))
npy("shape-commas", "input", "expected a whole number", header(shape="(2,, 3)"))
npy("shape-2-64", "input", "a number below 2^64", header(shape="(18446744073709551616,)"))
npy("shape-product", "input", "more bytes than 64-bit numbers count", header(shape="(4294967296, 4294967296)"))
npy("shape-bytes", "input", "more bytes than 64-bit numbers count", header(shape="(1152921504606846976, 16)"))
npy("shape-product-zero", "input", "more bytes than 64-bit numbers count", header(shape="(4294967296, 4294967296, 0)"), b"")
npy("shape-rank-9", "unsupported", "more than 8 axes", header(shape="(1, 1, 1, 1, 1, 1, 1, 1, 1)"))
npy("data-short", "input", "truncated: shape and type need 24 bytes, 23 are there", header(), bytes(23))
npy("data-over", "unsupported", "1 bytes behind the array", header(), bytes(25))
case("two-arrays.npy", "unsupported", "bytes behind the array (several arrays in a file?)", SOUND * 2)

# types
npy("objects", "unsupported", "an array of Python objects, which are pickled", header("'|O'"), b"\x80\x02cos\nsystem\n(S'true'\ntR.")
npy("records", "unsupported", "an array of records", header("[('a', '<f4'), ('b', '<i4')]"))
npy("records-array", "unsupported", "an array of records", header("('<f4', (2,))"))
npy("type-unknown", "unsupported", "elements of type '<z4'", header("'<z4'"))
npy("type-empty", "unsupported", "elements of type ''", header("''"))
npy("type-no-size", "unsupported", "elements of type '<f'", header("'<f'"))
npy("type-huge", "unsupported", "elements of type '<V4294967296'", header("'<V4294967296'"))
npy("ok", "ok", "", header())
npy("ok-version-2", "ok", "", header(), version=2)
npy("ok-version-3", "ok", "", header(), version=3)
npy("ok-order", "ok", "", '{"shape":(2,3),"descr":"<f4","fortran_order":False}')
npy("ok-python-2", "ok", "", header(shape="(2L, 3L)"))
npy("ok-scalar", "ok", "", header(shape="()"), bytes(4))
npy("ok-no-elements", "ok", "", header(shape="(0, 5)"), b"")
npy("ok-no-elements-fortran", "ok", "", header(order="True", shape="(3, 0, 5)"), b"")
npy("ok-rank-8", "ok", "", header(order="True", shape="(1, 1, 1, 1, 1, 1, 2, 3)"))
npy("ok-fortran", "ok", "", header(order="True"))
npy("ok-fortran-integers", "ok", "", header("'<i4'", order="True"))
npy("ok-big-endian", "ok", "", header("'>f8'", shape="(3,)"))
npy("ok-big-endian-integers", "ok", "", header("'>i2'", shape="(12,)"))
npy("ok-long-double", "ok", "", header("'<f16'", shape="(1,)"), bytes(16))
npy("ok-texts", "ok", "", header("'<U3'", shape="(2,)"))
npy("ok-dates", "ok", "", header("'<M8[ns]'", shape="(3,)"))
npy("ok-bfloat16", "ok", "", header("'|V2'", shape="(12,)"))
npy("ok-no-bytes", "ok", "", header("'<U0'", shape="(3,)"), b"")

# archives
STAMP = (1980, 1, 1, 0, 0, 0)


def archive(members, method=zipfile.ZIP_STORED, crc=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name, STAMP), data, method)
    return out.getvalue()


DEFLATED = zipfile.ZIP_DEFLATED
for kind, method in (("stored", zipfile.ZIP_STORED), ("deflated", DEFLATED)):
    def npz(name, status, message, *members):
        case(f"{name}-{kind}.npz", status, message, archive(members, method))

    npz("no-array", "input", 'array "a": is no NumPy array', ("a.npy", b"hello, world"))
    npz("nothing", "input", 'array "a": is no NumPy array', ("a.npy", b""))
    npz("short", "input", 'array "b": truncated: 11 bytes', ("a.npy", SOUND), ("b.npy", SOUND[:6] + b"\2\0" + SOUND[8:11]))
    npz("head-cut", "input", "truncated: a head of", ("a.npy", SOUND[:40]))
    npz("data-cut", "input", "truncated: shape and type need 24 bytes, 20 are there", ("a.npy", SOUND[:-4]))
    npz("data-over", "unsupported", 'array "a": 4 bytes behind the array', ("a.npy", SOUND + bytes(4)))
    npz("header", "input", 'array "a": byte 0 of the header: expected', ("a.npy", array("[]")))
    npz("records", "unsupported", 'array "a": an array of records', ("a.npy", array(header("[('a', '<f4')]"))))
    npz("ok", "ok", "", ("a.npy", SOUND), ("folder/b.npy", SOUND), (".npy", SOUND), ("\u00e9.npy", SOUND))
    npz("ok-others", "ok", "", ("readme.txt", b"hello"), ("a.npy", SOUND), ("a", b"no array"), ("npy", b"nor this"))
    npz("ok-objects", "ok", "", ("a.npy", SOUND), ("o.npy", array(header("'|O'"), b"\x80\x02cos\nsystem\n(S'true'\ntR.")))

TWO = archive([("a.npy", SOUND), ("b.npy", SOUND)])
case("name-twice.npz", "input", "\"a.npy\" is listed twice", TWO.replace(b"b.npy", b"a.npy"))
case("name-latin.npz", "unsupported", "a name that is not UTF-8", TWO.replace(b"b.npy", b"\xe9.npy"))
case("method.npz", "unsupported", "is compressed by method 12", archive([("a.npy", SOUND)], zipfile.ZIP_BZIP2))
BOMB = array(header(shape="(1000000000, 1000)"), b"")
case("bomb.npz", "input", "truncated: shape and type need 4000000000000 bytes", archive([("a.npy", BOMB + bytes(1 << 20))], DEFLATED))
deflated = archive([("a.npy", SOUND)], DEFLATED)
stored_at = deflated.index(b"a.npy") + 5
case("deflate-damaged.npz", "input", "damaged", deflated[:stored_at] + b"\xff" * 8 + deflated[stored_at + 8:])
size_at = deflated.rindex(b"PK\1\2") + 24
lying = bytearray(deflated)
for place in (size_at, deflated.index(b"PK\3\4") + 22):
    struct.pack_into("<I", lying, place, 4096)
case("size-lie.npz", "unsupported", "4000 bytes behind the array", bytes(lying))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
