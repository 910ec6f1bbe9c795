#!/usr/bin/env bash
# Tests of kubestack with the kernel's Open vSwitch datapath, which takes a kernel with that module: they run in the emulated machine of
# devbox/vm. Arguments are libtest's; without any, all tests run but those below.
set -euo pipefail
cd "$(dirname "$0")/.."
# What does not touch the datapath is tested on this machine (tests/node.sh).
if (($# == 0)); then set -- --skip cnitool::; fi

artifacts=$(cargo test --quiet --package stackube-node --test it --no-run --message-format=json)
tests=$(jq --raw-output 'select(.reason == "compiler-artifact" and .target.name == "it" and .profile.test) | .executable' <<<"$artifacts")
plugin=$(jq --raw-output 'select(.reason == "compiler-artifact" and .target.name == "kubestack" and .executable) | .executable' <<<"$artifacts")
exec devbox/vm/run --timeout 600 --with "$tests" --with "$plugin" \
  env TEST_DATAPATH=system "$tests" --test-threads=2 "$@"
