# Needs python3 >= 3.11, make and coreutils. Everything else is installed into .venv, by hash. With cargo, native/ is built too.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
BIN := .venv/bin
DEMO := $(BIN)/gatebook demo
QUICK := ruff format mypy imports unit twin

.PHONY: help
help: ## Show this list
	@echo "make ..."
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: install ## Play the main job end to end on real parts; KEEP=1 leaves it running, ACTS="http ssh" adds acts
	@case " $(ACTS) " in *" kubernetes "*) scripts/kubernetes;; esac
	@case " $(ACTS) " in *" ssh "*) scripts/testbed openssh;; esac
	@case " $(ACTS) " in *" git "*) scripts/testbed git;; esac
	@$(DEMO) $(if $(filter-out 0,$(KEEP)),--keep) $(if $(strip $(ACTS)),--acts "$(strip $(ACTS))")

.PHONY: demo-stop
demo-stop: install ## End what `make demo KEEP=1` left running
	@$(DEMO) --stop

.PHONY: check
check: install ## Style, types, import contracts, unit and property tests; about a minute
	@for step in $(QUICK); do printf '== %s\n' "$$step"; $(MAKE) "check-$$step" || exit 1; done

.PHONY: test
test: install ## All of it: sets up what is missing, then check, then real clients against real servers
	@scripts/testbed
	@scripts/drivers & drivers=$$!; scripts/kubernetes & kubernetes=$$!; $(MAKE) check && wait $$drivers && wait $$kubernetes
	@printf '== real clients\n'
	@scripts/ring

.PHONY: corpus
corpus: install ## Compare what 48,000 statements of PostgreSQL's own tests leave behind with what they were read as; half an hour, or more where others work
	@ls .cache/corpus/*.tar.gz >/dev/null 2>&1 || $(BIN)/pip --quiet --disable-pip-version-check download --no-deps \
		--no-binary postgast -d .cache/corpus "$$($(BIN)/pip freeze | grep ^postgast==)"
	@$(BIN)/python -m tests.corpus .cache/corpus/postgast-*.tar.gz

.PHONY: suites
suites: install ## Drivers' own tests, directly and through the gateway: about half an hour; SUITES="asyncpg pgx pq"
	@$(BIN)/python -m tests.suites $(SUITES)

.PHONY: lock
lock: install ## Renew requirements.lock from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 \
		--extra demo --extra native --extra test pyproject.toml -o requirements.lock

.PHONY: clean
clean: ## Remove the environment, the demo's files and caches
	@if [ -e .demo/run.json ] && [ -x $(BIN)/gatebook ]; then $(DEMO) --stop; fi
	@rm -rf native/target .venv .demo .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: install
install:
	@scripts/bootstrap

.PHONY: check-ruff check-format check-mypy check-imports check-unit check-twin
check-ruff:
	@$(BIN)/ruff check --quiet
check-format:
	@$(BIN)/ruff format --check --quiet
check-mypy:
	@$(BIN)/mypy
check-imports:
	@$(BIN)/lint-imports
check-unit:
	@$(BIN)/pytest -m "not real" -n auto
check-twin: # what the compiled twin does, by the Python twin alone
	@GATEBOOK_NATIVE=0 $(BIN)/pytest -m "not real" -n auto tests/protocols tests/masking tests/ledger/test_ledger_tree.py
