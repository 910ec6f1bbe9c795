#!/usr/bin/env bash
# Makes the image layer of the emulated machine: Debian's kernel with its modules, a small initramfs, and what tests need beside a host's programs.
# usage: layer.sh LAYER BASE     LAYER is made; its boot/vmlinuz and boot/initrd.img are what to boot.
#
# What it mounts lives in a mount namespace of its own and ends with it, however it ends.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
layer=${1:?layer to make} base=${2:?base layer}
packages=(linux-image-amd64 initramfs-tools iputils-arping)

if [[ ${STACKUBE_LAYER_NAMESPACE-} != 1 ]]; then
  STACKUBE_LAYER_NAMESPACE=1 exec unshare --mount --propagation private "$here/layer.sh" "$@"
fi
root=$layer.root
mkdir -p "$layer" "$layer.work" "$root"
mount -t overlay overlay "$root" \
  -o "lowerdir=$base,upperdir=$layer,workdir=$layer.work,index=off,redirect_dir=off,metacopy=off"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount --rbind /dev "$root/dev"
cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"

# initramfs-tools reads these when the kernel's package is configured.
install -D --mode=644 "$here/initramfs/configuration" "$root/etc/initramfs-tools/conf.d/vm"
install -D --mode=644 "$here/initramfs/modules" "$root/usr/share/initramfs-tools/modules.d/vm"
install -D --mode=644 "$here/initramfs/mountroot" "$root/etc/initramfs-tools/scripts/vm"
export DEBIAN_FRONTEND=noninteractive
chroot "$root" apt-get update --quiet
chroot "$root" apt-get install --yes --quiet --no-install-recommends "${packages[@]}"
kernel=$(basename "$root"/boot/vmlinuz-*)
ln --symbolic "$kernel" "$root/boot/vmlinuz"
ln --symbolic "initrd.img-${kernel#vmlinuz-}" "$root/boot/initrd.img"

rm -f "$root/etc/resolv.conf"
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/*
umount --recursive "$root"
rm -rf "$layer.work" "$root"
