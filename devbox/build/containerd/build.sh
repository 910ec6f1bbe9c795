#!/usr/bin/env bash
# containerd, its runc shim and ctr, without the snapshotters that a test host has no use for. usage: build.sh OUTPUT_DIR
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

version=$(go list -m -f '{{.Version}}' github.com/containerd/containerd/v2)
package=github.com/containerd/containerd/v2

CGO_ENABLED=0 go build -trimpath -tags "no_btrfs no_zfs no_devmapper" \
  -ldflags "-s -w -X $package/version.Version=$version" -o "$output/" \
  $package/cmd/containerd $package/cmd/containerd-shim-runc-v2 $package/cmd/ctr
