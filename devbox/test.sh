#!/usr/bin/env bash
# Tests of the devbox itself; prints one line per test, `ok NAME` or `FAILED NAME`, and ends with 1 if any failed.
# usage: test.sh [running|deployed]
#
# With `running` it leaves the running devbox alone; with `deployed` it looks whether `make devbox`, which has ended, changes anything when it
# runs again. Without either, it ends any devbox on this machine, several times; the cache should be filled.
set -uo pipefail
here=$(realpath "$(dirname "$0")")
devbox=$here/devbox
state=$here/../.devbox
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# check NAME COMMAND...: runs one test; what it printed is shown if it failed.
check() {
  local name=$1
  shift
  if "$@" >"$work/output" 2>&1; then
    echo "ok $name"
  else
    echo "FAILED $name"
    sed 's/^/    | /' "$work/output"
    failures=$((failures + 1))
  fi
}

# machine_state: everything that the devbox could leave behind, without what changes by itself.
machine_state() {
  echo "# namespaces" && ip netns list | cut -d' ' -f1 | sort
  echo "# links" && ip -json link show | jq --raw-output '.[].ifname' | sort
  echo "# routes" && ip route show table all | sort
  echo "# mounts" && cut -d' ' -f3- /proc/self/mountinfo | sort
  echo "# loop devices" && losetup --noheadings --list --output NAME,BACK-FILE
  echo "# groups" && find /sys/fs/cgroup -type d -path '*stackube-devbox*'
  echo "# tables" && nft list tables
  # A process left in a host would be in its namespaces. One that has ended, and only waits for its parent to look, is not left;
  # nor is one that holds no network or process namespace any more: it has ended too.
  echo "# processes in other namespaces" && ps -e --format stat=,pidns=,netns=,comm= |
    awk -v own="$(ps --format pidns=,netns= --pid $$ | xargs)" \
      '$1 !~ /^Z/ && $2 != "-" && $3 != "-" && $2 " " $3 != own { print $2, $3, $4 }' | sort
  echo "# scripts" && pgrep --list-full --full "$devbox |$here/(host|image|layers|build|containers)/"
  echo "# state" && ls -d /run/stackube-devbox "$state"/{hosts,kubeconfig,clouds.yaml,bin,ssh,secrets} 2>/dev/null
}

same_as_before() {
  machine_state >"$work/after"
  diff "$work/before" "$work/after"
}

down_leaves_nothing() {
  "$devbox" down && same_as_before
}

# killed_up_goes_away COMMAND...: a run of `up` is killed when COMMAND has ended, with its whole history unwritten; what it started goes on.
killed_up_goes_away() {
  "$devbox" up >"$work/up" 2>&1 &
  local up=$! waited
  "$@"
  waited=$?
  kill -KILL "$up" 2>/dev/null
  wait "$up" 2>/dev/null
  cat "$work/up"
  down_leaves_nothing && return "$waited"
}

# is_being_made NAME: whether a run is making that entry of the cache. (What is found stands on its output.)
is_being_made() {
  ls -d "$STACKUBE_CACHE/tmp/$1".*/ 2>/dev/null
}

# being_made_for NAME SECONDS: waits until that entry of the cache has been in the making for so long.
being_made_for() {
  local begun=$SECONDS
  until is_being_made "$1"; do
    if ((SECONDS - begun > 120)); then echo "$1 is not made within 120 s" && return 1; fi
    sleep 0.2
  done
  sleep "$2"
}

# killed_build_goes_away NAME SECONDS: the same while something of the cache is made, in a cache of its own that lacks it.
killed_build_goes_away() {
  local missing=$1 seconds=$2 of=${STACKUBE_CACHE:-$HOME/.cache/stackube} entry
  # On the same disk: an entry is complete by a rename.
  local STACKUBE_CACHE=$of/tmp/test
  rm -rf "$STACKUBE_CACHE" && mkdir -p "$STACKUBE_CACHE" || return
  for entry in "$of"/*-*; do
    [[ ${entry##*/} == "$missing"-* ]] || ln -s "$entry" "$STACKUBE_CACHE/"
  done
  export STACKUBE_CACHE
  killed_up_goes_away being_made_for "$missing" "$seconds"
  local status=$?
  if ! is_being_made "$missing"; then echo "$missing was made already $seconds s after its begin" && status=1; fi
  rm -rf "$STACKUBE_CACHE"
  return "$status"
}

up_after_kill_finishes() {
  "$devbox" up &
  local up=$!
  sleep "$1"
  kill -KILL "$up" 2>/dev/null
  wait "$up" 2>/dev/null
  "$devbox" up && "$state/bin/kubectl" get --raw /readyz
}

# What must not change when `up` runs again: the host's first process and the cluster itself.
identity() {
  "$devbox" enter devbox-1 stat --format=%Y /proc/1
  "$state/bin/kubectl" get namespace kube-system --output jsonpath='{.metadata.uid}'
}

up_again_changes_nothing() {
  local before after begun=$SECONDS
  before=$(identity) || return
  "$devbox" up || return
  after=$(identity) || return
  if [[ $before != "$after" ]]; then echo "was: $before, is: $after" && return 1; fi
  if ((SECONDS - begun > 60)); then echo "took $((SECONDS - begun)) s" && return 1; fi
}

# What must not change when Stackube is deployed again: pods and their restarts, what makes them, and what they are configured by.
deployment() {
  "$state/bin/kubectl" get crds,deployments,daemonsets,validatingadmissionpolicies,mutatingadmissionpolicies --namespace stackube-system \
    --output jsonpath='{range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.metadata.generation}{"\n"}{end}' || return
  "$state/bin/kubectl" get configmaps,secrets --namespace stackube-system \
    --output jsonpath='{range .items[*]}{.kind} {.metadata.name} {.metadata.resourceVersion}{"\n"}{end}' || return
  "$state/bin/kubectl" get pods --namespace stackube-system \
    --output jsonpath='{range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}'
}

deployed_again_changes_nothing() {
  local before after
  before=$(identity && deployment) || return
  make --no-print-directory --directory "$here/.." devbox || return
  after=$(identity && deployment) || return
  diff <(echo "$before") <(echo "$after")
}

api_server_answers() {
  [[ $("$state/bin/kubectl" get --raw /readyz) == ok ]] || return
  "$state/bin/kubectl" get node stackube --output jsonpath='{.status.nodeInfo.kubeletVersion} {.status.addresses}' | grep 10.77.0.11
}

# The host's name and the node's differ, and the host has no way out.
host_is_closed() {
  [[ $("$devbox" enter devbox-1 hostname --fqdn) == devbox-1.stackube.internal ]] || return
  [[ -z $("$devbox" enter devbox-1 ip route show default) ]] || return
  ssh -F "$state/ssh/config" -o BatchMode=yes devbox-1 true || return
  local range
  for range in 10.77.0.0/24 172.24.4.0/24 10.96.0.0/12 10.244.0.0/16 10.240.0.0/16; do
    ip route show type blackhole "$range" | grep --quiet . || { echo "no blackhole for $range" && return 1; }
  done
}

# ctr COMMAND...: containerd's own client, in a namespace apart from Kubernetes's.
ctr() {
  "$devbox" enter devbox-1 ctr --namespace devbox-test "$@"
}

# By the names that people use, from the registry that stands for docker.io, and they run.
images_run() {
  local image output
  for image in nginx busybox; do
    ctr images pull --hosts-dir /etc/containerd/certs.d "docker.io/library/$image:latest" || return
  done
  output=$(ctr run --rm docker.io/library/busybox:latest "test-$$" sh -c 'echo it runs') || return
  [[ $output == *"it runs"* ]] || return
  output=$(ctr run --rm docker.io/library/nginx:latest "test-$$" nginx -t 2>&1) || return
  [[ $output == *"test is successful"* ]] || return
  ctr images remove --sync docker.io/library/{nginx,busybox}:latest
}

openstack_answers() {
  "$state/bin/openstack" token issue --format value --column project_id || return
  "$state/bin/openstack" network show public --format value --column status | grep --line-regexp ACTIVE
}

# The workers beside Neutron's API run, and not again and again; what they do for OVN is done as configured.
neutron_works() {
  local unit
  # shellcheck disable=SC2016 # expanded on the host
  for unit in neutron-api neutron-periodic-workers neutron-ovn-maintenance-worker; do
    "$devbox" enter devbox-1 bash -c 'systemctl is-active --quiet "$1" &&
      (($(ps -o etimes= -p "$(systemctl show --property MainPID --value "$1")") >= 10))' - "$unit" ||
      { echo "$unit does not stay up" && return 1; }
  done
  [[ $("$devbox" enter devbox-1 ovn-nbctl --bare --columns=other_config find Logical_Switch name="neutron-$("$state/bin/openstack" network show \
    public --format value --column id)") == *broadcast-arps-to-all-routers=false* ]]
}

# What comes from the external network reaches no address of a host, and nothing beyond it, whatever it says that it is, also where somebody
# has set the bridge's own interface up: the host tells nobody its MAC address there, and takes nothing from who knows it.
the_external_network_ends_at_the_host() {
  local mac before after
  mac=$("$devbox" enter devbox-1 cat /sys/class/net/br-ex/address) || return
  before=$(dropped_from_outside) || return
  from_outside 'ping -c 1 -W 1 10.77.0.11; ip neigh show 10.77.0.11' | grep lladdr && echo "the host tells its MAC address" && return 1
  from_outside "ip neigh replace 10.77.0.11 lladdr $mac dev ext; ping -c 1 -W 1 10.77.0.11
    ip neigh replace 10.77.0.12 lladdr $mac dev ext; ping -c 1 -W 1 10.77.0.12" | grep 'bytes from' && return 1
  after=$(dropped_from_outside) || return
  # Each of the firewall's two chains has had its packet: nothing else has kept it away.
  paste <(echo "$before") <(echo "$after") | awk '{ if ($2 <= $1) exit 1 } END { if (NR != 2) exit 1 }'
}

# Packets that the firewall has dropped by interface: to the host, and beyond it.
dropped_from_outside() {
  "$devbox" enter devbox-1 nft --json list table inet external_firewall |
    jq '[.nftables[].rule | select(.) | select(.chain == "from_external" or (.chain == "forward" and (.expr | tostring | contains("iifname"))))
      | .expr[].counter.packets // empty] | .[]'
}

# from_outside SCRIPT: as a neighbour on the external network, under an address of another one, which the host knows the way to.
from_outside() {
  "$devbox" enter devbox-1 bash -c 'ip link set br-ex up && ip route replace 192.0.2.9/32 dev br-ex'
  ip netns exec outside bash -c "ip address add 192.0.2.9/32 dev ext; ip route add 10.77.0.0/24 dev ext src 192.0.2.9
    $1
    ip route del 10.77.0.0/24 dev ext; ip address del 192.0.2.9/32 dev ext; ip neigh flush dev ext to 10.77.0.0/24 nud all; true" 2>&1
  "$devbox" enter devbox-1 ip link set br-ex down
}

# prerequisites_of PROGRAMS [COMMAND...]: what `devbox prerequisites` says on another system, with the programs of a directory only and its
# cache in memory. The devbox's own are not used: the command ends at the first unmet one, before it would install anything.
prerequisites_of() {
  local programs=$1
  shift
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount "$@" bash -c '
    if ((EUID == 0)); then mount --bind "$1/os-release" /etc/os-release && mkdir "$1/memory" && mount -t tmpfs tmpfs "$1/memory" || exit 99; fi
    PATH=$2 STACKUBE_CACHE=$1/memory exec "$3" prerequisites' - "$work" "$programs" "$devbox" 2>&1 && echo "all is met"
}

# says TEXT LINE...: every line is somewhere in the text.
says() {
  local text=$1 line
  shift
  for line; do
    [[ $text == *"$line"* ]] || { printf 'not said: %s\nbut: %s\n' "$line" "$text" && return 1; }
  done
}

prerequisites_name_what_mends_them() {
  local said bin=$work/programs
  printf 'ID=ubuntu\nVERSION_ID="22.04"\n' >"$work/os-release"
  mkdir "$bin"
  ln -s /usr/bin/* "$bin/"
  rm -f "$bin"/{git,make,rustc,cargo,go,gofmt}
  said=$(prerequisites_of "$bin")
  says "$said" "this machine runs ubuntu 22, the devbox needs Debian 12 or 13" "mend it with: a Debian 13 machine or container" \
    "git is not installed" "mend it with: apt-get install -y git" "make is not installed" "mend it with: apt-get install -y make" \
    "Rust is missing, 1.95 or newer is needed" "mend it with: rustup toolchain install stable && rustup default stable" \
    "Go is missing, 1.26 or newer is needed" "https://go.dev/dl/" "is on tmpfs" "mend it with: mount a disk with ext4 or xfs there" || return
  rmdir "$work/memory" || return
  printf '#!/bin/sh\necho rustc 1.94.1\n' >"$bin/rustc"
  printf '#!/bin/sh\necho go1.25.9\n' >"$bin/go"
  chmod +x "$bin/rustc" "$bin/go"
  said=$(prerequisites_of "$bin")
  says "$said" "Rust 1.94.1, 1.95 or newer is needed" "Go go1.25.9, 1.26 or newer is needed" || return
  rmdir "$work/memory" || return
  # Somebody who is not root.
  said=$(prerequisites_of "$PATH" --user)
  says "$said" "which takes root" "mend it with: sudo make devbox" && [[ $said != *"all is met"* ]]
}

# A second host joins, and is a node; joining again changes nothing.
second_host_joins() {
  "$devbox" join || return
  "$state/bin/kubectl" get node stackube-2 || return
  local begun=$SECONDS
  "$devbox" join || return
  if ((SECONDS - begun > 40)); then echo "took $((SECONDS - begun)) s" && return 1; fi
}

test_running() {
  check "prerequisites name what mends them" prerequisites_name_what_mends_them
  check "up again changes nothing" up_again_changes_nothing
  check "the API server answers" api_server_answers
  check "the host is closed" host_is_closed
  check "images come from the registry" images_run
  check "OpenStack answers" openstack_answers
  check "the external network ends at the host" the_external_network_ends_at_the_host
}

test_all() {
  "$devbox" down >/dev/null || exit 1
  machine_state >"$work/before"
  check "down, twice, leaves nothing" down_leaves_nothing
  check "down after a kill while the host boots" killed_up_goes_away sleep 2.5
  check "down after a kill while Kubernetes starts" killed_up_goes_away sleep 15
  check "down after a kill while images are made" killed_build_goes_away registry-layer 3
  check "down after a kill while hosts are configured" killed_build_goes_away configured 8
  check "up after a kill finishes" up_after_kill_finishes 5
  test_running
  check "a second host joins" second_host_joins
  check "down leaves nothing" down_leaves_nothing
}

case ${1:-all} in
  running) test_running ;;
  deployed)
    check "make devbox again changes nothing" deployed_again_changes_nothing
    check "Neutron's workers work" neutron_works
    ;;
  all) test_all ;;
  *) echo "usage: test.sh [running|deployed]" >&2 && exit 2 ;;
esac
((failures == 0))
