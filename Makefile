# Everything starts here. Only Python 3.11+ and make are needed: the first target that needs it
# builds .venv from uv.lock with a pinned uv, which lives beside it in .uv.
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
BIN := .venv/bin
STAMP := .venv/.installed
SPARK := .venv/.spark
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never

.PHONY: run ui test check sbom audit bench soak spark docs clean help
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): $(UV) pyproject.toml uv.lock
	@$(UV) sync --frozen --quiet --compile-bytecode --python $(PYTHON)
	@touch $@

# PySpark is 456 MB to download, and useless without Java.
$(SPARK): $(STAMP)
	@if ! command -v java >/dev/null; then echo "PySpark is left out: there is no Java (17 or newer) on this machine"; \
	elif $(UV) sync --frozen --quiet --inexact --extra spark; then touch $@; \
	else echo "PySpark is left out: it could not be installed; its tests are skipped"; fi

spark: $(SPARK) ## PySpark beside the rest, for SEGMENT_ENGINE=pyspark

run: $(STAMP) ## the whole job: Stripe, segments, plan, Mavera, summary
	@$(BIN)/stripe-mavera run

ui: $(STAMP) ## the Dagster UI on the same graph
	@$(BIN)/stripe-mavera ui

test: $(STAMP) check ## lint, types and all tests
	@$(BIN)/pytest -n 2 -rs -m "not soak" tests

check: $(STAMP) sbom audit ## lint, types, arrows between rooms, secrets left in files, bill of materials, audit
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@.ci/scan-secrets

sbom: $(UV) ## dist/sbom.cdx.json: what is installed with the product, as CycloneDX, from uv.lock
	@mkdir -p dist
	@$(UV) export --frozen --offline --quiet --no-default-groups --format cyclonedx1.5 --output-file dist/sbom.cdx.json

audit: $(UV) ## known vulnerabilities of what is installed with the product; asks https://osv.dev, if it can be reached
	@.ci/audit

bench: $(STAMP) ## speed, on a simulated account of 10,000 customers
	@$(BIN)/python -m benchmarks.refresh

soak: $(STAMP) $(SPARK) ## the long proofs
	@$(BIN)/pytest -n 2 -rs -m soak tests

docs: $(STAMP) ## write settings, commands, permissions and tables into the documentation
	@$(BIN)/python -m pipelines.reference README.md docs/*.md

clean: ## remove the environment and what the sandbox made; never the tables, ledger and history of a real account
	rm -rf .venv .uv .data/sandbox*
