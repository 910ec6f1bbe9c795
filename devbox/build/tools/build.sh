#!/usr/bin/env bash
# Small tools of the Kubernetes world that the tests use: cnitool (drives a CNI plugin by hand). usage: build.sh OUTPUT_DIR
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$output/" \
  github.com/containernetworking/cni/cnitool
