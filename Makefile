# One virtual environment, made once and again whenever the requirements change.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test slow-test lint format clean

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c "import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14) and 'Python 3.10 to 3.13 is needed, this is ' + sys.version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -r requirements-dev.txt
	touch $@

## Render synthetic leaves, train the small model, score it, draw the picture. A run
## that was interrupted goes on; one that is done is shown again.
demo: $(VENV)/installed
	$(BIN)/python train.py --run-dir runs/demo --minutes 10 $(if $(wildcard runs/demo/config.json),--resume)
	test -f runs/demo/test/metrics.json || $(BIN)/python evaluate.py --run runs/demo --split test --overlays 6
	@echo "Picture: runs/demo/test/overlays.png   scores: runs/demo/test/metrics.json"

## All tests but the slow ones, a file at a time in each of two processes.
test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile

## The slow ones as well.
slow-test: $(VENV)/installed
	$(BIN)/python -m pytest --slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache
