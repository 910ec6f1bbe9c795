# shellcheck shell=bash
# Bringing the devbox up and down.

# lock_machine [force]: one run at a time on this machine. A run that was killed may have left processes: they are ended.
# With `force` so is a run that is still at work.
lock_machine() {
  local other
  mkdir -p "$run" "$state/log"
  exec {machine_lock}>>"$run/lock"
  if ! flock --nonblock "$machine_lock"; then
    other=$(cat "$run/pid" 2>/dev/null || true)
    if [[ ${1-} != force && -n $other ]] && grep --quiet --no-messages "/$cgroup/up\$" "/proc/$other/cgroup"; then
      die "another run of the devbox is at work on this machine (process $other)" "wait for it, or end it with: make down"
    fi
    cgroup_kill up
    flock --timeout 10 "$machine_lock" || die "$run/lock is held by a process that does not end" "find it with: fuser $run/lock"
  fi
  echo $$ >"$run/pid"
  cgroup_kill up
}

# running_key: the key of the devbox that runs and is ready; nothing otherwise.
running_key() {
  local name
  for name in "${host_names[@]}"; do
    if [[ -z $(host_running "$name") ]]; then return; fi
  done
  if [[ -f $run/ready ]]; then cat "$run/ready"; fi
}

# build: fills the cache with everything that downloads or compiles. Entries have their own locks: it may run beside anything.
build() {
  work_group=$(build_group)
  cgroup_join "$work_group"
  build_layers
}

# build_group: the control group of this checkout's builds.
build_group() {
  echo "build-$(content_key -s "$repository")"
}

up() {
  local key name layers running
  lock_machine
  work_group=up
  cgroup_join up
  key="$repository ${keys[configured]}"
  running=$(running_key)
  if [[ $running == "$repository "* ]]; then
    step outputs "the devbox runs already" write_outputs
    if [[ $running != "$key" ]]; then
      say "its inputs have changed since it started: make down && make devbox starts it anew"
    fi
    return
  fi
  if [[ -n $running ]]; then
    die "a devbox of ${running% *} runs on this machine" "end it with: make down (from any checkout)"
  fi
  clear_machine # left by a run that was killed
  cache_wanted >"$run/entries"

  build_layers
  step network "network: bridge, namespaces, blackholes" network_up
  make_identity
  step configured "hosts configured by Ansible" cache_fill configured "${keys[configured]}" make_configured

  mapfile -t layers < <(configured_layers)
  for name in "${host_names[@]}"; do
    step "boot-$name" "$name booted" host_start "$name" "$state/hosts/$name/upper" "${layers[@]}"
  done
  restore_secrets
  step kubernetes-init "Kubernetes" start_kubernetes
  step openstack "OpenStack" wait_openstack
  step outputs "outputs: $state/{kubeconfig,clouds.yaml,bin}" write_outputs
  echo "$key" >"$run/ready"
  say "the devbox is ready"
}

# clear_machine: ends the hosts and removes the network, whoever started them.
clear_machine() {
  local name
  rm -f "$run/ready" "$run/entries"
  cgroup_kill keeper
  for name in $(cgroup_hosts); do
    cgroup_kill "$name"
  done
  cgroup_remove
  hosts_forget
  network_down
  # What people and other scripts keep here describes the devbox that is gone; the logs may tell why.
  find "$state" -mindepth 1 -maxdepth 1 ! -name log -exec rm -rf {} +
}

down() {
  lock_machine force
  cgroup_kill "$(build_group)"
  clear_machine
  rm -rf "$run"
  say "nothing of the devbox is left on this machine; the cache stays in $cache"
}

status() {
  local name
  for name in "${host_names[@]}" "$joining_host"; do
    if [[ -n $(host_running "$name") ]]; then
      printf '%s: %s (%s), made by %s\n' "$name" "$(host_exec "$name" systemctl is-system-running || true)" "${host_address[$name]}" \
        "$(cut -d' ' -f1 "$run/ready" 2>/dev/null || echo 'a run that has not finished')"
    else
      printf '%s: not running\n' "$name"
    fi
  done
  if [[ -s $state/kubeconfig ]]; then kubectl get nodes; fi
}
