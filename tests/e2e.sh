#!/usr/bin/env bash
# End-to-end tests against the running devbox. An argument selects tests by name.
set -euo pipefail
cd "$(dirname "$0")/.."
export STACKUBE_DEVBOX=$PWD/.devbox
[ -f "$STACKUBE_DEVBOX/kubeconfig" ] || { echo "no devbox is running: run \`make devbox\`" >&2; exit 1; }
# What a run that was killed left behind.
"$STACKUBE_DEVBOX/bin/kubectl" delete tenants --selector stackube.kubernetes.io/test=e2e --timeout=240s
run() { cargo test --quiet --workspace --test e2e -- "$@"; }
if [ $# -gt 0 ]; then
  run --test-threads=4 "$@"
else
  status=0
  run --test-threads=4 --skip alone:: --skip two_nodes:: || status=$?
  # Those that disturb the others come last, so that these do not wait for each of them.
  run --test-threads=1 alone:: || status=$?
  exit "$status"
fi
