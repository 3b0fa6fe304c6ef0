#!/bin/sh
# Prints the Python that a group of tests uses: a virtual environment in BUILD with that group's packages (scripts/python-packages.txt) from PyPI.
# default: over the system's packages, whose numpy stays as it is, because the system's torch goes with no other. slow: on its own, with the newest torch.
# Without a network what could not be fetched is missing; the tests that need it say that they are skipped. Usage: scripts/python-for-tests.sh BUILD [default|slow]
set -eu
build=$1 group=${2:-default}
here=$(dirname "$0")
venv=$build/python
[ "$group" = default ] || venv=$venv-$group
mkdir -p "$build"
wanted=$(sed -n "s/^$group \([^#]*[^# ]\).*/\1/p" "$here/python-packages.txt")
system=/usr/bin/python3 # the one whose site-packages the system's packages are in
[ -x $system ] || system=python3

# fetch REQUIREMENT...: false when one of them cannot be had.
fetch() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 30 --constraint "$venv/constraints" $index "$@" >&2
}

if [ "$(cat "$venv/ready" 2>/dev/null)" != "$wanted" ]; then
    index=
    if [ "$group" = default ]; then
        $system -m venv --system-site-packages "$venv" >&2 || { echo "python-for-tests: no virtual environment could be made" >&2; echo "$system"; exit 0; }
        "$venv/bin/python" -c 'import numpy; print("numpy==" + numpy.__version__)' >"$venv/constraints" 2>/dev/null || :
    else
        $system -m venv "$venv" >&2 || { echo "python-for-tests: no virtual environment could be made" >&2; echo "$system"; exit 0; }
        : >"$venv/constraints"
        index="--extra-index-url https://download.pytorch.org/whl/cpu" # torch without 3 GB for graphics cards, where that place can be reached
    fi
    echo "fetching Python packages ($group)" >&2
    if fetch $wanted; then
        echo "$wanted" >"$venv/ready"
    elif fetch --force-reinstall --no-deps safetensors; then # one of them is not to be had: the others still are
        for requirement in $wanted; do fetch "$requirement" || echo "python-for-tests: $requirement cannot be had here" >&2; done
        echo "$wanted" >"$venv/ready"
    else
        echo "python-for-tests: PyPI was not reached" >&2
    fi
fi
echo "$(cd "$venv/bin" && pwd)/python" # ctest runs it from other folders
