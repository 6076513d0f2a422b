# Every target makes the environment it needs (environment.sh: with uv, or with venv and pip) and keeps it until
# pyproject.toml or constraints.txt change. PYTHON=/path/to/python3.11 chooses an interpreter.
VENV := .venv
BIN := $(VENV)/bin
ONCE ?=
PORT ?=
RECORDINGS ?=
AT ?=
FULL ?=
export PYTHON
# Where it is set, each of our processes would compile Dagster anew: a second each.
unexport PYTHONDONTWRITEBYTECODE

# An upgrade of the system may take the environment's interpreter away.
$(shell test -x $(BIN)/python || rm -f $(VENV)/*.stamp)

.PHONY: help setup setup-dev demo test test-clock attack check lint types docs constraints clean
.PHONY: pin-images audit licences sbom
.PHONY: dagster-bounds fidelity tour tour-web bench-first-chart bench-events bench-media bench-web chaos-storm chaos-media chaos-dagster

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-19s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@sh environment.sh .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	@sh environment.sh '.[dev]'
	@touch $@ $(VENV)/run.stamp

setup: $(VENV)/run.stamp ## the environment to run it
setup-dev: $(VENV)/dev.stamp ## the environment to change it

demo: setup ## simulator, database, Dagster and its UI, three accounts (ONCE=1: exit when done; PORT=3100)
	@$(BIN)/ig-pipeline demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

test: setup-dev ## the whole suite, on SQLite and PostgreSQL
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

test-clock: setup-dev ## tests that look at the clock, at schedules' minutes, clock changes, year's ends (AT=new_year; FULL=1: all tests)
	@$(BIN)/python -m ig_pipeline_tests.clock_runs $(if $(AT),--at $(AT)) $(if $(FULL),--full)

lint: setup-dev ## ruff and the import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache

types: setup-dev ## mypy, strict
	@$(BIN)/mypy

attack: setup-dev ## the attacks in docs/security.md, each with what became of it
	@$(BIN)/python -m ig_pipeline_tests.attacks -n 2 --dist loadgroup

check: lint types test ## what CI runs

docs: setup-dev ## the tables and the picture of the imports in docs/, from the code
	@$(BIN)/python -m ig_pipeline_tests.readme_blocks

constraints: ## pin what pyproject.toml allows today, and lock the image's packages by their hashes (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate --no-header --no-emit-index-url pyproject.toml -o constraints.txt
	@echo hatchling | uv pip compile --quiet --universal --python-version 3.11 --extra kubernetes --generate-hashes --no-annotate --no-header --no-emit-index-url -c constraints.txt pyproject.toml - -o deploy/requirements.txt

pin-images: ## name the images in deploy/ by the digests that their tags have today (needs docker and its registry)
	@sh deploy/pin_images.sh

audit: setup-dev ## known vulnerabilities of what the image installs; skipped where their database cannot be reached
	@$(BIN)/python -m ig_pipeline_tests.supply_chain audit

licences: setup-dev ## the licences of what the image installs; fails for one that is not on the list
	@$(BIN)/python -m ig_pipeline_tests.supply_chain licences

sbom: setup-dev ## the image's bill of materials, CycloneDX, in sbom.json
	@PYTHONWARNINGS=ignore $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o sbom.json deploy/requirements.txt
	@echo "Written to sbom.json."

dagster-bounds: setup-dev ## definitions load on the first and the newest Dagster that pyproject.toml allows (installs both)
	@$(BIN)/python -m ig_pipeline_tests.dagster_bounds

fidelity: setup-dev ## simulator and parsers against recordings of the real API: make fidelity RECORDINGS=<folder>
	@$(BIN)/python -m ig_pipeline_tests.fidelity $(RECORDINGS)

tour: setup-dev ## a headless Chromium through Dagster's UI and the front door; pictures in tour/
	@$(BIN)/python -m ig_pipeline_tests.tours.dagster_ui tour/dagster
	@$(MAKE) -s tour-web

tour-web: setup-dev ## consent to chart in a real Chromium, with both logins; pictures in tour/web
	@$(BIN)/python -m ig_pipeline_tests.tours.web_tour tour/web

bench-first-chart: setup-dev ## seconds from a connection's row to its thirtieth day, and where they go
	@$(BIN)/python -m ig_pipeline_tests.bench.first_chart

bench-events: setup-dev ## what an event of Dagster's costs, shipped event logs and ours side by side, on both databases
	@$(BIN)/python -m ig_pipeline_tests.bench.events

bench-media: setup-dev ## downloads against curl, and their memory
	@$(BIN)/python -m ig_pipeline_tests.bench.media

bench-web: setup-dev ## 200 requests/s of status and timeline, 1,000 accounts x 365 days on PostgreSQL, a whole night beside
	@$(BIN)/python -m ig_pipeline_tests.bench.web

chaos-storm: setup-dev ## thirty days of twenty accounts with 5, 20 and 50 % of all calls going wrong: are rows and cells the truth? (SEED=7 ACCOUNTS=5)
	@$(BIN)/python -m ig_pipeline_tests.chaos.storm

chaos-media: setup-dev ## media backfills killed, database gone, disk full, store refusing: is the library whole each time?
	@$(BIN)/python -m ig_pipeline_tests.chaos.media

chaos-dagster: setup-dev ## Dagster gone for an hour and killed in the middle of a tick: all that was asked for happens once
	@$(BIN)/python -m ig_pipeline_tests.chaos.dagster_gone

clean: ## remove the environment, the caches and the demo's data, nothing else
	@rm -rf $(VENV) .ig_pipeline/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
