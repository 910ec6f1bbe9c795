#!/usr/bin/env bash
# The playbooks of install/ as docs/deployment tells to use them, over SSH, on a host that has been installed and not configured:
# deploy.yml, cluster.yml, verify.yml, and configure.yml once more, which must change nothing.
#
# It stands beside a running devbox: what has a name on the machine (namespaces, bridge, routes, packet filter) is in a network and a mount
# namespace of this run, which lead nowhere. So both the host and Ansible are offline.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
if [[ ${1-} != inside ]]; then
  devbox/devbox build
  exec unshare --net --mount --propagation private -- tests/deploy.sh inside
fi
# shellcheck source=devbox/lib.sh
source devbox/lib.sh
for part in lib/{cache,components,keys,layers,cgroups,network,hosts,configure}; do
  # shellcheck source=/dev/null
  source "devbox/$part.sh"
done
# shellcheck source=devbox/hosts/one.sh
source devbox/hosts/one.sh
state=$repository/target/deploy
# shellcheck disable=SC2034 # read by lib/hosts.sh and lib/cgroups.sh
run=/run/stackube-deploy cgroup=stackube-deploy
host=${host_names[0]} address=${host_address[devbox-1]}

clean() {
  cgroup_kill
  cgroup_remove
  remove_tree "$state/hosts" "$run"
}
clean # what a run that was killed has left
trap clean EXIT
remove_tree "$state"
mkdir -p "$run" "$state/log" /run/netns
mount -t tmpfs netns /run/netns
# shellcheck disable=SC2034 # lib/hosts.sh keeps it from the host
exec {machine_lock}>"$run/lock"
compute_keys

start() {
  ip link set lo up
  network_up
  make_identity
  mapfile -t layers < <(installed_layers)
  host_start "$host" "$state/hosts/$host/upper" "${layers[@]}"
  # Nothing offline can be fresher: install.yml asks apt for new lists when the last ones are older than an hour.
  host_exec "$host" mkdir -p /var/lib/apt/periodic
  host_exec "$host" touch /var/lib/apt/periodic/update-success-stamp
}

# The inventory of install/README.md, and what a container for a host takes (devbox/inventory).
inventory() {
  cat <<YAML
all:
  vars:
    ansible_ssh_common_args: -F $state/ssh/config
    external_interface: ext0
    external_cidr: 172.24.4.0/24
    external_gateway: 172.24.4.1
    external_pool_start: 172.24.4.10
    external_pool_end: 172.24.4.250
    ovs_datapath_type: netdev
    kubernetes_program_directories: [$(component kubernetes), $(component containerd), $(component runc), $(component gvisor)]
  children:
    control:    {hosts: {$host: {management_address: $address}}}
    network:    {hosts: {$host: }}
    compute:    {hosts: {$host: }}
    kubernetes: {hosts: {$host: }}
YAML
}

# run_playbook NAME
run_playbook() {
  ANSIBLE_CONFIG=install/ansible.cfg ANSIBLE_HOME=$state/ansible ANSIBLE_SSH_CONTROL_PATH_DIR=$run/ssh LANG=C.UTF-8 \
    "$(ansible)/bin/python" -m ansible playbook --inventory "$state/inventory.yml" \
    --extra-vars @devbox/inventory/group_vars/all/kubernetes.yml "install/$1.yml"
}

configure_again() {
  run_playbook configure
  grep --extended-regexp "^$host +:.* changed=0 " "$state/log/again.log"
}

step start "a host that is installed and not configured" start
inventory >"$state/inventory.yml"
step deploy "deploy.yml over SSH" run_playbook deploy
step cluster "cluster.yml" run_playbook cluster
step verify "verify.yml" run_playbook verify
step again "configure.yml again changes nothing" configure_again
