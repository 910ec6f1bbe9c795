#!/usr/bin/env bash
# Makes the image layer of the emulated machine: Debian's kernel with its modules, a small initramfs, and what tests need beside a host's programs.
# usage: layer.sh LAYER BASE     LAYER is made; its boot/vmlinuz and boot/initrd.img are what to boot.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
layer=${1:?layer to make} base=${2:?base layer}
packages=(linux-image-amd64 initramfs-tools iputils-arping)

# shellcheck source=../image/chroot.sh
source "$here/../image/chroot.sh"
in_mount_namespace "$here/layer.sh" "$@"
root=$layer.root
layer_begin "$layer" "$base"

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

layer_end "$layer"
