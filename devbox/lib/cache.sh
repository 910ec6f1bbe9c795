# shellcheck shell=bash
# The cache: directories named NAME-KEY that are complete or absent.

# cache_fill NAME KEY COMMAND...: makes $cache/NAME-KEY unless it is there. COMMAND... PATH makes the directory PATH (absent,
# on the cache's disk), which becomes the entry by one rename: two runs may race and either may be killed.
cache_fill() {
  local name=$1 key=$2 entry=$cache/$1-$2 lock work
  shift 2
  if [[ -d $entry ]]; then
    touch -c "$entry" # what `devbox prune` goes by
    return
  fi
  mkdir -p "$cache/tmp"
  exec {lock}>"$cache/tmp/$name.lock"
  flock "$lock"
  if [[ ! -d $entry ]]; then
    remove_tree "$cache/tmp/$name."*/ # left by a run that was killed: the lock is ours
    work=$(mktemp -d "$cache/tmp/$name.XXXXXX")
    chmod 755 "$work"
    "$@" "$work/entry"
    mv -T "$work/entry" "$entry"
    remove_tree "$work"
  fi
  exec {lock}>&-
}

# cache_entries: all entries, the one used last first.
cache_entries() {
  if [[ ! -d $cache ]]; then return; fi
  find "$cache" -mindepth 1 -maxdepth 1 -type d -regextype posix-extended -regex '.*/[a-z-]+-[0-9a-f]{16}' -printf '%T@ %f\n' |
    sort --numeric-sort --reverse | cut -d' ' -f2
}

# cache_wanted: the entries that this checkout uses.
cache_wanted() {
  local name
  for name in "${!keys[@]}"; do echo "$name-${keys[$name]}"; done
}

# cache_used: the entries that must stay: what this checkout would use, and what the running devbox does, whosever it is.
cache_used() {
  cache_wanted
  if [[ -f $run/entries ]]; then cat "$run/entries"; fi
}

# cache_prune [DAYS]: removes what nothing uses: of each name all but the two entries that were used last, and those that were
# not used for so many days (7).
cache_prune() {
  local days=${1:-7} oldest name entry used
  local -A kept=()
  oldest=$((EPOCHSECONDS - days * 86400))
  used=$(cache_used)
  while read -r entry; do
    name=${entry%-*}
    kept[$name]=$((${kept[$name]:-0} + 1))
    if grep --quiet --line-regexp --fixed-strings -e "$entry" <<<"$used"; then continue; fi
    if ((kept[$name] <= 2 && $(stat --format=%Y "$cache/$entry") >= oldest)); then continue; fi
    say "removing $entry"
    # By way of a name that is no entry: an entry is complete or absent.
    remove_tree "$cache/tmp/pruned"
    mv -T "$cache/$entry" "$cache/tmp/pruned"
    remove_tree "$cache/tmp/pruned"
  done < <(cache_entries)
}
