# The two that a newcomer needs: make demo, make test. Both install what is missing, and both want root on Debian 12.
SHELL := /bin/bash
PREFIX ?= /usr/local
# Debian's packages: the container runtime, what makes root file systems, libraries that we link, what tests run.
PACKAGES := crun mmdebstrap libsqlite3-dev libssl-dev zlib1g-dev libarchive-dev libseccomp-dev libc-ares-dev libpsl-dev libpcre2-dev libp11-kit-dev libcurl4-openssl-dev libcrack2-dev cracklib-runtime pkg-config python3 python3-pip python3-venv python3-pytest \
	ca-certificates iproute2 uidmap
# What tests start servers from, or make certificates and namespaces with; no server of ours needs them.
TEST_PACKAGES := git openssh-server postgresql redis-server openssl util-linux python3-pytest-xdist python3-jwcrypto softhsm2 opensc
JOURNEYS := CASEMATE_BIN=$(CURDIR)/.build/debug/casemate /usr/bin/python3 -m pytest -q -p no:cacheprovider
SWIFT_CHECK := --explicit-target-dependency-import-check error

.PHONY: help setup test-setup build debug demo test unit host runtime-tests recipes journeys check layers format lint gate fuzz up bench install clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: ## install Debian packages that are missing
	@scripts/setup $(PACKAGES)

build: setup ## release build: .build/release/casemate and .build/release/casemate-warden
	@scripts/build -c release

debug: setup
	@scripts/build -c debug --build-tests $(SWIFT_CHECK)

demo: build ## build, start a server in a temporary folder, deploy two functions, and watch the guarantees at work
	@python3 scripts/demo .build/release/casemate

test: test-setup debug check unit runtime-tests recipes journeys ## everything that CI runs

test-setup:
	@scripts/setup $(TEST_PACKAGES)
	@scripts/test-tools

unit: ## the rules, in Swift; what asks other servers by itself, for it waits for them
	swift test --skip-build --skip CasemateAWSTests
	swift test --skip-build --filter CasemateAWSTests

host: ## the runtime, the build tools and the gate's on this machine, once
	@.build/debug/casemate runtime install python3.11

runtime-tests: host ## what runs inside a sandbox, in Python
	cd runtimes/python && /usr/bin/python3 -m pytest -q -p no:cacheprovider -n 3 --dist loadfile tests

recipes: ## the cookbook's handlers by themselves
	/usr/bin/python3 -m pytest -q -p no:cacheprovider cookbook

journeys: host ## the real server, over HTTP, as root
	$(JOURNEYS) -n 3 --dist loadfile -m "not alone" Tests
	$(JOURNEYS) -m alone Tests

check: layers format lint gate ## layers, form and types of all sources, and the gate over all of it, without a build

layers: ## a target imports only targets above it
	@python3 scripts/layers

format:
	swift format lint --strict --recursive Sources Tests Fuzz Package.swift

lint: ## all Python: ruff, black, mypy --strict, bandit
	@scripts/dev-tools
	@scripts/lint

gate: ## no secret in what is committed; every recipe passes what a deployment must
	@scripts/dev-tools
	@scripts/own-gate

fuzz: ## the wire formats and the redactor under libFuzzer, 20 s each; Fuzz/run SECONDS for longer
	@Fuzz/run 20

up: build ## a server in the foreground; Ctrl-C stops it
	.build/release/casemate up

bench: build ## cold and warm, beside peers in the same run
	@python3 Benchmarks/bench

install: build ## into PREFIX (default /usr/local), with the systemd unit
	install -D -m 755 .build/release/casemate $(DESTDIR)$(PREFIX)/bin/casemate
	install -D -m 755 .build/release/casemate-warden $(DESTDIR)$(PREFIX)/lib/casemate/casemate-warden
	rm -rf $(DESTDIR)$(PREFIX)/lib/casemate/runtimes
	cp -r runtimes $(DESTDIR)$(PREFIX)/lib/casemate/runtimes
	rm -rf $(DESTDIR)$(PREFIX)/lib/casemate/runtimes/python/tests
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system deploy/systemd/casemate.service deploy/systemd/casemate-api.socket \
		deploy/systemd/casemate-gateway.socket

clean:
	rm -rf .build
