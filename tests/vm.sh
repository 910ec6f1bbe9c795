#!/usr/bin/env bash
# Tests that need a kernel which this machine may not have (Open vSwitch's kernel datapath), in the emulated machine of devbox/vm.
# Arguments are libtest's, for the tests of kubestack; without any, those of the list below run. All others (tests/node.sh) would only be slower there.
set -euo pipefail
cd "$(dirname "$0")/.."

# One line for each test program: its name, and the tests for which it matters who moves the packets.
tests=(
  "node lifecycle::a_pod_gets lifecycle::pods_exchange crash::running_pods crash::what_a_reboot_leaves
    firewall::a_pod_that_sends firewall::the_host_does_not_answer outage::a_vswitchd
    datapath::kubelet_reaches datapath::kubelet_hears datapath::a_pod_reaches_dns datapath::a_pod_is_refused datapath::a_pod_waits
    ownport::the_node_reaches_pods ownport::nodes ownport::ranges ownport::shared::a_tenants ownport::walls::no
    tunnel::services_and_pods"
  "datapath load::the_kernel_takes load::the_verifier traffic::pods_of_a_kernel_switch --include-ignored sctp::sockets"
)
if (($# > 0)); then tests=("node $*"); fi

with=() script='status=0'
for line in "${tests[@]}"; do
  read -r -d '' -a words <<<"$line" || true
  artifacts=$(cargo test --quiet --workspace --test "${words[0]}" --no-run --message-format=json)
  # The test program, and the package's own programs, which it runs.
  mapfile -t programs < <(jq --raw-output 'select(.reason == "compiler-artifact" and .executable) | .executable' <<<"$artifacts")
  program=$(jq --raw-output 'select(.reason == "compiler-artifact" and .executable and .profile.test) | .executable' <<<"$artifacts")
  for name in "${words[@]:1}"; do # a renamed test must not be left out in silence
    [[ $name == -* || $("$program" --list "$name") == *': test'* ]] || { echo "not ok - no test is called $name"; exit 1; }
  done
  for name in "${programs[@]}"; do with+=(--with "$name"); done
  script+="; $program --test-threads=2 ${words[*]:1} || status=1"
done
exec devbox/vm/run --timeout 900 "${with[@]}" env TEST_DATAPATH=system bash -c "$script; exit \$status"
