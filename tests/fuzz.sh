#!/usr/bin/env bash
# Runs the fuzz targets one after the other. usage: fuzz.sh [SECONDS_EACH]. Needs a nightly toolchain and root.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo "cargo-fuzz needs a nightly toolchain: rustup toolchain install nightly" >&2
  exit 1
fi
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
# What is found beside the checked-in corpus goes elsewhere.
found=$(mktemp -d)
trap 'rm -r "$found"' EXIT
for target in dns:dns_message cni:cni_stdin auth:token_review clouds:clouds_yaml packet:packet; do
  name=${target#*:}
  mkdir "$found/$name"
  echo "== $name"
  cargo +nightly fuzz build --features "${target%:*}" "$name"
  # The devices' own namespace: `packet` only loads programs, and attaches none.
  unshare --net cargo +nightly fuzz run --features "${target%:*}" "$name" "$found/$name" "fuzz/corpus/$name" -- \
    -max_total_time="$seconds" -max_len=8192 -print_final_stats=1
done
