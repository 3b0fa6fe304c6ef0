import sys

sys.dont_write_bytecode = True


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: minutes; run by ctest under the label slow")
