# The whole interface for people and for CI: `make help`. Each target does its own set-up.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
KUBECONFIG ?= $(CURDIR)/.devbox/kubeconfig

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: devbox ## the user guide, run step by step on the devbox
	tests/demo.sh

.PHONY: test
test: ## everything: format, lints, unit and property tests, the devbox, end-to-end tests, the demo
	tests/run.sh

.PHONY: build
build: ## all binaries, static
	cargo build --workspace --bins

.PHONY: unit
unit: ## tests that need neither root nor a cluster
	cargo test --workspace --lib --bins --test it --test crds --test bundle --test dns --test guide
	cargo test --workspace --doc

.PHONY: node-test
node-test: ## tests of the node's parts in network namespaces with a real Open vSwitch (root)
	tests/node.sh

.PHONY: vm-test
vm-test: ## tests of the node's parts with the kernel's Open vSwitch, in an emulated machine
	tests/vm.sh

.PHONY: deploy-test
deploy-test: ## the playbooks of install/ over SSH on a host of their own, beside a running devbox (root)
	tests/deploy.sh

.PHONY: devbox
devbox: ## one test host with OpenStack and Kubernetes, Stackube deployed on it
	devbox/devbox up
	devbox/stackube/deploy.sh

.PHONY: deploy
deploy: ## build the images again and roll them out on the running devbox
	devbox/stackube/deploy.sh

.PHONY: e2e
e2e: ## end-to-end tests against the running devbox; T=name runs one
	tests/e2e.sh $(T)

.PHONY: nodes
nodes: ## a second node for the running devbox, and the end-to-end tests that take two; T=name runs some
	tests/nodes.sh $(T)

.PHONY: bench
bench: ## measure beside kube-proxy and CoreDNS (root), stackube-auth, and the devbox if one runs; T=node, auth or devbox does one
	tests/bench.sh $(T)

.PHONY: fuzz
fuzz: ## feed the parsers with what nobody should send; T=seconds for each (nightly Rust, root)
	tests/fuzz.sh $(T)

.PHONY: down
down: ## stop the devbox and remove all that it made
	devbox/devbox down

.PHONY: generate
generate: ## rewrite what is generated: CRD manifests, the deployment bundle
	STACKUBE_GENERATE=1 cargo test --quiet -p stackube-api --test crds
	deployment/bundle.sh > deployment/stackube.yaml.new
	mv deployment/stackube.yaml.new deployment/stackube.yaml

.PHONY: bpf
bpf: ## compile the eBPF programs into the object that is checked in (rust-src, bpf-linker 0.10.4)
	bpf/build.sh

.PHONY: fmt
fmt: ## format the sources
	cargo fmt --all

.PHONY: lint
lint: ## formatting, clippy, shellcheck
	tests/lint.sh

.PHONY: audit
audit: ## licenses, bans and sources of all dependencies
	tests/audit.sh
