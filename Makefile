# weightmark: the two commands of a newcomer are `make demo` and `make test`; both install what they need. The build itself is CMake's.
BUILD ?= build
PREFIX ?= /usr/local
CMAKE_FLAGS ?=
JOBS ?= $(shell nproc)
# The system's tools, so that a Python environment's cmake of another version does not get in.
CMAKE ?= $(firstword $(wildcard /usr/bin/cmake) cmake)
CTEST ?= $(firstword $(wildcard /usr/bin/ctest) ctest)

all: build

help:
	@echo "make demo      train, mark, verify, attack on real data: a few minutes"
	@echo "make test      build and run the tests        make test-slow   the long ones too"
	@echo "make lint      style, static analysis, room law, documents"
	@echo "make sanitize  the tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make fuzz      fuzz the parsers (FUZZ_SECONDS=60 each, FUZZERS=\"fuzz_gguf ...\")"
	@echo "make bench     the table of bench/README.md"
	@echo "make install   PREFIX=/usr/local, DESTDIR="

$(BUILD)/build.ninja:
	@scripts/install-packages.sh build
	@$(CMAKE) -S . -B $(BUILD) -G Ninja -DWMK_TESTS=OFF -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CMAKE_FLAGS) >/dev/null

build: $(BUILD)/build.ninja
	@$(CMAKE) --build $(BUILD) -j $(JOBS)

demo:
	@scripts/install-packages.sh build demo
	@$(MAKE) --no-print-directory build
	@scripts/demo.sh $(BUILD)/cli/weightmark $(BUILD)/demo

configure-tests:
	@scripts/install-packages.sh build demo test $(SLOW_PACKAGES)
	@$(CMAKE) -S . -B $(BUILD) -G Ninja -DWMK_TESTS=ON -DWMK_WERROR=ON -DCMAKE_INSTALL_PREFIX=$(PREFIX) -DWMK_PYTHON=$$(scripts/python-for-tests.sh $(BUILD)) $(SLOW_FLAGS) $(CMAKE_FLAGS) >/dev/null

test: configure-tests
	@$(CMAKE) --build $(BUILD) -j $(JOBS)
	@$(CTEST) --test-dir $(BUILD) --output-on-failure -LE slow

test-slow: SLOW_FLAGS = -DWMK_PYTHON_SLOW=$$(scripts/python-for-tests.sh $(BUILD) slow)
test-slow: SLOW_PACKAGES = slow
test-slow: configure-tests
	@$(CMAKE) --build $(BUILD) -j $(JOBS)
	@$(CTEST) --test-dir $(BUILD) --output-on-failure

lint:
	@scripts/install-packages.sh build test lint
	@scripts/lint.sh $(BUILD)-lint

sanitize:
	@scripts/install-packages.sh build demo test
	@$(CMAKE) -S . -B $(BUILD)-sanitize -G Ninja -DWMK_SANITIZE=ON -DWMK_WERROR=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g" \
	  -DWMK_PYTHON=$$(scripts/python-for-tests.sh $(BUILD)) >/dev/null
	@$(CMAKE) --build $(BUILD)-sanitize -j $(JOBS)
	@ASAN_OPTIONS=allocator_may_return_null=1 $(CTEST) --test-dir $(BUILD)-sanitize --output-on-failure -LE 'slow|unsanitized'

FUZZ_SECONDS ?= 60
fuzz:
	@scripts/install-packages.sh build test lint
	@scripts/fuzz.sh $(BUILD)-fuzz $(FUZZ_SECONDS) $(FUZZERS)

bench:
	@scripts/install-packages.sh build demo test
	@$(CMAKE) -S . -B $(BUILD)-bench -G Ninja -DWMK_TESTS=OFF -DWMK_BENCH=ON >/dev/null
	@$(CMAKE) --build $(BUILD)-bench -j $(JOBS)
	@bench/run.sh $(BUILD)-bench

install: build
	@$(CMAKE) --install $(BUILD)

clean:
	rm -rf $(BUILD) $(BUILD)-sanitize $(BUILD)-lint $(BUILD)-fuzz $(BUILD)-bench

.PHONY: all help build demo configure-tests test test-slow lint sanitize fuzz bench install clean
