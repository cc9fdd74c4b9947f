# make demo and make test do all their own set-up in .venv.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
export OMP_NUM_THREADS ?= 1

.PHONY: install demo test test-system fuzz lint format bench clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $(STAMP)

demo: install
	$(BIN)/raresight demo

test: install
	$(BIN)/pytest -n 2 --ignore tests/system

test-system: install
	tests/system/install.sh
	$(BIN)/pytest tests/system

fuzz: install
	$(BIN)/python tests/fuzz/nightly.py
	RARESIGHT_FUZZ_BODIES=10000 $(BIN)/pytest -o timeout=3000 tests/deploy/service/test_http_fuzz.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/peers/requirements.txt
	for question in benchmarks/*.py; do $(BIN)/python $$question || exit 1; done

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
