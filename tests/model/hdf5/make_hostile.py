#!/usr/bin/env python3
"""Makes the corpus of damaged HDF5 files: hostile/ beside this file, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message. Run it again
after a change here; the files are committed because they are small. Files whose status is "ok" are odd but sound, and must be read."""
import sys
import pathlib
import struct
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []
NOWHERE = (1 << 64) - 1
BIG = 1 << 63


def case(name, status, text, data):
    CASES.append((name + ".h5", status, text, bytes(data)))


def lookup3(data):
    """Bob Jenkins' hashlittle, initial value 0."""
    mask = 0xFFFFFFFF
    rot = lambda x, k: ((x << k) | (x >> (32 - k))) & mask  # noqa: E731
    a = b = c = (0xDEADBEEF + len(data)) & mask
    while len(data) > 12:
        x, y, z = struct.unpack("<3I", data[:12])
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        for k, step in ((4, 0), (6, 1), (8, 2), (16, 0), (19, 1), (4, 2)):
            if step == 0:
                a = ((a - c) & mask) ^ rot(c, k)
                c = (c + b) & mask
            elif step == 1:
                b = ((b - a) & mask) ^ rot(a, k)
                a = (a + c) & mask
            else:
                c = ((c - b) & mask) ^ rot(b, k)
                b = (b + a) & mask
        data = data[12:]
    if not data:
        return c
    x, y, z = struct.unpack("<3I", data.ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    c = ((c ^ b) - rot(b, 14)) & mask
    a = ((a ^ c) - rot(c, 11)) & mask
    b = ((b ^ a) - rot(a, 25)) & mask
    c = ((c ^ b) - rot(b, 16)) & mask
    a = ((a ^ c) - rot(c, 4)) & mask
    b = ((b ^ a) - rot(a, 14)) & mask
    return ((c ^ b) - rot(b, 24)) & mask


def summed(data):
    return data + struct.pack("<I", lookup3(data))


# ---- structures -----------------------------------------------------------------------------------------------------------------------

SIGNATURE = b"\x89HDF\r\n\x1a\n"


class File:
    """Structures one after the other behind a superblock of version 2 (48 bytes)."""

    def __init__(self):
        self.data = bytearray(48)

    def add(self, blob):
        self.data += bytes(-len(self.data) % 8)
        at = len(self.data)
        self.data += blob
        return at

    def close(self, root, end=None, base=0, offsets=8, lengths=8, version=2):
        head = SIGNATURE + bytes([version, offsets, lengths, 0])
        head += struct.pack("<4Q", base, NOWHERE, len(self.data) if end is None else end, root)
        self.data[:48] = summed(head)
        return self.data


def message(kind, body, flags=0):
    return struct.pack("<BHB", kind, len(body), flags) + body


def header(*messages, flags=2, size=None, version=2):
    body = b"".join(messages)
    return summed(b"OHDR" + bytes([version, flags]) + struct.pack("<I", len(body) if size is None else size) + body)


def header1(*messages):
    """Version 1; messages are (type, body)."""
    body = b"".join(struct.pack("<HHB3x", kind, len(b), 0) + b for kind, b in messages)
    return struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body


def link(name, address, version=1, kind=None, size=None):
    raw = name if isinstance(name, bytes) else name.encode()
    flags = 8 if kind is not None else 0
    return message(6, bytes([version, flags | 1]) + (bytes([kind]) if kind is not None else b"") +
                   struct.pack("<H", len(raw) if size is None else size) + raw + struct.pack("<Q", address))


FLOAT = bytes([0x11, 0x20, 0x1F, 0]) + struct.pack("<IHHBBBBI", 4, 0, 32, 23, 8, 0, 23, 127)


def integer(size, flags=8, bits=None):
    return bytes([0x10, flags, 0, 0]) + struct.pack("<IHH", size, 0, 8 * size if bits is None else bits)


def space(*shape, most=None, rank=None, version=2, kind=1):
    return bytes([version, len(shape) if rank is None else rank, 1 if most else 0, kind]) + struct.pack(f"<{len(shape)}Q", *shape) + (
        struct.pack(f"<{len(shape)}Q", *most) if most else b"")


def contiguous(address, size):
    return bytes([3, 1]) + struct.pack("<QQ", address, size)


def chunked3(tree, chunk, element=4, axes=None):
    return bytes([3, 2, len(chunk) + 1 if axes is None else axes]) + struct.pack(f"<Q{len(chunk) + 1}I", tree, *chunk, element)


def chunked4(kind, parameters, address, chunk, element=4, flags=0, width=4, version=4):
    sizes = b"".join(n.to_bytes(width, "little") if width else b"" for n in (*chunk, element))
    return bytes([version, 2, flags, len(chunk) + 1, width]) + sizes + bytes([kind]) + parameters + struct.pack("<Q", address)


def filters(*ids, values=(), version=2):
    out = bytes([version, len(ids)])
    for i in ids:
        out += struct.pack("<H", i) + (struct.pack("<H", 0) if i >= 256 else b"") + struct.pack("<HH", 0, len(values)) + struct.pack(f"<{len(values)}I", *values)
    return out


def dataset(layout, shape=(2, 3), kind=FLOAT, extra=(), dims=None):
    return header(message(3, kind), message(1, space(*shape) if dims is None else dims), *extra, message(8, layout))


def one(layout_of, name="w", pad=0, **options):
    """A file of one dataset; layout_of(file) gives its layout message. pad: bytes that nothing uses, so that not the sum of all sizes tells."""
    file = File()
    file.add(bytes(pad))
    at = file.add(dataset(layout_of(file), **options))
    return file.close(file.add(header(link(name, at))))


def stored(size):
    return lambda file: contiguous(file.add(bytes(range(size))), size)


def tree1(*chunks, kind=1, level=0, rank=2, signature=b"TREE", child=None):
    """A B-tree node of chunks: (size, mask, offsets, address)."""
    out = signature + struct.pack("<BBHQQ", kind, level, len(chunks), NOWHERE, NOWHERE)
    for size, mask, offsets, address in chunks:
        out += struct.pack(f"<II{rank + 1}QQ", size, mask, *offsets, 0, address)
    return out + bytes(8 + 8 * (rank + 1))


def in_tree(chunks_of, chunk=(2, 3), **options):
    def layout(file):
        return chunked3(file.add(tree1(*chunks_of(file), **options)), chunk)
    return layout


PLAIN = bytes(24)
DEFLATED = zlib.compress(PLAIN)
DEFLATE = message(11, filters(1, values=(6,)))

# ---- the file as a whole --------------------------------------------------------------------------------------------------------------

case("signature-only", "input", "truncated: the superblock does not fit", SIGNATURE)
case("superblock-version", "unsupported", "superblock version 9", SIGNATURE + b"\x09" + bytes(60))
case("superblock-cut", "input", "truncated: the superblock does not fit", File().close(48)[:40])
case("superblock-sum", "input", "the superblock: its checksum is wrong", File().close(48)[:44] + bytes(4))
case("superblock-widths", "unsupported", "addresses of 2 bytes and sizes of 8", SIGNATURE + bytes([0, 0, 0, 0, 0, 2, 8, 0]) + bytes(80))
case("superblock-wide", "unsupported", "addresses of 32 bytes", SIGNATURE + bytes([2, 32, 8, 0]) + bytes(80))
case("base", "input", "the superblock at byte 0 says it is at 512", File().close(48, base=512))
case("cut", "input", "truncated: 48 bytes, its superblock says 1000", File().close(48, end=1000))
case("root-outside", "input", "the object header: bytes 4096 and 4 more, the file has 48", File().close(4096))
case("root-2-64", "input", "the object header: bytes 18446744073709551615", File().close(NOWHERE))
case("root-superblock", "input", "no object header at byte 8", File().close(8))

# ---- object headers -------------------------------------------------------------------------------------------------------------------


def rooted(blob, **options):
    file = File()
    return file.close(file.add(blob), **options)


case("header-version", "unsupported", "object header version 3", rooted(header(version=3)))
case("header-long", "input", "an object header of 5000 bytes does not fit the file", rooted(header(size=5000)))
case("header-2-64", "input", "does not fit the file", rooted(b"OHDR\x02\x03" + b"\xff" * 8 + bytes(40)))
case("header-sum", "input", "the object header: its checksum is wrong", rooted(header(message(0, bytes(8)))[:-4] + bytes(4)))
case("message-long", "input", "a message of 900 bytes does not fit", rooted(header(struct.pack("<BHB", 6, 900, 0) + bytes(8))))
case("message1-long", "input", "a message of 900 bytes does not fit", rooted(struct.pack("<BxHII4xHHB3x", 1, 1, 1, 16, 6, 900, 0) + bytes(8)))
case("header1-long", "input", "the object header: bytes 64 and 4096 more", rooted(struct.pack("<BxHII4x", 1, 1, 1, 4096)))
case("continuation-cut", "input", "a continuation of the object header is cut off", rooted(header(message(16, bytes(9)))))
case("continuation-outside", "input", "the object header: bytes 4096 and 40 more", rooted(header(message(16, struct.pack("<QQ", 4096, 40)))))
case("continuation-short", "input", "a continuation of the object header has 4 bytes", rooted(header(message(16, struct.pack("<QQ", 48, 4)))))
case("continuation-unsigned", "input", 'no "OCHK" at byte 48', rooted(header(message(16, struct.pack("<QQ", 48, 30)))))
case("continuation-itself", "input", "something is used twice", rooted(header1((16, struct.pack("<QQ", 64, 24)))))
case("continuation-sum", "input", "the object header: its checksum is wrong",
     (lambda f: f.close(f.add(header(message(16, struct.pack("<QQ", f.add(b"OCHK" + bytes(20)), 24))))))(File()))

# ---- groups: links --------------------------------------------------------------------------------------------------------------------

case("link-cut", "input", "a link message is cut off", rooted(header(link("w", 48, size=500))))
case("link-version", "unsupported", "link message version 7", rooted(header(link("w", 48, version=7))))
case("link-nameless", "input", "a link without a name", rooted(header(link("", 48))))
case("link-utf8", "input", "no UTF-8 text", rooted(header(link(b"a\xff", 48))))
case("link-nul", "input", "no UTF-8 text", rooted(header(link(b"a\0b", 48))))
case("link-outside", "input", 'group "w": the object header: bytes 9999', rooted(header(link("w", 9999))))
case("link-cycle", "input", 'group "w": a link to a group that it lies in', rooted(header(link("w", 48))))
case("link-long", "unsupported", "a path of more than 1024 bytes", rooted(header(link("x" * 1025, 48))))
case("ok-soft", "ok", "", rooted(header(link("w", 9999, kind=1), link("v", 9999, kind=64))))


def nested(depth):
    file = File()
    at = file.add(header(message(2, bytes([0, 0]) + struct.pack("<QQ", NOWHERE, NOWHERE))))
    for _ in range(depth):
        at = file.add(header(link("g", at)))
    return file.close(at)


case("ok-nested", "ok", "", nested(62))
case("nested-64", "input", "nested deeper than 64 groups", nested(64))


def twice():
    file = File()
    file.add(bytes(199))
    at = file.add(dataset(stored(24)(file)))
    return file.close(file.add(header(link("a", at), link("b", at))))


def exponential():
    """Each group links to the next one twice: 2^40 paths."""
    file = File()
    at = file.add(header(link("w", 48, kind=1)))
    for _ in range(40):
        at = file.add(header(link("a", at), link("b", at)))
    return file.close(at)


case("linked-twice", "unsupported", '"a" and "b" are two links to one object (the data at byte 248)', twice())
case("exponential", "input", "something is used twice", exponential())

# ---- groups: symbol tables ------------------------------------------------------------------------------------------------------------


def symbols(entry_name=8, node=b"SNOD", tree=b"TREE", heap=b"HEAP", kind=0, level=0, names=b"\0" * 8 + b"w\0", count=1, cache=0, deep=False):
    file = File()
    data = file.add(names)
    heap_at = file.add(heap + struct.pack("<4xQQQ", len(names), NOWHERE, data))
    weight = file.add(dataset(stored(24)(file)))
    node_at = file.add(node + struct.pack("<BxH", 1, count) + struct.pack("<QQI20x", entry_name, weight, cache))
    tree_at = file.add(tree + struct.pack("<BBHQQ", kind, level, 1, NOWHERE, NOWHERE) + struct.pack("<QQQ", 0, node_at, 8))
    if deep:
        tree_at = file.add(tree + struct.pack("<BBHQQ", kind, 3, 1, NOWHERE, NOWHERE) + struct.pack("<QQQ", 0, tree_at, 8))
    return file.close(file.add(header1((17, struct.pack("<QQ", tree_at, heap_at)))))


case("ok-symbols", "ok", "", symbols())
case("ok-symbols-soft", "ok", "", symbols(cache=2, entry_name=999))
case("symbol-name-outside", "input", "a link's name lies outside of its group's heap", symbols(entry_name=99))
case("symbol-name-open", "input", "a link's name lies outside of its group's heap", symbols(names=b"\0" * 8 + b"w"))
case("symbol-node", "input", 'no "SNOD"', symbols(node=b"SNAP"))
case("symbol-count", "input", "a symbol table node: bytes", symbols(count=60000))
case("symbol-tree", "input", 'no "TREE"', symbols(tree=b"BUSH"))
case("symbol-tree-kind", "input", "a B-tree of type 1 where a group's belongs", symbols(kind=1))
case("symbol-tree-level", "input", "a B-tree node of level 99 in the wrong place", symbols(level=99))
case("symbol-tree-order", "input", "a B-tree node of level 0 in the wrong place", symbols(deep=True))
case("symbol-heap", "input", 'no "HEAP"', symbols(heap=b"PILE"))
case("symbol-message", "input", "a symbol table message is cut off", rooted(header(message(17, bytes(9)))))

# ---- groups: heaps --------------------------------------------------------------------------------------------------------------------


def dense(object_at=13 + 2, length=None, kind=0, tree_kind=5, record=11, node=512, depth=0, count=1, width=4, start=512, most=1024, bits=32, rows=0, heap_filters=0,
          block=b"FHDB", leaf_kind=5, version=0, root=True, offset=None):
    file = File()
    target = file.add(header(link("g", 0, kind=1)))
    body = link("w", target)[4:]
    head = 13 + 4  # signature, version, heap, offset
    block_at = file.add((block + bytes([0]) + struct.pack("<QI", 0, 0) + body).ljust(start if start < 4096 else 512, b"\0"))
    heap = b"FRHP" + struct.pack("<BHHBI", version, 7, heap_filters, 0, 512) + struct.pack("<QQQQ", 0, NOWHERE, 0, NOWHERE) + bytes(64)
    heap += struct.pack("<HQQHHQH", width, start, most, bits, 1, block_at if root else NOWHERE, rows)
    heap_at = file.add(summed(heap))
    ident = struct.pack("<BIH", kind, head if offset is None else offset, len(body) if length is None else length)
    leaf = file.add(summed(b"BTLF" + bytes([0, leaf_kind]) + (struct.pack("<I", 0) + ident) * 1))
    tree_at = file.add(summed(b"BTHD" + struct.pack("<BBIHHBB", 0, tree_kind, node, record, depth, 100, 40) + struct.pack("<QHQ", leaf, count, 1)))
    return file.close(file.add(header(message(2, bytes([0, 0]) + struct.pack("<QQ", heap_at, tree_at)))))


case("ok-dense", "ok", "", dense())
case("dense-kind", "unsupported", "outside of its blocks", dense(kind=16))
case("dense-offset", "input", "an object outside of its fractal heap's block", dense(offset=5000))
case("dense-head", "input", "an object outside of its fractal heap's block", dense(offset=3))
case("dense-length", "input", "an object outside of its fractal heap's block", dense(length=510))
case("dense-nowhere", "input", "a fractal heap's object is nowhere", dense(root=False))
case("dense-block", "input", 'no "FHDB"', dense(block=b"FHXX"))
case("dense-table", "input", "whose table of blocks has no sense", dense(start=500))
case("dense-bits", "input", "whose table of blocks has no sense", dense(bits=64))
case("dense-rows", "input", 'no "FHIB"', dense(rows=3))
case("dense-filters", "unsupported", "a fractal heap with filters", dense(heap_filters=9))
case("dense-version", "unsupported", "a fractal heap of another version", dense(version=1))
case("tree2-kind", "input", "a B-tree of type 6 where type 5 belongs", dense(tree_kind=6))
case("tree2-leaf-kind", "input", "a B-tree node of another type than its tree", dense(leaf_kind=6))
case("tree2-record", "input", "whose nodes hold no record", dense(record=0))
case("tree2-node", "input", "whose nodes hold no record", dense(node=12))
case("tree2-count", "input", "larger than its nodes are", dense(count=60000))
case("tree2-depth", "input", "a B-tree of depth 16", dense(depth=16))
case("tree2-inner", "input", 'no "BTIN"', dense(depth=1))
case("tree2-sum", "input", "a B-tree node: its checksum is wrong", dense(count=2))
case("dense-cut", "input", "a link info message is cut off", rooted(header(message(2, bytes(9)))))

# ---- datasets -------------------------------------------------------------------------------------------------------------------------

case("ok-plain", "ok", "", one(stored(24)))
case("ok-empty", "ok", "", one(lambda f: contiguous(NOWHERE, 0), shape=(0, 3)))
case("ok-never-written", "ok", "", one(lambda f: contiguous(NOWHERE, 24)))
case("ok-text", "ok", "", one(stored(24), kind=bytes([0x13, 0, 0, 0]) + struct.pack("<I", 4)))
case("ok-null", "ok", "", one(stored(24), dims=space(2, 3, kind=2)))
case("data-outside", "input", 'tensor "w": the data: bytes', one(lambda f: contiguous(len(f.data) - 8, 2400), shape=(20, 30)))
case("data-2-64", "input", 'tensor "w": the data: bytes', one(lambda f: contiguous(NOWHERE - 8, 24)))
case("data-size", "input", "type and shape need 24 bytes, its data has 20", one(stored(20)))
case("data-superblock", "input", "overlaps the superblock", one(lambda f: contiguous(8, 24), pad=99))
case("data-header", "input", "overlaps", one(lambda f: contiguous(len(f.data) + 9, 24), pad=99))
case("type-missing", "input", "it has no datatype", (lambda f: f.close(f.add(header(link("w", f.add(header(message(8, contiguous(48, 24)))))))))(File()))
case("space-missing", "input", "it has no dataspace",
     (lambda f: f.close(f.add(header(link("w", f.add(header(message(3, FLOAT), message(8, contiguous(48, 24)))))))))(File()))
case("type-shared", "unsupported", "a datatype that is kept elsewhere",
     (lambda f: f.close(f.add(header(link("w", f.add(header(message(3, FLOAT, flags=2), message(8, contiguous(48, 24)))))))))(File()))
case("type-cut", "input", "its datatype is cut off", one(stored(24), kind=FLOAT[:14]))
case("type-no-size", "input", "of no size", one(stored(24), kind=integer(0)))
case("type-big-endian", "unsupported", "big-endian numbers", one(stored(24), kind=FLOAT[:1] + b"\x21" + FLOAT[2:]))
case("type-big-endian-integer", "unsupported", "big-endian numbers", one(stored(24), kind=integer(4, flags=9)))
case("type-float24", "unsupported", "numbers of 4 bytes with an exponent of 8 bits and a mantissa of 15",
     one(stored(24), kind=FLOAT[:8] + struct.pack("<HHBBBBI", 8, 24, 15, 8, 0, 15, 127)))
case("space-version", "unsupported", "dataspace version 5", one(stored(24), dims=space(2, 3, version=5)))
case("space-rank-9", "unsupported", "more than 8 axes", one(stored(24), shape=(1,) * 9))
case("space-cut", "input", "its dataspace is cut off", one(stored(24), dims=space(2, 3, rank=4)))
case("shape-product", "input", "more bits than 64-bit numbers count", one(stored(24), shape=(1 << 33, 1 << 33)))
case("shape-bits", "input", "more bits than 64-bit numbers count", one(stored(24), shape=(1 << 61,)))
case("external", "unsupported", "data in other files", one(stored(24), extra=[message(7, bytes(16))]))
case("layout-version", "unsupported", "data layout version 2", one(lambda f: bytes([2, 2, 1]) + bytes(40)))
case("layout-virtual", "unsupported", "a virtual dataset", one(lambda f: bytes([4, 3]) + bytes(12)))
case("layout-class", "unsupported", "data layout class 7", one(lambda f: bytes([4, 7]) + bytes(12)))
case("layout-cut", "input", "its layout is cut off", one(lambda f: bytes([3, 1]) + bytes(9)))
case("compact-cut", "input", "its layout is cut off", one(lambda f: bytes([3, 0]) + struct.pack("<H", 24) + bytes(20)))
case("ok-compact", "ok", "", one(lambda f: bytes([3, 0]) + struct.pack("<H", 24) + bytes(24)))
case("filters-contiguous", "input", "filters on data that is not in chunks", one(stored(24), extra=[DEFLATE]))
case("filters-version", "unsupported", "filter message version 3", one(stored(24), extra=[message(11, filters(1, version=3))]))
case("filters-nine", "unsupported", "9 filters, at most 8 are read", one(stored(24), extra=[message(11, bytes([2, 9]))]))
case("filters-cut", "input", "its filters are cut off", one(stored(24), extra=[message(11, bytes([2, 2]) + filters(1)[2:])]))
case("filter-szip", "unsupported", "filter 4 (szip)", one(stored(24), extra=[message(11, filters(4))]))
case("filter-blosc", "unsupported", "filter 32001 (blosc)", one(stored(24), extra=[message(11, filters(32001))]))
case("filter-unknown", "unsupported", "filter 999 (an unknown one)", one(stored(24), extra=[message(11, filters(999))]))
case("filter-twice", "unsupported", "filter 1 used twice", one(stored(24), extra=[message(11, filters(1, 1))]))
case("shuffle-size", "input", "shuffled for elements of 8 bytes, its own have 4", one(stored(24), extra=[message(11, filters(2, values=(8,)))]))
case("filters-shared", "unsupported", "filters that are kept elsewhere", one(stored(24), extra=[message(11, filters(1), flags=2)]))

# ---- chunks: version 1 B-trees --------------------------------------------------------------------------------------------------------

case("ok-tree", "ok", "", one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN))])))
case("ok-deflated", "ok", "", one(in_tree(lambda f: [(len(DEFLATED), 0, (0, 0), f.add(DEFLATED))]), extra=[DEFLATE]))
case("ok-damaged-inside", "ok", "", one(in_tree(lambda f: [(20, 0, (0, 0), f.add(bytes(20)))]), extra=[DEFLATE]))
case("ok-missing", "ok", "", one(in_tree(lambda f: [(24, 0, (2, 0), f.add(PLAIN))]), shape=(6, 3)))
case("chunk-outside", "input", "a chunk outside of its shape", one(in_tree(lambda f: [(24, 0, (2, 0), f.add(PLAIN))])))
case("chunk-between", "input", "a chunk outside of its shape", one(in_tree(lambda f: [(24, 0, (1, 0), f.add(PLAIN))]), shape=(4, 3)))
case("chunk-2-64", "input", "a chunk outside of its shape", one(in_tree(lambda f: [(24, 0, (NOWHERE - 1, 0), f.add(PLAIN))])))
case("chunk-twice", "input", "a chunk is there twice", one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN)), (24, 0, (0, 0), f.add(PLAIN))])))
case("chunks-overlap", "input", "a chunk overlaps a chunk",
     one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN + PLAIN)), (24, 0, (2, 0), len(f.data) - 40)]), shape=(4, 3)))
case("chunks-same", "input", "a chunk overlaps a chunk",
     one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN)), (24, 0, (2, 0), len(f.data) - 24)]), shape=(4, 3), pad=99))
case("chunk-past-end", "input", "a chunk: bytes", one(in_tree(lambda f: [(24, 0, (0, 0), 100000)])))
case("chunk-size", "input", "a chunk of 20 bytes whose elements take 24", one(in_tree(lambda f: [(20, 0, (0, 0), f.add(PLAIN))])))
case("chunk-bomb", "input", "a chunk of 100 bytes cannot hold the 4000000 of its elements",
     one(in_tree(lambda f: [(100, 0, (0, 0), f.add(bytes(100)))], chunk=(1000, 1000)), shape=(1000, 1000), extra=[DEFLATE]))
case("chunk-masked", "input", "a chunk of 20 bytes whose elements take 24", one(in_tree(lambda f: [(20, 1, (0, 0), f.add(bytes(20)))]), extra=[DEFLATE]))
case("chunk-axes", "input", "chunks of 1 axes for a shape of 2", one(lambda f: chunked3(NOWHERE, (2, 3), axes=2)))
case("chunk-zero", "input", "chunks of no elements", one(lambda f: chunked3(NOWHERE, (2, 0))))
case("chunk-huge", "input", "more bytes than 64-bit numbers count", one(lambda f: chunked4(1, b"", NOWHERE, (BIG, BIG), width=8)))
case("chunk-element", "input", "the elements of its chunks have another size", one(lambda f: chunked3(NOWHERE, (2, 3), element=8)))
case("tree-kind", "input", "a B-tree of type 0 where chunks belong", one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN))], kind=0)))
case("tree-level", "input", "a B-tree node of level 77 in the wrong place", one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN))], level=77)))
case("tree-order", "input", "a B-tree node of level 0 in the wrong place",
     one(in_tree(lambda f: [(24, 0, (0, 0), f.add(tree1((24, 0, (0, 0), f.add(PLAIN)))))], level=3)))
case("tree-signature", "input", 'no "TREE"', one(in_tree(lambda f: [(24, 0, (0, 0), f.add(PLAIN))], signature=b"LEAF")))
case("tree-outside", "input", "a B-tree node: bytes", one(lambda f: chunked3(1 << 40, (2, 3))))
case("tree-itself", "input", "in the wrong place", one(in_tree(lambda f: [(24, 0, (0, 0), len(f.data) + -len(f.data) % 8)], level=1), pad=999))

# ---- chunks: the indexes of version 4 -------------------------------------------------------------------------------------------------

SINGLE = struct.pack("<QI", len(DEFLATED), 0)
case("ok-single", "ok", "", one(lambda f: chunked4(1, SINGLE, f.add(DEFLATED), (2, 3), flags=2), extra=[DEFLATE]))
case("single-many", "input", "an index of a single chunk for 2", one(lambda f: chunked4(1, b"", f.add(PLAIN), (2, 3)), shape=(4, 3)))
case("single-no-size", "input", "filters, and an index that keeps no sizes", one(lambda f: chunked4(1, b"", f.add(PLAIN), (2, 3)), extra=[DEFLATE]))
case("ok-implicit", "ok", "", one(lambda f: chunked4(2, b"", f.add(PLAIN * 2), (2, 3)), shape=(4, 3)))
case("implicit-outside", "input", "the chunks: bytes", one(lambda f: chunked4(2, b"", f.add(PLAIN), (2, 3)), shape=(4000, 3)))
case("implicit-huge", "input", "outside of its shape", one(lambda f: chunked4(2, b"", f.add(PLAIN), (2, 3)), shape=(0, 3), dims=space(0, 3, most=(1 << 62, 3))))
case("implicit-filters", "input", "filters, and an index that keeps no sizes", one(lambda f: chunked4(2, b"", f.add(PLAIN), (2, 3)), extra=[DEFLATE]))
case("implicit-unlimited", "input", "a chunk index that its largest shape does not allow",
     one(lambda f: chunked4(2, b"", f.add(PLAIN), (2, 3)), dims=space(2, 3, most=(NOWHERE, 3))))
case("shape-beyond", "input", "a chunk index that its largest shape does not allow",
     one(lambda f: chunked4(2, b"", f.add(PLAIN), (2, 3)), dims=space(4, 3, most=(2, 3))))
case("index-kind", "unsupported", "chunk index type 9", one(lambda f: chunked4(9, b"", NOWHERE, (2, 3))))
case("index-width", "input", "chunk sizes in 0 bytes", one(lambda f: chunked4(1, b"", NOWHERE, (2, 3), width=0)))
case("index-edges", "unsupported", "leave out the chunks at the edge", one(lambda f: chunked4(2, b"", NOWHERE, (2, 3), flags=1)))


def fixed(chunks=1, element=8, client=0, page=10, count=None, version=0, sound=True, address=None):
    def layout(file):
        places = [file.add(PLAIN) for _ in range(chunks)]
        block = file.add(summed(b"FADB" + bytes([0, client]) + struct.pack("<Q", 0) + struct.pack(f"<{chunks}Q", *places)))
        head = b"FAHD" + bytes([version, client, element, page]) + struct.pack("<QQ", chunks if count is None else count, block if address is None else address)
        return chunked4(3, b"\x0a", file.add(summed(head) if sound else head + bytes(4)), (2, 3))
    return layout


case("ok-fixed", "ok", "", one(fixed(3), shape=(6, 3)))
case("fixed-count", "input", "a chunk index of 7 elements for 3 chunks", one(fixed(3, count=7), shape=(6, 3)))
case("fixed-element", "input", "a chunk index whose elements have 9 bytes", one(fixed(element=9)))
case("fixed-client", "input", "a chunk index whose elements have 8 bytes", one(fixed(client=1)))
case("fixed-sum", "input", "the chunk index: its checksum is wrong", one(fixed(sound=False)))
case("fixed-version", "unsupported", "a fixed array of version 4", one(fixed(version=4)))
case("fixed-outside", "input", "the chunk index: bytes", one(fixed(address=1 << 30)))
case("fixed-page", "input", "its checksum is wrong", one(fixed(3, page=1), shape=(6, 3)))


def growing(element=8, bits=32, own=1, least=2, pointers=2, page=10, address=None, place=None):
    def layout(file):
        chunk = file.add(PLAIN)
        supers = 1 + bits - (least.bit_length() - 1)
        direct = 2 * (pointers.bit_length() - 1)
        block = b"EAIB" + bytes([0, 0]) + struct.pack("<Q", 0) + struct.pack("<Q", chunk) + struct.pack("<Q", NOWHERE if place is None else place)
        block += struct.pack("<Q", NOWHERE) * (2 * (pointers - 1) - 1 + max(0, supers - direct))
        head = b"EAHD" + bytes([0, 0, element, bits, own, least, pointers, page]) + bytes(48) + struct.pack("<Q", file.add(summed(block)) if address is None else address)
        return chunked4(4, bytes(5), file.add(summed(head)), (2, 3))
    return layout


GROWS = {"dims": space(2, 3, most=(NOWHERE, 3))}
case("ok-growing", "ok", "", one(growing(), **GROWS))
case("growing-limited", "input", "a chunk index that its largest shape does not allow", one(growing()))
case("growing-table", "input", "a chunk index whose table of blocks has no sense", one(growing(least=3), **GROWS))
case("growing-bits", "input", "a chunk index whose table of blocks has no sense", one(growing(bits=64), **GROWS))
case("growing-pages", "input", "a chunk index whose table of blocks has no sense", one(growing(page=1), **GROWS))
case("growing-element", "input", "a chunk index whose elements have 12 bytes", one(growing(element=12), **GROWS))
case("growing-outside", "input", "the chunk index: bytes", one(growing(address=1 << 30), **GROWS))
case("growing-block", "input", "a block of the chunk index: bytes", one(growing(place=1 << 30), **GROWS))


def tree2(record=24, offsets=(0, 0), count=1, kind=10):
    def layout(file):
        leaf = (b"BTLF" + bytes([0, kind]) + struct.pack("<QQQ", file.add(PLAIN), *offsets).ljust(record, b"\0")[:record])
        head = b"BTHD" + struct.pack("<BBIHHBB", 0, kind, 2048, record, 0, 100, 40) + struct.pack("<QHQ", file.add(summed(leaf)), count, count)
        return chunked4(5, bytes(6), file.add(summed(head)), (2, 3))
    return layout


case("ok-tree2", "ok", "", one(tree2()))
case("tree2-outside", "input", "a chunk outside of its shape", one(tree2(offsets=(1, 0))))
case("tree2-width", "input", "a chunk index whose records have 25 bytes", one(tree2(record=25)))
case("tree2-other", "input", "a B-tree of type 11 where type 10 belongs", one(tree2(kind=11)))

# ---- attributes -----------------------------------------------------------------------------------------------------------------------

VARIABLE = bytes([0x19, 1, 0, 0]) + struct.pack("<I", 16) + bytes([0x13, 0, 0, 0]) + struct.pack("<I", 1)


def attribute(name, kind, data, dims=bytes([2, 0, 0, 0])):
    raw = name.encode() + b"\0"
    return message(12, bytes([3, 0]) + struct.pack("<HHHB", len(raw), len(kind), len(dims), 0) + raw + kind + dims + data)


def texted(size=5, index=1, collection=b"GCOL", collection_bytes=4096, address=None):
    file = File()
    heap = collection + struct.pack("<B3xQ", 1, collection_bytes if collection_bytes != 4096 else 64) + struct.pack("<HH4xQ", 1, 1, 5) + b"torch\0\0\0"
    at = file.add(heap.ljust(64, b"\0"))
    return file.close(file.add(header(attribute("backend", VARIABLE, struct.pack("<IQI", size, at if address is None else address, index)),
                                      link("w", 9, kind=1))))


case("ok-text-attribute", "ok", "", texted())
case("text-index", "input", "has no object 9", texted(index=9))
case("text-size", "input", 'attribute "backend" is longer than what holds it', texted(size=50))
case("text-heap", "input", 'no "GCOL"', texted(collection=b"HEAP"))
case("text-heap-size", "input", "a global heap: bytes", texted(collection_bytes=1 << 50))
case("text-heap-small", "input", "a global heap of 3 bytes", texted(collection_bytes=3))
case("text-outside", "input", "a global heap: bytes", texted(address=1 << 50))
case("attribute-info-cut", "input", "an attribute info message is cut off", rooted(header(message(21, bytes(9)), link("w", 9, kind=1))))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
