#!/usr/bin/env bash
# gVisor: runsc and its shim for containerd. usage: build.sh OUTPUT_DIR
#
# The shim lowers its own OOM score and does not start where it may not, as on machines without CAP_SYS_RESOURCE: here it is
# built from a copy that leaves the score alone. On bare machines use gVisor's own release.
set -euo pipefail
cd "$(dirname "$0")"
output=${1:?output directory}

# A module has no directory until it has been downloaded.
go mod download gvisor.dev/gvisor
module=$(go list -m -f '{{.Dir}}' gvisor.dev/gvisor)
version=$(go list -m -f '{{.Version}}' gvisor.dev/gvisor)
score=pkg/shim/v1/manager.go
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$version" \
  -o "$output/runsc" gvisor.dev/gvisor/runsc

cp -r "$module" "$work/gvisor"
chmod -R u+w "$work/gvisor"
sed -i 's/oomScoreMax = -999$/oomScoreMax = 0/' "$work/gvisor/$score"
if cmp --silent "$module/$score" "$work/gvisor/$score"; then
  echo "build.sh: gVisor's shim sets its OOM score elsewhere in $version: look at $score" >&2
  exit 1
fi
cp go.mod go.sum "$work/"
go mod edit -replace "gvisor.dev/gvisor=$work/gvisor" "$work/go.mod"
CGO_ENABLED=0 go build -trimpath -modfile "$work/go.mod" -ldflags "-s -w" \
  -o "$output/containerd-shim-runsc-v1" gvisor.dev/gvisor/shim
