#!/usr/bin/env bash
# Measures, and prints a table for each part. usage: bench.sh [node [memory|traffic|many]...|auth|devbox]; without a part,
# all of them, devbox only if one runs.
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-}
export STACKUBE_DEVBOX=$PWD/.devbox

# Services, DNS and memory beside kube-proxy and CoreDNS, in namespaces of its own; and how soon a full node's Services are in the maps.
node() {
  tests/bench/run.sh "$@"
  if (($# == 0)); then cargo bench --quiet -p stackube-proxy --bench program; fi
}

# Answers of stackube-auth, beside made-up tokens and without Keystone. Fails when a goal is missed.
auth() { cargo bench --quiet -p stackube-auth --bench reviews; }

# Networks and pods (8 minutes on a quiet machine).
devbox() {
  # What a run that was killed left behind.
  "$STACKUBE_DEVBOX/bin/kubectl" delete tenants --selector stackube.kubernetes.io/test=e2e --timeout=240s
  cargo run --quiet -p stackube-e2e --bin bench
}

running() { [ -f "$STACKUBE_DEVBOX/kubeconfig" ]; }

case $part in
  node) node "${@:2}" ;;
  auth) auth ;;
  devbox)
    running || { echo "no devbox is running: run \`make devbox\`" >&2; exit 1; }
    devbox
    ;;
  "")
    node
    if running; then devbox; else echo "networks and pods were not measured: no devbox is running (\`make devbox\`)"; fi
    auth
    ;;
  *)
    echo "usage: make bench [T=node|auth|devbox]" >&2
    exit 1
    ;;
esac
