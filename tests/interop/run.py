#!/usr/bin/env python3
"""run.py FILE [PYTEST-ARGUMENT...]: one file of tests under pytest. Ends with 77 (ctest: skipped) when nothing ran but skips, each named."""
import sys

SKIPPED = 77
try:
    import pytest
except ModuleNotFoundError as error:
    print(f"skipped: {sys.argv[1]}: {error}")
    sys.exit(SKIPPED)


class Counter:
    passed = skipped = 0

    def pytest_runtest_logreport(self, report):
        self.passed += report.when == "call" and report.passed
        self.skipped += report.skipped

    def pytest_collectreport(self, report):
        self.skipped += report.skipped


counter = Counter()
status = int(pytest.main(["-q", "-rs", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[counter]))
if status in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and counter.skipped and not counter.passed:
    status = SKIPPED
sys.exit(status)
