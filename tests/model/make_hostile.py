#!/usr/bin/env python3
"""Makes the corpus of damaged model files: tests/model/hostile/, one file a defect, and `expected`, one line a file:
name <tab> status <tab> part of the message. Run it again after a change here; the files are committed because they are small.
Files whose status is "ok" are odd but sound, and must be read."""
import json
import pathlib
import struct
import zipfile
import io

import corpus

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []


def case(name, status, text, data, suffix=".safetensors"):
    CASES.append((name + suffix, status, text, data))


def file(header, data=b"", length=None):
    raw = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def tensors(data=b"", **entries):
    return file(json.dumps(entries), data)


def one(dtype, shape, size, data=None):
    return tensors(bytes(size) if data is None else data, a=entry(dtype, shape, (0, size)))


FLOATS = struct.pack("<2f", 1.0, 2.0)

# the file as a whole
case("empty", "input", "the file is empty", b"")
case("seven-bytes", "input", "truncated: 7 bytes", b"\x10\0\0\0\0\0\0")
case("length-only", "input", "truncated: a header of 16 bytes, the file has 0", struct.pack("<Q", 16))
case("header-empty", "input", "does not begin with '{'", file(b""))
case("header-past-end", "input", "truncated: a header of 1000 bytes", file('{"a":', length=1000))
case("header-huge", "input", "at most 100000000 are allowed", file('{"a":', length=100_000_001))
case("header-2-63", "input", "a header of 9223372036854775808 bytes", file("{}", length=1 << 63))
case("header-2-64", "input", "a header of 18446744073709551615 bytes", file("{}", length=(1 << 64) - 1))
case("header-space-first", "input", "does not begin with '{'", file(" {}"))
case("header-array", "input", "does not begin with '{'", file("[]"))

# JSON
case("json-cut", "input", "expected '}'", file('{"a":' + json.dumps(entry()), FLOATS))
case("json-tail", "input", "something after the end", file('{} x'))
case("json-two", "input", "something after the end", file('{}{}'))
case("json-comma", "input", "expected a string", file('{"a":' + json.dumps(entry()) + ',}', FLOATS))
case("json-comment", "input", "expected a string", file('{/**/}'))
case("json-single-quotes", "input", "expected a string", file("{'a':1}"))
case("json-nul", "input", "expected a string", file(b'{\0}'))
case("json-control", "input", "control character", file(b'{"a\nb":1}'))
case("json-escape", "input", "unknown escape", file(r'{"a\x41":1}'))
case("json-escape-cut", "input", "unknown escape", file(r'{"a\u00'))
case("json-string-open", "input", "string without an end", file('{"abc'))
case("json-surrogate", "input", "half of a surrogate pair", file(r'{"\ud800":1}'))
case("json-surrogate-low", "input", "half of a surrogate pair", file(r'{"\udc00":1}'))
case("json-surrogate-pair", "input", "half of a surrogate pair", file(r'{"\ud800A":1}'))
case("json-utf8-overlong", "input", "not UTF-8", file(b'{"\xc0\xaf":1}'))
case("json-utf8-surrogate", "input", "not UTF-8", file(b'{"\xed\xa0\x80":1}'))
case("json-utf8-range", "input", "not UTF-8", file(b'{"\xf4\x90\x80\x80":1}'))
case("json-utf8-cut", "input", "not UTF-8", file(b'{"\xe2\x82'))
case("json-nan", "input", "expected a whole number", file('{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', FLOATS))
case("json-deep", "input", "nested too deeply", file('{"a":{"x":' + "[" * 5000))
case("json-deep-objects", "input", "nested too deeply", file('{"a":{"x":' + '{"y":' * 200))
case("json-number-bad", "input", "number without digits after the point", file('{"a":{"x":1.}}'))
case("json-number-exponent", "input", "number without an exponent", file('{"a":{"x":1e}}'))
case("json-literal", "input", "expected a value", file('{"a":{"x":nul}}'))

# entries
case("entry-number", "input", "expected '{'", file('{"a":1}'))
case("entry-empty", "input", 'tensor "a": "dtype" is missing', file('{"a":{}}'))
case("entry-no-shape", "input", 'tensor "a": "shape" is missing', file('{"a":{"dtype":"F32","data_offsets":[0,8]}}', FLOATS))
case("entry-no-offsets", "input", 'tensor "a": "data_offsets" is missing', file('{"a":{"dtype":"F32","shape":[2]}}', FLOATS))
case("entry-twice", "input", 'tensor "a" is listed twice',
     file('{"a":' + json.dumps(entry()) + ',"a":' + json.dumps(entry(offsets=(8, 16))) + "}", FLOATS * 2))
case("entry-twice-escaped", "input", 'tensor "a" is listed twice',
     file('{"a":' + json.dumps(entry()) + ',"\\u0061":' + json.dumps(entry(offsets=(8, 16))) + "}", FLOATS * 2))
case("field-twice", "input", '"shape" is given twice', file('{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', FLOATS))
case("dtype-number", "input", "expected a string", file('{"a":{"dtype":4,"shape":[2],"data_offsets":[0,8]}}', FLOATS))
case("dtype-unknown", "unsupported", 'tensor "a": unknown dtype F7', one("F7", (2,), 8))
case("dtype-lower", "unsupported", "unknown dtype f32", one("f32", (2,), 8))
case("shape-number", "input", "expected '['", file('{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}', FLOATS))
case("shape-negative", "input", "expected a whole number", file('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', FLOATS))
case("shape-fraction", "input", "expected a whole number", file('{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', FLOATS))
case("shape-exponent", "input", "expected a whole number", file('{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}', FLOATS))
case("shape-leading-zero", "input", "leading zero", file('{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}', FLOATS))
case("shape-2-64", "input", "number of 2^64 or more",
     file('{"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}}', FLOATS))
case("shape-product", "input", "more bits than 64-bit numbers count", one("F32", (1 << 33, 1 << 33), 8))
case("shape-product-bits", "input", "more bits than 64-bit numbers count", one("F32", (1 << 62,), 8))
case("shape-product-zero", "input", "more bits than 64-bit numbers count", one("F32", (1 << 40, 1 << 40, 0), 0))
case("shape-rank-9", "unsupported", 'tensor "a": more than 8 axes', one("F32", (1,) * 9, 4))
case("shape-too-big", "input", "dtype and shape need 12 bytes, its offsets span 8", one("F32", (3,), 8))
case("shape-too-small", "input", "dtype and shape need 4 bytes, its offsets span 8", one("F32", (1,), 8))
case("sub-byte-f4", "input", "3 elements of f4 are no whole number of bytes", one("F4", (3,), 2))
case("sub-byte-f6", "input", "2 elements of f6_e2m3 are no whole number of bytes", one("F6_E2M3", (2,), 2))

# where data lies
case("offsets-one", "input", "expected ','", file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}', FLOATS))
case("offsets-three", "input", "expected ']'", file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', FLOATS))
case("offsets-backward", "input", "its data ends (0) before it begins (8)", tensors(FLOATS, a=entry(offsets=(8, 0))))
case("offsets-past-end", "input", "its data ends at byte 8, the file has 4", tensors(FLOATS[:4], a=entry()))
case("offsets-2-64", "input", "belong to no tensor",
     tensors(FLOATS, a=entry(offsets=((1 << 64) - 9, (1 << 64) - 1))))
case("data-cut", "input", "its data ends at byte 16, the file has 15", tensors((FLOATS * 2)[:15], a=entry(), b=entry(offsets=(8, 16))))
case("data-over", "input", "1 bytes after the last tensor's data belong to no tensor", tensors(FLOATS + b"x", a=entry()))
case("data-without-tensors", "input", "8 bytes after the last tensor's data", file("{}", FLOATS))
case("hole-first", "input", "bytes 0 to 4 before its data", tensors(bytes(12), a=entry(offsets=(4, 12))))
case("hole-between", "input", 'tensor "b": bytes 8 to 12 before its data', tensors(bytes(20), a=entry(), b=entry(offsets=(12, 20))))
case("overlap", "input", 'tensor "b": its data overlaps that of "a" at byte 4', tensors(bytes(12), a=entry(), b=entry(offsets=(4, 12))))
case("overlap-same", "input", "overlaps", tensors(FLOATS, a=entry(), b=entry()))

# metadata
case("metadata-number", "input", "expected a string", file('{"__metadata__":{"epoch":3}}'))
case("metadata-array", "input", "expected '{'", file('{"__metadata__":[]}'))
case("metadata-nested", "input", "expected a string", file('{"__metadata__":{"a":{"b":"c"}}}'))
case("metadata-key-twice", "input", 'metadata "a" is listed twice', file('{"__metadata__":{"a":"1","a":"2"}}'))
case("metadata-twice", "input", '"__metadata__" is given twice', file('{"__metadata__":{},"__metadata__":{}}'))
case("name-nul", "unsupported", "a text with a NUL in it", file('{"a\\u0000b":' + json.dumps(entry()) + "}", FLOATS))
case("terminal-escape", "input", 'tensor "?[31mred": "dtype" is missing', file('{"\\u001b[31mred":{}}'))

# odd but sound
case("ok-no-tensors", "ok", "", file("{}"))
case("ok-spaces", "ok", "", file('{ "a" : { "dtype" : "F32" ,\n\t"shape" : [ 2 ] , "data_offsets" : [ 0 , 8 ] } }   ', FLOATS))
case("ok-zero-elements", "ok", "", tensors(FLOATS, a=entry(), b=entry(shape=(0, 3), offsets=(8, 8)), c=entry(shape=(0,), offsets=(0, 0))))
case("ok-scalar", "ok", "", one("F32", (), 4))
case("ok-rank-8", "ok", "", one("F32", (1,) * 8, 4))
case("ok-reversed", "ok", "", tensors(FLOATS * 2, z=entry(offsets=(8, 16)), a=entry()))
case("ok-unaligned", "ok", "", tensors(b"x" + FLOATS, a=entry("U8", (1,), (0, 1)), b=entry(offsets=(1, 9))))
case("ok-unicode", "ok", "", file('{"\\ud83d\\ude00 \u00e9":' + json.dumps(entry()) + "}", FLOATS))
case("ok-empty-name", "ok", "", file('{"":' + json.dumps(entry()) + "}", FLOATS))
case("ok-unknown-field", "ok", "", file('{"a":{"x":[1,-2.5e+3,{"y":null}],"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', FLOATS))
case("ok-metadata-null", "ok", "", file('{"__metadata__":null,"a":' + json.dumps(entry()) + "}", FLOATS))
case("ok-sub-byte", "ok", "", tensors(bytes(7), a=entry("F4", (2, 4), (0, 4)), b=entry("F6_E3M2", (4,), (4, 7))))

# other files
case("pickle", "unsupported", "looks like a pickle", b"\x80\x02}q\0.", ".pt")
case("gzip", "unsupported", "looks like a gzip file", b"\x1f\x8b\x08" + bytes(20), ".gz")
case("text", "input", "is not a model file weightmark knows", b"hello, this is a text file\n", ".txt")
case("text-named", "input", "at most 100000000 are allowed", b"hello, this is a text file\n")
case("git-lfs-pointer", "unsupported", "looks like a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def archive(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name in names:
            z.writestr(zipfile.ZipInfo(name), b"x")
    return out.getvalue()


case("zip-cut", "unsupported", "looks like a zip archive that is cut off", archive("readme")[:40], ".zip")
case("zip", "unsupported", "looks like a zip archive", archive("readme"), ".zip")


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
