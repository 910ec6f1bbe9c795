#!/usr/bin/env bash
# A second node joins the running devbox; end-to-end tests of what takes two. An argument selects tests by name. The second node is lost
# at the end: `devbox/devbox join` makes another only after `make down && make devbox`.
set -euo pipefail
cd "$(dirname "$0")/.."
export STACKUBE_DEVBOX=$PWD/.devbox
[ -f "$STACKUBE_DEVBOX/kubeconfig" ] || { echo "no devbox is running: run \`make devbox\`" >&2; exit 1; }
devbox/devbox join
kubectl=$STACKUBE_DEVBOX/bin/kubectl
# What a run that was killed left behind.
"$kubectl" uncordon stackube stackube-2
"$kubectl" delete tenants --selector stackube.kubernetes.io/test=e2e --timeout=240s
"$kubectl" wait --for=condition=Ready nodes --all --timeout=120s
run() { cargo test --quiet --workspace --test e2e -- "$@"; }
if [ $# -gt 0 ]; then
  run --test-threads=4 "two_nodes::$1"
else
  status=0
  run --test-threads=4 two_nodes:: --skip two_nodes::drained --skip two_nodes::lost || status=$?
  # Those that disturb the others come last, so that these do not wait for each of them.
  run two_nodes::drained || status=$?
  run two_nodes::lost || status=$?
  exit "$status"
fi
