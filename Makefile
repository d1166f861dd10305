# One word a chore. CI calls the same words. Everything is installed into .venv, made from $(PYTHON).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILT_FROM := pyproject.toml CMakeLists.txt $(wildcard native/*)
# Pages, pictures and tests never need a screen.
export MPLBACKEND := Agg

.PHONY: demo test lint format bench bench-quick docs notebook clean

## demo: watch the shipped tagger, a trained LSTM, read two sentences
demo: $(VENV)/installed
	$(BIN)/hiddenstate read "Giraffes in a field"
	$(BIN)/hiddenstate read "She said the old man who sold us the house could not remember why he had left the city."

## test: the whole suite, docstring examples and the example notebook included
test: $(VENV)/installed-test
	$(BIN)/python -m pytest

## lint: style, formatting, types
lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## format: mend what the linter can
format: $(VENV)/installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## bench: speed against torch and others, and against what this machine can do (BENCH="--json FILE", say, adds options)
bench: $(VENV)/installed-bench
	$(BIN)/python benchmarks/run.py $(BENCH)

## bench-quick: the same in under two minutes
bench-quick: $(VENV)/installed-bench
	$(BIN)/python benchmarks/run.py --quick $(BENCH)

## docs: the documentation as HTML, in docs/_build
docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

## notebook: write the example notebook anew from the example script
notebook: $(VENV)/installed-test
	$(BIN)/jupytext --to notebook --output examples/structure_and_hidden_state.ipynb examples/structure_and_hidden_state.py
	$(BIN)/jupyter-execute --inplace examples/structure_and_hidden_state.ipynb

clean:
	rm -rf $(VENV) build dist docs/_build

$(VENV)/pip: 
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

$(VENV)/installed: $(BUILT_FROM) | $(VENV)/pip
	$(BIN)/pip install --quiet --editable .
	touch $@

# test, lint, bench and docs: the package with that extra
$(VENV)/installed-%: $(BUILT_FROM) | $(VENV)/pip
	$(BIN)/pip install --quiet --editable ".[$*]"
	touch $@ $(VENV)/installed
