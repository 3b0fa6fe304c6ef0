#!/bin/sh
# Prints the Python that the interoperability tests use: a virtual environment in BUILD with the reference safetensors library from PyPI, over the
# system's torch and numpy. Without a network the system's own Python is used, and the tests that need the library say that they are skipped.
set -eu
build=$1
venv=$build/python
mkdir -p "$build"
if [ ! -e "$venv/ready" ]; then
    system=/usr/bin/python3 # the one whose site-packages the system's packages are in
    [ -x $system ] || system=python3
    $system -m venv --system-site-packages "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'safetensors>=0.4,<1' >&2 && touch "$venv/ready" || echo "python-for-tests: PyPI was not reached" >&2
fi
echo "$(cd "$venv/bin" && pwd)/python" # ctest runs it from other folders
