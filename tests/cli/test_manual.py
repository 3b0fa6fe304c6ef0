"""The man pages, completions and help come from one table: what is in git is what the program prints, and each works."""
import os
import re
import shutil
import subprocess

import pytest

import tools
from tools import run

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def commands():
    block = run("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  ([a-z]+) ", block, re.M)


@pytest.mark.training
def test_files_in_git_are_up_to_date(scratch):
    subprocess.run([os.path.join(ROOT, "docs/man/update.sh"), tools.PROGRAM, "."], check=True)
    for folder in ("docs/man", "completions"):
        kept = {n for n in os.listdir(os.path.join(ROOT, folder)) if not n.endswith(".sh")}
        assert kept == set(os.listdir(folder)), "run docs/man/update.sh"
        for name in kept:
            assert open(os.path.join(ROOT, folder, name)).read() == open(os.path.join(folder, name)).read(), f"{folder}/{name}: run docs/man/update.sh"


def test_every_option_is_explained(scratch):
    for command in commands():
        page = run("help", command, "--man").stdout.replace("\\-", "-")
        text = run("help", command).stdout
        for option in set(re.findall(r"--[a-z][a-z0-9-]*", text.split("\n\n")[0])):
            assert re.search(rf"^\.B .*{option}\b", page, re.M), f"{command} {option} is not in the man page"
            assert re.search(rf"^ +(-., )?{option}\b", text, re.M), f"{command} {option} is not in --help"
        assert ".SH EXAMPLES" in page


def test_help_fits_the_terminal(scratch):
    for command in commands():
        for line in run("help", command).stdout.splitlines():
            assert len(line) <= 100 or line.startswith("  weightmark") or line.startswith("  # "), line
            assert line == line.rstrip()


def test_pages_render(scratch):
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    for command in ["", *commands()]:
        page = run("help", *filter(None, [command]), "--man").stdout
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, text=True, stderr=subprocess.PIPE)
        assert done.returncode == 0 and done.stderr == "", done.stderr


def complete(line, scratch):
    script = run("help", "--completion", "bash").stdout
    words = line.split(" ")
    program = f"""{script}
COMP_WORDS=({' '.join(f"'{w}'" for w in words)}); COMP_CWORD={len(words) - 1}; COMPREPLY=()
_weightmark; printf '%s\\n' "${{COMPREPLY[@]}}" """
    return subprocess.run(["bash", "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout.split()


def test_bash_completion(scratch):
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    assert complete("weightmark ver", scratch) == ["verify"]
    assert "--threshold-bits" in complete("weightmark verify m --t", scratch)
    assert complete("weightmark keygen --scheme p", scratch) == ["partition"]
    assert complete("weightmark keygen --scheme=", scratch) == []
    assert complete("weightmark verify m", scratch) == [] # file names are bash's own


@pytest.mark.parametrize("shell,check", [("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])])
def test_other_completions_parse(scratch, shell, check):
    open("script", "w").write(run("help", "--completion", shell).stdout)
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    subprocess.run([*check, "script"], check=True)


def test_examples_name_real_options(scratch):
    """Every example in --help parses as far as its options go: none is unknown."""
    for command in commands():
        text = run("help", command).stdout
        for example in re.findall(r"^  (weightmark [a-z]+ .*?)(?: \||$)", text.split("Examples:\n")[1], re.M):
            words = example.split()
            known = set(re.findall(r"--[a-z][a-z0-9-]*", run("help", words[1]).stdout))
            for word in words[2:]:
                if word.startswith("--"):
                    assert word.split("=")[0] in known, example
