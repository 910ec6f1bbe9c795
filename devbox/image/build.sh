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
# shellcheck source=chroot.sh
source "$here/chroot.sh"
[[ -n ${STACKUBE_MOUNT_NAMESPACE-} || ! -e $rootfs ]] || { echo "build.sh: $rootfs exists" >&2; exit 1; }
in_mount_namespace "${BASH_SOURCE[0]}" "$rootfs"

bootstrap() {
  local include
  include=$(grep -v '^#' "$here/packages.txt" | paste -sd,)
  "$here/sources.sh" "$suite" |
    mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/apt/lists --include="$include" "$suite" "$rootfs" -
}

enter_build() {
  chroot_enter "$rootfs"
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$rootfs/run/ca-certificates.crt"
}

# Where the machine's own pip looks for packages, unless it is the default.
package_index() {
  "$STACKUBE_ANSIBLE/bin/python" -m pip config list | sed -n "s/^[^=]*index-url='\(.*\)'$/\1/p" | head -n 1
}

install_roles() {
  local inventory="$rootfs/run/inventory.yml" group index
  index=$(package_index)
  {
    echo 'all:'
    echo '  vars: {ansible_connection: community.general.chroot, management_address: 127.0.0.1}'
    echo '  children:'
    for group in control network compute; do echo "    $group: {hosts: {\"$rootfs\": }}"; done
    echo '    kubernetes: {}'
  } > "$inventory"
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PIP_CERT=/run/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
    ${index:+PIP_INDEX_URL="$index"} ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
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
  rm -f "$rootfs"/etc/hostname "$rootfs"/etc/ssh/ssh_host_*
  : > "$rootfs/etc/machine-id"
  chroot_leave "$rootfs"
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
