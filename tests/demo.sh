#!/usr/bin/env bash
# The user guide, run on the devbox.
set -euo pipefail
cd "$(dirname "$0")/.."
export STACKUBE_DEVBOX=$PWD/.devbox
exec cargo run --quiet -p stackube-e2e --bin guide -- docs/user/guide.md
