#!/usr/bin/env bash
# `make test`: every stage in turn, each failure counted, everything taken down at the end. Exit status 0 only when nothing failed.
set -uo pipefail
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT" || exit 1
rm -rf "$RESULTS"
mkdir -p "$RESULTS"
# A test that fails says what it wants to say; the frames below it would push that out of sight.
export RUST_BACKTRACE=0

# However this run ends, the last lines tell how it went.
finish() {
  local status=$?
  devbox/devbox down > /dev/null 2>&1
  counted || status=1
  exit "$status"
}
trap 'echo "not ok - ended by a signal" > "$RESULTS/signal.log"; exit 143' INT TERM
trap finish EXIT

# Downloads and compiles of the devbox take minutes, so they run beside the Rust builds; this waits for them.
built() {
  tail --pid="$build" --lines=+1 --follow "$RESULTS/build.txt"
  return "$(cat "$RESULTS/build.status")"
}

stage set-up devbox/devbox prerequisites || exit 1
# What a run that was killed left, perhaps one of a checkout that is gone.
stage clean devbox/devbox down || exit 1
(devbox/devbox build; echo $? > "$RESULTS/build.status") > "$RESULTS/build.txt" 2>&1 &
build=$!
stage lint tests/lint.sh
stage unit make --no-print-directory unit
stage build built
stage templates tests/templates.sh
stage node tests/node.sh
stage vm tests/vm.sh
if stage devbox make --no-print-directory devbox; then
  stage again devbox/test.sh deployed
  # What docs/deployment tells to try a new OpenStack with; it waits more than it works.
  stage verify devbox/devbox playbook verify > /dev/null &
  verify=$!
  stage openstack env STACKUBE_CLOUDS_FILE="$ROOT/.devbox/clouds.yaml" cargo test --quiet --workspace --test live
  wait "$verify"
  stage e2e tests/e2e.sh
  stage demo tests/demo.sh
  stage nodes tests/nodes.sh
fi
stage down devbox/test.sh
stage prune devbox/devbox prune
