# shellcheck shell=bash
# The wires of the hosts. All of them end on this machine:
#
#   machine: bridge skdev-br (10.77.0.1) -- skdev-1 ==veth== eth0 of devbox-1 (10.77.0.11, no default route)
#   namespace `outside`: bridge ext (172.24.4.1) -- devbox-1 ==veth== ext0 of devbox-1 (no address: br-ex takes it)
#                        bridge tunnels -- devbox-1-tun ==veth== tun0 of devbox-1 (10.78.0.11 on br-tun)

bridge=skdev-br
outside=outside

# blackhole_ranges: comes first, so that a packet for a host that is not there never leaves the machine.
blackhole_ranges() {
  local range
  for range in "${test_ranges[@]}"; do
    ip route replace blackhole "$range" metric 4000
  done
}

# forbid_forwarding: the machine talks to the hosts but never forwards for them, whatever its own sysctls say.
forbid_forwarding() {
  nft -f - <<NFT
table inet stackube_devbox
delete table inet stackube_devbox
table inet stackube_devbox {
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    meta iifname "$bridge" meta oifname != "$bridge" drop
    meta iifname != "$bridge" meta oifname "$bridge" drop
  }
}
NFT
}

# add_bridge NAMESPACE_ARGS... -- NAME ADDRESS: a bridge without IPv6, up.
add_bridge() {
  local name=$1 address=$2
  shift 2
  if [[ -z $(ip "$@" link show "$name" 2>/dev/null || true) ]]; then ip "$@" link add "$name" type bridge; fi
  ip "$@" link set "$name" addrgenmode none
  ip "$@" address replace "$address" dev "$name"
  ip "$@" link set "$name" up
}

add_outside() {
  if [[ ! -e /run/netns/$outside ]]; then ip netns add "$outside"; fi
  ip -n "$outside" link set lo up
  add_bridge ext "$external_gateway" -n "$outside"
  # A userspace switch on the other end takes frames as they are: the kernel must finish their checksums.
  ip netns exec "$outside" ethtool --offload ext tx off >/dev/null
  if [[ -z $(ip -n "$outside" link show tunnels 2>/dev/null || true) ]]; then ip -n "$outside" link add tunnels type bridge; fi
  ip -n "$outside" link set tunnels addrgenmode none up
}

# wire_host NAME: the namespace of a host with its three interfaces.
wire_host() {
  local name=$1 port=skdev-${1##*-}
  if [[ -e /run/netns/$name ]]; then return; fi
  ip netns add "$name"
  ip netns exec "$name" sysctl --quiet --write net.ipv4.ip_forward=1 # what a router of pods needs; hosts set no sysctl themselves
  ip -n "$name" link set lo up

  ip link add "$port" type veth peer name eth0 netns "$name"
  ip link set "$port" addrgenmode none master "$bridge" up
  ip -n "$name" address add "${host_address[$name]}/24" dev eth0
  ip -n "$name" link set eth0 up

  ip -n "$outside" link add "$name" type veth peer name ext0 netns "$name"
  ip -n "$outside" link set "$name" addrgenmode none master ext up
  ip netns exec "$outside" ethtool --offload "$name" tx off >/dev/null
  ip -n "$name" link set ext0 addrgenmode none up

  ip -n "$outside" link add "$name-tun" type veth peer name tun0 netns "$name"
  ip -n "$outside" link set "$name-tun" addrgenmode none master tunnels up
  ip -n "$name" link set tun0 addrgenmode none up
}

# unwire_host NAME: removes what wire_host made, or a part of it.
unwire_host() {
  local name=$1 link
  if [[ -e /run/netns/$name ]]; then ip netns delete "$name"; fi
  ip link delete "skdev-${name##*-}" 2>/dev/null || true # a veth goes with its peer's namespace, perhaps just now
  for link in "$name" "$name-tun"; do
    ip -n "$outside" link delete "$link" 2>/dev/null || true
  done
}

# network_up: all wires of the configured hosts. Repeating it changes nothing.
network_up() {
  local name
  blackhole_ranges
  forbid_forwarding
  add_bridge "$bridge" "$management_gateway"
  add_outside
  for name in "${host_names[@]}"; do
    wire_host "$name"
  done
}

# network_down: removes what network_up made on this machine, by its fixed names; the blackholes go last.
network_down() {
  local name range
  for name in $(ip netns list | cut -d' ' -f1 | grep --extended-regexp "^(devbox-[0-9]+|$outside)\$" || true); do
    ip netns delete "$name"
  done
  for name in $(ip -oneline link show | sed -n 's/^[0-9]*: \(skdev-[^:@]*\).*/\1/p'); do
    ip link delete "$name" 2>/dev/null || true # a veth goes with its peer's namespace, perhaps just now
  done
  nft delete table inet stackube_devbox 2>/dev/null || true
  for range in "${test_ranges[@]}"; do
    ip route delete blackhole "$range" metric 4000 2>/dev/null || true
  done
}
