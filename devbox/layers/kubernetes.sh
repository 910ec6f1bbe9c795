#!/usr/bin/env bash
# Makes the image layer with Kubernetes and containerd: what install.yml of that role changes in a host's root file system.
# usage: kubernetes.sh LAYER BASE ANSIBLE PROGRAMS...     LAYER is made; PROGRAMS are the directories with the binaries.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
layer=${1:?layer to make} base=${2:?base layer} ansible=${3:?directory of Ansible}
install=$here/../../install

# shellcheck source=../image/chroot.sh
source "$here/../image/chroot.sh"
in_mount_namespace "$here/kubernetes.sh" "$@"
programs=$(jq --null-input --compact-output '$ARGS.positional' --args "${@:4}")
root=$layer.root
layer_begin "$layer" "$base"
chroot "$root" apt-get update --quiet
jq --null-input --arg root "$root" --argjson programs "$programs" '{all: {
  vars: {ansible_connection: "community.general.chroot", management_address: "127.0.0.1", kubernetes_program_directories: $programs},
  children: {kubernetes: {hosts: {($root): {}}}}}}' >"$root/run/inventory.json"
cat "$here/../inventory/group_vars/all/kubernetes.yml" >"$root/run/kubernetes.yml"
ANSIBLE_CONFIG=$install/ansible.cfg ANSIBLE_LOCAL_TEMP=$root/run/ansible LANG=C.UTF-8 \
  "$ansible/bin/python" -m ansible playbook --inventory "$root/run/inventory.json" \
  --extra-vars "@$root/run/kubernetes.yml" --tags kubernetes "$install/install.yml"

layer_end "$layer"
