# shellcheck shell=bash
# A second host that becomes a node of the running devbox. It is configured each time: what takes long has been done on the first one.

join() {
  local name=$joining_host layers
  lock_machine
  work_group=up
  cgroup_join up
  if [[ $(running_key) != "$repository "* ]]; then die "no devbox of this checkout runs" "start it with: make devbox"; fi
  if [[ -f $run/joined && -n $(host_running "$name") ]]; then
    say "$name is a node already"
    return
  fi
  forget_host "$name" # left by a run that was killed

  build_layers
  step network "wires of $name" wire_host "$name"
  mapfile -t layers < <(installed_layers)
  step "boot-$name" "$name booted" host_start "$name" "$state/hosts/$name/upper" "${layers[@]}"
  step "configured-$name" "$name configured by Ansible" playbook configure --limit "$name"
  step "images-$name" "images" copy_images "${host_names[0]}" "$name"
  step "node-$name" "$name is a node" playbook cluster --limit "$name"
  touch "$run/joined"
}

# forget_host NAME: ends one host and removes its wires and its run state.
forget_host() {
  cgroup_kill "$1"
  unwire_host "$1"
  remove_tree "$run/hosts/$1" "$run/runc/$1" "$state/hosts/$1"
}

# copy_images FROM TO: what was loaded into the registry of one host since it started.
copy_images() {
  local registry=/var/lib/devbox-registry
  host_exec "$1" tar --create --directory "$registry" . | host_exec "$2" tar --extract --directory "$registry"
}
