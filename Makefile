# The two main commands are `make serve` and `make test`. `make help` lists all commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/sprocket/v1/*.proto)
GENERATED := sprocket docs/api.md docs/configuration.md deploy/kubernetes/base/prometheus-rule.yaml share
LOCK := .venv-supply/bin/uv pip compile --quiet --generate-hashes --universal --no-header --python-version 3.11
UPGRADE := --upgrade
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help serve test quick check format generate generated lint types imports contract breaking migrations \
        previous files deployment secrets packages lock audit sbom migration \
        bench bench-quick bench-check chaos ha ha-cluster soak fuzz attack mutate reliability clean examples \
        browser conformance

help: ## List these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.runtime ## Run the service on 127.0.0.1:50051, with an embedded PostgreSQL and sample data.
	@$(BIN)/sprocket-grpc serve

test: $(VENV)/.development ## Run all tests (COVERAGE=yes measures their coverage too, which takes twice as long).
	$(BIN)/pytest -n auto --ignore tests/browser $(if $(COVERAGE),--cov --cov-report=term-missing:skip-covered)

conformance: $(VENV)/.development ## Run the conformance suite by HTTP, each test in one protocol (PROTOCOL=grpc-web: all tests in this one).
	$(BIN)/pytest -q -n auto tests/conformance --protocol $(or $(PROTOCOL),each)

browser: $(VENV)/.browser examples/web/build/page.js ## Run the tests in Chromium, and write screenshots to .cache/screenshots.
	$(BIN)/pytest -q -n auto tests/browser

quick: $(VENV)/.development ## Check your uncommitted changes: format, lint, types, and the tests of the changed folders.
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q . && $(BIN)/mypy && $(BIN)/pytest -q -n auto --quick $$(.ci/near)

check: lint types imports contract breaking generated migrations files deployment secrets packages ## Run all checks except the tests.

format: $(VENV)/.development ## Format Python and protos.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format -w

generate: $(VENV)/.development ## Generate sprocket/v1, docs/api.md, the table of settings, the PrometheusRule and the manual page.
	rm -f sprocket/v1/*.py*
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos \
	  --python_out=. --mypy_out=quiet:. --grpc_python_out=. --mypy_grpc_out=quiet:. $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -I protos --include_source_info --descriptor_set_out=sprocket/v1/contract.binpb $(sort $(PROTOS))
	$(BIN)/python -m tools.service_config > sprocket/v1/service_config.json
	$(BIN)/python -m tools.api_document > docs/api.md
	$(BIN)/python -m tools.configuration
	$(BIN)/python -m tools.prometheus_rule > deploy/kubernetes/base/prometheus-rule.yaml
	$(BIN)/sprocket-grpc man > share/man/man1/sprocket-grpc.1

lint: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.development
	$(BIN)/mypy

imports: $(VENV)/.development
	$(BIN)/lint-imports

contract: $(VENV)/.development
	$(BIN)/buf lint
	$(BIN)/buf format -d --exit-code

breaking: $(VENV)/.development
	.ci/breaking $(BIN)/buf

generated: generate
	@test -z "$$(git status --porcelain $(GENERATED))" || { git status --short $(GENERATED); \
	  echo "generated files differ from their sources: run 'make generate' and commit the result"; exit 1; }

migrations: $(VENV)/.development
	.ci/migrations $(BIN)/sprocket-grpc

previous: $(VENV)/.development ## Run tests of the previous version on the schema of this one, if migrations have changed.
	.ci/previous $(BIN)

files: $(VENV)/.development
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml deploy/patroni/compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

deployment: $(VENV)/.development
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/deployment

secrets: $(VENV)/.development
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --exclude-files '^requirements/' \
	  --exclude-lines 'USER:PASSWORD@|[{]SECRET[}]'

packages: $(VENV)/.development
	$(BIN)/pip check

lock: .venv-supply/.ready ## Lock the newest versions that pyproject.toml allows (UPGRADE=: keep those that are locked).
	$(LOCK) pyproject.toml --extra server $(UPGRADE) -o requirements/runtime.txt
	$(LOCK) pyproject.toml --extra server --extra chart --extra embedded -c requirements/runtime.txt \
	  $(UPGRADE) -o requirements/embedded.txt
	$(LOCK) pyproject.toml --extra server --extra chart --extra embedded --group development \
	  -c requirements/embedded.txt $(UPGRADE) -o requirements/development.txt
	$(LOCK) --group build $(UPGRADE) -o requirements/build.txt
	$(LOCK) --group supply $(UPGRADE) -o requirements/supply.txt
	$(LOCK) --group patroni $(UPGRADE) -o requirements/patroni.txt
	$(LOCK) --group browser -c requirements/development.txt $(UPGRADE) -o requirements/browser.txt

audit: .venv-supply/.ready ## Check the locked dependencies for known vulnerabilities (needs the network).
	.venv-supply/bin/pip-audit --disable-pip --require-hashes -r requirements/runtime.txt
	.venv-supply/bin/pip-audit --disable-pip --require-hashes -r requirements/development.txt
	.venv-supply/bin/pip-audit --disable-pip --require-hashes -r requirements/patroni.txt
	.venv-supply/bin/pip-audit --disable-pip --require-hashes -r requirements/browser.txt

sbom: .venv-supply/.ready ## Write build/sbom.json, the software bill of materials (CycloneDX).
	@mkdir -p build
	.venv-supply/bin/cyclonedx-py requirements --pyproject pyproject.toml --validate --output-reproducible \
	  --output-format JSON --output-file build/sbom.json requirements/runtime.txt

migration: $(VENV)/.runtime ## Create a migration file: make migration NAME=add_colour_to_sprocket
	$(BIN)/alembic revision --rev-id $$(printf %04d $$(($$(ls migrations/versions/[0-9]*.py | wc -l) + 1))) -m "$(NAME)"

bench: $(VENV)/.development ## Run all benchmarks of docs/performance.md (25 minutes; ONLY=get,list runs some). Linux only.
	@$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY))

bench-quick: $(VENV)/.development ## Run smaller versions of all benchmarks, in six minutes.
	@$(BIN)/python -m bench --quick $(if $(ONLY),--only $(ONLY))

bench-check: $(VENV)/.development ## Check that point reads have not become slower, relative to a minimal server.
	@$(BIN)/python -m bench.check

# Without gRPC's own log lines, of which a broken connection writes many.
RELIABILITY = GRPC_VERBOSITY=NONE GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m

chaos: $(VENV)/.development ## Break a server and its database under load and check all promises (5 minutes; DURATION=8h SEED=1 ONLY=stops).
	@$(RELIABILITY) reliability.chaos $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

# The account that runs Patroni can read neither the home of root nor, perhaps, a checkout of root.
PATRONI := $(if $(filter 0,$(shell id -u)),/var/lib/sprocket-grpc/patroni,$(CURDIR)/.venv-patroni)

ha: $(VENV)/.development ## Let the nodes of a Patroni cluster fail under load and check all promises (4 minutes; ONLY=switchover). Linux only.
	@.ci/patroni $(PATRONI)
	@$(RELIABILITY) reliability.ha --patroni $(PATRONI) $(if $(ONLY),--only $(ONLY))

ha-cluster: $(VENV)/.development ## Run a Patroni cluster and a server on it until Ctrl-C, to break it by hand. Linux only.
	@.ci/patroni $(PATRONI)
	@$(RELIABILITY) reliability.ha --patroni $(PATRONI) --show

soak: $(VENV)/.development ## Use a server in every way and check that memory and connections do not grow (20 minutes; DURATION=8h).
	@$(RELIABILITY) reliability.soak $(if $(DURATION),--duration $(DURATION)) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.development ## Call every method with mutated requests, and check all answers and the database (DURATION=60s SEED=1).
	@$(RELIABILITY) reliability.fuzz $(if $(SEED),--seed $(SEED)) $(if $(REQUESTS),--requests $(REQUESTS)) \
	  $(if $(DURATION),--duration $(DURATION))

attack: $(VENV)/.development ## Attack a server in each way of SECURITY.md (ONLY=counts,flood, DURATION=30s for each). Linux only.
	@$(RELIABILITY) reliability.attack $(if $(ONLY),--only $(ONLY)) $(if $(DURATION),--duration $(DURATION))

reliability: $(VENV)/.development ## Run chaos, fuzz, soak and attack for a short time each (2 minutes).
	@$(MAKE) --no-print-directory chaos DURATION=30s
	@$(MAKE) --no-print-directory fuzz DURATION=20s
	@$(MAKE) --no-print-directory soak DURATION=30s
	@$(MAKE) --no-print-directory attack DURATION=2s ONLY=unfinished,malformed

mutate: $(VENV)/.development ## Break the core one line at a time and show what its tests do not notice (SAMPLE=20 SEED=1 ONLY=slots).
	@$(RELIABILITY) reliability.mutate $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(ONLY),--only $(ONLY))

examples: $(VENV)/.development ## Run every program of examples/ whose toolchain is installed, across a server restart.
	@$(BIN)/python -m tools.examples

clean: ## Delete virtual environments and caches, but no data.
	rm -rf $(VENV) .venv-supply .venv-patroni .cache

# pip installs exactly what the lock files list, verified by hash, and the project itself in editable mode. The lock
# files are complete, so --no-deps skips resolution: older versions of pip would look for the newest `coverage[toml]` in
# addition to the locked `coverage`.
INSTALL = $(BIN)/python -m pip install --quiet --require-hashes --no-deps

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is required: PYTHON=python3.13 make ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/build.txt requirements/embedded.txt pyproject.toml | $(BIN)/python
	@echo "Installing the dependencies of the service (about a minute, only the first time)"
	@$(INSTALL) -r requirements/build.txt -r requirements/embedded.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: requirements/development.txt $(VENV)/.runtime
	@echo "Installing what the tests and checks need (the first time, about a minute)"
	@$(INSTALL) -r requirements/development.txt
	@touch $@

WEB_EXAMPLE := $(filter-out examples/web/build examples/web/generated examples/web/node_modules,$(wildcard examples/web/*))

examples/web/build/page.js: $(WEB_EXAMPLE) $(PROTOS)
	@if command -v npm >/dev/null; then echo "Building examples/web" && cd examples/web && rm -rf build && \
	  npm ci --no-audit --no-fund --loglevel=error && npm run --silent build; else echo "Node.js is not installed"; fi

# Without it, the tests in a browser say that they were skipped: not every platform has a Playwright.
$(VENV)/.browser: requirements/browser.txt $(VENV)/.development
	@echo "Installing what drives a browser"
	@$(INSTALL) -r requirements/browser.txt && touch $@ || echo "Playwright cannot be installed"

.venv-supply/.ready: requirements/supply.txt
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/supply.txt
	@touch $@
