"""What is written appears whole or not at all, replaces nothing unasked, and a write that fails is never a success."""
import os
import resource
import shutil
import subprocess

import pytest

import tools
from tools import run

WRITERS = {
    "keygen": ["keygen", "--model", "m.safetensors"],
    "embed": ["embed", "m.safetensors", "--key", "own.key"],
    "attack": ["attack", "prune", "m.safetensors", "--rate", "0.5"],
    "report": ["report", "marked.safetensors", "--key", "own.key", "--quiet"],
    "train": ["train", "--host", "wrn-10-1", "--data", "data", "--epochs", "0.1", "--batch", "8", "--quiet"],
}
TRAINING = {"attack", "report", "train"}
all_writers = pytest.mark.parametrize("writer", [pytest.param(w, marks=[pytest.mark.training] if w in TRAINING else []) for w in WRITERS])


@all_writers
def test_existing_output_is_kept(marked, data, writer):
    open("out", "w").write("precious")
    run(*WRITERS[writer], "-o", "out", code=3, err="out: exists.*--force")
    assert open("out").read() == "precious"
    run(*WRITERS[writer], "-o", "out", "--force")
    assert os.path.getsize("out") > 100 and not tools.leftovers()


@all_writers
@pytest.mark.parametrize("place", ["no/such/folder/out", "m.safetensors/out", "data", "/dev/full", "/dev/null"])
def test_unwritable_output(marked, data, writer, place):
    before = sorted(os.listdir())
    run(*WRITERS[writer], "-o", place, "--force", code=3, err=place)
    assert sorted(os.listdir()) == before and os.path.exists("/dev/full")


def as_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@all_writers
def test_read_only_folder(marked, data, writer, tmp_path):
    """Root may write anywhere, so the program runs as nobody."""
    options = {}
    if os.geteuid() == 0:
        options["preexec_fn"] = as_nobody
        for folder in [tmp_path, *tmp_path.parents][:-2]: # pytest's folders are closed to others
            os.chmod(folder, 0o755)
        os.chmod("own.key", 0o644)
        options["executable"] = shutil.copy(tools.PROGRAM, tmp_path / "weightmark") # the original may lie in a closed folder, too
    os.mkdir("closed")
    os.chmod("closed", 0o555)
    run(*WRITERS[writer], "-o", "closed/out", code=4, err="closed/out.*Permission denied", **options)
    assert os.listdir("closed") == []


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))


@all_writers
def test_full_disk(marked, data, writer):
    """A limit on the size of files stands in for a full disk: the write fails half way."""
    if writer == "keygen": # a key is smaller than any limit that lets others run
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    else:
        limit = small_files
    before = sorted(os.listdir())
    run(*WRITERS[writer], "-o", "out", code=4, err="out|File too large", preexec_fn=limit)
    assert sorted(os.listdir()) == before
    open("out", "w").write("precious")
    run(*WRITERS[writer], "-o", "out", "--force", code=4, preexec_fn=limit)
    assert open("out").read() == "precious" and not tools.leftovers()


@pytest.fixture
def full_tmpfs(scratch):
    """A file system of 64 KiB."""
    os.mkdir("small")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "small"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no right to mount a file system")
    yield "small"
    subprocess.run(["umount", "small"], check=True)


def test_full_file_system(marked, full_tmpfs):
    tools.write_big_model("big.safetensors", 1 << 18)
    run("keygen", "-o", "big.key", "--model", "big.safetensors")
    run("embed", "big.safetensors", "--key", "big.key", "-o", "small/out", code=4, err="small/out.*No space left")
    assert os.listdir("small") == []


SPEAKERS = {
    "verify": ["verify", "marked.safetensors", "--key", "own.key"],
    "verify_json": ["verify", "marked.safetensors", "--key", "own.key", "--json"],
    "inspect": ["inspect", "m.safetensors"],
    "key": ["key", "own.key"],
    "extract": ["extract", "marked.safetensors", "--key", "own.key"],
    "help": ["--help"],
    "version": ["--version"],
}


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_standard_output_full(marked, speaker):
    with open("/dev/full", "w") as full:
        run(*SPEAKERS[speaker], stdout=full, code=4, err="standard output: No space left on device")


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_pipe_closed_early(marked, speaker):
    """As in `weightmark ... | head -c0`: a write error, not a silent death by signal."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as pipe:
        run(*SPEAKERS[speaker], stdout=pipe, code=4, err="standard output: Broken pipe")


def test_standard_output_closed(marked):
    """Started with no stdout at all: the verdict could not be said, so it is no success."""
    done = subprocess.run(["sh", "-c", f"exec {tools.PROGRAM} verify marked.safetensors --key own.key >&-"], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4 and "standard output: " in done.stderr


@pytest.mark.parametrize("writer", ["keygen", "embed"])
def test_no_standard_streams_at_all(marked, writer):
    """With descriptors 0 to 2 closed an output file must not become standard output."""
    command = f"exec {tools.PROGRAM} {' '.join(WRITERS[writer])} -o out --json <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command]).returncode == 4
    assert not os.path.exists("out") or b"key_id" not in open("out", "rb").read()[:20]
