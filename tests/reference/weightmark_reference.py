"""weightmark once more: a second implementation, written from docs/spec.md alone (the section numbers are its own).

Plain rather than fast. NumPy does the arithmetic: uint32 for the key stream, float32 for X, float64 for reading. Only the opening of a sealed key
(section 4) needs a library, libsodium by ctypes, for Argon2id and XChaCha20-Poly1305 are in neither Python nor NumPy.
"""

import base64
import ctypes
import ctypes.util
import hashlib
import json
import math
import struct
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SCHEMES = {"direct": 1, "diff": 2, "random": 3, "partition": 4}
CARRIERS = {"mean": 1, "weights": 2, "balanced": 3}


class Refused(ValueError):
    """An input that the specification refuses."""


def need(condition, rule):
    if not condition:
        raise Refused(rule)


# ---- Section 2: key ----


@dataclass(frozen=True)
class Target:
    name: str
    layout: str
    shape: tuple

    def filters(self):
        return self.shape[self.layout.index("O")]

    def window(self):  # P: the weights of one filter
        return math.prod(self.shape) // self.filters()

    def columns(self, carrier):
        return self.window() * (1 if carrier == "mean" else self.filters())


@dataclass(frozen=True)
class Key:
    scheme: str
    carrier: str
    bits: int  # T
    ones: bool
    created: int
    targets: tuple
    seed: bytes = None
    original: bytes = None

    def columns(self):  # M
        return sum(t.columns(self.carrier) for t in self.targets)

    def raw(self):
        """The paper's carrier: one mean, not normalised (section 12)."""
        return self.carrier == "mean" and len(self.targets) == 1


def check_key(key):
    need(key.scheme in SCHEMES and key.carrier in CARRIERS, "unknown scheme or carrier")
    need(1 <= key.bits <= 16384, "T is from 1 to 16384")
    need(1 <= key.created < 2**63, "created is an i64 of at least 1")
    need(key.original is None or len(key.original) == 32 and any(key.original), "original is 32 bytes, not all zeros, or none")
    need(1 <= len(key.targets) <= 65536, "1 to 65536 targets")
    names = [t.name.encode("utf-8", "surrogatepass") for t in key.targets]
    need(len(set(names)) == len(names), "names are pairwise different")
    need(sum(map(len, names)) <= 8388608, "names together are at most 8388608 bytes")
    for t, name in zip(key.targets, names):
        need(1 <= len(name) <= 1024, "a name has 1 to 1024 bytes")
        need(not any(ord(c) < 0x20 or ord(c) == 0x7F or 0xD800 <= ord(c) < 0xE000 for c in t.name), "a name is UTF-8 without control characters")
        need(1 <= len(t.shape) <= 8 and len(t.layout) == len(t.shape), "1 to 8 axes, one letter an axis")
        need(all(n >= 1 for n in t.shape) and math.prod(t.shape) <= 2**48, "axes are at least 1, their product at most 2^48")
        need(set(t.layout) <= set("OIDHW") and len(set(t.layout)) == len(t.layout) and "O" in t.layout, "a layout of O, I, D, H, W")
    need(key.columns() <= 2**48, "M is at most 2^48")
    need(key.scheme != "direct" or key.bits <= key.columns(), "direct needs T <= M")
    need(key.scheme != "diff" or 2 * key.bits <= key.columns(), "diff needs 2 T <= M")
    return key


# ---- Section 3: key file ----


def members(pairs):
    need(len({name for name, _ in pairs}) == len(pairs), "a member is named twice")
    return dict(pairs)


def parse_integer(text):
    return -0.0 if text == "-0" else int(text)  # -0 is a number, not one of our integers


def refuse_constant(text):
    raise Refused(f"{text} is not JSON")


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def hexadecimal(value, n, text):
    need(isinstance(value, str) and len(value) == 2 * n and set(value) <= set("0123456789abcdef"), f"{2 * n} hexadecimal digits")
    need(f'"{value}"' in text, "hexadecimal digits stand for themselves")
    return bytes.fromhex(value)


def exactly(thing, names, optional=()):
    need(isinstance(thing, dict) and set(names) <= set(thing) <= set(names) | set(optional), "exactly the members " + ", ".join(sorted(names)))


def check_timestamp(text):
    """A token's DER in base64, which is kept unread."""
    need(isinstance(text, str) and text.isascii(), "a time stamp is base64")
    try:
        token = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("a time stamp is base64") from None
    need(1 <= len(token) <= 65536 and base64.b64encode(token).decode() == text, "a time stamp is base64 of 1 to 65536 bytes")


def parse_key(data, passphrase=None):
    """The key in a key file's bytes; refused where its id does not fit. A sealed key without its passphrase: a key without a seed, id unchecked."""
    need(len(data) <= 64 << 20, "at most 64 MiB")
    try:
        text = data.decode("utf-8")
        top = json.loads(text, object_pairs_hook=members, parse_int=parse_integer, parse_constant=refuse_constant)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise Refused(f"not a JSON text in UTF-8: {error}") from None
    need(isinstance(top, dict) and top.get("format") == "weightmark-key", "format is weightmark-key")
    need(is_integer(top.get("version")) and top["version"] == 2, "version is 2")
    exactly(top, ["format", "version", "id", "scheme", "carrier", "bits", "b", "created", "original", "targets", "sealed" if "sealed" in top else "seed"], ["timestamp"])
    check_timestamp(top.get("timestamp", "AA=="))
    need(top["b"] in ("seed", "ones"), "b is seed or ones")
    need(is_integer(top["bits"]) and is_integer(top["created"]), "bits and created are integers")
    need(isinstance(top["scheme"], str) and isinstance(top["carrier"], str) and isinstance(top["targets"], list), "scheme, carrier, targets")
    for t in top["targets"]:
        exactly(t, ["name", "layout", "shape"])
        need(isinstance(t["name"], str) and isinstance(t["layout"], str) and isinstance(t["shape"], list), "name, layout, shape")
        need(all(map(is_integer, t["shape"])), "a shape is a list of integers")
    original = None if top["original"] == "none" else hexadecimal(top["original"], 32, text)
    key = Key(top["scheme"], top["carrier"], top["bits"], top["b"] == "ones", top["created"],
              tuple(Target(t["name"], t["layout"], tuple(t["shape"])) for t in top["targets"]), original=original)
    check_key(key)
    ident = hexadecimal(top["id"], 32, text)
    if "sealed" in top:
        sealed = check_sealed(top["sealed"], text)
        if passphrase is None:
            return key
        seed = open_sealed(sealed, passphrase, ident)
    else:
        seed = hexadecimal(top["seed"], 32, text)
    key = replace(key, seed=seed)
    need(key_id(key) == ident, "the id does not fit")
    return key


def read_key(path, passphrase=None):
    with open(path, "rb") as file:
        return parse_key(file.read(), passphrase)


# ---- Section 4: sealing ----


def check_sealed(sealed, text):
    exactly(sealed, ["kdf", "passes", "memory_kib", "salt", "cipher", "nonce", "box"])
    need(sealed["kdf"] == "argon2id" and sealed["cipher"] == "xchacha20-poly1305", "argon2id and xchacha20-poly1305")
    passes, memory = sealed["passes"], sealed["memory_kib"]
    need(is_integer(passes) and 1 <= passes <= 64 and is_integer(memory) and 8 <= memory <= 1048576, "1 to 64 passes, 8 to 1048576 KiB")
    need(passes * memory <= 4194304, "passes * memory_kib is at most 4194304")
    return passes, memory, *(hexadecimal(sealed[name], n, text) for name, n in (("salt", 16), ("nonce", 24), ("box", 48)))


def libsodium():
    name = ctypes.util.find_library("sodium")
    library = ctypes.CDLL(name) if name else None
    return library if library and library.sodium_init() >= 0 else None


def open_sealed(sealed, passphrase, ident):
    passes, memory, salt, nonce, box = sealed
    sodium = libsodium()
    k, seed = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    u64, argon2id13 = ctypes.c_ulonglong, 2
    status = sodium.crypto_pwhash(k, u64(32), passphrase, u64(len(passphrase)), salt, u64(passes), ctypes.c_size_t(1024 * memory), argon2id13)
    need(status == 0, "no memory for Argon2id")
    status = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(seed, None, None, box, u64(48), ident, u64(32), nonce, k)
    need(status == 0, "wrong passphrase")
    return seed.raw


# ---- Sections 5 and 6: id, sub-keys ----


def key_id(key):
    content = [b"weightmark key 2", bytes([SCHEMES[key.scheme], CARRIERS[key.carrier], int(key.ones), 0]),
               struct.pack("<IqQ", key.bits, key.created, len(key.targets))]
    for t in key.targets:
        name = t.name.encode()
        content += [struct.pack("<I", len(name)), name, struct.pack("<I", len(t.shape)), t.layout.encode(), struct.pack(f"<{len(t.shape)}Q", *t.shape)]
    content += [key.original or bytes(32), key.seed]
    return hashlib.blake2b(b"".join(content), digest_size=32).digest()


def root(seed, ident):
    return hashlib.blake2b(ident, digest_size=32, key=seed, person=b"weightmark mark2").digest()


def subkey(key, n):
    return hashlib.blake2b(b"", digest_size=32, key=root(key.seed, key_id(key)), salt=struct.pack("<QQ", n, 0), person=b"wmk-mark" + bytes(8)).digest()


# ---- Section 7: original ----


def held(values):
    """The code of the first type that holds every value of a double array exactly, and the bytes in that type, little-endian."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
        half = values.astype(np.float16)
    brain = (single.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)  # bfloat16: the upper half of a binary32
    forms = ((brain, lambda: (single.view(np.uint32) >> np.uint32(16)).astype("<u2")), (half, lambda: half.astype("<f2")),
             (single, lambda: single.astype("<f4")), (values, lambda: values.astype("<f8")))
    for code, (form, octets) in enumerate(forms):
        if np.all((form == values) | np.isnan(values)):
            return bytes([code]) + octets().tobytes()


def original(targets, tensors):
    """tensors: name -> array, none missing."""
    leaves = []
    for t in targets:
        values = np.ascontiguousarray(canonical(t, tensors[t.name]).T).reshape(-1)  # filter by filter
        for first in range(0, len(values), 65536):
            leaves.append(hashlib.blake2b(held(values[first:first + 65536]), digest_size=32, person=b"weightmark leaf2").digest())
    return hashlib.blake2b(b"".join(leaves), digest_size=32, person=b"weightmark orig2").digest()


# ---- Sections 8 and 9: key stream, b ----


def chacha20(k, nonces, counters):
    """The blocks of ChaCha20 as uint32 [block][16], one for each pair of a nonce and a counter (both uint64 arrays)."""
    low = np.uint64(0xFFFFFFFF)
    start = np.empty((16, len(nonces)), np.uint32)
    start[:4] = np.frombuffer(b"expand 32-byte k", "<u4")[:, None]
    start[4:12] = np.frombuffer(k, "<u4")[:, None]
    start[12], start[13] = counters & low, counters >> np.uint64(32)
    start[14], start[15] = nonces & low, nonces >> np.uint64(32)
    a, b, c, d = (start[4 * i:4 * i + 4].copy() for i in range(4))

    def add_xor_rotate(x, y, z, n):
        x += y
        z ^= x
        z[:] = z << np.uint32(n) | z >> np.uint32(32 - n)

    for r in range(20):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            add_xor_rotate(x, y, z, n)
        turn = 1 if r % 2 == 0 else -1  # columns to diagonals and back
        b, c, d = np.roll(b, -turn, 0), np.roll(c, -2 * turn, 0), np.roll(d, -3 * turn, 0)
    return np.ascontiguousarray((np.concatenate((a, b, c, d)) + start).T)


def stream(k, nonce, first, count):
    """Bytes first to first + count - 1 of stream(k, nonce)."""
    return streams(k, [nonce], first, count)[0]


def streams(k, nonces, first, count):
    """The same bytes of several streams: uint8 [nonce][count]."""
    blocks = np.arange(first // 64, (first + count + 63) // 64, dtype=np.uint64)
    words = chacha20(k, np.repeat(np.asarray(nonces, np.uint64), len(blocks)), np.tile(blocks, len(nonces)))
    octets = words.astype("<u4").view(np.uint8).reshape(len(nonces), -1)
    return np.ascontiguousarray(octets[:, first % 64:first % 64 + count])


def key_bits(key):
    if key.ones:
        return np.ones(key.bits, np.uint8)
    s = stream(subkey(key, 1), 0, 0, (key.bits + 7) // 8)
    return np.unpackbits(s, bitorder="little")[:key.bits]


# ---- Section 10: X ----

NORMAL = """
-1 0x1.8ebc94p+2 0x1.40d892p-4 0x1.380f66p-6 0x1.bc9e58p-8 0x1.3caef0p-11 0x1.13d6f4p-8 -0x1.712378p-9 0x1.934846p-10
0 0x1.87ba78p+2 0x1.4650e6p-4 0x1.3d1ea4p-6 0x1.c39f76p-8 0x1.426428p-11 0x1.17f570p-8 -0x1.76971cp-9 0x1.994bcap-10
1 0x1.809940p+2 0x1.4c1242p-4 0x1.426ddep-6 0x1.caf690p-8 0x1.486814p-11 0x1.1c43c4p-8 -0x1.7c4956p-9 0x1.9f9512p-10
2 0x1.795744p+2 0x1.522326p-4 0x1.480276p-6 0x1.d2aab6p-8 0x1.4ec184p-11 0x1.20c5a0p-8 -0x1.823ee2p-9 0x1.a62978p-10
3 0x1.71f2b8p+2 0x1.588af0p-4 0x1.4de274p-6 0x1.dac3b2p-8 0x1.55791ap-11 0x1.257f0cp-8 -0x1.887cfcp-9 0x1.ad0eeep-10
4 0x1.6a69a4p+2 0x1.5f51f6p-4 0x1.5414a4p-6 0x1.e34a50p-8 0x1.5c9798p-11 0x1.2a74a0p-8 -0x1.8f098cp-9 0x1.b44c1ap-10
5 0x1.62b9dcp+2 0x1.6681b6p-4 0x1.5aa0acp-6 0x1.ec4876p-8 0x1.642742p-11 0x1.2fab6cp-8 -0x1.95eb10p-9 0x1.bbe85ep-10
6 0x1.5ae100p+2 0x1.6e250cp-4 0x1.618f40p-6 0x1.f5c94ap-8 0x1.6c33f2p-11 0x1.352924p-8 -0x1.9d28dcp-9 0x1.c3ec08p-10
7 0x1.52dc6ep+2 0x1.76487ap-4 0x1.68ea46p-6 0x1.ffd972p-8 0x1.74cb90p-11 0x1.3af424p-8 -0x1.a4cb1ap-9 0x1.cc606ap-10
8 0x1.4aa938p+2 0x1.7efa78p-4 0x1.70bd10p-6 0x1.0543b0p-7 0x1.7dfd3ap-11 0x1.4113b4p-8 -0x1.acdb12p-9 0x1.d55010p-10
9 0x1.424418p+2 0x1.884bdcp-4 0x1.7914a8p-6 0x1.0af1c8p-7 0x1.87db82p-11 0x1.478ffap-8 -0x1.b5632ep-9 0x1.dec6e8p-10
10 0x1.39a966p+2 0x1.925062p-4 0x1.820024p-6 0x1.11007ep-7 0x1.927ba8p-11 0x1.4e724ap-8 -0x1.be6f50p-9 0x1.e8d28ep-10
11 0x1.30d502p+2 0x1.9d1f5ep-4 0x1.8b9110p-6 0x1.177ad0p-7 0x1.9df656p-11 0x1.55c552p-8 -0x1.c80d02p-9 0x1.f38290p-10
12 0x1.27c240p+2 0x1.a8d48cp-4 0x1.95dbfap-6 0x1.1e6d86p-7 0x1.aa6934p-11 0x1.5d9550p-8 -0x1.d24bc6p-9 0x1.fee8d0p-10
13 0x1.1e6bc8p+2 0x1.b59144p-4 0x1.a0f920p-6 0x1.25e796p-7 0x1.b7f772p-11 0x1.65f06cp-8 -0x1.dd3d7cp-9 0x1.058cfep-9
14 0x1.14cb7ap+2 0x1.c37df8p-4 0x1.ad054ep-6 0x1.2dfaa8p-7 0x1.c6cb6ap-11 0x1.6ee714p-8 -0x1.e8f6cep-9 0x1.0c170cp-9
15 0x1.0ada3ap+2 0x1.d2cc46p-4 0x1.ba2306p-6 0x1.36bbacp-7 0x1.d718aep-11 0x1.788c76p-8 -0x1.f58fcap-9 0x1.13209ep-9
16 0x1.008fbap+2 0x1.e3b9c6p-4 0x1.c87bf6p-6 0x1.4043c4p-7 0x1.e91d9cp-11 0x1.82f72ep-8 -0x1.019250p-8 0x1.1aba3cp-9
17 0x1.ebc462p+1 0x1.f69410p-4 0x1.d842f4p-6 0x1.4ab13ep-7 0x1.fd286ep-11 0x1.8e41dcp-8 -0x1.08eb32p-8 0x1.22f778p-9
18 0x1.d58bd0p+1 0x1.05df32p-3 0x1.e9b6a8p-6 0x1.56290ep-7 0x1.09cd26p-10 0x1.9a8c54p-8 -0x1.10e632p-8 0x1.2befb2p-9
19 0x1.be596ep+1 0x1.11dd0ap-3 0x1.fd2508p-6 0x1.62d8aap-7 0x1.1677dap-10 0x1.a7fc8ap-8 -0x1.199a9cp-8 0x1.35befap-9
20 0x1.a60a6ep+1 0x1.1f9998p-3 0x1.09781cp-5 0x1.70f8a8p-7 0x1.24e3f0p-10 0x1.b6c062p-8 -0x1.23245ep-8 0x1.40874ep-9
21 0x1.8c7350p+1 0x1.2f8a32p-3 0x1.15ca80p-5 0x1.80d022p-7 0x1.357a1ap-10 0x1.c70f56p-8 -0x1.2da4f0p-8 0x1.4c7222p-9
22 0x1.715c7cp+1 0x1.4253a4p-3 0x1.23d9b6p-5 0x1.92b96ep-7 0x1.48c63ap-10 0x1.d92cc4p-8 -0x1.39447cp-8 0x1.59b252p-9
23 0x1.547d16p+1 0x1.58e5bap-3 0x1.340ca8p-5 0x1.a72860p-7 0x1.5f87ccp-10 0x1.ed6a24p-8 -0x1.4632d0p-8 0x1.68867cp-9
24 0x1.357292p+1 0x1.74ad06p-3 0x1.46e618p-5 0x1.beb2a0p-7 0x1.7acbdap-10 0x1.021454p-7 -0x1.54a798p-8 0x1.793b94p-9
25 0x1.13b22ap+1 0x1.97f372p-3 0x1.5d0324p-5 0x1.da19c6p-7 0x1.9c1c9ap-10 0x1.0eeb6cp-7 -0x1.64df80p-8 0x1.8c2ea6p-9
26 0x1.dcdbfep+0 0x1.c6ad82p-3 0x1.76f8dap-5 0x1.fa5856p-7 0x1.c5dda6p-10 0x1.1d7096p-7 -0x1.770f7cp-8 0x1.a1ca10p-9
27 0x1.88bc1ep+0 0x1.04341cp-2 0x1.949aa8p-5 0x1.1060cap-6 0x1.fc294ep-10 0x1.2db96ap-7 -0x1.8b3588p-8 0x1.ba7048p-9
28 0x1.267d4cp+0 0x1.36e866p-2 0x1.b131d4p-5 0x1.2810bcp-6 0x1.238cfep-9 0x1.3f37d6p-7 -0x1.a057b8p-8 0x1.d613dap-9
29 0x1.5956b6p-1 0x1.92ce3ap-2 0x1.aa58e4p-5 0x1.4ed51ap-6 0x1.56db4cp-9 0x1.4e1d2ap-7 -0x1.b043fap-8 0x1.f1c25ap-9
30 0x0.000000p+0 0x1.40d93ap-1 -0x1.517dfep-16 0x1.526d88p-5 -0x1.a9dde4p-10 0x1.3eedf4p-7 -0x1.443b7cp-8 0x1.baefa4p-9
"""
NORMAL = np.array([[float.fromhex(c) for c in line.split()[1:]] for line in NORMAL.split("\n")[1:-1]], np.float32)  # row k + 1


def normal(u):
    """The normal rule: uint32 array to float32 array, every operation a float operation of its own."""
    y = (u & np.uint32(0x7FFFFFFF)).astype(np.float32)
    y = np.minimum(y + np.float32(0.5), np.float32(2147483520))
    code = y.view(np.uint32)
    k = (code >> np.uint32(23)).astype(np.int64) - 127
    v = (code & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)).view(np.float32)
    s = np.float32(2) - v
    c = NORMAL[k + 1]
    x = c[..., 7]
    for n in range(6, -1, -1):
        x = x * s
        x = x + c[..., n]
    return (x.view(np.uint32) | u & np.uint32(0x80000000)).view(np.float32)


def x_key(key):
    return subkey(key, 16 + SCHEMES[key.scheme])


def random_rows(key, rows, first, count):
    """Scheme random: elements first to first + count - 1 of the rows named, float32 [row][count]."""
    return normal(streams(x_key(key), rows, 4 * first, 4 * count).view("<u4"))


def partition(key, first, count):
    """Scheme partition: row and sign of the columns first to first + count - 1."""
    u = stream(x_key(key), 0, 2 * first, 2 * count).view("<u2").astype(np.int64)
    return (u % 2**15) * key.bits // 2**15, np.where(u >> 15, -1, 1)


def columns(key):
    """Schemes direct and diff: the columns of +1, and of -1 (none for direct)."""
    n_places, m, k = key.bits * (2 if key.scheme == "diff" else 1), key.columns(), x_key(key)
    words, used, place, drawn = [], 0, {}, []  # place: what of a was exchanged
    for i in range(n_places):
        n = m - i
        while True:
            if used == len(words):
                words += stream(k, 0, 8 * used, 8 * n_places).view("<u8").tolist()
            word = words[used]
            used += 1
            if word >= 2**64 % n:
                break
        j = i + word % n
        place[i], place[j] = place.get(j, j), place.get(i, i)
        drawn.append(place[i])
    drawn = np.array(drawn, np.int64)
    return (drawn[0::2], drawn[1::2]) if key.scheme == "diff" else (drawn, drawn[:0])


def row_blocks(key, limit=1 << 22):
    """Scheme random: blocks of rows in turn, so that X is never held whole."""
    step = max(1, limit // max(1, key.columns()))
    for first in range(0, key.bits, step):
        rows = range(first, min(key.bits, first + step))
        yield slice(rows.start, rows.stop), random_rows(key, rows, 0, key.columns()).astype(np.float64)


def project(key, w):
    """d_j = sum_i X_ji w_i and l_j, the length of w on the support of row j."""
    if key.scheme == "random":
        d = np.concatenate([x @ w for _, x in row_blocks(key)])
        return d, np.full(key.bits, np.sqrt(np.sum(w * w)))
    if key.scheme == "partition":
        row, sign = partition(key, 0, key.columns())
        return np.bincount(row, sign * w, key.bits), np.sqrt(np.bincount(row, w * w, key.bits))
    plus, minus = columns(key)
    if key.scheme == "direct":
        return w[plus], np.abs(w[plus])
    return w[plus] - w[minus], np.sqrt(w[plus] ** 2 + w[minus] ** 2)


def back_project(key, a):
    """sum_j a_j X_ji for each column i."""
    v = np.zeros(key.columns())
    if key.scheme == "random":
        for rows, x in row_blocks(key):
            v += a[rows] @ x
    elif key.scheme == "partition":
        row, sign = partition(key, 0, key.columns())
        v += sign * a[row]
    else:
        plus, minus = columns(key)
        v[plus] += a
        v[minus] -= a[:len(minus)]
    return v


# ---- Section 11: order of w, and the files the weights come from ----


def safetensors(path):
    """name -> (dtype, array): u64 header length, JSON header, data; what is not a float is left out."""
    with open(path, "rb") as file:
        data = file.read()
    n = struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + n]).items():
        code = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}.get(entry.get("dtype"))
        if name != "__metadata__" and code:
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data[8 + n + begin:8 + n + end], code)
            if entry["dtype"] == "BF16":  # the upper half of a binary32
                values = (values.astype(np.uint32) << 16).view(np.float32)
            tensors[name] = values.reshape(entry["shape"])
    return tensors


def canonical(target, values):
    """A tensor as double [P][nO]: rows in the order (d, h, w, i), one column a filter."""
    order = [target.layout.index(axis) for axis in "DHWIO" if axis in target.layout]
    return np.asarray(values, np.float64).transpose(order).reshape(-1, target.filters())


def stored(target, values):
    """canonical() undone."""
    axes = [axis for axis in "DHWIO" if axis in target.layout]
    sizes = [target.shape[target.layout.index(axis)] for axis in axes]
    return values.reshape(sizes).transpose([axes.index(axis) for axis in target.layout])


# ---- Section 12: carriers and reading ----


def quotient(a, r):
    """a / r, and 0 where r is 0."""
    out = np.zeros(np.broadcast_shapes(np.shape(a), np.shape(r)), np.result_type(a, r, float))
    return np.divide(a, r, out=out, where=np.asarray(r) != 0)


def rms(p, axis=0):
    """Root mean squares over an axis, which is kept; 0 where the squares overflow, and where they do."""
    with np.errstate(over="ignore"):
        squares = np.mean(p * p, axis=axis, keepdims=True)
    return np.sqrt(np.where(np.isfinite(squares), squares, 0)), ~np.isfinite(squares)


def lower_median(numbers):
    return sorted(numbers)[(len(numbers) - 1) // 2] if len(numbers) else 0


def floor_mean(numbers):
    return int(np.sum(numbers)) // len(numbers) if len(numbers) else 0


def channel_exponents(p, n_channels):
    """a_i of carrier balanced. p: double [P][nO], the input channel of row p is p mod n_channels."""
    n_weights, n_filters = p.shape
    k = min(n_filters, 256, max(16, 2**22 // n_weights))
    sample = p[:, [i * n_filters // k for i in range(k)]]
    there = sample != 0
    e = np.maximum(np.frexp(sample)[1].astype(np.int64) - 1, -1022)
    rows = [slice(i, None, n_channels) for i in range(n_channels)]
    channel = np.arange(n_weights) % n_channels

    a = np.array([floor_mean(e[i][there[i]]) for i in rows])
    rest = e - a[channel, None]
    b = np.array([lower_median(rest[:, o][there[:, o]]) for o in range(k)])
    return np.maximum(-1022, np.array([lower_median((e - b)[i][there[i]]) for i in rows]))


def balance(target, p):
    """a_i, r_o and c_i of carrier balanced, and which filters' squares overflow."""
    n_channels = dict(zip(target.layout, target.shape)).get("I", 1)
    a = channel_exponents(p, n_channels)
    unit = np.ldexp(p, -np.tile(a, len(p) // n_channels)[:, None])
    r, overflow = rms(unit)
    unit = quotient(np.where(overflow, 0, unit), r).reshape(-1, n_channels, target.filters())
    return a, r[0], rms(unit, (0, 2))[0].reshape(-1), overflow


def factors(key, target, p):
    """What single weights as canonical() gives them are multiplied by, and which filters' squares overflow."""
    channels = target.shape[target.layout.index("I")] if "I" in target.layout else 1
    if key.carrier != "balanced" or len(p) > 2**22 or p.size // channels < 8:
        r, overflow = rms(p)
        return quotient(1.0, r), overflow
    a, r, c, overflow = balance(target, p)
    channel = np.arange(len(p)) % len(c)
    wide = np.ldexp(quotient(np.longdouble(1), r * c[channel, None].astype(np.longdouble)), -a[channel, None])  # beyond the doubles, perhaps
    return np.minimum(wide, np.longdouble(2) ** 1000).astype(np.float64), overflow


def overlap(target, values):
    """A tensor of as many axes but other sizes is read where both have weights."""
    need(values.ndim == len(target.shape), f"{target.name} has another number of axes")
    common = tuple(slice(0, min(sizes)) for sizes in zip(target.shape, values.shape))
    whole = np.zeros(target.shape)
    whole[common] = values[common]
    return whole, math.prod(place.stop for place in common)


class Vector(NamedTuple):
    w: np.ndarray
    factors: list  # of each target, broadcasts to [P][nO], of carrier mean to [P][1]; None: the tensor is missing
    none: int  # numbers that are none
    share: float  # of the targets' weights that were read as numbers


def carrier(key, tensors):
    """tensors: name -> array."""
    need(any(t.name in tensors for t in key.targets), "at least one target must be there")
    parts, by, none, there = [], [], 0, 0
    for t in key.targets:
        if t.name not in tensors:
            parts.append(np.zeros(t.columns(key.carrier)))
            by.append(None)
            continue
        values, count = overlap(t, tensors[t.name])
        p = canonical(t, values)
        kept = np.where(np.isfinite(p), p, 0)
        if key.carrier == "mean":
            kept = np.where(rms(kept, 1)[1], 0, kept)
            mean = np.mean(kept, axis=1, keepdims=True)
            by.append(np.ones((1, 1)) if key.raw() else quotient(1.0, rms(mean)[0]))
            parts.append((mean * by[-1]).reshape(-1))
        else:
            factor, overflow = factors(key, t, kept)
            kept = np.where(overflow, 0, kept)
            by.append(factor)
            parts.append((kept * factor).reshape(-1))
        lost = int(np.sum((kept == 0) & (p != 0)))
        none, there = none + lost, there + count - lost
    w = np.concatenate(parts)
    need(none == 0 or np.any(w != 0), "nothing but numbers that are none")
    return Vector(w, by, none, there / sum(math.prod(t.shape) for t in key.targets))


@dataclass(frozen=True)
class Reading:
    y: np.ndarray
    score: np.ndarray
    bit: np.ndarray
    erased: np.ndarray
    length: np.ndarray  # l_j


def read_bits(key, w):
    d, length = project(key, w)
    length = np.where(length < 2.0**-480, 0, length)
    erased = length == 0
    if not key.raw():
        y = quotient(d, length)
        score = y
    else:
        y = np.where(erased, 0, d)
        if key.scheme in ("random", "partition"):
            score = quotient(d, length)
        else:
            c = 1 if key.scheme == "direct" else math.sqrt(2)
            score = quotient(y, c * np.sqrt(np.mean(w * w)))
    return Reading(y, score, (y >= 0).astype(np.uint8), erased, length)


def read_tensors(key, tensors):
    return read_bits(key, carrier(key, tensors).w)


# ---- Section 13: evidence ----


@dataclass(frozen=True)
class Evidence:
    bits: int
    bit_errors: int
    z: float
    log10_p_soft: float
    log10_p_hard: float
    log10_p: float
    evidence_bits: float
    verdict: str


def log10_normal_tail(z):
    """log10 Q(z); far out by the continued fraction Q = phi(z) / (z + 1/(z + 2/(z + 3/...)))."""
    if z < 25:
        return math.log10(0.5 * math.erfc(z / math.sqrt(2)))
    tail = z
    for n in range(60, 0, -1):
        tail = z + n / tail
    return (-0.5 * z * z - 0.5 * math.log(2 * math.pi) - math.log(tail)) / math.log(10)


def log10_binomial_tail(n, k):
    """log10 P(Bin(n, 1/2) >= k), summed in whole numbers."""
    term, total = 1, 0
    for i in range(n, k - 1, -1):  # term = C(n, i)
        total += term
        term = term * i // (n - i + 1)
    if total == 0:
        return -math.inf
    p = total / 2**n if n < 900 else 0.0
    return math.log10(p) if p > 0 else math.log10(total) - n * math.log10(2)


def count(key, reading):
    """n, right bits, right bits that count into k, z."""
    b = key_bits(key)
    here = ~reading.erased
    n = int(here.sum())
    right = here & (reading.bit == b)
    fair = right & (reading.y != 0) if key.ones else right
    score = reading.score[here]
    z = float(np.sum((2.0 * b[here] - 1) * score))
    square = float(n) if key.scheme in ("random", "partition") else float(np.sum(score * score))
    return n, int(right.sum()), int(fair.sum()), z / math.sqrt(square) if square > 0 else 0.0


def stranger(key, i):
    return replace(key, seed=hashlib.blake2b(b"wmkrdraw" + struct.pack("<Q", i), digest_size=32, key=key.seed).digest())


def evidence(key, w, tries=1, threshold=64.0, redraws=0, share=1.0):
    n, right, k, z = count(key, read_bits(key, w))
    if key.ones and key.scheme in ("direct", "diff"):
        softer = harder = 0
        for i in range(redraws):
            other = stranger(key, i)
            n_other, right_other, _, z_other = count(other, read_bits(other, w))
            softer += z_other >= z
            harder += right_other * n >= right * n_other
        soft, hard = (math.log10((1 + better) / (1 + redraws)) for better in (softer, harder))
    else:
        hoeffding = -z * z / 2 / math.log(10) if z > 0 else 0.0
        soft = log10_normal_tail(z) if key.scheme == "random" else hoeffding
        hard = log10_binomial_tail(n, k)
    together = min(0.0, math.log10(2) + min(soft, hard) + math.log10(tries))
    bits = -together / math.log10(2)
    verdict = "found" if bits >= threshold else "inconclusive" if bits >= min(20.0, threshold) or share < 0.5 else "not-found"
    return Evidence(n, n - right, z, soft, hard, together, bits, verdict)


# ---- Section 14: embedding without training, where the solution is a formula or unique and plain ----


def embed_cones(key, w, margin):
    """Rows with columns of their own (partition; direct and diff when normalised): the nearest w' with s_j score_j >= margin, in one trial."""
    m, s = key.columns(), 2.0 * key_bits(key) - 1
    movable = w != 0  # zeros stay zero
    if key.scheme == "partition":
        row, sign = partition(key, 0, m)
    else:
        row, sign = np.full(m, key.bits), np.zeros(m)  # an extra row for columns that no row looks at
        for places, one in zip(columns(key), (1, -1)):
            row[places], sign[places] = np.arange(len(places)), one
    c = np.bincount(row[movable], minlength=key.bits + 1)[:key.bits]
    d, length = project(key, w)
    root = np.sqrt(np.maximum(c, 1))
    need(np.all(c > 0) and np.all(margin <= 1.0001 * root), "a margin above sqrt(c) cannot be met")
    alpha = s * d / root
    beta = np.sqrt(np.maximum(0, length**2 - alpha**2))
    cosine = np.minimum(1, margin / root)
    sine = np.sqrt(1 - cosine**2)
    t = np.maximum(alpha * cosine + beta * sine, length / 16)
    change = (c > 0) & ~(alpha * root >= margin * length)
    a = np.where(change, quotient(t * sine, beta), 1)
    b = np.where(change, (t * cosine - a * alpha) / root, 0)
    a, b = np.append(a, 1), np.append(b * s, 0)
    return np.where(movable, a[row] * w + b[row] * sign, w)


def embed_equation6(key, w, lam):
    """The paper's eq. 6 for one raw mean: w' and a, by Newton's method with halved steps."""
    s = 2.0 * key_bits(key) - 1
    x = np.stack([back_project(key, row) for row in np.diag(s)])  # s_j X_j
    gram, start, weight = x @ x.T, x @ w, lam / key.bits

    def gap(a):
        g = 1 / (1 + np.exp(np.clip(start + gram @ a, -700, 700)))
        return a - weight * g, g

    a = np.zeros(key.bits)
    for _ in range(200):
        f, g = gap(a)
        if np.linalg.norm(f) <= 1e-14 * weight:
            break
        step = np.linalg.solve(np.eye(key.bits) + weight * (g * (1 - g))[:, None] * gram, f)
        while np.linalg.norm(gap(a - step)[0]) >= np.linalg.norm(f) and np.linalg.norm(step) > 1e-15 * np.linalg.norm(a):
            step = step / 2
        a = a - step
    return w + x.T @ a, a


def change_of_weights(key, tensors, vector, v):
    """The tensors after the change v of w: name -> double array (section 14, first paragraph). Zeros stay zero."""
    changed, first = {}, 0
    for t, factor in zip(key.targets, vector.factors):
        n = t.columns(key.carrier)
        if factor is not None:
            p = canonical(t, tensors[t.name])
            part = quotient(v[first:first + n].reshape(len(p), -1), factor)
            if key.carrier == "mean":  # those of a position that are not 0 carry the share of the others
                part = part * quotient(float(t.filters()), np.sum(p != 0, axis=1, keepdims=True))
            changed[t.name] = stored(t, np.where(p != 0, p + part, 0))
        first += n
    return changed


# ---- Section 15: regularizer ----


def regularizer(key, tensors, kappa=1.0):
    """E_R (the sum over bits) and its gradient: name -> array of the tensor's shape."""
    vector = carrier(key, tensors)
    reading = read_bits(key, vector.w)
    s = 2.0 * key_bits(key) - 1
    kappa = 1.0 if key.raw() else kappa
    t = s * kappa * reading.y
    value = float(np.sum(np.log1p(np.exp(-np.abs(t))) + np.maximum(0, -t)))
    slope = np.where(reading.erased, 0, -s * kappa / (1 + np.exp(np.clip(t, -700, 700))))
    by_w = back_project(key, slope if key.raw() else quotient(slope, reading.length))
    gradient, first = {}, 0
    for target, factor in zip(key.targets, vector.factors):
        n = target.columns(key.carrier)
        if factor is not None:
            p = by_w[first:first + n].reshape(target.window(), -1) * factor
            p = np.repeat(p / target.filters(), target.filters(), 1) if key.carrier == "mean" else p
            gradient[target.name] = stored(target, p)
        first += n
    return value, gradient
