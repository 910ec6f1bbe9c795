# Shared by the scripts in tests/: stages, counting, and what is said at the end. Sourced, not run.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RESULTS=${RESULTS:-$ROOT/target/test-results}
export ROOT RESULTS

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

# What stage NAME printed goes to the terminal and to a file of its own, where `counted` and `failures` read it.
stage() {
  local name=$1 status since=$SECONDS; shift
  mkdir -p "$RESULTS"
  say "== $name"
  "$@" 2>&1 | tee "$RESULTS/$name.log"
  status=${PIPESTATUS[0]}
  # A stage that fails before its first test still counts as one failure.
  if [ "$status" -ne 0 ] && ! grep -qE '^test result: FAILED|^not ok |^FAILED ' "$RESULTS/$name.log"; then
    echo "not ok - $name: exit status $status" | tee -a "$RESULTS/$name.log"
  fi
  say "== $name ended with status $status"
  printf '%s %s %s\n' "$name" "$((SECONDS - since))" "$status" >> "$RESULTS/stages"
  return "$status"
}

# Sums libtest's closing lines and TAP lines of the logs given into "passed failed skipped".
count() {
  cat /dev/null "$@" | awk '
    /^test result: / { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) passed += $i; if ($(i+1) ~ /^failed/) failed += $i } }
    /^ok .*# SKIP/ { skipped++; next }
    /^ok / { passed++ }
    /^not ok |^FAILED / { failed++ }
    END { print passed + 0, failed + 0, skipped + 0 }'
}

# Of each test that failed: its name and the first lines of what it said last. Of a stage: the lines before its failure.
failures() {
  awk -v most=14 '
    function flush() { if (in_test) { for (i = 1; i <= kept; i++) print "    " block[i]; if (dropped) print "    … " dropped " lines more" } in_test = 0 }
    FNR == 1 { flush(); stage = FILENAME; sub(/.*\//, "", stage); sub(/\.log$/, "", stage); recent = 0 }
    # libtest: ---- NAME stdout ----
    /^---- .* (stdout|stderr) ----$/ { flush(); print stage ": " $2; in_test = 1; panicked = kept = dropped = 0; next }
    in_test && /^failures:$/ { flush(); next }
    in_test {
      if (/panicked at/) { panicked = 1; kept = dropped = 0 } # what came before is the story, this is the end
      if (/^note: run with|^stack backtrace:|^$/) next
      if (kept < most) block[++kept] = $0; else dropped++
      next
    }
    # TAP and the like: before "not ok" stands what the command said, after "FAILED" it is indented.
    /^not ok / { print stage ": " $0; from = recent > most ? recent - most : 0; for (i = from; i < recent; i++) print "    " lines[i % most]; recent = 0; next }
    /^FAILED / { print stage ": " $0; indented = most; next }
    indented > 0 && /^    / { print "    " $0; indented--; next }
    { indented = 0; lines[recent++ % most] = $0; if (/^ok /) recent = 0 }
    END { flush() }' /dev/null "$@"
}

# Table of the stages, failures, and the closing line "N passed, N failed[, N skipped]". Status 0 only when nothing failed and something passed.
counted() {
  local logs name seconds status passed failed skipped
  mapfile -t logs < <(find "$RESULTS" -name '*.log' | sort)
  # At the end a record of this run may show only so many lines.
  failures "${logs[@]}" | cut -c1-400 | head -n 90
  printf '\n%-10s %8s %7s %7s  %s\n' stage seconds passed failed status
  while read -r name seconds status; do
    read -r passed failed skipped < <(count "$RESULTS/$name.log")
    printf '%-10s %8d %7d %7d  %s\n' "$name" "$seconds" "$passed" "$failed" "$([ "$status" -eq 0 ] && echo ok || echo FAILED)"
  done < "$RESULTS/stages"
  printf '%-10s %8d\n\n' all "$SECONDS"
  read -r passed failed skipped < <(count "${logs[@]}")
  if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
