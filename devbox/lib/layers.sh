# shellcheck shell=bash
# The layers of a host's root file system, each a directory of the cache, top first:
#
#   configured   what configure.yml left in a booted host (lib/configure.sh)
#   registry     the registry and its images
#   kubernetes   role kubernetes, install.yml
#   base         Debian and the install.yml of all other roles (devbox/image)
#
# Their keys: lib/keys.sh.

# ansible: where the virtual environment with Ansible and the OpenStack client is.
ansible() {
  echo "$cache/ansible-${keys[ansible]}"
}

make_base() {
  STACKUBE_ANSIBLE=$(ansible) "$devbox/image/build.sh" "$1"
}

make_kubernetes_layer() {
  "$devbox/layers/kubernetes.sh" "$1" "$cache/base-${keys[base]}" "$(ansible)" \
    "$(component kubernetes)" "$(component containerd)" "$(component runc)" "$(component gvisor)"
}

make_registry_layer() {
  "$devbox/layers/registry.sh" "$1" \
    "$(component kubernetes)" "$(component etcd)" "$(component metrics-server)" "$(component registry)" "$cache/roots-${keys[roots]}"
}

# The two halves of the work that need not wait for each other: compiling, and downloading.
build_programs() {
  build_components
}

build_downloads() {
  step ansible "Ansible and the OpenStack client" cache_fill ansible "${keys[ansible]}" "$devbox/image/ansible.sh"
  step base "host image: Debian, OpenStack, OVN" cache_fill base "${keys[base]}" make_base
  step roots "file systems of the images nginx and busybox" cache_fill roots "${keys[roots]}" "$devbox/containers/roots.sh"
}

# build_layers: everything that downloads or compiles, by processes of the control group $work_group.
build_layers() {
  local programs downloads status=0
  build_programs &
  programs=$!
  build_downloads &
  downloads=$!
  wait -n || status=$?
  if ((status == 0)); then wait "$programs" || status=$?; fi
  if ((status == 0)); then wait "$downloads" || status=$?; fi
  if ((status != 0)); then # the first failure ends the other half, which could take minutes
    cgroup_leave
    exec 2>/dev/null # what failed has been said
    cgroup_kill "$work_group"
    exit "$status"
  fi
  step kubernetes "host image: Kubernetes" cache_fill kubernetes-layer "${keys[kubernetes-layer]}" make_kubernetes_layer
  step registry "host image: registry with images" cache_fill registry-layer "${keys[registry-layer]}" make_registry_layer
}

# installed_layers: the layers of a host that is not configured yet, top first.
installed_layers() {
  echo "$cache/registry-layer-${keys[registry-layer]}"
  echo "$cache/kubernetes-layer-${keys[kubernetes-layer]}"
  echo "$cache/base-${keys[base]}"
}
