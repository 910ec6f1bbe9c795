#!/usr/bin/env bash
# build.sh ROOTFS: makes the root file system of a test host in ROOTFS, which must not exist: Debian, and everything that the install.yml of the
# roles (but Kubernetes) brings. Nothing in it starts before configure.yml enables it. STACKUBE_ANSIBLE is the directory made by ansible.sh.
# What it mounts lives in a mount namespace of its own and ends with it, however it ends.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
install=$(cd "$here/../../install" && pwd)
rootfs=${1:?usage: build.sh ROOTFS}
: "${STACKUBE_ANSIBLE:?set it to the directory made by ansible.sh}"
suite=trixie
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${DEBIAN_SECURITY_MIRROR:-http://security.debian.org/debian-security}

if [ -z "${STACKUBE_IMAGE_NAMESPACE:-}" ]; then
  [ ! -e "$rootfs" ] || { echo "build.sh: $rootfs exists" >&2; exit 1; }
  STACKUBE_IMAGE_NAMESPACE=1 exec unshare --mount --propagation private -- "${BASH_SOURCE[0]}" "$rootfs"
fi

bootstrap() {
  local include
  include=$(grep -v '^#' "$here/packages.txt" | paste -sd,)
  mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/apt/lists --include="$include" "$suite" "$rootfs" \
    "deb $mirror $suite main" "deb $mirror $suite-updates main" "deb $security $suite-security main"
}

# For the time of the build: the machine's name resolution and trusted certificates, /proc and /dev, and a policy that starts no service.
enter_build() {
  mount -t proc proc "$rootfs/proc"
  mount -t tmpfs -o mode=755 run "$rootfs/run"
  mount -t tmpfs -o mode=1777 tmp "$rootfs/tmp"
  mount -t devtmpfs dev "$rootfs/dev" 2>/dev/null || mount --rbind /dev "$rootfs/dev"
  cp --dereference /etc/resolv.conf "$rootfs/etc/resolv.conf"
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$rootfs/run/ca-certificates.crt"
  printf '#!/bin/sh\nexit 101\n' > "$rootfs/usr/sbin/policy-rc.d"
  chmod 755 "$rootfs/usr/sbin/policy-rc.d"
}

install_roles() {
  local inventory="$rootfs/run/inventory.yml" group
  {
    echo 'all:'
    echo '  vars: {ansible_connection: community.general.chroot, management_address: 127.0.0.1}'
    echo '  children:'
    for group in control network compute; do echo "    $group: {hosts: {\"$rootfs\": }}"; done
    echo '    kubernetes: {}'
  } > "$inventory"
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PIP_CERT=/run/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
    ANSIBLE_CONFIG="$install/ansible.cfg" ANSIBLE_LOCAL_TEMP="$rootfs/run/ansible" \
    "$STACKUBE_ANSIBLE/bin/python" -m ansible playbook --inventory "$inventory" --tags openstack "$install/install.yml"
}

# Packages enable their services; in a test host each waits for its configure.yml. Some units make no sense in a container
# (systemd-sysctl and systemd-modules-load would change the whole machine).
settle_units() {
  local preset="$rootfs/etc/systemd/system-preset"
  mkdir -p "$preset"
  printf 'enable ssh.service\nenable sshd-keygen.service\nenable dbus.service\nenable dbus.socket\ndisable *\n' > "$preset/00-test-host.preset"
  chroot "$rootfs" systemctl preset-all --preset-mode=full
  chroot "$rootfs" systemctl mask --quiet systemd-sysctl.service systemd-modules-load.service systemd-udevd.service systemd-logind.service \
    systemd-udev-trigger.service systemd-networkd-wait-online.service console-getty.service getty.target \
    sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount
  chroot "$rootfs" systemctl set-default --quiet multi-user.target
}

# What each host must have of its own, and what only the build needed.
leave_build() {
  rm -f "$rootfs"/usr/sbin/policy-rc.d "$rootfs"/etc/resolv.conf "$rootfs"/etc/hostname "$rootfs"/etc/ssh/ssh_host_*
  : > "$rootfs/etc/machine-id"
  chroot "$rootfs" apt-get clean
  rm -rf "$rootfs"/var/lib/apt/lists/* "$rootfs"/root/.cache "$rootfs"/root/.ansible
  umount --recursive "$rootfs/dev"
  umount "$rootfs"/{tmp,run,proc}
}

step() {
  echo "image: $2" >&2
  "$1" >&2
}
step bootstrap "Debian $suite"
step enter_build "mounts for the build"
step install_roles "OpenStack, OVN and Open vSwitch by their roles"
step settle_units "units"
step leave_build "cleaning"
