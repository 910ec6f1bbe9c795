#!/usr/bin/env bash
# shellcheck disable=SC2154 # host.env sets what is not set here
# Runs one test host until it ends. usage: keeper.sh HOST_DIR (see lib/hosts.sh for what is in it)
#
# Started in a mount namespace of its own: the host's mounts are never seen on the machine and end with this process.
set -euo pipefail
directory=${1:?host directory}
# shellcheck source=/dev/null
source "$directory/host.env" # name hostname address lower upper work identity runc run_root

mkdir -p "$directory/root"
# volatile: what a test host writes need not survive the machine, so its databases need not wait for the disk.
mount -t overlay overlay "$directory/root" \
  -o "lowerdir=$lower,upperdir=$upper,workdir=$work,index=off,redirect_dir=off,metacopy=off,volatile"

root=$directory/root
echo "$hostname" >"$root/etc/hostname"
cat >"$root/etc/hosts" <<HOSTS
127.0.0.1 localhost
$address $hostname ${hostname%%.*}
HOSTS
rm -f "$root/etc/resolv.conf"
echo "# A host has nobody to ask." >"$root/etc/resolv.conf" # kubelet insists on the file
install -d -m 700 "$root/root/.ssh"
install -m 600 "$identity/key.pub" "$root/root/.ssh/authorized_keys"
rm -f "$root"/etc/ssh/ssh_host_*
install -m 600 "$identity/host_key" "$root/etc/ssh/ssh_host_ed25519_key"
install -m 644 "$identity/host_key.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"

exec "$runc" --root "$run_root" run --bundle "$directory" "$name"
