# shellcheck shell=bash
# Working inside the root file system of a host that does not run: for image/build.sh and the makers of layers. Sourced, never run.
# Everything is mounted in a mount namespace of the caller's own and ends with it, however it ends.

# in_mount_namespace SCRIPT ARGUMENT...: starts the script again in a mount namespace of its own, unless it is in one.
in_mount_namespace() {
  if [[ ${STACKUBE_MOUNT_NAMESPACE-} == "$1" ]]; then return; fi
  STACKUBE_MOUNT_NAMESPACE=$1 exec unshare --mount --propagation private -- "$@"
}

# chroot_enter ROOT: /proc, /run, /tmp and /dev, the machine's name resolution, and a policy that starts no service.
chroot_enter() {
  local root=$1
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=755 run "$root/run"
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  mount --rbind /dev "$root/dev"
  cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
}

# chroot_leave ROOT: removes what only the build needed.
chroot_leave() {
  local root=$1
  rm -f "$root/etc/resolv.conf" "$root/usr/sbin/policy-rc.d"
  chroot "$root" apt-get clean
  rm -rf "$root"/var/lib/apt/lists/* "$root"/root/{.cache,.ansible}
  umount --recursive "$root/dev"
  umount "$root"/{tmp,run,proc}
}

# layer_begin LAYER BASE: LAYER collects what changes in $LAYER.root, which shows BASE.
layer_begin() {
  local layer=$1 base=$2
  mkdir -p "$layer" "$layer.work" "$layer.root"
  mount -t overlay overlay "$layer.root" \
    -o "lowerdir=$base,upperdir=$layer,workdir=$layer.work,index=off,redirect_dir=off,metacopy=off"
  chroot_enter "$layer.root"
}

# layer_end LAYER
layer_end() {
  chroot_leave "$1.root"
  umount "$1.root"
  rm -rf "$1.work" "$1.root"
}
