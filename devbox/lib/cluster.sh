# shellcheck shell=bash
# What runs on the configured hosts: OpenStack comes back by itself, Kubernetes is made anew at each start.

# wait_openstack: until Keystone, Neutron and OVN answer.
wait_openstack() {
  local attempt
  for ((attempt = 0; attempt < 300; attempt++)); do
    if host_exec "${host_names[0]}" /usr/local/sbin/openstack-ready 2>"$state/log/openstack-ready.log"; then return; fi
    sleep 1
  done
  cat "$state/log/openstack-ready.log"
  die "OpenStack is not ready after five minutes" "look with: devbox/devbox enter ${host_names[0]} systemctl --failed"
}

# wait_api: until the API server says that it is ready.
wait_api() {
  local attempt
  for ((attempt = 0; attempt < 360; attempt++)); do
    if [[ $(kubectl get --raw /readyz 2>/dev/null || true) == ok ]]; then return; fi
    sleep 0.5
  done
  kubectl get --raw '/readyz?verbose' || true
  die "the API server is not ready after three minutes" "look with: devbox/devbox enter ${host_names[0]} journalctl -u kubelet"
}

kubectl() {
  KUBECONFIG=$state/kubeconfig "$(component kubernetes)/kubectl" "$@"
}

start_kubernetes() {
  playbook cluster
  write_kubeconfig
  wait_api
}

# host_file HOST PATH TARGET: copies a file of the host, readable by its owner alone, in one rename.
host_file() {
  (
    umask 077
    host_exec "$1" cat "$2" >"$3.new"
  )
  mv "$3.new" "$3"
}

write_kubeconfig() {
  host_file "${host_names[0]}" /etc/kubernetes/admin.conf "$state/kubeconfig"
}

# wrapper NAME ENVIRONMENT COMMAND: an executable in .devbox/bin that needs nothing set.
wrapper() {
  printf '#!/bin/sh\n%s\nexec %s "$@"\n' "$2" "$3" >"$state/wrapper"
  chmod 755 "$state/wrapper"
  mv "$state/wrapper" "$state/bin/$1"
}

# write_outputs: what people and tests use: kubeconfig, clouds.yaml, programs.
write_outputs() {
  local program
  mkdir -p "$state/bin"
  write_kubeconfig
  host_file "${host_names[0]}" /etc/openstack/clouds.yaml "$state/clouds.yaml"
  wrapper kubectl "export KUBECONFIG=\"\${KUBECONFIG:-$state/kubeconfig}\"" "$(component kubernetes)/kubectl"
  wrapper openstack "export OS_CLIENT_CONFIG_FILE=\"\${OS_CLIENT_CONFIG_FILE:-$state/clouds.yaml}\" OS_CLOUD=\"\${OS_CLOUD:-devbox}\"" \
    "$(ansible)/bin/python -m openstackclient.shell"
  for program in "$(component kubernetes)"/{agnhost,kubeadm} "$(component containerd)/ctr" "$(component tools)"/*; do
    ln -sfn "$program" "$state/bin/${program##*/}"
  done
}
