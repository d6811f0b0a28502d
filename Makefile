# Set-up and everyday commands. Each one installs what it needs into .venv first, once.
#
#   make demo                 play the bundled clip through the real pipeline
#   make test                 every test
#   make test-tflite-runtime  the device half's tests on tflite-runtime (Python 3.11 only)
#   make optional             what optional parts of training/ need (Ray, PyTorch ...): more tests run
#   make check                format, lint, types, import rules, dangerous calls
#   make audit                ask whether a pinned package has a known vulnerability (network)
#   make lock                 write requirements*.txt anew from the .in files (network)
#   make format               put the code into the project's format
#   make fuzz                 feed 100,000 pieces of rubbish to each kind of input (an hour or two)
#   make bench-models         measure the shipped models beside their peers (needs ../shared)
#   make bench-web            measure what visitors of the status page cost the pipeline
#   make bench-soak           200,000 frames through the whole kiosk: memory and latency
#   make docs                 the documentation as a site, in build/site
#   make screenshots          draw and photograph the documentation's pictures anew
#   make bench-fleet          fifty simulated kiosks, watched by Prometheus: alerts, cost, a picture
#   make rig                  install.sh and the service in a simulated device (root; docs/rig.md)
#   make rig-models           the same for models that are installed after the application
#   make rig-card             the same for the first start from a prepared SD card
#   make rig-arm64            models and demo on an emulated Pi (needs root, see docs/rig-arm64.md)
#   make rig-cost             count a Pi's instructions per inference, write docs/benchmarks.md (root)
#   make card                 what is unpacked onto an SD card of Raspberry Pi Imager, see docs/image.md
#   make bundle               what installs the kiosk without network (ARCH=x86_64: not for a Pi)
#   make deb                  the same as a Debian package
#   make clean                remove everything that these commands made
#
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
PYTHON311 ?= python3.11
DATA ?= ../shared/data
PEERS ?= ../shared/peers
FUZZ ?= settings cards models videos mqtt http
CASES ?= 100000
ARCH ?= arm64

VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install
# A package that is not, byte for byte, one that `make lock` saw is refused.
HASHED := --require-hashes
TFLITE_VENV := .venv-tflite
TFLITE_PIP := $(TFLITE_VENV)/bin/python -m pip --disable-pip-version-check --quiet install

# Three files of tests at a time, as some of them mostly wait; more would take a gigabyte or two of
# memory each. In their own order, which ends with the small ones: files with few tests are often the
# longest, and would be the last.
PYTEST := pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# The same on every runtime, and tested by `make test`: journal, network, page, unit, store, files,
# docs, and whatever installs its own runtime.
SAME_ON_ANY_RUNTIME := tests/device tests/unit/ci tests/unit/deploy tests/unit/docs tests/unit/image \
  tests/unit/edge_app/sinks tests/unit/edge_app/store tests/unit/test_requirements.py \
  tests/integration/fleet tests/integration/mqtt tests/integration/test_fuzz.py \
  tests/integration/test_journal_service.py tests/integration/test_model_kills.py \
  tests/integration/test_model_updates.py tests/integration/test_requirements.py \
  tests/integration/test_site.py tests/integration/test_status_page.py \
  tests/integration/test_systemd_unit.py

# Stamp files: made after a set of requirements was installed, out of date when it changes.
CREATED := $(VENV)/.created
EDGE := $(VENV)/.edge-installed
FULL := $(VENV)/.full-installed
OPTIONAL := $(VENV)/.optional-installed
DOCS := $(VENV)/.docs-installed
TFLITE := $(TFLITE_VENV)/.installed

# A TensorFlow newer than the pinned one is needed above this Python; see requirements-train.txt.
HAS_TENSORFLOW := import sys; sys.exit(sys.version_info >= (3, 14))

.PHONY: help demo test optional test-tflite-runtime check audit lock format bench-models bench-web \
  bench-soak bench-fleet docs screenshots fuzz rig rig-models rig-card rig-arm64 rig-cost bundle card deb clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^#   make/s/^# *//p' Makefile

demo: $(EDGE)
	@$(VENV)/bin/python -m edge_app demo

test: $(FULL)
	@$(VENV)/bin/python -m $(PYTEST)

optional: $(OPTIONAL)

check: $(FULL)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	PYTHONPATH=. $(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/bandit --quiet --recursive --configfile pyproject.toml edge_app training deploy

# Fails also when the question could not be asked; see .ci/audit.py for how to tell the two apart.
audit: $(FULL)
	$(VENV)/bin/python .ci/audit.py

lock: $(FULL)
	deploy/lock.sh

# All of FUZZ, also when one of them finds something; see docs/fuzzing.md.
fuzz: $(FULL)
	@failed=0; for target in $(FUZZ); do \
	  $(VENV)/bin/python -m tests.fuzz $$target --cases $(CASES) || failed=1; \
	done; exit $$failed

# Every figure of the README, from the shipped models and the test pictures in DATA.
bench-models: $(FULL)
	@test -d $(DATA) || { echo "make: no data in $(DATA): name its folder: DATA=..." >&2; exit 1; }
	$(VENV)/bin/python -m training evaluate face_detector --data $(DATA)/kaggle853 \
	  --negatives $(DATA)/rooms --split test
	$(VENV)/bin/python -m training evaluate mask_classifier --detector face_detector \
	  --data $(DATA)/kaggle853 $(DATA)/ilc2021 $(DATA)/binary \
	  --boxes $(DATA)/teacher_boxes.json --split test
	$(VENV)/bin/python -m training bench-models --data $(DATA)/kaggle853 --peers $(PEERS)

# Best on a machine that does nothing else; three minutes.
bench-web: $(EDGE)
	@PYTHONPATH=. $(VENV)/bin/python tests/bench/web.py

bench-soak: $(FULL)
	$(VENV)/bin/python -m tests.bench.soak --frames 200000 --out build/soak
	$(VENV)/bin/python -m tests.bench.share

# With --quiet it would pass in spite of dead links. The variable silences a notice, see
# docs/requirements.in.
docs: $(DOCS)
	$(VENV)/bin/python -m docs.make_drawings --check
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict
	@echo "build/site/index.html"

# Needs chromium and chromedriver.
screenshots: $(OPTIONAL) $(DOCS)
	$(VENV)/bin/python -m docs.make_drawings
	$(VENV)/bin/python -m docs.make_screenshots

# Needs prometheus and mosquitto; best on a machine that does nothing else; two minutes.
bench-fleet: $(FULL)
	@$(VENV)/bin/python -m tests.fleet.show --out build/fleet

rig: $(EDGE)
	@$(VENV)/bin/python deploy/rig/device.py

rig-models: $(EDGE)
	@$(VENV)/bin/python deploy/rig/device.py models

rig-card: $(EDGE)
	@$(VENV)/bin/python deploy/rig/device.py card

rig-arm64: $(EDGE)
	@$(VENV)/bin/python deploy/rig/arm64.py

rig-cost: $(EDGE)
	@$(VENV)/bin/python deploy/rig/cost.py \
	  --reference $(PEERS)/imagenet_mobilenet_v2_1.0_224_int8.tflite

bundle: $(CREATED)
	@PIP="$(VENV)/bin/python -m pip" deploy/bundle/make.sh $(ARCH)

card: ARCH := arm64
card: bundle
	@version=$$(sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml) && \
	  $(VENV)/bin/python deploy/image/prepare_card.py --zip build/dist/mask-kiosk-$$version-card.zip \
	    build/dist/mask-kiosk-$$version-offline-arm64.tar.gz

deb: $(CREATED)
	@PIP="$(VENV)/bin/python -m pip" deploy/package/make.sh $(ARCH)

format: $(FULL)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) $(TFLITE_VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(CREATED):
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: $(PYTHON) not found: install Python 3.11 or newer, or name one: PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $$($(PYTHON) --version) is too old: name Python 3.11 or newer: PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments: sudo apt install python3-venv" >&2; \
	  exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(EDGE): requirements-edge.txt $(CREATED)
	@echo "Installing the device half's requirements"
	@$(PIP) $(HASHED) -r requirements-edge.txt
	@touch $@

$(FULL): requirements-train.txt tests/requirements.txt tests/requirements-check.txt $(EDGE)
	@if $(VENV)/bin/python -c '$(HAS_TENSORFLOW)'; then \
	  echo "Installing the training and test requirements (TensorFlow: some minutes, 2.8 GB)"; \
	  $(PIP) $(HASHED) -r requirements-train.txt -r tests/requirements.txt \
	    -r tests/requirements-check.txt; \
	else \
	  echo "TensorFlow 2.21 has no build for $$($(VENV)/bin/python --version): leaving out the" \
	    "training half; PYTHON=python3.13 brings it"; \
	  $(PIP) $(HASHED) -r tests/requirements.txt -r tests/requirements-check.txt; \
	fi
	@touch $@

$(OPTIONAL): tests/requirements-optional.txt tests/requirements-torch.txt $(FULL)
	@echo "Installing the optional packages of the training half (some minutes)"
	@$(PIP) $(HASHED) -r tests/requirements-optional.txt
	@$(PIP) -r tests/requirements-torch.txt
	@touch $@

$(DOCS): docs/requirements.txt $(EDGE)
	@echo "Installing the site's generator"
	@$(PIP) $(HASHED) -r docs/requirements.txt
	@touch $@

ifeq ($(shell command -v $(PYTHON311) 2>/dev/null),)
test-tflite-runtime:
	@echo "Skipped: tflite-runtime 2.14 needs Python 3.11, and there is no $(PYTHON311) here"
else
test-tflite-runtime: $(TFLITE)
	@MASK_KIOSK_RUNTIME=tflite-runtime $(TFLITE_VENV)/bin/python -m $(PYTEST) \
	  $(addprefix --ignore=,$(SAME_ON_ANY_RUNTIME))
endif

$(TFLITE): deploy/requirements-tflite-runtime.txt tests/requirements.txt
	@echo "Installing tflite-runtime and the test requirements into $(TFLITE_VENV)"
	@$(PYTHON311) -m venv --clear $(TFLITE_VENV)
	@$(TFLITE_PIP) $(HASHED) -r deploy/requirements-tflite-runtime.txt -r tests/requirements.txt
	@touch $@
