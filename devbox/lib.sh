# shellcheck shell=bash
# What every part of the devbox shares: places, progress with times, failures that say where to look, content keys.
# Sourced, never run. Functions of the devbox rely on `set -e`: call them as plain commands, not in `if`, `&&` or `||`.

repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
devbox=$repository/devbox
state=$repository/.devbox
cache=${STACKUBE_CACHE:-$HOME/.cache/stackube}
# What exists once per machine: lock, container state, marks. Its name is fixed, so any checkout can clean up after any other.
run=/run/stackube-devbox
begun=$EPOCHREALTIME
export GOFLAGS="-buildvcs=false -mod=readonly"

# seconds SINCE: time since an EPOCHREALTIME, in seconds with one decimal.
seconds() {
  local tenths=$(((${EPOCHREALTIME/./} - ${1/./}) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# say TEXT: one line of progress, with the time since the start.
say() {
  printf '[%6s s] %s\n' "$(seconds "$begun")" "$*"
}

# die TEXT...: what is wrong, and what to do about it.
die() {
  printf 'devbox: %s\n' "$@" >&2
  exit 1
}

# step LOG TITLE COMMAND...: runs COMMAND with its output in the log file, and says how long it took.
step() {
  local log=$state/log/$1.log title=$2 since=$EPOCHREALTIME status=0
  shift 2
  mkdir -p "$state/log"
  set +e
  (
    set -e
    "$@"
  ) >"$log" 2>&1
  status=$?
  set -e
  if ((status != 0)); then
    {
      printf '[%6s s] FAILED: %s (%s s)\n' "$(seconds "$begun")" "$title" "$(seconds "$since")"
      tail -n 15 "$log" | sed 's/^/    | /'
      printf '    the whole log: %s\n' "$log"
    } >&2
    exit "$status"
  fi
  say "$title ($(seconds "$since") s)"
}

# content_key [-s STRING]... PATH...: a short key of the strings given and of all files at or below the paths (relative to the repository).
content_key() {
  local strings=()
  while [[ ${1-} == -s ]]; do
    strings+=("$2")
    shift 2
  done
  (
    cd "$repository"
    printf '%s\n' "${strings[@]}"
    if (($# > 0)); then
      find "$@" -type f ! -path '*/__pycache__/*' ! -name '*~' ! -name '.*.swp' -print0 | sort -z | xargs -0 sha256sum
    fi
  ) | sha256sum | cut -c1-16
}

# remove_tree PATH...: deletes directories of ours, first unmounting whatever a killed run left mounted below them.
remove_tree() {
  local path mounted
  for path; do
    [[ -e $path ]] || continue
    while read -r mounted; do
      umount --lazy -- "$mounted"
    done < <(findmnt --raw --noheadings --output TARGET | grep -F -- "$(realpath "$path")/" | sort --reverse)
    rm --recursive --force --one-file-system -- "$path"
  done
}
