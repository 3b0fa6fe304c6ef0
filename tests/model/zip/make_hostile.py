#!/usr/bin/env python3
"""Makes the corpus of damaged zip archives: tests/model/zip/hostile/, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message. They are seen as
PyTorch files, whose data.pkl holds an empty dict. Run it again after a change here; the files are committed because they are small. Files whose status is "ok" are odd but sound."""
import sys
import pathlib
import struct
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []
PICKLE = b"\x80\x02}."
ONES = 0xFFFFFFFF


def case(name, status, text, data):
    CASES.append((name + ".pt", status, text, data))


def extra(*pieces):
    return b"".join(struct.pack("<HH", kind, len(data)) + data for kind, data in pieces)


def wide(*numbers):
    return extra((1, struct.pack(f"<{len(numbers)}Q", *numbers)))


def deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


class Member:
    """One member. What a keyword names is written instead of what is right: l_... in the local header, c_... in the directory, descriptor: the bytes after the data."""

    def __init__(self, name="a/data.pkl", data=PICKLE, method=0, **wrong):
        self.name, self.data, self.method, self.wrong = name.encode() if isinstance(name, str) else name, data, method, wrong
        self.stored = wrong.get("stored", deflate(data) if method == 8 else data)

    def get(self, key, right):
        return self.wrong.get(key, right)

    def local(self):
        name, more = self.get("l_name", self.name), self.get("l_extra", b"")
        head = struct.pack("<IHHHHHIIIHH", self.get("l_signature", 0x04034B50), 20, self.get("l_flags", self.get("flags", 0)), self.get("l_method", self.method), 0, 0,
                           self.get("l_crc", self.crc()), self.get("l_stored", len(self.stored)), self.get("l_bytes", len(self.data)), len(name),
                           self.get("l_extra_size", len(more)))
        return head + name + more + self.stored + self.get("descriptor", b"")

    def crc(self):
        return self.get("crc", zlib.crc32(self.data))

    def central(self, offset):
        name, more = self.get("c_name", self.name), self.get("c_extra", b"")
        return struct.pack("<IHHHHHHIIIHHHHHII", self.get("c_signature", 0x02014B50), 20, 20, self.get("flags", 0), self.method, 0, 0, self.get("c_crc", self.crc()),
                           self.get("c_stored", len(self.stored)), self.get("c_bytes", len(self.data)), len(name), self.get("c_extra_size", len(more)), 0,
                           self.get("disk", 0), 0, 0, self.get("offset", offset)) + name + more


def archive(*members, between=b"", tail=b"", comment=b"", zip64=None, **wrong):
    out, directory = b"", b""
    for member in members:
        directory += member.central(len(out))
        out += member.local() + between
    at, size = len(out), len(directory)
    out += directory + tail
    count = wrong.get("count", len(members))
    if zip64 is not None:
        end64 = len(out)
        numbers = {"at": end64, "directory": at, "size": size, "count": count, "record": 44} | zip64
        out += struct.pack("<IQHHIIQQQQ", 0x06064B50, numbers["record"], 45, 45, 0, 0, numbers["count"], numbers["count"], numbers["size"], numbers["directory"])
        out += struct.pack("<IIQI", 0x07064B50, 0, numbers["at"], 1)
    return out + struct.pack("<IHHHHIIH", 0x06054B50, wrong.get("disk", 0), wrong.get("disk", 0), wrong.get("here", count), count,
                             wrong.get("size", size), wrong.get("directory", at), len(comment)) + comment


def one(**wrong):
    return archive(Member(**wrong))


def descriptor(signature=True, width="I", crc=zlib.crc32(PICKLE), stored=len(PICKLE), size=len(PICKLE)):
    return (b"PK\x07\x08" if signature else b"") + struct.pack(f"<I{2}{width}", crc, stored, size)


def later(**change):
    """A member whose sizes follow its data."""
    return one(**({"flags": 8, "l_crc": 0, "l_stored": 0, "l_bytes": 0, "descriptor": descriptor()} | change))


# sound
case("ok-plain", "ok", "", one())
case("ok-deflated", "ok", "", one(method=8))
case("ok-comment", "ok", "", archive(Member(), comment=b"a comment with PK\x05\x06 in it" + bytes(30)))
case("ok-gaps", "ok", "", archive(Member("a/version", b"3\n"), Member(), between=b"gap"))
case("ok-folder", "ok", "", archive(Member("a/", b""), Member()))
case("ok-empty-deflated", "ok", "", archive(Member(), Member("a/empty", b"", method=8)))
case("ok-unknown-method-unread", "ok", "", archive(Member(), Member("a/readme", b"text", method=12)))
for form, (signature, width) in {"": (True, "I"), "-bare": (False, "I"), "-wide": (True, "Q"), "-wide-bare": (False, "Q")}.items():
    case("ok-descriptor" + form, "ok", "", later(descriptor=descriptor(signature, width)))
case("ok-zip64", "ok", "", archive(Member(), zip64={}))
case("ok-zip64-ones", "ok", "", archive(Member(), zip64={}, size=ONES, directory=ONES, here=0xFFFF))
case("ok-zip64-sizes", "ok", "", one(l_stored=ONES, l_bytes=ONES, l_extra=wide(4, 4), c_stored=ONES, c_bytes=ONES, offset=ONES, c_extra=wide(4, 4, 0)))
case("ok-zip64-second-extra", "ok", "", one(c_bytes=ONES, c_extra=extra((0x4246, b"ZZ")) + wide(4)))
case("ok-extra-damaged", "ok", "", one(l_extra=b"FB\xff\xff", c_extra=b"\0"))

# the end and the directory
case("no-end", "input", "truncated", one()[:-1])
case("only-a-member", "input", "truncated", Member().local())
case("zip64-elsewhere", "input", "not where its locator says", archive(Member(), zip64={"at": 3}))
case("zip64-past-end", "input", "not where its locator says", archive(Member(), zip64={"at": 1 << 63}))
case("zip64-record-size", "input", "not where its locator says", archive(Member(), zip64={"record": 45}))
case("ends-contradict", "input", "contradict each other", archive(Member(), zip64={"directory": 1}))
case("ends-contradict-count", "input", "contradict each other", archive(Member(), Member("b", b""), zip64={"count": 1}))
case("disks", "unsupported", "several disks", archive(Member(), disk=1))
case("disks-counts", "unsupported", "several disks", archive(Member(), here=2))
case("directory-past-end", "input", "does not end where its end record begins", archive(Member(), directory=1 << 30))
case("directory-2-63", "input", "does not end where its end record begins", archive(Member(), zip64={"directory": 1 << 63}, directory=ONES))
case("directory-size-2-64", "input", "does not end where its end record begins", archive(Member(), zip64={"size": (1 << 64) - 1}, size=ONES))
case("directory-short", "input", "does not end where its end record begins", archive(Member(), size=5))
case("directory-tail", "input", "does not end where its end record begins", archive(Member(), tail=b"x"))
case("shifted", "input", "does not end where its end record begins", Member("z", b"").local() + one())
case("count-huge", "input", "60000 members in a central directory", archive(Member(), count=60000))
case("count-2-63", "input", "members in a central directory", archive(Member(), zip64={"count": 1 << 63}, here=0xFFFF, count=0xFFFF))
case("count-small", "input", "belong to no member", archive(Member(), Member("b", b""), count=1))
case("count-large", "input", "entry 1 of 2", archive(Member(c_extra=bytes(60)), count=2))
case("entry-signature", "input", "entry 0 of 1", one(c_signature=0x02014B51))
case("entry-past-end", "input", "entry 0 of 1", one(c_extra_size=60000))
case("name-empty", "input", "has no name", archive(Member(), Member("", b"")))
case("name-nul", "input", "a NUL in it", archive(Member(), Member("a\0b", b"")))
case("name-twice", "input", '"a/data.pkl" is listed twice', archive(Member(), Member("b", b""), Member()))

# what the directory says of a member
case("encrypted", "unsupported", "is encrypted", one(flags=1))
case("encrypted-strongly", "unsupported", "is encrypted", one(flags=64))
case("masked", "unsupported", "is encrypted", one(flags=8192))
case("patched", "unsupported", "is patched data", one(flags=32))
case("other-disk", "unsupported", "on another disk", one(disk=2))
case("stored-sizes", "input", "stored in 4 bytes, and said to be 5", one(c_bytes=5))
case("bomb", "input", "a zip bomb", one(method=8, c_bytes=1 << 31))
case("bomb-2-63", "input", "a zip bomb", one(method=8, c_bytes=ONES, c_extra=wide(1 << 63)))
case("stored-2-63", "input", "reach past the members' end", one(c_bytes=ONES, c_stored=ONES, c_extra=wide(1 << 63, 1 << 63), l_bytes=ONES, l_stored=ONES,
                                                                l_extra=wide(1 << 63, 1 << 63)))

# the member against the directory
case("header-past-end", "input", "beyond the members", one(offset=10000))
case("header-2-63", "input", "beyond the members", one(offset=ONES, c_extra=wide(1 << 63)))
case("header-elsewhere", "input", "no header at byte 1", one(offset=1))
case("header-cut", "input", "no header at byte", archive(Member(), Member("b", b"", l_extra_size=6000)))
case("header-name", "input", "contradict each other", archive(Member("b", l_name=b"c"), Member()))
case("header-name-longer", "input", "contradict each other", archive(Member("b", l_name=b"bb"), Member()))
case("header-method", "input", "contradict each other", one(l_method=8))
case("header-encrypted", "input", "contradict each other", one(l_flags=1))
case("header-crc", "input", "different checksums", one(l_crc=1))
case("header-size", "input", "different sizes", one(l_bytes=5))
case("header-stored", "input", "different sizes", one(method=8, l_stored=1))
case("data-past-end", "input", "reach past the members' end", one(c_bytes=100, c_stored=100, l_bytes=100, l_stored=100))
case("descriptor-missing", "input", "the descriptor after its bytes", later(descriptor=b""))
case("descriptor-crc", "input", "the descriptor after its bytes", later(descriptor=descriptor(crc=1)))
case("descriptor-size", "input", "the descriptor after its bytes", later(descriptor=descriptor(size=5)))
case("overlap", "input", "overlaps", archive(Member(), Member("b", PICKLE, offset=0, c_name=b"a/data.pkl")))
case("overlap-inside", "input", '"a/data.pkl" overlaps "b"', archive(Member("b", Member().local()), Member(offset=31)))

# contents
case("deflate-damaged", "input", "the deflated bytes are damaged", one(method=8, stored=b"\xff" * 8))
case("deflate-longer", "input", "the deflated bytes are damaged", one(method=8, stored=deflate(PICKLE + b"more")))
case("deflate-shorter", "input", "the deflated bytes are damaged", one(method=8, stored=deflate(PICKLE[:-1])))
case("deflate-tail", "input", "the deflated bytes are damaged", one(method=8, stored=deflate(PICKLE) + b"x"))
case("deflate-cut", "input", "the deflated bytes are damaged", one(method=8, stored=deflate(PICKLE)[:-1]))
case("deflate-crc", "input", "its checksum is wrong", one(method=8, crc=1))
case("method-12", "unsupported", "compressed by method 12", one(method=12))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
