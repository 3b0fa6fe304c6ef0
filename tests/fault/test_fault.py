#!/usr/bin/env python3
"""Every allocation and every write of keygen, verify and embed fails once, one a run. Usage: test_fault.py WEIGHTMARK FAULT_SO [--every N]

A run in which something failed must end with exit code 4 and one line on standard error, or as if nothing had happened (a fault may be harmless); never by a signal. The output
is then absent, as it was, or complete; the inputs are as they were; no temporary file stays. --every N tries only every N-th allocation (for slow builds)."""
import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

SYSTEM = 4
SHOWN = int(os.environ.get("WMK_FAULT_SHOWN", "20"))
failures = []


def write_model(path):
    """A small safetensors file: a convolution and a linear layer of normal values."""
    rng = random.Random(7)
    header, data = {}, b""
    for name, shape in (("conv2.0.conv2.weight", (8, 8, 3, 3)), ("fc.weight", (10, 64)), ("fc.bias", (10,))):
        count = 1
        for n in shape:
            count *= n
        block = struct.pack(f"<{count}f", *(rng.gauss(0, 0.1) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Case:
    """A command, the files it reads, and the one it writes (None: none). prepared: what is at the output's place before."""

    def __init__(self, name, arguments, inputs, output=None, prepared=None, same_output=True):
        self.name, self.arguments, self.inputs, self.output = name, arguments, inputs, output
        self.prepared, self.same_output = prepared, same_output


class Runner:
    def __init__(self, binary, shim, folder):
        self.binary, self.shim, self.folder = binary, shim, folder
        self.log = folder.parent / "fault-log"

    def run(self, case, fault=None):
        if case.output:
            case.output.unlink(missing_ok=True)
            if case.prepared is not None:
                case.output.write_bytes(case.prepared)
        self.log.unlink(missing_ok=True)
        env = dict(os.environ, OMP_NUM_THREADS="1")
        if fault:
            env.update(LD_PRELOAD=str(self.shim), WMK_FAULT=fault, WMK_FAULT_LOG=str(self.log))
        done = subprocess.run([self.binary, *map(str, case.arguments)], env=env, capture_output=True, timeout=120, cwd=self.folder)
        return done, case.output.read_bytes() if case.output and case.output.exists() else None

    def check(self, case, fault, good, inputs):
        """Runs with a fault. False: it was past the last call."""
        done, output = self.run(case, fault)
        if not self.log.exists():
            return False
        good_done, good_output = good

        def complain(what):
            failures.append(f"{case.name} {fault}: {what}; exit code {done.returncode}, said {done.stderr.decode(errors='replace')!r}")

        if done.returncode not in (SYSTEM, good_done.returncode):
            complain("ends neither well nor as a system failure")
        if done.returncode == SYSTEM and (done.stderr.count(b"\n") != 1 or not done.stderr.endswith(b"\n")):
            complain("does not say one line")
        if done.returncode == good_done.returncode and case.same_output and done.stdout != good_done.stdout:
            complain("ends well and says something else on standard output")
        whole = good_output is not None and output is not None and (output == good_output if case.same_output else len(output) == len(good_output))
        if done.returncode == good_done.returncode and case.output and not whole:
            complain("ends well without its whole output")
        if done.returncode == SYSTEM and case.output and output != case.prepared and not whole:
            complain("leaves half an output")
        for path, data in inputs.items():
            if path != case.output and path.read_bytes() != data:
                complain(f"changed its input {path.name}")
        for path in self.folder.glob(".wmk-*"):
            complain(f"leaves {path.name}")
            path.unlink()
        return True

    def check_all(self, case, every):
        inputs = {path: path.read_bytes() for path in case.inputs}
        good = self.run(case)
        if good[0].returncode not in (0, 1):
            failures.append(f"{case.name}: fails without a fault: {good[0].stderr.decode(errors='replace')}")
            return
        counts = []
        for kind, step in (("alloc", every), ("write", 1), ("short", 1)):
            n = 1
            while self.check(case, f"{kind}:{n}", good, inputs) and n < 1_000_000:
                n += step
            counts.append(f"{kind} {(n - 1) // step}")
        print(f"{case.name}: {', '.join(counts)} faults")
        if counts[0] == "alloc 0" or (case.output and counts[1] == "write 0"):
            failures.append(f"{case.name}: no fault was given; is the shim loaded?")
        if case.output:
            case.output.unlink(missing_ok=True)


def timestamp_cases(binary, folder, model, key, marked):
    """A key is stamped, and its date is read. Nothing where there is no openssl to play the authority, or no libcrypto in the program."""
    if not shutil.which("openssl"):
        print("SKIPPED: time stamps: the program openssl is not installed")
        return []
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "cli"))
    from tsa import Authority
    authority = Authority(folder.parent / "tsa")
    authority.certify()
    request, answer, stamped = (folder / n for n in ("k.tsq", "k.tsr", "stamped.json"))
    subprocess.run([binary, "key", key, "--timestamp-request", request], check=True, capture_output=True)
    authority.answer(request, answer)
    shutil.copy(key, stamped)
    store = ["--timestamp", answer, "--ca", authority.ca]
    done = subprocess.run([binary, "key", stamped, *store], capture_output=True)
    if b"no time stamps" in done.stderr:
        print("SKIPPED: time stamps: built without libcrypto")
        return []
    again, plain = folder / "again.json", folder / "again.tsq"
    return [
        Case("key --timestamp-request", ["key", key, "--timestamp-request", plain], [key], plain, same_output=False),
        Case("key --timestamp", ["key", again, *store], [key, answer], again, prepared=key.read_bytes()),
        Case("key --ca", ["key", stamped, "--ca", authority.ca], [stamped]),
        Case("verify --ca", ["verify", marked, "--key", stamped, "--ca", authority.ca, "--json"], [stamped, marked]),
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("shim", type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    place = pathlib.Path(tempfile.mkdtemp(prefix="wmk-fault-"))
    folder = place / "work"
    folder.mkdir()
    model, key, marked, own = (folder / n for n in ("m.safetensors", "k.json", "marked.safetensors", "own.safetensors"))
    write_model(model)
    subprocess.run([options.binary, "keygen", "-o", key, "--model", model, "--target", "all", "--bits", "32"], check=True, capture_output=True)
    subprocess.run([options.binary, "embed", model, "--key", key, "-o", marked, "--margin", "2"], check=True, capture_output=True)
    mean_key = folder / "mean.json"
    mean = ["--target", "conv2.0.conv2.weight", "--bits", "16"]
    subprocess.run([options.binary, "keygen", "-o", mean_key, "--model", model, *mean], check=True, capture_output=True)
    new_key, new_model = folder / "new.json", folder / "new.safetensors"
    runner = Runner(options.binary, options.shim, folder)
    cases = [
        Case("keygen", ["keygen", "-o", new_key, "--model", model, "--target", "all", "--bits", "32"], [model], new_key, same_output=False),
        Case("verify", ["verify", marked, "--key", key, "--json"], [marked, key]),
        Case("verify unmarked", ["verify", model, "--key", key, "--json"], [model, key]),
        Case("embed", ["embed", model, "--key", key, "-o", new_model, "--margin", "2"], [model, key], new_model),
        Case("verify mean", ["verify", model, "--key", mean_key], [model, mean_key]),
        Case("embed mean", ["embed", model, "--key", mean_key, "-o", new_model, "--margin", "1"], [model, mean_key], new_model),
        Case("embed over", ["embed", model, "--key", key, "-o", new_model, "--margin", "2", "--force"], [model, key], new_model, prepared=b"an older file"),
        Case("embed in place", ["embed", own, "--key", key, "-o", own, "--margin", "2", "--force"], [key], own, prepared=model.read_bytes()),
    ]
    for case in cases + timestamp_cases(options.binary, folder, model, key, marked):
        runner.check_all(case, options.every)
    for line in failures[:SHOWN]:
        print("FAILED", line)
    if len(failures) > SHOWN:
        print(f"... and {len(failures) - SHOWN} more")
    shutil.rmtree(place)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
