#!/usr/bin/env bash
# Measures the running devbox (8 minutes on a quiet machine) and prints a table.
set -euo pipefail
cd "$(dirname "$0")/.."
export STACKUBE_DEVBOX=$PWD/.devbox
[ -f "$STACKUBE_DEVBOX/kubeconfig" ] || { echo "no devbox is running: run \`make devbox\`" >&2; exit 1; }
# What a run that was killed left behind.
"$STACKUBE_DEVBOX/bin/kubectl" delete tenants --selector stackube.kubernetes.io/test=e2e --timeout=240s
cargo build --quiet -p stackube-e2e --bin bench
exec cargo run --quiet -p stackube-e2e --bin bench
