#!/usr/bin/env bash
# `make test`: every stage in turn, each failure counted, everything taken down at the end. Exit status 0 only when nothing failed.
set -uo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT" || exit 1
rm -rf "$RESULTS"

trap 'devbox/devbox down >/dev/null 2>&1' EXIT
stage set-up devbox/devbox prerequisites || { counted; exit 1; }
# Downloads and compiles of the devbox take minutes, so they run beside the Rust builds.
mkdir -p "$RESULTS"
devbox/devbox build > "$RESULTS/build.txt" 2>&1 &
build=$!
stage lint tests/lint.sh
stage unit make --no-print-directory unit
say "waiting for the devbox's parts"
wait "$build" || cat "$RESULTS/build.txt"
stage node tests/node.sh
if stage devbox make --no-print-directory devbox; then
  stage openstack env STACKUBE_CLOUDS_FILE="$ROOT/.devbox/clouds.yaml" cargo test --quiet -p stackube-openstack --test live
  stage e2e tests/e2e.sh
  stage demo tests/demo.sh
fi
stage down devbox/test.sh
say "finished"
counted
