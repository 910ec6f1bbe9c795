# Shared by the scripts in tests/: counting and timing. Sourced, not run.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RESULTS=${RESULTS:-$ROOT/target/test-results}
export ROOT RESULTS

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

# What stage NAME printed goes to the terminal and to a file of its own, where `counted` reads it.
stage() {
  local name=$1 status; shift
  mkdir -p "$RESULTS"
  say "== $name"
  "$@" 2>&1 | tee "$RESULTS/$name.log"
  status=${PIPESTATUS[0]}
  # A stage that fails before its first test still counts as one failure.
  if [ "$status" -ne 0 ] && ! grep -qE '^test result: FAILED|^not ok |^FAILED ' "$RESULTS/$name.log"; then
    echo "not ok - $name: exit status $status" | tee -a "$RESULTS/$name.log"
  fi
  say "== $name ended with status $status"
  return "$status"
}

# Sums libtest's closing lines and TAP lines of all stages into "N passed, N failed".
counted() {
  cat "$RESULTS"/*.log 2>/dev/null | awk '
    /^test result: / { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) passed += $i; if ($(i+1) ~ /^failed/) failed += $i } }
    /^ok / { passed++ }
    /^not ok |^FAILED / { failed++ }
    END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 }'
}
