# Every target does all of its own set-up, in .venv; `make` alone lists them. Needs Python 3.11+, make and sh.
#   make demo ARGS="--json"        flags for the program, or for pytest with `make test`
#   make setup PYTHON=python3.13   another Python than the first that fits (after `make clean`)

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check bench lock clean

PYTHON ?=
ARGS ?=
BIN := .venv/bin
UV := uv==0.13.8
BENCHMARKS := $(sort $(wildcard benchmarks/*/quick.py))

# Not the user's shell but this checkout says which Python runs and where packages land. Where they come from
# (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_CERT, proxies, pip's configuration files) stays the user's.
unexport PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONPLATLIBDIR VIRTUAL_ENV
unexport PIP_CONSTRAINT PIP_DRY_RUN PIP_IGNORE_INSTALLED PIP_NO_BINARY PIP_NO_BUILD_ISOLATION PIP_NO_DEPS
unexport PIP_ONLY_BINARY PIP_PLATFORM PIP_PREFIX PIP_PYTHON PIP_QUIET PIP_REPORT PIP_REQUIREMENT PIP_REQUIRE_HASHES
unexport PIP_REQUIRE_VIRTUALENV PIP_ROOT PIP_SRC PIP_TARGET PIP_USER PIP_VERBOSE

# Does only what is missing; nothing, without network, when all is there.
prepare = @python=$$(sh scripts/find-python.sh $(PYTHON)) && "$$python" -I scripts/setup.py

# Wheels alone, one version each for every system and Python that the project runs on; no addresses in the file.
pin = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
	--only-binary :all: --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 14

setup: ## all that the program needs, weights included
	$(prepare) runtime weights

demo: setup ## live captions and a diarized transcript from bundled speech
	@$(BIN)/speechlane demo $(ARGS)

serve: setup ## start the server and print its URLs
	@exec $(BIN)/speechlane serve $(ARGS)

test: ## format, lint, types, import rules, tests
	$(prepare) runtime dev weights
	@$(MAKE) --no-print-directory check
	@echo "==> tests"
	@$(BIN)/python -m pytest $(ARGS)

check: ## format, lint, types, import rules
	$(prepare) runtime dev
	@echo "==> format"
	@$(BIN)/ruff format --check .
	@echo "==> lint"
	@$(BIN)/ruff check .
	@echo "==> types"
	@$(BIN)/mypy
	@echo "==> import rules"
	@$(BIN)/lint-imports

bench: ## the quick benchmarks
	$(prepare) runtime dev weights
	@set -e; for script in $(BENCHMARKS); do echo "==> $$script"; $(BIN)/python "$$script" $(ARGS); done

lock: ## pin the dependencies of pyproject.toml anew (ARGS=--upgrade takes newer ones)
	$(prepare)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	@$(pin) $(ARGS) --group build --output-file requirements/runtime.txt
	@$(pin) $(ARGS) --group dev --constraint requirements/runtime.txt --output-file requirements/dev.txt

clean: ## remove .venv and what the tools left; weights and data stay
	rm -rf .venv build dist .import_linter_cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
