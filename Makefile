# make serve        install what is missing and start the server with the demo programme
# make test         install what the tests need and run all of them, after format, lint, types and imports
# make check        format, lint, types, imports, unit and loopback tests
# make docs         build the documentation site into build/docs; any warning is an error
# make wheels       build the wheels and the source distribution into dist; make wheels ARGS="linux-x64 sdist" for some
# make sdk          build archives with the C library and everything it needs into dist; make sdk ARGS=windows-x64 for one
# make format       rewrite Python with ruff and C with clang-format
# make attack       run the attack programs against a server on this machine and print what they measured
# make bench        run the benchmarks
# make fuzz         run each fuzzer of the core for ten minutes; make fuzz ARGS=60 for one minute
# make unattended   run a server with 20 players and 5 publishers for an hour while something fails every 30 seconds; make
#                   unattended ARGS=2 for two minutes
# make screenshot   take the README's screenshot of the page (docs/images/page.png)
# make conformance  update the index of tests in docs/conformance.md
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# make serve ARGS="song.mp3 --port 9000"   make test ARGS="tests/unit -k sdp"   make bench ARGS=timing
ARGS   ?=

CORE    = src/bass_webrtc/core
INPUTS  = pyproject.toml setup.py $(wildcard $(CORE)/*.h) $(CORE)/build_core.py \
          $(filter-out $(CORE)/_core.c,$(wildcard $(CORE)/*.c))

.PHONY: serve test check static docs wheels sdk format attack bench fuzz unattended screenshot conformance clean \
        build-packages check-packages packages-packages test-packages

serve: $(VENV)/.installed
	@exec $(BIN)/bass-webrtc serve $(ARGS)

PARALLEL = -n 2 --dist loadfile --no-loadscope-reorder

test: test-packages static
ifeq ($(filter tests/%,$(ARGS)),)
	@PYTHONPATH=src:scripts:tests $(BIN)/python -m support.products
	@$(BIN)/pytest -m alone $(ARGS)
	@$(BIN)/pytest -m "not alone" $(PARALLEL) $(ARGS)
else
	@$(BIN)/pytest $(PARALLEL) $(ARGS)
endif

check: static
	$(BIN)/pytest -q -n auto --dist worksteal tests/unit tests/loopback

static: check-packages $(VENV)/.installed-dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror

docs: $(VENV)/.installed-dev
	$(BIN)/sphinx-build -E -q -W --keep-going -n -b html docs build/docs
	@echo "build/docs/index.html"

wheels sdk: packages-packages $(VENV)/.installed-dev
	@$(BIN)/python scripts/$@.py $(ARGS)

attack: test-packages $(VENV)/.installed-dev
	@$(BIN)/pytest -q tests/attack $(ARGS)

bench: test-packages $(VENV)/.installed-dev
	@$(BIN)/python -m bench $(ARGS)

fuzz: test-packages $(VENV)/.installed-dev
	@$(BIN)/python tests/fuzz/fuzzers.py $(ARGS)

unattended: test-packages $(VENV)/.installed-dev
	@PYTHONPATH=tests $(BIN)/python -m support.unattended $(or $(ARGS),60)

screenshot: test-packages $(VENV)/.installed-dev
	@$(BIN)/python scripts/screenshot.py

format: check-packages $(VENV)/.installed-dev
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .
	git ls-files '*.c' '*.h' | xargs clang-format -i

conformance: $(VENV)/.installed-dev
	$(BIN)/python scripts/conformance.py

clean:
	rm -rf build dist $(VENV) $(CORE)/_core.c $(CORE)/_core.*.so

build-packages check-packages packages-packages test-packages:
	@PYTHON="$(PYTHON)" scripts/debian-packages.sh $(@:-packages=)

$(BIN)/python: | build-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is required: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(INPUTS) | $(BIN)/python build-packages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(INPUTS) | $(BIN)/python build-packages
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed
