#!/usr/bin/env bash
# Prints the sums of the object that is checked in and of all that it is made of.
set -euo pipefail
cd "$(dirname "$0")/.."
find bpf/{Cargo.toml,Cargo.lock,build.sh,src} crates/datapath/src/abi.rs crates/datapath/src/abi crates/datapath/object/stackube.o -type f -print0 |
  LC_ALL=C sort --zero-terminated | xargs --null sha256sum
