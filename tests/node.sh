#!/usr/bin/env bash
# Tests of kubestack in network namespaces of their own, with a real Open vSwitch (private databases, userspace datapath).
set -euo pipefail
cd "$(dirname "$0")/.."
packages=(openvswitch-switch nftables iproute2 iputils-ping iputils-arping tcpdump ethtool)
if ! dpkg-query --show "${packages[@]}" >/dev/null 2>&1; then
  # Only the programs: no switch of this machine's own may start.
  apt-get update -qq
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
exec cargo test --workspace --test maps --test datapath --test node "$@"
