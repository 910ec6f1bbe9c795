#!/usr/bin/env bash
# Makes the image layer with Kubernetes and containerd: what install.yml of that role changes in a host's root file system.
# usage: kubernetes.sh LAYER BASE ANSIBLE PROGRAMS...     LAYER is made; PROGRAMS are the directories with the binaries.
#
# What it mounts lives in a mount namespace of its own and ends with it, however it ends.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
layer=${1:?layer to make} base=${2:?base layer} ansible=${3:?directory of Ansible}
install=$here/../../install

if [[ ${STACKUBE_LAYER_NAMESPACE-} != 1 ]]; then
  STACKUBE_LAYER_NAMESPACE=1 exec unshare --mount --propagation private "$here/kubernetes.sh" "$@"
fi
programs=$(jq --null-input --compact-output '$ARGS.positional' --args "${@:4}")
root=$layer.root
mkdir -p "$layer" "$layer.work" "$root"
mount -t overlay overlay "$root" \
  -o "lowerdir=$base,upperdir=$layer,workdir=$layer.work,index=off,redirect_dir=off,metacopy=off"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount --rbind /dev "$root/dev"

cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"

chroot "$root" apt-get update --quiet
jq --null-input --arg root "$root" --argjson programs "$programs" '{all: {
  vars: {ansible_connection: "community.general.chroot", management_address: "127.0.0.1", kubernetes_program_directories: $programs},
  children: {kubernetes: {hosts: {($root): {}}}}}}' >"$root/run/inventory.json"
cat "$here/../inventory/group_vars/all/kubernetes.yml" >"$root/run/kubernetes.yml"
ANSIBLE_CONFIG=$install/ansible.cfg ANSIBLE_LOCAL_TEMP=$root/run/ansible LANG=C.UTF-8 \
  "$ansible/bin/python" -m ansible playbook --inventory "$root/run/inventory.json" \
  --extra-vars "@$root/run/kubernetes.yml" --tags kubernetes "$install/install.yml"

rm -f "$root/etc/resolv.conf" "$root/usr/sbin/policy-rc.d"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root/root/.ansible"
umount --recursive "$root"
rm -rf "$layer.work" "$root"
