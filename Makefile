# The one door to FlowScale. Every target brings what it needs (scripts/bootstrap) and then does its one thing.
# Words for pytest: make test ARGS="-k lease -x"

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-unit test-contract test-integration test-chart e2e e2e-long soak check \
	format generate bench bench-admin bench-page bench-render bench-queue bench-files bench-chaos bench-scaling images clean

bin := .venv/bin
clip := .cache/clips/bigbuckbunny.mp4
ARGS ?=
# Tests mostly wait, for servers, deadlines and signals: so many processes at once. 0: one after the other.
TESTS_AT_ONCE ?= 3
at_once = -n $(TESTS_AT_ONCE) --dist worksteal

help: ## this list
	@echo "make TARGET, where TARGET is one of:"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: ## .venv with every extra, what the tests need, and the flowscale program
	@scripts/bootstrap python

demo: ## renders one real clip from upload to output, and prints where the output is
	@scripts/bootstrap runtime ffmpeg clips
	$(bin)/flowscale demo $(clip)

dev: ## gateway, worker and web page in one process, until Ctrl-C
	@scripts/bootstrap runtime ffmpeg
	$(bin)/flowscale dev

test: ## every test: unit, contract, integration, chart
	@scripts/bootstrap python ffmpeg redis servers chromium openssl clips s3 helm node prometheus
	$(bin)/pytest $(at_once) tests/unit tests/contract tests/chart tests/integration $(ARGS)

test-unit: ## unit tests alone: no network, no FFmpeg, seconds
	@scripts/bootstrap python
	$(bin)/pytest tests/unit $(ARGS)

test-contract: ## contract tests alone: one suite for every queue and storage, the HTTP contract
	@scripts/bootstrap python ffmpeg redis servers openssl clips s3
	$(bin)/pytest $(at_once) tests/contract $(ARGS)

test-integration: ## integration tests alone: real FFmpeg, processes, servers and browser
	@scripts/bootstrap python ffmpeg redis chromium openssl clips s3 helm node prometheus
	$(bin)/pytest $(at_once) tests/integration $(ARGS)

test-chart: ## render tests of the chart alone: Helm 3 and Helm 4, its alerts under promtool, no cluster
	@scripts/bootstrap python helm node prometheus
	$(bin)/pytest tests/chart $(ARGS)

e2e: ## the images and the chart on a kind cluster of their own (or that of KUBECONFIG): installs, renders, upgrades
	@scripts/bootstrap python ffmpeg clips openssl helm
	scripts/cluster run $(bin)/pytest tests/e2e --ignore tests/e2e/long $(ARGS)

e2e-long: ## lost pods and nodes, a killed queue, rolled gateways, and all that may befall an operator; takes about an hour
	@scripts/bootstrap python ffmpeg clips openssl helm
	scripts/cluster run $(bin)/pytest tests/e2e/long $(ARGS)

soak: ## outages of queue and storage, and a freeze, of one to ten minutes in the middle of renders; takes about thirty
	@scripts/bootstrap python ffmpeg redis clips s3
	$(bin)/pytest tests/soak $(ARGS)

check: ## format, lint, types, import walls, lock file, workflows, drift of generated files
	@scripts/bootstrap python helm actionlint
	$(bin)/ruff format --check
	$(bin)/ruff check
	$(bin)/mypy
	$(bin)/lint-imports --no-logo
	@for folder in core api worker cli operator; do [ ! -e $$folder/__init__.py ] || \
		{ echo "$$folder/__init__.py must go; docs/adr/0001-one-project-three-deployables.md says why" >&2; exit 1; }; done
	.tools/bin/uv lock --check
	.tools/actionlint/actionlint -shellcheck= -pyflakes=
	$(bin)/zizmor --offline --quiet --no-progress .github
	$(bin)/python scripts/generate.py --check

format: ## formats the code and mends what the linter can mend
	@scripts/bootstrap python
	$(bin)/ruff check --fix
	$(bin)/ruff format

generate: ## rewrites the generated files: docs/configuration.md, docs/metrics.md, tests/golden/openapi.json, the chart's, manifests/install.yaml
	@scripts/bootstrap python helm
	$(bin)/python scripts/generate.py

bench: bench-render bench-queue bench-files bench-chaos ## the next four: renders, the queue, files, the queue under fire

bench-render: ## measures renders beside the bare ffmpeg command, and prints the figures
	@scripts/bootstrap python ffmpeg clips
	PYTHONPATH=tests $(bin)/python bench/render.py $(ARGS)

bench-queue: ## measures the queue beside plain RQ (and BullMQ where Node is there), and prints the figures
	@scripts/bootstrap python ffmpeg redis clips
	PYTHONPATH=tests $(bin)/python -m bench.redis_queue $(ARGS)

bench-files: ## measures uploads to a bucket beside raw ones, and the gateway's memory; takes 30 GB of disk
	@scripts/bootstrap python s3
	PYTHONPATH=tests $(bin)/python -m bench.files $(ARGS)

bench-chaos: ## 10,000 tiny jobs while workers are killed and Redis is restarted: what was accepted, what became of it
	@scripts/bootstrap python redis
	PYTHONPATH=tests $(bin)/python -m bench.chaos $(ARGS)

bench-page: ## measures the page of the queue in a browser, with 100,000 jobs: first paint, list, searches
	@scripts/bootstrap python ffmpeg redis chromium
	PYTHONPATH=tests $(bin)/python -m bench.admin_page $(ARGS)

bench-admin: ## measures the admin API over 100,000 jobs, and what an open page and scrapes cost a gateway under load
	@scripts/bootstrap python redis
	PYTHONPATH=tests $(bin)/python -m bench.admin $(ARGS)

bench-scaling: ## measures the operator on a kind cluster: from a job to its replica, and what it takes at rest
	@scripts/bootstrap python ffmpeg clips openssl helm
	PYTHONPATH=tests scripts/cluster run $(bin)/python -m bench.scaling $(ARGS)

images: ## builds the three images with Docker or buildah, prints their sizes, and looks up known vulnerabilities
	@scripts/bootstrap python
	scripts/images build
	scripts/images audit

clean: ## removes what make has made and fetched here; never ./data
	rm -rf .venv .tools .cache dist demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis .schemathesis
	find . \( -path ./.git -o -path ./data \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
