#!/usr/bin/env python3
"""Makes tests/model/zip/reference.zip and streamed.zip with Python's zipfile: the archives test_zip.c changes. Streamed: sizes follow the data, in 32 and 64 bits."""
import io
import pathlib
import zipfile

HERE = pathlib.Path(__file__).parent


class Pipe(io.BytesIO):
    """What zipfile cannot seek in gets descriptors."""

    def seekable(self):
        return False

    def tell(self):
        raise io.UnsupportedOperation

    def seek(self, *_):
        raise io.UnsupportedOperation


def content(index):
    return bytes((i // (8 + index) + index) % 251 for i in range(40000 if index == 6 else 100 + 37 * index))


def fill(archive):
    for i in range(8):
        info = zipfile.ZipInfo(f"folder/{i}", (2000 + i, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED if i % 3 else zipfile.ZIP_STORED
        with archive.open(info, "w", force_zip64=i % 4 == 3) as member:
            member.write(content(i))
    archive.comment = b"the comment stays"


def main():
    with zipfile.ZipFile(HERE / "reference.zip", "w") as archive:
        fill(archive)
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        fill(archive)
    (HERE / "streamed.zip").write_bytes(pipe.getvalue())


if __name__ == "__main__":
    main()
