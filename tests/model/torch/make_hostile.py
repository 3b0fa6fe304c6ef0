#!/usr/bin/env python3
"""Makes the corpus of damaged PyTorch files: tests/model/torch/hostile/, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message. Pickles are
put together opcode by opcode. Damaged archives are in tests/model/zip. Run it again after a change here; the files are committed because they are small. Files whose status is
"ok" are odd but sound."""
import sys
import io
import pathlib
import struct
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []
FLOATS = struct.pack("<4f", 1, 2, 3, 4)


def case(name, status, text, data):
    CASES.append((name + ".pt", status, text, data))


# ---- opcodes ---------------------------------------------------------------------------------------------------------------------------

NONE, FALSE, TRUE, STOP, REDUCE, BUILD, NEWOBJ, PERSID = b"N", b"\x89", b"\x88", b".", b"R", b"b", b"\x81", b"Q"
EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, MARK = b"}", b"]", b")", b"("


def pickle(*ops, protocol=b"\x80\x02"):
    return protocol + b"".join(ops) + STOP


def number(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def real(value):
    return b"G" + struct.pack(">d", value)


def text(value):
    data = value if isinstance(value, bytes) else value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def world(module, name):
    return f"c{module}\n{name}\n".encode()


def tuple_(*items):
    return MARK + b"".join(items) + b"t"


def list_(*items):
    return EMPTY_LIST + MARK + b"".join(items) + b"e"


def dict_(**items):
    return EMPTY_DICT + MARK + b"".join(text(k) + v for k, v in items.items()) + b"u"


def pairs(*items):
    return EMPTY_DICT + MARK + b"".join(items) + b"u"


def put(index):
    return b"r" + struct.pack("<I", index)


def get(index):
    return b"j" + struct.pack("<I", index)


def call(module, name, *arguments):
    return world(module, name) + tuple_(*arguments) + REDUCE


def numbers(*values):
    return tuple_(*(number(v) for v in values))


def storage(kind="FloatStorage", key="0", count=4, module="torch", view=None):
    return tuple_(text("storage"), world(module, kind), text(key) if isinstance(key, str) else key, text("cpu"), number(count) if isinstance(count, int) else count,
                  *([] if view is None else [view])) + PERSID


def tensor(store=None, offset=number(0), size=numbers(2, 2), stride=numbers(2, 1), function="_rebuild_tensor_v2", more=None):
    tail = [FALSE, call("collections", "OrderedDict")] if more is None else more
    return call("torch._utils", function, store or storage(), offset, size, stride, *tail)


def quantised(scheme, store=None, size=numbers(2, 2), stride=numbers(2, 1)):
    return tensor(store or storage("QInt8Storage"), size=size, stride=stride, function="_rebuild_qtensor", more=[scheme, FALSE, NONE])


# ---- files -----------------------------------------------------------------------------------------------------------------------------

def files(data, method=zipfile.ZIP_STORED, root="a", members=(), methods=()):
    out = io.BytesIO()
    content = {"data.pkl": data, "data/0": FLOATS, "byteorder": b"little", "version": b"3\n"}
    content.update(members)
    with zipfile.ZipFile(out, "w") as z:
        for name, bytes_ in content.items():
            if bytes_ is not None:
                z.writestr(zipfile.ZipInfo(f"{root}/{name}"), bytes_, compress_type=dict(methods).get(name, method))
    return out.getvalue()


def of(*ops, **how):
    """An archive around a pickle of these opcodes."""
    return files(pickle(*ops), **how)


def one(*arguments, **how):
    """An archive of {"w": tensor(...)}."""
    return of(dict_(w=tensor(*arguments, **how)))


MAGIC, PROTOCOL = pickle(number(0x1950A86A20F9469CFC6C)), pickle(number(1001))
SYSTEM = pickle(dict_(protocol_version=number(1001), little_endian=TRUE))
LEGACY_STORAGE = storage(view=NONE)


def legacy(objects=None, keys=None, data=struct.pack("<Q", 4) + FLOATS, magic=MAGIC, protocol=PROTOCOL, system=SYSTEM):
    objects = pickle(dict_(w=tensor(LEGACY_STORAGE))) if objects is None else objects
    return magic + protocol + system + objects + (pickle(list_(text("0"))) if keys is None else keys) + data


# ---- sound -----------------------------------------------------------------------------------------------------------------------------

case("ok-tensor", "ok", "", one())
case("ok-deflated", "ok", "", of(dict_(w=tensor()), method=zipfile.ZIP_DEFLATED))
case("ok-cycle", "ok", "", of(EMPTY_DICT, put(0), text("self"), get(0), b"s", text("w"), tensor(), b"s"))
case("ok-cycle-list", "ok", "", of(EMPTY_LIST, put(0), get(0), b"a", tensor(), b"a"))
case("ok-cycle-object", "ok", "", of(world("user", "Net"), EMPTY_TUPLE, NEWOBJ, put(0), dict_(me=get(0), w=tensor()), BUILD))
case("ok-user-class", "ok", "", of(world("os", "Net"), EMPTY_TUPLE, NEWOBJ, dict_(_parameters=dict_(w=tensor()), _buffers=EMPTY_DICT, _modules=EMPTY_DICT), BUILD))
case("ok-os-system-named", "ok", "", of(dict_(name=world("os", "system"), w=tensor())))
case("ok-python-2", "ok", "", of(EMPTY_DICT, b"U\x01w", tensor(), b"s"))
case("ok-protocol-0", "ok", "", files(b"(dp0\nVw\n" + tensor() + b"s."))
case("ok-every-literal", "ok", "", of(list_(NONE, TRUE, FALSE, number(-3), number(1 << 40), number(1 << 200), b"J\xff\xff\xff\xff", b"M\x01\x02", b"\x8a\0", b"\x8b\1\0\0\0\7",
                                            b"I5\n", b"I01\n", b"L-7L\n", b"L999999999999999999999L\n", real(0.5), b"F1.5\n", b"S'x'\n", b"T\1\0\0\0x", b"B\1\0\0\0x", b"C\1x",
                                            b"\x8c\1x", b"\x8d\1" + bytes(7) + b"x", b"\x8e\1" + bytes(7) + b"x", b"\x96\1" + bytes(7) + b"x", b"\x8f(K\1\x90", b"(K\1\x91",
                                            b"(K\1l", b"(K\1K\2d", b"K\1\x85", b"K\1K\2\x86", b"K\1K\2K\3\x87", b"K\1p5\n0g5\n", b"K\1\x940", b"K\x012\x86",
                                            b"(K\x011", b"(0", b"\x95\0\0\0\0\0\0\0\0", b"\x8c\3foo\x8c\3bar\x93")))
case("ok-newobj-ex", "ok", "", of(world("user", "C"), EMPTY_TUPLE, EMPTY_DICT, b"\x92", NONE, BUILD))
case("ok-list-subclass", "ok", "", of(world("user", "L"), EMPTY_TUPLE, NEWOBJ, MARK, tensor(), b"e"))
case("ok-mark-first", "ok", "", files(b"(t."))
case("ok-no-tensors", "ok", "", of(EMPTY_DICT))
case("ok-empty-tensor", "ok", "", files(pickle(dict_(w=tensor(storage(count=0), size=numbers(0, 3), stride=numbers(3, 1)))), members={"data/0": b""}))
case("ok-other-root", "ok", "", of(dict_(w=tensor()), root="some folder"))
case("ok-repeats", "ok", "", one(size=numbers(1 << 40, 2), stride=numbers(0, 1)))
case("ok-legacy", "ok", "", legacy())
case("ok-legacy-view", "ok", "", legacy(pickle(dict_(w=tensor(storage(view=tuple_(text("v"), number(2), number(2))), size=numbers(2), stride=numbers(1))))))
case("ok-legacy-class", "ok", "", legacy(pickle(tuple_(text("module"), world("user", "Net"), text("net.py"), text("class Net: pass")), PERSID, EMPTY_TUPLE, NEWOBJ,
                                               dict_(w=tensor(LEGACY_STORAGE)), BUILD)))
case("ok-constants", "ok", "", files(pickle(EMPTY_DICT), members={"constants.pkl": pickle(tuple_(tensor())), "constants/0": FLOATS}))

# ---- calls -----------------------------------------------------------------------------------------------------------------------------

case("call-system", "unsupported", "the pickle calls os.system; nothing was executed", of(dict_(w=tensor(), x=call("os", "system", text("true")))))
case("call-posix", "unsupported", "the pickle calls posix.system; nothing", of(call("posix", "system", text("true"))))
case("call-eval", "unsupported", "the pickle calls builtins.eval; nothing", of(call("builtins", "eval", text("1"))))
case("call-exec", "unsupported", "the pickle calls __builtin__.exec; nothing", of(call("__builtin__", "exec", text("1"))))
case("call-popen", "unsupported", "the pickle calls subprocess.Popen; nothing", of(call("subprocess", "Popen", list_(text("true")))))
case("call-getattr", "unsupported", "the pickle calls builtins.getattr; nothing", of(call("builtins", "getattr", world("os", "path"), text("join"))))
case("call-torch-load", "unsupported", "the pickle calls torch.load; nothing", of(call("torch", "load", text("x"))))
case("call-user", "unsupported", "the pickle calls user.Net; nothing", of(call("user", "Net")))
case("call-stack-global", "unsupported", "the pickle calls os.system; nothing", of(b"\x8c\2os\x8c\6system\x93", tuple_(text("true")), REDUCE))
case("call-of-a-result", "unsupported", "calls an object it made; nothing", of(call("builtins", "getattr", world("torch", "nn"), text("x")), EMPTY_TUPLE, REDUCE))
case("call-protocol-0", "unsupported", "the pickle calls os.system; nothing", files(b"cos\nsystem\n(S'true'\ntR."))
case("call-inst", "unsupported", "the pickle calls os.system; nothing", files(b"(S'true'\nios\nsystem\n."))
case("call-obj", "unsupported", "the pickle calls os.system; nothing", of(b"(", world("os", "system"), text("true"), b"o"))
case("call-obj-no-class", "input", "an instance of what is no class", of(b"(", text("true"), b"o"))
case("call-in-legacy", "unsupported", "the pickle calls os.system; nothing", legacy(pickle(call("os", "system", text("true")))))
case("call-in-legacy-system", "unsupported", "the pickle calls collections.OrderedDict; nothing", legacy(system=pickle(call("collections", "OrderedDict"))))
case("call-in-legacy-keys", "unsupported", "the pickle calls os.system; nothing", legacy(keys=pickle(call("os", "system", text("true")))))
case("call-in-constants", "unsupported", "the pickle calls os.system", files(pickle(EMPTY_DICT), members={"constants.pkl": pickle(call("os", "system", text("x")))}))
case("call-long-name", "unsupported", "aaaa; nothing was executed", of(call("b" * 4000, "a" * 4000)))
case("call-terminal-escape", "unsupported", "calls ?[31m.x; nothing", of(call("\x1b[31m", "x")))

# ---- the stack machine -----------------------------------------------------------------------------------------------------------------

case("pickle-empty", "input", "truncated: 1 bytes are needed", files(b""))
case("pickle-no-stop", "input", "truncated", files(b"\x80\x02}"))
case("pickle-protocol-6", "unsupported", "pickle protocol 6", files(b"\x80\x06}."))
case("opcode-unknown", "input", "opcode 0xff", of(b"\xff"))
case("opcode-extension", "input", "opcode 0x82", of(b"\x82\x01"))
case("opcode-buffer", "input", "opcode 0x97", of(b"\x97"))
case("opcode-text-persistent", "input", "opcode 0x50", of(b"P0\n"))
case("stack-empty", "input", "the stack is empty", of(b"0"))
case("stack-empty-top", "input", "the stack is empty", of(b"2"))
case("stack-under-mark", "input", "the stack is empty", of(b"K\1(Q"))
case("stack-tuple", "input", "the stack is empty", of(b"K\1\x86"))
case("stack-append", "input", "the stack is empty", of(b"K\1s"))
case("stack-left", "input", "1 values are left on the stack", of(b"K\1K\2"))
case("stack-mark-left", "input", "are left on the stack", of(b"(K\1"))
case("mark-missing", "input", "no mark on the stack", of(b"K\1t"))
case("memo-missing", "input", "memo 7 was not set", of(b"h\7"))
case("memo-hole", "input", "memo 1 was not set", of(EMPTY_LIST, put(5), get(1)))
case("memo-far", "input", "memo 4294967295 after", of(EMPTY_LIST, put(0xFFFFFFFF)))
case("memo-text", "input", "no index of the memo", of(EMPTY_LIST, b"p-1\n"))
case("memo-text-empty", "input", "no index of the memo", of(EMPTY_LIST, b"g\n"))
case("string-2-32", "input", "truncated: 4294967295 bytes are needed", of(b"X\xff\xff\xff\xff"))
case("string-2-63", "input", "truncated: 9223372036854775808 bytes are needed", of(b"\x8d" + struct.pack("<Q", 1 << 63)))
case("long-2-32", "input", "truncated: 4294967295 bytes are needed", of(b"\x8b\xff\xff\xff\xff"))
case("frame-2-63", "input", "a frame of 9223372036854775808 bytes", of(b"\x95" + struct.pack("<Q", 1 << 63)))
case("line-open", "input", "a line without an end", files(b"\x80\x02ctorch"))
case("line-integer", "input", "no integer", of(b"I \n"))
case("line-integer-spaces", "input", "no integer", of(b"I\n\n\n5\n"))
case("line-integer-tail", "input", "no integer", of(b"I5x\n"))
case("line-string", "input", "a string without quotes", of(b"Sx\n"))
case("dict-odd", "input", "a key without a value", of(EMPTY_DICT, b"(K\1u"))
case("dict-odd-collect", "input", "a key without a value", of(b"(K\1d"))
case("append-to-dict", "input", "what cannot hold them", of(EMPTY_DICT, b"K\1a"))
case("set-item-of-list", "input", "what cannot hold them", of(EMPTY_LIST, b"K\1K\2s"))
case("add-to-number", "input", "what cannot hold them", of(b"K\1(K\2\x90"))
case("global-of-numbers", "input", "a global whose name is no text", of(b"K\1K\2\x93"))
case("call-without-tuple", "input", "the arguments of a call are no tuple", of(world("torch", "Size"), EMPTY_LIST, REDUCE))
case("instance-without-tuple", "input", "the arguments of an instance are no tuple", of(world("user", "C"), EMPTY_LIST, NEWOBJ))
case("instance-of-number", "input", "an instance of what is no class", of(b"K\1", EMPTY_TUPLE, NEWOBJ))

# ---- bombs -----------------------------------------------------------------------------------------------------------------------------


def doubling(levels, leaf):
    """[[leaf, leaf], the same again] ...: 2^levels paths in a few bytes."""
    out = list_(leaf) + put(0)
    for level in range(1, levels + 1):
        out += b"0" + list_(get(level - 1), get(level - 1)) + put(level)
    return out


case("bomb-paths", "unsupported", "endless paths", of(doubling(40, EMPTY_LIST)))
case("bomb-tensors", "unsupported", "no end of tensors", of(doubling(11, tensor())))
case("bomb-stack", "unsupported", "more than 8388608 values on its stack", files(b"N" * (1 << 24), method=zipfile.ZIP_DEFLATED))
case("bomb-marks", "unsupported", "more than 65536 marks on its stack", files(b"(" * (1 << 24), method=zipfile.ZIP_DEFLATED))
case("bomb-values", "unsupported", "a pickle of more than 4194304 values", files(b")" * (1 << 23), method=zipfile.ZIP_DEFLATED))
case("bomb-wide", "unsupported", "endless paths", of(list_(*[NONE] * 2000), put(0), b"0", list_(*[get(0)] * 2000)))
case("bomb-names", "unsupported", "names are endless", of(text("n" * 900), put(0), b"0", tensor(), put(1), b"0", pairs(*[get(0) + get(1)] * 3000)))
case("bomb-depth", "unsupported", "nested more than 128 deep", of(EMPTY_LIST * 300, b"a" * 299))
case("bomb-module-state", "unsupported", "endless paths", of(pairs(*[number(i) + NONE for i in range(2000)]), put(0), b"0", MARK,
                                                            (world("u", "C") + EMPTY_TUPLE + NEWOBJ + get(0) + BUILD) * 2000, b"l"))
case("name-long", "unsupported", "name of more than 1024 bytes", of(pairs(text("n" * 1025) + tensor())))
case("name-nul", "unsupported", "a text with a NUL in it", of(pairs(text("a\0b") + tensor())))
case("name-utf-8", "input", "is no UTF-8", of(pairs(text(b"\xff") + tensor())))
case("name-twice", "input", 'tensor "a.b" is listed twice', of(dict_(**{"a.b": tensor(), "a": dict_(b=tensor())})))

# ---- tensors ---------------------------------------------------------------------------------------------------------------------------

case("storage-none", "input", 'tensor "w": its storage is none', one(store=NONE))
case("storage-module", "input", "its storage is none", one(store=tuple_(text("module"), NONE) + PERSID))
case("storage-no-tuple", "input", "its storage is none", one(store=number(1) + PERSID))
case("storage-class", "unsupported", "a storage of an unknown type", one(store=storage("StrangeStorage")))
case("storage-key", "input", "a storage whose key is no text", one(store=storage(key=number(0))))
case("storage-missing", "input", 'its storage "a/data/1" is not in the archive', one(store=storage(key="1")))
case("storage-outside", "input", "is not in the archive", one(store=storage(key="../data.pkl")))
case("storage-count", "input", "has 16 bytes, the pickle says 20", one(store=storage(count=5)))
case("storage-count-negative", "input", "a storage's number of elements is no whole number", one(store=storage(count=-1)))
case("storage-count-2-63", "input", "a storage of 4611686018427387904 elements", one(store=storage(count=1 << 62)))
case("storage-count-text", "input", "a storage's number of elements is no whole number", one(store=storage(count=text("4"))))
case("storage-method", "unsupported", 'its storage "a/data/0" is compressed by method 12', of(dict_(w=tensor()), methods={"data/0": zipfile.ZIP_BZIP2}))
case("offset-negative", "input", "its storage offset is no whole number", one(offset=number(-1)))
case("offset-past-end", "input", "it begins past the end of its storage of 16 bytes", one(offset=number(5)))
case("offset-2-62", "input", "it begins past the end of its storage", one(offset=number(1 << 62)))
case("size-list-of-text", "input", "shape is no whole number", one(size=tuple_(text("2"), number(2))))
case("size-negative", "input", "shape is no whole number", one(size=numbers(-2, 2)))
case("size-none", "input", "its shape is no tuple", one(size=NONE))
case("size-rank-9", "unsupported", "more than 8 axes", one(size=numbers(*[1] * 9), stride=numbers(*[1] * 9)))
case("size-2-63", "input", "reach past the end of its storage", one(size=numbers(1 << 62, 1 << 62), stride=numbers(0, 0)))
case("size-over", "input", "reach past the end of its storage", one(size=numbers(3, 2)))
case("size-over-offset", "input", "reach past the end of its storage", one(offset=number(1)))
case("stride-rank", "input", "2 axes and 1 strides", one(stride=numbers(1)))
case("stride-negative", "input", "stride is no whole number", one(stride=numbers(-2, 1)))
case("stride-over", "input", "reach past the end of its storage", one(stride=numbers(3, 1)))
case("stride-2-62", "input", "reach past the end of its storage", one(stride=numbers(1 << 62, 1 << 62)))
case("arguments-missing", "input", "its storage is none", of(dict_(w=call("torch._utils", "_rebuild_tensor_v2"))))
case("dtype-unknown", "unsupported", "an element type that is not known", one(function="_rebuild_tensor_v3", more=[FALSE, NONE, world("torch", "float7"), NONE]))
case("dtype-larger", "input", "reach past the end of its storage", one(storage("UntypedStorage", count=16), function="_rebuild_tensor_v3", more=[
    FALSE, NONE, world("torch", "float64"), NONE]))
case("from-type-recursive", "ok", "", of(dict_(w=call("torch._tensor", "_rebuild_from_type_v2", world("torch._tensor", "_rebuild_from_type_v2"), NONE, NONE, NONE))))
case("parameter-of-itself", "ok", "", of(EMPTY_LIST, put(0), call("torch._utils", "_rebuild_parameter", get(0), FALSE, NONE), b"a"))

# ---- quantised -------------------------------------------------------------------------------------------------------------------------

BYTES_ = {"data/0": bytes(4)}
AFFINE, CHANNEL = world("torch", "per_tensor_affine"), world("torch", "per_channel_affine")


def scales(kind="DoubleStorage", key="1", size=numbers(2), count=2):
    return tensor(storage(kind, key, count), size=size, stride=numbers(1))


def quantised_file(scheme, **how):
    return of(dict_(w=quantised(scheme, **how)), members=BYTES_ | {"data/1": bytes(16), "data/2": bytes(16)})


case("ok-quantised", "ok", "", quantised_file(tuple_(AFFINE, real(0.5), number(3))))
case("ok-quantised-channel", "ok", "", quantised_file(tuple_(CHANNEL, scales(), scales("LongStorage", "2"), number(1))))
case("ok-quantised-lists", "ok", "", quantised_file(tuple_(CHANNEL, list_(real(1), real(1)), list_(number(0), number(0)), number(0))))
case("ok-quantised-unknown", "ok", "", quantised_file(tuple_(world("torch", "per_block"), NONE)))
case("quantised-float", "input", "it is quantised to f32", of(dict_(w=quantised(tuple_(AFFINE, real(1), number(0)), storage()))))
case("quantised-scale", "input", "its scale or zero point is no number", quantised_file(tuple_(AFFINE, NONE, number(3))))
case("quantised-axis", "input", "its channel axis 2 is none of its 2", quantised_file(tuple_(CHANNEL, scales(), scales("LongStorage", "2"), number(2))))
case("quantised-channels", "input", "its scales are not one a channel", quantised_file(
    tuple_(CHANNEL, scales(size=numbers(1)), scales("LongStorage", "2"), number(1))))
case("quantised-scales-none", "input", "its scales are not one a channel", quantised_file(tuple_(CHANNEL, NONE, NONE, number(1))))
case("quantised-scales-quantised", "input", "its scales are quantised themselves", quantised_file(
    tuple_(CHANNEL, quantised(tuple_(AFFINE, real(1), number(0))), NONE, number(1))))

# ---- the archive -----------------------------------------------------------------------------------------------------------------------

case("big-endian", "unsupported", "big-endian data", of(dict_(w=tensor()), members={"byteorder": b"big"}))
case("no-root", "unsupported", "no data.pkl in its folder", of(EMPTY_DICT, root="a/b"))
case("constants-dict", "input", "the constants are no tuple", files(pickle(EMPTY_DICT), members={"constants.pkl": pickle(EMPTY_DICT)}))

# ---- legacy ----------------------------------------------------------------------------------------------------------------------------

case("legacy-cut-head", "input", "truncated", MAGIC)
case("legacy-protocol", "unsupported", "another protocol than 1001", legacy(protocol=pickle(number(1002))))
case("legacy-protocol-text", "unsupported", "another protocol than 1001", legacy(protocol=pickle(text("1001"))))
case("legacy-big-endian", "unsupported", "big-endian data", legacy(system=pickle(dict_(little_endian=FALSE))))
case("legacy-keys-dict", "input", "the storages' keys are no list", legacy(keys=pickle(EMPTY_DICT)))
case("legacy-key-number", "input", "a storage whose key is no text", legacy(keys=pickle(list_(number(0)))))
case("legacy-key-unknown", "input", 'storage "1" is listed, and no tensor says what it is', legacy(keys=pickle(list_(text("1")))))
case("legacy-key-twice", "input", 'storage "0" is listed twice', legacy(keys=pickle(list_(text("0"), text("0"))), data=(struct.pack("<Q", 4) + FLOATS) * 2))
case("legacy-key-missing", "input", 'its storage "0" is not in the file', legacy(keys=pickle(EMPTY_LIST), data=b""))
case("legacy-two-sizes", "input", 'storage "0" has two sizes', legacy(pickle(dict_(a=tensor(LEGACY_STORAGE), b=tensor(storage(count=8, view=NONE))))))
case("legacy-count", "input", 'storage "0" has 5 elements, the pickle says 4', legacy(data=struct.pack("<Q", 5) + FLOATS))
case("legacy-count-2-63", "input", 'storage "0" has 9223372036854775808 elements', legacy(data=struct.pack("<Q", 1 << 63) + FLOATS))
case("legacy-no-count", "input", 'nothing is left for storage "0"', legacy(data=b"\4\0\0"))
case("legacy-cut", "input", 'storage "0" has 16 bytes, the file has 15', legacy(data=struct.pack("<Q", 4) + FLOATS[:15]))
case("legacy-tail", "input", "1 bytes after the last storage", legacy(data=struct.pack("<Q", 4) + FLOATS + b"x"))
case("legacy-view-past-end", "input", "a view of a storage reaches past its end", legacy(pickle(dict_(w=tensor(storage(view=tuple_(text("v"), number(3), number(2))))))))
case("legacy-view-tensor", "input", "reach past the end of its storage", legacy(pickle(dict_(w=tensor(storage(view=tuple_(text("v"), number(2), number(2))))))))
case("pickle-alone", "unsupported", "a pickle that PyTorch did not write", pickle(dict_(w=number(1))))
case("tar", "unsupported", "looks like a tar archive (as PyTorch wrote before 0.1.10)", b"sys_info".ljust(257, b"\0") + b"ustar".ljust(255, b"\0"))


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
