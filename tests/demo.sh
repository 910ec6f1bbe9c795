#!/usr/bin/env bash
# The user guide, run on the devbox.
set -euo pipefail
cd "$(dirname "$0")/.."
export STACKUBE_DEVBOX=$PWD/.devbox
# What a run that was killed left behind.
"$STACKUBE_DEVBOX/bin/kubectl" delete tenant test other --ignore-not-found --timeout=240s
cargo build --quiet --workspace --bins --test e2e
exec "${CARGO_TARGET_DIR:-target}/$(rustc -vV | sed -n 's/^host: //p')/debug/guide" docs/user/guide.md
