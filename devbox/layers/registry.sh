#!/usr/bin/env bash
# Makes the image layer with the devbox's own registry and the images in it.
# usage: registry.sh LAYER KUBERNETES ETCD METRICS_SERVER REGISTRY ROOTS   (see containers/build.sh)
set -euo pipefail
here=$(realpath "$(dirname "$0")")
layer=${1:?layer to make}
shift
mkdir -p "$layer/usr/local/bin" "$layer/var/lib/devbox-registry"
cp -a "$here/../rootfs/." "$layer/"
chown -R root:root "$layer"
cp "$4/registry" "$layer/usr/local/bin/"
"$here/../containers/build.sh" "$layer/var/lib/devbox-registry" "$@"
