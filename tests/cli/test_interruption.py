"""Ctrl-C, SIGTERM and kill -9 at any moment: the output is whole or absent, what was there before is untouched, a checkpoint can be gone on from."""
import os
import signal
import subprocess
import time

import pytest

import tools
from tools import run

DELAYS = [0.005, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0]


def start(*arguments):
    return subprocess.Popen([tools.PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def stop_after(seconds, which, *arguments):
    """Exit code and stderr of a run that gets a signal after some time."""
    process = start(*arguments)
    time.sleep(seconds)
    process.send_signal(which)
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A model large enough that embedding takes a while."""
    folder = tmp_path_factory.mktemp("big")
    tools.write_big_model(folder / "big.safetensors", 12 << 20)
    run("keygen", "-o", folder / "big.key", "--model", folder / "big.safetensors")
    return folder


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=["ctrl-c", "term", "kill-9"])
def test_embed_is_cut_off(big, monkeypatch, which):
    monkeypatch.chdir(big)
    codes = []
    for delay in DELAYS:
        code, said = stop_after(delay, which, "embed", "big.safetensors", "--key", "big.key", "-o", "out.safetensors")
        codes.append(code)
        if code == 0: # it was faster
            run("verify", "out.safetensors", "--key", "big.key", out="^found: ")
            os.unlink("out.safetensors")
            continue
        assert code in (130, -which) if which != signal.SIGKILL else code == -9 # -which: before the program had begun
        if os.path.exists("out.safetensors"): # put in place, then cut off while it said so
            run("verify", "out.safetensors", "--key", "big.key", out="^found: ")
            os.unlink("out.safetensors")
        assert sorted(os.listdir()) == ["big.key", "big.safetensors"]
        if code == 130:
            assert "interrupted" in said
    assert any(codes), "no run was slow enough to be cut off"


def test_forced_embed_is_cut_off(big, monkeypatch):
    """With --force the old output stays until the new one is whole."""
    monkeypatch.chdir(big)
    open("out.safetensors", "w").write("precious")
    for delay in DELAYS[:4]:
        code, _ = stop_after(delay, signal.SIGKILL, "embed", "big.safetensors", "--key", "big.key", "-o", "out.safetensors", "--force")
        if code == 0:
            break
        assert open("out.safetensors").read() == "precious"
    os.unlink("out.safetensors")


TRAIN = ["train", "--host", "wrn-10-1", "--data", "data", "--batch", "8", "--threads", "1", "--checkpoint", "run.ckpt", "--checkpoint-seconds", "0.2",
         "--seed", "3", "--epochs"]


def steps_seen(process, count):
    """Waits until the training has printed `count` lines of progress."""
    for _ in range(count):
        assert "step" in process.stderr.readline()


@pytest.mark.training
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_train_is_cut_off_and_goes_on(data, which):
    run(*TRAIN, "8", "-o", "whole.safetensors", "--quiet")
    os.unlink("run.ckpt") if os.path.exists("run.ckpt") else None
    process = start(*TRAIN, "8", "-o", "cut.safetensors")
    steps_seen(process, 5) # half way
    deadline = time.time() + 60
    while not os.path.exists("run.ckpt") and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(which)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (130 if which == signal.SIGINT else -9), said
    assert sorted(os.listdir()) == ["data", "run.ckpt", "whole.safetensors"]
    if which == signal.SIGINT:
        assert "--resume" in said
    run(*TRAIN, "8", "-o", "cut.safetensors", "--resume", "--quiet")
    assert open("cut.safetensors", "rb").read() == open("whole.safetensors", "rb").read()


@pytest.mark.training
def test_interrupt_without_checkpoint(data):
    arguments = [a for a in TRAIN if a not in ("--checkpoint", "run.ckpt", "--checkpoint-seconds", "0.2")]
    process = start(*arguments, "50", "-o", "out.safetensors", "--history", "out.csv")
    steps_seen(process, 1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130 and "weightmark train: " in said
    assert os.listdir() == ["data"]


@pytest.mark.training
def test_checkpoint_of_another_run(data):
    process = start(*TRAIN, "50", "-o", "out.safetensors")
    steps_seen(process, 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert os.path.exists("run.ckpt")
    other = ["4" if a == "3" else a for a in TRAIN]
    run(*other, "50", "-o", "out.safetensors", "--resume", code=3, err="run.ckpt")
    os.truncate("run.ckpt", os.path.getsize("run.ckpt") // 2)
    run(*TRAIN, "50", "-o", "out.safetensors", "--resume", code=3, err="run.ckpt")
    assert not os.path.exists("out.safetensors")
