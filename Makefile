# `make drill` and `make test` need nothing but the language toolchains; the rest is set up on first use.
CARGO ?= cargo
BIN := target/release/lifeboat
TIMES ?= 1
SIZE ?= full

# Which drills run where: the first in every environment, the others where there are the powers that they need.
EVERYWHERE := mlflow-crash mlflow-hang postgres-crash database-drop artifacts-deleted table-lost rows-changed \
	references-broken page-damaged artifacts-overwritten bucket-lost policy-broken s3-crash
COMMITS := commits-synchronous commits-asynchronous commits-logical
PROCESSES := $(EVERYWHERE) key-revoked database-server-gone model-deleted ransomware
CONTAINERS := $(EVERYWHERE) key-revoked database-server-gone partition out-of-memory disk-lost
CLUSTER := $(EVERYWHERE) database-server-gone disk-lost pod-kill config-lost node-lost node-cut-off database-node-lost \
	database-node-lost-local namespace-removed node-lost-defaults classic-runbook
files = $(foreach drill,$(1),drills/$(drill).yaml)

# The images that `make images` builds, and the cluster of `make cluster-up` with its nodes' power switches.
BUILT_CONTAINERS = containers: { images: built }
BUILT_CLUSTER = kubernetes: { images: built, kubeconfig: $(shell tests/cluster/cluster kubeconfig), nodes: { \
	power_off: 'tests/cluster/cluster node kill $$LIFEBOAT_NODE', power_on: 'tests/cluster/cluster node up $$LIFEBOAT_NODE', \
	cut_off: 'tests/cluster/cluster node cut $$LIFEBOAT_NODE', connect: 'tests/cluster/cluster node heal $$LIFEBOAT_NODE' } }

.PHONY: help build install man drill drills drills-commits drills-containers drills-cluster test test-full lint bench bench-engine \
	clean images engine-up engine-down cluster-up cluster-status cluster-down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

build: ## build the release binary, target/release/lifeboat
	$(CARGO) build --release --locked

install: ## put `lifeboat` on the PATH, in Cargo's folder of programs
	$(CARGO) install --path . --locked

man: ## write the manual pages into target/man
	$(CARGO) run --quiet --locked -- man target/man

drill: build ## set up the embedded platform and run the main drill, ending in a report
	$(BIN) run drills/database-drop.yaml

drills: build ## the drills on processes, TIMES times each, into reports/drills.json
	$(BIN) series --times $(TIMES) $(call files,$(PROCESSES))

drills-commits: build ## what a lost database server costs under 200 commits a second, by method of backup
	$(BIN) series --times $(TIMES) $(call files,$(COMMITS))

drills-containers: export LIFEBOAT_ENVIRONMENT = $(BUILT_CONTAINERS)
drills-containers: build images ## the drills on containers, TIMES times each, into reports/drills.json
	eval "$$(deploy/images/engine up)" && $(BIN) series --times $(TIMES) $(call files,$(CONTAINERS))

drills-cluster: export LIFEBOAT_ENVIRONMENT = $(BUILT_CLUSTER)
drills-cluster: build images cluster-up ## the drills on a cluster, TIMES times each, into reports/drills.json
	$(BIN) series --times $(TIMES) $(call files,$(CLUSTER))

# Runs tests and says at the end, in one line, how many were skipped and which; the exit code is that of the tests.
define tests
	@log=$$(mktemp); trap 'rm -f "$$log" "$$log.code"' EXIT; \
	{ $(1) 2>&1; echo $$? >"$$log.code"; } | tee "$$log"; \
	skipped=$$(grep -ao 'skipped: .*' "$$log" | cut -c10- | sort -u); count=$$(printf '%s' "$$skipped" | grep -c .); \
	echo "$$count tests or parts of them were skipped$${skipped:+: $$(printf '%s' "$$skipped" | tr '\n' ';')}"; \
	exit $$(cat "$$log.code")
endef

test: ## set up and pass all tests; those without their engine or cluster say so
	$(call tests,$(CARGO) test --locked --no-fail-fast -- --test-threads=2)

test-full: ## all tests in their long forms: ten kills, and Go from the wheel compiling the S3 server
	$(call tests,LIFEBOAT_TEST_INSTALL=full LIFEBOAT_TEST_KILLS=10 $(CARGO) test --locked --no-fail-fast -- \
		--nocapture --test-threads=2 --include-ignored)

lint: ## formatting and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: ## the benchmarks of what is ours
	$(CARGO) bench --locked --bench contents --bench harness --bench measure

bench-engine: ## the engine beside other tools, SIZE=small, medium or full, into reports/bench/engine.json
	SIZE=$(SIZE) WORK=$(WORK) $(CARGO) bench --locked --bench engine

images: ## build the container images, without a registry
	deploy/images/build

engine-up: ## a container engine for tests, if none answers; prints how to reach it
	deploy/images/engine up

engine-down: ## remove that engine with all it holds
	deploy/images/engine down

cluster-up: ## a Kubernetes cluster of two nodes on this machine (root; compiled once, some minutes)
	tests/cluster/cluster up

cluster-status: ## what of the cluster runs
	tests/cluster/cluster status

cluster-down: ## remove the cluster; what was compiled stays
	tests/cluster/cluster down

clean: ## remove what was built here; reports and the cache outside the clone stay
	$(CARGO) clean
