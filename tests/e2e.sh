#!/usr/bin/env bash
# End-to-end tests against the running devbox. An argument selects tests by name.
set -euo pipefail
cd "$(dirname "$0")/.."
export STACKUBE_DEVBOX=$PWD/.devbox
[ -f "$STACKUBE_DEVBOX/kubeconfig" ] || { echo "no devbox is running: run \`make devbox\`" >&2; exit 1; }
# What a run that was killed left behind.
"$STACKUBE_DEVBOX/bin/kubectl" delete tenants --selector stackube.kubernetes.io/test=e2e --timeout=240s
exec cargo test --quiet --workspace --test e2e -- --test-threads=4 "$@"
