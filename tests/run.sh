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

declare -A beside
# However this run ends, the last lines tell how it went.
finish() {
  local status=$? session
  for session in "${beside[@]}"; do pkill --session "$session"; done
  devbox/devbox down > /dev/null 2>&1
  counted || status=1
  exit "$status"
}
trap 'echo "not ok - ended by a signal" > "$RESULTS/signal.log"; exit 143' INT TERM
trap finish EXIT

# beside NAME COMMAND...: starts what the stages that follow need not wait for, in a session of its own.
beside() {
  local name=$1; shift
  # shellcheck disable=SC2016 # expanded by the inner shell
  setsid bash -c 'status=$1; shift; "$@"; echo $? > "$status"' - "$RESULTS/$name.status" "$@" > "$RESULTS/$name.txt" 2>&1 &
  beside[$name]=$!
}

# awaited NAME: shows what that prints until it ends, and ends like it.
awaited() {
  tail --pid="${beside[$1]}" --lines=+1 --follow "$RESULTS/$1.txt"
  return "$(cat "$RESULTS/$1.status")"
}

stage set-up devbox/devbox prerequisites || exit 1
# What a run that was killed left, perhaps one of a checkout that is gone.
stage clean devbox/devbox down || exit 1
# Downloads and compiles of the devbox take minutes, as the Rust builds do.
beside build devbox/devbox build
stage unit make --no-print-directory unit
stage build awaited build
stage templates tests/templates.sh
stage node tests/node.sh
# Nothing in the emulated machine is measured against the clock, and much of what Ansible does is to wait.
beside vm tests/vm.sh
stage devbox make --no-print-directory devbox
devbox=$?
stage vm awaited vm
if [ "$devbox" -eq 0 ]; then
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
# Clippy compiles all over again, and may have what these tests leave while they wait for hosts to boot.
beside lint nice -n 19 tests/lint.sh
stage down devbox/test.sh
stage lint awaited lint
stage prune devbox/devbox prune
