#!/usr/bin/env bash
# The CNCF distribution registry, the test host's mirror of docker.io. usage: build.sh OUTPUT_DIR
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$output/registry" .
