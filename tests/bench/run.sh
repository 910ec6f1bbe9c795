#!/usr/bin/env bash
# Measures Services beside kube-proxy, DNS beside CoreDNS, and memory, in network namespaces of its own (8 minutes on a quiet machine).
set -euo pipefail
shopt -s inherit_errexit
here=$(realpath "$(dirname "$0")")
cd "$here/../.."
# The devbox's cache, and how it builds Kubernetes and etcd.
# shellcheck source=devbox/lib.sh
source devbox/lib.sh
# shellcheck source=devbox/lib/cache.sh
source devbox/lib/cache.sh
# shellcheck source=devbox/lib/components.sh
source devbox/lib/components.sh
# shellcheck source=devbox/lib/keys.sh
source devbox/lib/keys.sh

if ((EUID != 0)); then die "the benchmark makes network namespaces and mounts, which takes root" "sudo make bench"; fi
packages=(sockperf iperf3 dnsperf nftables iproute2 ethtool util-linux)
if ! dpkg-query --show "${packages[@]}" >/dev/null 2>&1; then
  apt-get update -qq
  # No iperf3 service may start.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

compute_component_keys
for name in kubernetes etcd; do build_component "$name"; done
for name in kube-proxy coredns; do
  keys[$name]=$(go_key tests/bench/build/build.sh "tests/bench/build/$name")
  cache_fill "$name" "${keys[$name]}" "$here/build/build.sh" "$name"
done
cargo build --quiet --release -p stackube-bench -p stackube-proxy
release=$(cargo metadata --format-version 1 --no-deps | jq -r .target_directory)/$(rustc -vV | sed -n 's/^host: //p')/release

programs=$(mktemp -d)
# shellcheck disable=SC2064 # now, not when it is run
trap "rm -r '$programs'" EXIT
ln -s "$(component kubernetes)/kube-apiserver" "$(component etcd)/etcd" "$(component kube-proxy)/kube-proxy" \
  "$(component coredns)/coredns" "$release/stackube-proxy" "$programs/"
"$release/stackube-bench" "$programs" "$@"
