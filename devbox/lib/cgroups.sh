# shellcheck shell=bash
# Everything that the devbox runs is in control groups below /stackube-devbox, so that `down` finds it whoever left it:
#   up           a run of the devbox itself, with its builds
#   build-KEY    builds alone, of one checkout
#   keeper       the process that holds a host's container
#   devbox-N     a host

cgroup=stackube-devbox

# cgroup_trees [NAME]: the top directory of our groups, or of one, in each hierarchy (one with cgroup v2, a dozen with v1).
cgroup_trees() {
  local top
  for top in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
    if [[ -d $top${1:+/$1} ]]; then echo "$top${1:+/$1}"; fi
  done
}

# cgroup_join NAME: moves this shell (and so its children) into a group of ours. One hierarchy is enough to find it again.
cgroup_join() {
  mkdir -p "$(cgroup_top)/$cgroup/$1"
  echo "$BASHPID" >"$(cgroup_top)/$cgroup/$1/cgroup.procs"
}

# cgroup_leave: moves this shell back to the top.
cgroup_leave() {
  echo "$BASHPID" >"$(cgroup_top)/cgroup.procs"
}

cgroup_top() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then echo /sys/fs/cgroup; else echo /sys/fs/cgroup/freezer; fi
}

# cgroup_processes [NAME]: the processes of our groups, or of one.
cgroup_processes() {
  local trees
  mapfile -t trees < <(cgroup_trees "$@")
  if ((${#trees[@]} == 0)); then return; fi
  # Groups come and go while we look.
  { find "${trees[@]}" -name cgroup.procs -exec cat {} + 2>/dev/null || true; } | sort --unique
}

# cgroup_kill [NAME]: ends every process of our groups, or of one; at most ten seconds. The caller is in none of them.
cgroup_kill() {
  local attempt processes
  for ((attempt = 0; attempt < 100; attempt++)); do
    mapfile -t processes < <(cgroup_processes "$@")
    if ((${#processes[@]} == 0)); then return; fi
    kill -KILL "${processes[@]}" 2>/dev/null || true
    sleep 0.1
  done
  die "processes that do not end: ${processes[*]}" "look at them with: ps -fp ${processes[*]// /,}"
}

# cgroup_hosts: the names of the hosts that have a group.
cgroup_hosts() {
  cgroup_trees | xargs --no-run-if-empty ls | { grep '^devbox-[0-9]*$' || true; } | sort --unique
}

# cgroup_remove: removes our groups; one that still has processes (a run of the devbox itself) stays.
cgroup_remove() {
  local trees
  mapfile -t trees < <(cgroup_trees)
  if ((${#trees[@]} == 0)); then return; fi
  find "${trees[@]}" -depth -type d -exec rmdir {} + 2>/dev/null || true
}
