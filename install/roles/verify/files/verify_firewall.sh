#!/usr/bin/env bash
# verify_firewall.sh ADDRESS EXTERNAL: connects to sshd at ADDRESS, one of this host's, from a neighbour that wears EXTERNAL, an address of the
# external network, and must fail. The same neighbour under an address of another network must succeed, or the try proves nothing.
set -euo pipefail

address=$1
external=$2
other=192.0.2.1
namespace=verify-firewall

leave() {
  ip netns del "$namespace" 2>/dev/null || true
  ip link del verify0 2>/dev/null || true
}
trap leave EXIT

connects_from() {
  ip -n "$namespace" addr replace "$1/32" dev verify1
  ip -n "$namespace" route replace "$address/32" dev verify1 src "$1"
  ip route replace "$1/32" dev verify0
  ip netns exec "$namespace" timeout 3 bash -c "exec 3<>/dev/tcp/$address/22" 2>/dev/null
}

ip netns add "$namespace"
ip link add verify0 type veth peer name verify1 netns "$namespace"
ip link set verify0 up
ip -n "$namespace" link set verify1 up

connects_from "$other" || { echo "the neighbour cannot reach $address:22 at all: is sshd listening there?" >&2; exit 1; }
if connects_from "$external"; then
  echo "$external, an address of the external network, reaches $address:22: is external-firewall.service active?" >&2
  exit 1
fi
