# A short front for CMake and Ninja: `make` builds into build/, `make help` lists the rest.
BUILD ?= build
PREFIX ?= /opt/occlum
JOBS ?= $(shell nproc)
# A relative PREFIX is meant from here; blanks in it are part of the name.
abspath_prefix = $(if $(filter /%,$(PREFIX)),$(PREFIX),$(CURDIR)/$(PREFIX))
CTEST = ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --no-tests=error
LAUNCHER = $(if $(shell command -v ccache),-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)

all: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS)

$(BUILD)/build.ninja: ; @$(MAKE) --no-print-directory configure

# Again when packages were installed meanwhile: what was not found is looked for once more.
configure:
	@cmake -G Ninja -S . -B $(BUILD) $(LAUNCHER) '-DCMAKE_INSTALL_PREFIX=$(PREFIX)' $(CMAKE_FLAGS)

# What `occlum` needs to run, without the tests.
product: $(BUILD)/build.ninja
	@cmake --build $(BUILD) -j $(JOBS) --target occlum occlum-kernel.elf

help:
	@echo 'make               build everything into $(BUILD)/'
	@echo 'make product       the occlum command and the kernel alone, without the tests'
	@echo 'make test          all tests in their short form (what CI runs)'
	@echo 'make test-long     all tests in their long form (hours), then the unit tests with sanitizers'
	@echo 'make asan-test     the whole matrix on a kernel built with its address sanitizer'
	@echo 'make check         the style checks and clang-tidy'
	@echo 'make bench         the benchmark kit natively and inside, with ratios and targets'
	@echo 'make fuzz          the fuzzers, SECONDS=60 each'
	@echo 'make docs          the generated pages (docs/syscalls.md)'
	@echo 'make format        clang-format on the files that git sees as changed'
	@echo 'make install       into PREFIX=$(PREFIX)'
	@echo 'make clean         remove $(BUILD)/'

# Tests with the label "long" only run in the long form; OCCLUM_TEST_LONG makes the others take their long sizes.
test: all
	@$(CTEST) -LE long

test-long: all
	@OCCLUM_TEST_LONG=1 $(CTEST)
	@$(MAKE) --no-print-directory test-sanitize

test-sanitize:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-sanitize CMAKE_FLAGS=-DOCCLUM_SANITIZE=ON all
	@ctest --test-dir $(BUILD)-sanitize -j $(JOBS) --output-on-failure -L unit

# The kernel with its address sanitizer, in $(BUILD)/asan, and all of the matrix on it (docs/testing.md).
asan: all
	@tests/asan/asan_test.py kernel --build '$(BUILD)'

asan-test: all
	@$(CTEST) -L asan

check: all
	@tools/check.sh $(BUILD)

bench: product
	@benchmarks/bench.sh $(BUILD)

SECONDS ?= 60
fuzz: all
	@OCCLUM_FUZZ_SECONDS=$(SECONDS) $(CTEST) -L fuzz

docs: all
	@tools/gen_syscalls_doc.py

format:
	@git diff --name-only --diff-filter=AM HEAD -- '*.cc' '*.h' | xargs -r clang-format-14 -i

install: all
	@cmake --install '$(BUILD)' --prefix '$(abspath_prefix)'

clean:
	@rm -rf $(BUILD)

.PHONY: all product configure help test test-long test-sanitize asan asan-test check bench fuzz docs format install clean
