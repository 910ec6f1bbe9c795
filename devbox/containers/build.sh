#!/usr/bin/env bash
# Makes the images that the devbox serves, as the storage of its registry.
# usage: build.sh STORAGE_DIR KUBERNETES_DIR ETCD_DIR METRICS_SERVER_DIR REGISTRY_DIR ROOTS_DIR (absolute; the last one made by roots.sh)
#
# Runs in a network namespace of its own, where the registry's port is free and nothing can be downloaded.
set -euo pipefail
cd "$(dirname "$0")"
storage=${1:?storage directory} kubernetes=${2:?Kubernetes programs} etcd=${3:?etcd} metrics=${4:?metrics-server}
registry=${5:?registry} roots=${6:?root file systems of nginx and busybox}

if [[ ${STACKUBE_IMAGE_NAMESPACE-} != 1 ]]; then
  exec env STACKUBE_IMAGE_NAMESPACE=1 unshare --net --mount --propagation private "$PWD/build.sh" "$@"
fi
ip link set lo up
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

sed "s#/var/lib/devbox-registry#$storage#" ../rootfs/etc/devbox-registry/config.yml >"$work/registry.yml"
OTEL_TRACES_EXPORTER=none "$registry/registry" serve "$work/registry.yml" 2>"$work/registry.log" &
server=$!
curl --silent --retry 50 --retry-delay 0 --retry-connrefused --retry-max-time 10 http://127.0.0.1:5001/v2/ >/dev/null

# store COMMAND...: buildah with image storage of its own, which leaves nothing on the machine.
store() {
  buildah --root "$work/store" --runroot "$work/runroot" --storage-driver vfs "$@"
}

# image NAME CONTAINERFILE: from the build context $work/context, which is emptied.
image() {
  store build --quiet --format oci --layers=false --file "$2.Containerfile" --tag "$1" "$work/context" >/dev/null
  store push --quiet --tls-verify=false --compression-format zstd --compression-level 1 "$1" "docker://127.0.0.1:5001/$1"
  store rmi "$1" >/dev/null
  rm -rf "$work/context"
}

# program NAME FILE CONTAINERFILE: an image of one program.
program() {
  mkdir -p "$work"/context/{program,tmp}
  chmod 1777 "$work/context/tmp"
  cp "$2" "$work/context/program/"
  image "$1" "$3"
}

# root NAME DIRECTORY: an image of a whole file system.
root() {
  mkdir -p "$work/context"
  cp -a "$roots/$2" "$work/context/root"
  image "$1" "$2"
}

# The names are those that kubeadm asks for.
while read -r name; do
  case $name in
    *kube-apiserver:* | *kube-controller-manager:* | *kube-scheduler:*)
      base=${name##*/}
      program "${name#*/}" "$kubernetes/${base%%:*}" program
      ;;
    */etcd:*) program "${name#*/}" "$etcd/etcd" program ;;
    */pause:*) program "${name#*/}" "$kubernetes/pause" pause ;;
  esac
done < <("$kubernetes/kubeadm" config images list --kubernetes-version "$("$kubernetes/kubeadm" version --output short)")

program stackube/agnhost:latest "$kubernetes/agnhost" agnhost
program stackube/metrics-server:latest "$metrics/metrics-server" program
root library/busybox:latest busybox
root library/nginx:latest nginx
kill "$server"
wait "$server" || true
