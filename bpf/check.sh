#!/usr/bin/env bash
# Whether the object that is checked in is what the sources make, as TAP. Where the tools that compile it are not at hand, only whether
# both are as `make bpf` left them.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
failed=0
name="the eBPF object and its sources are as \`make bpf\` left them"
if diff ../crates/datapath/object/stackube.o.sha256 <(./sums.sh); then
  echo "ok - $name"
else
  echo "not ok - $name"
  failed=1
fi
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
  failed=1
fi
exit "$failed"
