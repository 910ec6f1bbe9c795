#!/usr/bin/env bash
# Compiles the programs into the object that the crate stackube-datapath embeds, and notes the sums of what it is made of; with --check,
# compares with what is at hand.
# Needs: rustup component add rust-src; cargo install bpf-linker --version 0.10.4 --locked; apt-get install llvm.
set -euo pipefail
cd "$(dirname "$0")"
object=../crates/datapath/object/stackube.o
target=${STACKUBE_BPF_TARGET:-$PWD/target}
# RUSTC_BOOTSTRAP: core has to be compiled for this target, which stable cargo does not do by itself. Paths are left out of the object.
export RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$target CARGO_ENCODED_RUSTFLAGS
source_root=$(rustc --print sysroot)/lib/rustlib/src/rust
flags=(--cfg 'bpf_target_arch="x86_64"' -C debuginfo=2 -C link-arg=--btf -C linker=bpf-linker
  --remap-path-prefix "$source_root=/rust" --remap-path-prefix "${CARGO_HOME:-$HOME/.cargo}=/cargo" --remap-path-prefix "$(cd .. && pwd)=/stackube")
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f'; echo "${flags[*]}")
cargo build --quiet --release --locked --target bpfel-unknown-none -Z build-std=core
built=$target/bpfel-unknown-none/release/stackube.o
# BTF stays, which the kernel takes with the programs; DWARF is twenty times as large and nobody reads it.
llvm-objcopy --strip-debug "${built%.o}" "$built"
if [[ ${1:-} == --check ]]; then
  cmp "$built" "$object"
else
  install -m 644 -D "$built" "$object"
  ./sums.sh >"$object.sha256"
fi
