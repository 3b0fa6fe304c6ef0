"""While the program runs no core dump of it can be had, by an ordinary user or by root."""
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile

import pytest

import tools

NOBODY = 65534
CORES = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def as_user():
    """Options of Popen for an ordinary user: root has no place where it shows that a process is not dumpable."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def allow_cores():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


@pytest.fixture
def folder(made):
    """A folder that every user may look into, with a key and a pipe in the place of its passphrase."""
    path = tempfile.mkdtemp(prefix="wmk-core-")
    os.chmod(path, 0o777)
    shutil.copy(made / "own.key", path)
    os.chmod(os.path.join(path, "own.key"), 0o644)
    os.mkfifo(os.path.join(path, "pipe"))
    os.chmod(os.path.join(path, "pipe"), 0o666)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def running(folder):
    """The program, waiting for a passphrase."""
    try:
        process = subprocess.Popen([tools.PROGRAM, "key", "own.key", "--passphrase-file", "pipe"], cwd=folder, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, preexec_fn=allow_cores, **as_user())
    except PermissionError:
        pytest.skip("the program lies where an ordinary user cannot run it")
    pipe = os.open(os.path.join(folder, "pipe"), os.O_WRONLY) # returns when the program has opened it too
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            process.wait()
        os.close(pipe)


@contextlib.contextmanager
def control(folder):
    """A program that forbids nothing."""
    with subprocess.Popen(["sleep", "60"], cwd=folder, preexec_fn=allow_cores, **as_user()) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


def owner(process):
    """Of what the system shows of a process: root, where the process is not dumpable (proc(5))."""
    return os.stat(f"/proc/{process.pid}/maps").st_uid


def abort(process):
    """Ends it by a signal whose default is a core dump. Whether the system says that there was one."""
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -os.WTERMSIG(status)
    assert process.returncode == -signal.SIGABRT
    return os.WCOREDUMP(status)


def test_it_is_not_dumpable(folder):
    user = os.getuid() or NOBODY
    with control(folder) as process:
        if owner(process) != user:
            pytest.skip("the system does not show who owns a process")
    with running(folder) as process:
        assert owner(process) == 0


def test_its_limit_on_cores_is_zero(folder):
    with running(folder) as process, open(f"/proc/{process.pid}/limits", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("Max core file size"))
        assert line.split()[4:6] == ["0", "0"]


def test_it_leaves_no_core(folder):
    with control(folder) as process:
        if not abort(process):
            pytest.skip("the system writes no cores")
    with running(folder) as process:
        assert not abort(process)
    if os.getuid() != 0:
        return
    with running(folder) as process: # the limit is raised again, as only root can: the attribute alone forbids it too
        resource.prlimit(process.pid, resource.RLIMIT_CORE, CORES)
        assert not abort(process)
