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

# cache_prune DAYS: removes entries that no run has used for so many days.
cache_prune() {
  local entry
  while read -r entry; do
    say "removing $entry"
    remove_tree "$entry"
  done < <(find "$cache" -mindepth 1 -maxdepth 1 -type d ! -name tmp -mtime "+$1")
}
