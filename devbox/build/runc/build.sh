#!/usr/bin/env bash
# runc, for the test hosts and for the pods inside them. usage: build.sh OUTPUT_DIR
#
# Debian 12's runc 1.1 fails under containerd 2.3. Needs gcc, pkg-config and libseccomp-dev.
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

version=$(go list -m -f '{{.Version}}' github.com/opencontainers/runc)

# Linked statically: the same binary runs on the machine (Debian 12) and in a test host (Debian 13).
CGO_ENABLED=1 go build -trimpath -tags "seccomp netgo osusergo" \
  -ldflags "-s -w -extldflags=-static -X main.version=${version#v}" \
  -o "$output/runc" github.com/opencontainers/runc
