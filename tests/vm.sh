#!/usr/bin/env bash
# Tests of kubestack with the kernel's Open vSwitch datapath, in the emulated machine of devbox/vm. Arguments are libtest's; without any, the
# tests run for which it matters who moves the packets. All the others (tests/node.sh) would only be slower there.
set -euo pipefail
cd "$(dirname "$0")/.."
if (($# == 0)); then
  set -- lifecycle::{a_pod_gets,pods_exchange,an_old_sandbox,del_needs} crash::{running_pods,what_a_reboot_leaves} \
    firewall::{a_pod_that_sends,the_host_does_not_answer} outage::a_vswitchd
fi

artifacts=$(cargo test --quiet --package stackube-node --test it --no-run --message-format=json)
# executable NAME IS_TEST: where cargo put a program.
executable() {
  jq --raw-output --arg name "$1" --argjson test "$2" '
    select(.reason == "compiler-artifact" and .executable and .target.name == $name and .profile.test == $test) | .executable' <<<"$artifacts"
}
tests=$(executable it true)
plugin=$(executable kubestack false)
for name; do # a renamed test must not be left out in silence
  [[ $name == -* || $("$tests" --list "$name") == *': test'* ]] || { echo "not ok - no test is called $name"; exit 1; }
done
exec devbox/vm/run --timeout 600 --with "$tests" --with "$plugin" env TEST_DATAPATH=system "$tests" --test-threads=2 "$@"
