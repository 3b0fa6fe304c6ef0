#!/usr/bin/env python3
"""Makes the corpus of damaged indexes of shards: tests/model/index/hostile/, and `expected` as ../make_hostile.py does. The shards they name lie beside them."""
import sys
import json
import pathlib
import struct

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []


def case(name, status, text, data):
    CASES.append((name, status, text, data if isinstance(data, bytes) else data.encode()))


def index(name, status, text, data):
    case(name + ".index.json", status, text, data if isinstance(data, (str, bytes)) else json.dumps(data))


def shard(**tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        block = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights(**places):
    return {"metadata": {"total_size": 16}, "weight_map": places}


ONE, TWO = "one.safetensors", "two.safetensors"

# the shards
case(ONE, "ok", "", shard(a=[1, 2], b=[3]))
case(TWO, "ok", "", shard(c=[4]))
case("again.safetensors", "ok", "", shard(a=[5, 6]))
case("cut.safetensors", "input", "its data ends at byte 4, the file has 3", shard(d=[4])[:-1])
case("shard.gz", "unsupported", "looks like a gzip file", b"\x1f\x8b\x08" + bytes(20))

# JSON
index("json-cut", "input", "expected '}'", '{"weight_map": {"a": "one.safetensors"')
index("json-tail", "input", "something after the end", json.dumps(weights(a=ONE)) + " x")
index("json-deep", "input", "nested too deeply", '{"metadata": ' + "[" * 5000 + ', "weight_map": {}}')
index("json-utf8", "input", "not UTF-8", b'{"weight_map": {"\xff": "one.safetensors"}}')
index("map-missing", "input", "\"weight_map\" names no tensor", {"metadata": {}})
index("map-empty", "input", "\"weight_map\" names no tensor", weights())
index("map-twice", "input", "\"weight_map\" is given twice", '{"weight_map": {"a": "one.safetensors"}, "weight_map": {"a": "one.safetensors"}}')
index("map-array", "input", "expected '{'", {"weight_map": [ONE]})
index("shard-number", "input", "expected a string", weights(a=1))
index("name-nul", "input", "a text with a NUL in it", weights(**{"a\0b": ONE}))
index("shard-nul", "input", "a text with a NUL in it", weights(a=ONE + "\0"))

# names of shards
index("shard-empty", "input", "the name of another file is empty", weights(a=""))
index("shard-absolute", "input", 'the file "/etc/passwd" is not named relative to this one', weights(a="/etc/passwd"))
index("shard-outside", "input", 'the file "../one.safetensors" lies outside of this one\'s folder', weights(a="../" + ONE))
index("shard-outside-later", "input", "lies outside of this one's folder", weights(a="sub/../../" + ONE))
index("shard-outside-end", "input", "lies outside of this one's folder", weights(a="sub/.."))
index("shard-folder", "input", "is a folder, a file is needed", weights(a="."))
index("shard-missing", "missing", "three.safetensors: No such file", weights(a=ONE, c="three.safetensors"))
index("shard-itself", "input", "an index inside another model", weights(a="shard-itself.index.json"))
index("shard-index", "input", "an index inside another model", weights(a="ok.index.json"))
index("shard-damaged", "input", 'cut.safetensors: tensor "d": its data ends', weights(d="cut.safetensors"))
index("shard-unsupported", "unsupported", "shard.gz: looks like a gzip file", weights(d="shard.gz"))

# what the shards hold
index("tensor-absent", "input", 'tensor "z" is not in the shard "one.safetensors" that the index names', weights(a=ONE, z=ONE))
index("tensor-elsewhere", "input", 'tensor "b" is not in the shard "two.safetensors" that the index names', weights(a=ONE, b=TWO, c=TWO))
index("tensor-twice", "input", 'tensor "a" is listed twice', '{"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "a": "one.safetensors"}}')
index("tensor-twice-escaped", "input", 'tensor "a" is listed twice', '{"weight_map": {"a": "one.safetensors", "\\u0061": "one.safetensors"}}')
index("tensor-two-places", "input", 'tensor "a" is not in the shard "two.safetensors"', '{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}')
index("tensor-two-shards", "input", 'tensor "a" is listed twice', weights(a=ONE, c=TWO) | {"weight_map": {"b": ONE, "a": "again.safetensors"}})
index("shard-two-names", "input", 'is listed twice', weights(a=ONE, b="./" + ONE))

# odd but sound
index("ok", "ok", "", weights(a=ONE, b=ONE, c=TWO))
index("ok-map-first", "ok", "", '\n\t {"weight_map": {"c": "two.safetensors"}, "metadata": {"x": [1, {"y": null}]}, "more": -1e5}\n')
index("ok-dots", "ok", "", weights(a=".//./" + ONE, b=".//./" + ONE))
index("ok-not-all-named", "ok", "", weights(a=ONE))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
