#!/usr/bin/env python3
"""Makes the corpus of damaged Keras archives: hostile/ beside this file, one file a defect, and `expected`, one line a file: name <tab> status <tab> part of the message. The HDF5 inside
comes from ../hdf5/make_hostile.py. Run it again after a change here. Files whose status is "ok" are odd but sound, and must be read."""
import sys
import importlib.util
import io
import pathlib
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import corpus  # noqa: E402

HERE = pathlib.Path(__file__).parent / "hostile"
CASES = []
spec = importlib.util.spec_from_file_location("hdf5", pathlib.Path(__file__).parents[1] / "hdf5" / "make_hostile.py")
hdf5 = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hdf5)

SOUND = bytes(hdf5.one(hdf5.stored(24)))
LAYERS = b'{"class_name": "Functional", "config": {"name": "f", "layers": [{"class_name": "Dense", "config": {"name": "d"}}]}}'
METADATA = b'{"keras_version": "3.15.1", "date_saved": "2026-11-24", "x": [1, {"y": null}]}'


def case(name, status, text, data):
    CASES.append((name + ".keras", status, text, data))


def archive(weights=SOUND, config=LAYERS, metadata=METADATA, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in (("metadata.json", metadata), ("config.json", config), ("model.weights.h5", weights)):
            if data is not None:
                info = zipfile.ZipInfo(name)
                info.compress_type = method if name.endswith("h5") else zipfile.ZIP_STORED
                z.writestr(info, data)
    return out.getvalue()


case("ok", "ok", "", archive())
case("ok-no-metadata", "ok", "", archive(metadata=None))
case("ok-empty-config", "ok", "", archive(config=b"{}"))
case("ok-deep-config", "ok", "", archive(config=b'{"config":' * 100 + b"1" + b"}" * 100))
case("no-weights", "unsupported", "a Keras archive without model.weights.h5", archive(weights=None))
case("deflated", "unsupported", "model.weights.h5 is compressed in the archive", archive(weights=SOUND + bytes(500), method=zipfile.ZIP_DEFLATED))
case("weights-cut", "input", "model.weights.h5: truncated", archive(weights=SOUND[:-8]))
case("weights-text", "input", "model.weights.h5: no HDF5 signature", archive(weights=b"hello"))
case("weights-chunk", "input", 'model.weights.h5: tensor "w": a chunk outside of its shape',
     archive(weights=bytes(hdf5.one(hdf5.in_tree(lambda f: [(24, 0, (2, 0), f.add(hdf5.PLAIN))])))))
case("weights-lzf", "unsupported", 'model.weights.h5: tensor "w": filter 32000 (lzf)',
     archive(weights=bytes(hdf5.one(hdf5.stored(24), extra=[hdf5.message(11, hdf5.filters(32000))]))))
case("config-cut", "input", "config.json: ", archive(config=LAYERS[:-3]))
case("config-deep", "input", "nested too deeply", archive(config=b"[" * 5000))
case("config-twice", "input", "config.json: ", archive(config=LAYERS + LAYERS))
case("config-key", "input", "config.json: ", archive(config=b'{1: 2}'))
case("metadata-array", "input", "metadata.json: ", archive(metadata=b"[]"))
case("metadata-text", "input", "metadata.json: ", archive(metadata=b"hello"))
case("metadata-twice", "input", 'metadata "a" is listed twice', archive(metadata=b'{"a": "1", "a": "2"}'))
case("metadata-crc", "input", "metadata.json", archive().replace(b"3.15.1", b"3.15.2", 1))
case("archive-cut", "input", "zip", archive()[:-30])


def main():
    corpus.write(HERE, CASES)


if __name__ == "__main__":
    main()
