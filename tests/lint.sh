#!/usr/bin/env bash
# Formatting, clippy, shellcheck and the dependencies' licenses, as TAP.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
failed=0
check() {
  local name=$1; shift
  if "$@"; then echo "ok - $name"; else echo "not ok - $name"; failed=1; fi
}

# The devbox's own, whose parts are sourced together, are checked as a whole by devbox/lint.sh.
scripts() { git ls-files -co --exclude-standard | grep -v '^devbox/' | xargs -r grep -lE '^#!/usr/bin/env bash|^# shellcheck shell=bash' --; }

# shellcheck disable=SC2317 # called by check
bundle_is_current() { diff -u deployment/stackube.yaml <(deployment/bundle.sh); }

command -v shellcheck >/dev/null || { apt-get update -qq && apt-get install -y -qq shellcheck >/dev/null; }
check "sources are formatted (make fmt)" cargo fmt --all --check
check "clippy" cargo clippy --workspace --all-targets --quiet -- -D warnings
# Not among the default targets, since they need a cloud or root.
check "clippy (live tests, maps)" cargo clippy --workspace --test live --test maps --quiet -- -D warnings
# shellcheck disable=SC2046
check "shellcheck" shellcheck -x $(scripts)
check "shellcheck (devbox)" devbox/lint.sh
check "the security model names tests that exist, and answers every finding" tests/cited.sh
check "dependencies (make audit)" tests/audit.sh
check "deployment/stackube.yaml is current (make generate)" bundle_is_current
bpf/check.sh || failed=1
exit "$failed"
