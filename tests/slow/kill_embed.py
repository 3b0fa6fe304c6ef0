#!/usr/bin/env python3
"""kill -9 and a full disk at random moments of `weightmark embed`. Usage: kill_embed.py WEIGHTMARK FOLDER [RUNS]

RUNS (default 200) runs are killed, half of them over a single file and half over a folder of shards, half of them with nothing at the output's place and half (--force) with an older
marked copy. After each: the output is absent, or as it was, or complete (byte for byte what an undisturbed run writes); the input has its old hash; what else lies in the folder
is counted as leftovers and begins with ".wmk-". Then a small disk is filled to every degree: a run must end with exit code 4 and leave nothing, or succeed.
Prints the figures; exit status 1 when something was broken, 77 when no small disk can be made (and all else held)."""
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time

import numpy

program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
runs = int(sys.argv[3]) if len(sys.argv) > 3 else 200
SHARDS, ROWS, COLUMNS = 4, 1024, 2048 # 32 MB of f32
broken = []


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in tensors.values()))


def write_inputs():
    rng = numpy.random.default_rng(11)
    layers = {f"layer{i}.weight": rng.normal(0, 0.05, (ROWS, COLUMNS)).astype("<f4") for i in range(SHARDS)}
    write_safetensors(folder / "single.safetensors", layers)
    shards = folder / "shards"
    shards.mkdir()
    names = [f"model-{i + 1:05}-of-{SHARDS:05}.safetensors" for i in range(SHARDS)]
    for name, (layer, array) in zip(names, layers.items()):
        write_safetensors(shards / name, {layer: array})
    (shards / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 4 * ROWS * COLUMNS * SHARDS}, "weight_map": dict(zip(layers, names))}))
    (shards / "config.json").write_text('{"model_type": "none"}\n')
    (shards / "tokenizer").mkdir()
    (shards / "tokenizer" / "vocab.txt").write_text("a\nb\n")


def digest(path):
    """Of a file, or of all a folder holds with the names; None: nothing there."""
    if not os.path.lexists(path):
        return None
    if path.is_file():
        return hashlib.blake2b(path.read_bytes()).hexdigest()
    parts = sorted((str(p.relative_to(path)), digest(p) if p.is_file() else "folder") for p in path.rglob("*"))
    return hashlib.blake2b(repr(parts).encode()).hexdigest()


def weightmark(*arguments, **options):
    return subprocess.run([program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=600, **options)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


class Case:
    """A model, its key, and what an undisturbed run writes: `new`; `old`: another sound copy, to be replaced."""

    def __init__(self, name):
        self.input = folder / name
        self.key = folder / f"{name}.key"
        self.work = folder / f"work-{name}"
        self.work.mkdir()
        self.output = self.work / "out"
        self.old = folder / f"old-{name}"
        self.command = ["embed", self.input, "--key", self.key, "-o", self.output]
        assert weightmark("keygen", "--model", self.input, "--bits", 64, "-o", self.key).returncode == 0
        assert weightmark("embed", self.input, "--key", self.key, "-o", self.old, "--margin", 4).returncode == 0
        self.input_digest, self.old_digest = digest(self.input), digest(self.old)
        begin = time.monotonic()
        done = weightmark(*self.command)
        self.seconds = time.monotonic() - begin
        assert done.returncode == 0, done.stderr
        assert weightmark("verify", self.output, "--key", self.key).returncode == 0
        self.new_digest = digest(self.output)
        assert self.new_digest not in (self.old_digest, self.input_digest)
        remove(self.output)

    def prepare(self, forced):
        remove(self.output)
        if forced:
            (shutil.copytree if self.old.is_dir() else shutil.copy)(self.old, self.output)

    def check(self, what, forced):
        """'before' or 'complete': what is at the output's place. Leftovers are removed and counted."""
        now, before = digest(self.output), self.old_digest if forced else None
        if now not in (before, self.new_digest):
            broken.append(f"{what}: the output is neither as it was nor complete")
        if digest(self.input) != self.input_digest:
            broken.append(f"{what}: the input has changed")
        left = [p for p in self.work.iterdir() if p != self.output]
        if any(not p.name.startswith(".wmk-") for p in left):
            broken.append(f"{what}: {[p.name for p in left]} lie beside the output")
        for path in left:
            remove(path)
        return "complete" if now == self.new_digest else "before", len(left)


def kill_runs(case, count, forced, rng):
    tally = {"before": 0, "complete": 0}
    leftovers = ended = 0
    for run in range(count):
        case.prepare(forced)
        process = subprocess.Popen([program, *map(str, case.command), *(["--force"] if forced else [])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Every second run is aimed at the end, where files are put in place.
        time.sleep(rng.uniform(0.7, 1.6) * case.seconds if run % 2 == 0 else rng.uniform(0, 1.5) * case.seconds)
        ended += process.poll() is not None
        process.send_signal(signal.SIGKILL)
        process.wait()
        state, left = case.check(f"{case.input.name}, kill {run}", forced)
        tally[state] += 1
        leftovers += left
    print(f"kill -9, {case.input.name}{' over an older copy' if forced else ''}: {count} runs ({case.seconds:.2f} s each if left alone): output {'as before' if forced else 'absent'} "
          f"{tally['before']} times, complete {tally['complete']} times ({ended} had ended by themselves); leftovers {leftovers}", flush=True)
    return tally["before"], tally["complete"]


def full_disk(case, disk, free):
    """A run on a disk with `free` bytes left: what it says, and what it leaves."""
    for path in disk.iterdir():
        remove(path)
    case.work, case.output = disk / "work", disk / "work" / "out"
    case.work.mkdir()
    case.command[-1] = case.output
    filler = disk / "filler"
    space = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(space - free, 4096))
    done = weightmark(*case.command)
    what = f"{case.input.name}, {free} bytes free"
    state, left = case.check(what, False)
    if left:
        broken.append(f"{what}: leftovers")
    if (done.returncode, state) not in ((0, "complete"), (4, "before")) or (done.returncode == 4 and "No space left on device" not in done.stderr):
        broken.append(f"{what}: exit code {done.returncode}, output {state}: {done.stderr}")
    return done.returncode == 0


def full_disk_runs(cases, rng):
    disk = folder / "disk"
    disk.mkdir()
    size = 4 * ROWS * COLUMNS * SHARDS
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={2 * size}", "none", disk], stderr=subprocess.DEVNULL).returncode != 0:
        print("full disk: skipped, a small disk cannot be mounted here")
        return False
    try:
        for case in cases:
            amounts = [0, 4096, size // 2, size, size + (64 << 10), size + (1 << 20)] + [rng.randrange(size + (1 << 18)) for _ in range(14)]
            ended_well = sum(full_disk(case, disk, free) for free in amounts)
            print(f"full disk, {case.input.name}: {len(amounts)} runs with 0 to {amounts[5]} bytes free: {ended_well} complete, the others refused with nothing left", flush=True)
    finally:
        subprocess.run(["umount", disk], check=True)
    return True


def file_limit(case, rng):
    """No file may grow beyond a limit: the disk's stand-in where nothing can be mounted."""
    for limit in (0, 4096, 1 << 20, rng.randrange(8 << 20), rng.randrange(8 << 20)):
        case.prepare(False)
        done = weightmark(*case.command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        state, left = case.check(f"{case.input.name}, files of at most {limit} bytes", False)
        if done.returncode != 4 or state != "before" or left:
            broken.append(f"{case.input.name}, files of at most {limit} bytes: exit code {done.returncode}, output {state}, {left} leftovers: {done.stderr}")
    print(f"files limited in size, {case.input.name}: 5 runs refused with nothing left", flush=True)


def main():
    seed = int(os.environ.get("WMK_SEED", time.time_ns() % 1_000_000))
    print(f"WMK_SEED={seed}")
    rng = random.Random(seed)
    remove(folder)
    folder.mkdir(parents=True)
    write_inputs()
    cases = [Case("single.safetensors"), Case("shards")]
    quarter = max(1, runs // 4)
    before = complete = 0
    for case in cases:
        for forced in (False, True):
            absent, whole = kill_runs(case, quarter, forced, rng)
            before, complete = before + absent, complete + whole
    for case in cases:
        file_limit(case, rng)
    had_disk = full_disk_runs(cases, rng)
    if runs >= 100 and (before < runs // 10 or complete < runs // 50):
        broken.append(f"the moments were badly chosen: {before} runs before the end, {complete} after it")
    remove(folder)
    for line in broken[:20]:
        print("BROKEN:", line)
    sys.exit(1 if broken else 0 if had_disk else 77)


main()
