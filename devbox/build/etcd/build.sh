#!/usr/bin/env bash
# etcd, the server alone. usage: build.sh OUTPUT_DIR
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$output/etcd" .
