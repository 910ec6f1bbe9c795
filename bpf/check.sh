#!/usr/bin/env bash
# Whether the object that is checked in is what the sources make, as TAP. Skipped where the tools that compile it are not at hand.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
name="the eBPF object is what its sources make (make bpf)"
missing=()
[[ $(bpf-linker --version 2>/dev/null) == "bpf-linker 0.10.4" ]] || missing+=("bpf-linker 0.10.4")
[[ $(rustc --version) == "rustc 1.95."* ]] || missing+=("Rust 1.95")
[[ -d $(rustc --print sysroot)/lib/rustlib/src/rust/library ]] || missing+=(rust-src)
command -v llvm-objcopy >/dev/null || missing+=(llvm-objcopy)
if ((${#missing[@]})); then
  echo "ok - $name # SKIP without ${missing[*]}"
elif ./build.sh --check; then
  echo "ok - $name"
else
  echo "not ok - $name"
  exit 1
fi
