# shellcheck shell=bash
# The keys of all cache entries, computed once a run: what goes into an entry, and the keys of what it builds on.

declare -A keys

# go_key PATH...: the key of what Go builds of these.
go_key() {
  content_key -s "$(go env GOVERSION GOARCH | tr '\n' ' ')" "$@"
}

# compute_component_keys: those of the Go modules.
compute_component_keys() {
  local name
  for name in "${go_components[@]}"; do
    keys[$name]=$(go_key "devbox/build/$name")
  done
}

# compute_keys: fills `keys`, from the bottom up.
compute_keys() {
  local python role=install/roles/kubernetes inputs roles
  python=$(/usr/bin/python3 --version)
  compute_component_keys
  keys[ansible]=$(content_key -s "$python" devbox/image/ansible.sh devbox/image/ansible-requirements.txt)

  # What a role verifies changes nothing on a host.
  mapfile -t roles < <(cd "$repository" && find install/roles -mindepth 1 -maxdepth 1 ! -name verify)
  mapfile -t inputs < <("$devbox/image/inputs.sh")
  keys[base]=$(content_key "${inputs[@]}")
  keys[roots]=$(content_key devbox/containers/roots.sh devbox/containers/nginx.conf devbox/image/sources.sh)
  keys[kubernetes-layer]=$(
    content_key -s "${keys[base]} ${keys[kubernetes]} ${keys[containerd]} ${keys[runc]} ${keys[gvisor]}" \
      devbox/layers/kubernetes.sh devbox/inventory/group_vars/all/kubernetes.yml \
      "$role"/tasks/install.yml "$role"/defaults "$role"/templates/{containerd,kubelet}.service.j2
  )
  keys[registry-layer]=$(
    content_key -s "${keys[roots]} ${keys[kubernetes]} ${keys[etcd]} ${keys[metrics-server]} ${keys[registry]}" \
      devbox/layers/registry.sh devbox/containers devbox/rootfs
  )
  keys[configured]=$(
    content_key -s "${keys[base]} ${keys[kubernetes-layer]} ${keys[registry-layer]}" \
      install/ansible.cfg install/configure.yml "${roles[@]}" devbox/inventory devbox/hosts devbox/host
  )
}
