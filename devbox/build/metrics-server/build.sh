#!/usr/bin/env bash
# metrics-server, which operators run for `kubectl top` and autoscalers. usage: build.sh OUTPUT_DIR
#
# With the libraries of devbox/build/kubernetes (the `exclude` lines of go.mod), which are built already: minutes less.
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$output/metrics-server" \
  sigs.k8s.io/metrics-server/cmd/metrics-server
