"""Writes a folder of damaged files and beside them `expected`, which tests/model/test_hostile.c reads."""


def write(folder, cases):
    """cases: (file name, status, part of the message, bytes), each name once. What else lies in the folder goes."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    assert len({name for name, _, _, _ in cases}) == len(cases)
    for name, _, _, data in cases:
        (folder / name).write_bytes(data)
    (folder / "expected").write_text("".join(f"{name}\t{status}\t{text}\n" for name, status, text, _ in cases))
