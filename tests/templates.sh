#!/usr/bin/env bash
# What the playbooks of install/ are made of, without a host, as TAP: playbooks that Ansible can read, and containerd's configuration with each
# choice of runtimes, of which a devbox has only one. Ansible and containerd are the devbox's: `devbox/devbox build` makes them.
# shellcheck disable=SC2317 # functions are called by check
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=devbox/lib.sh
source devbox/lib.sh
for part in cache components keys layers; do
  # shellcheck source=/dev/null
  source "devbox/lib/$part.sh"
done
# shellcheck source=devbox/hosts/one.sh
source devbox/hosts/one.sh
compute_keys
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() {
  local name=$1; shift
  if "$@" > "$work/output" 2>&1; then echo "ok - $name"; else echo "not ok - $name"; sed 's/^/    /' "$work/output"; failed=1; fi
}

run_ansible() {
  ANSIBLE_CONFIG=install/ansible.cfg ANSIBLE_HOME=$work/ansible LANG=C.UTF-8 "$(ansible)/bin/python" -m ansible "$@"
}

# containerd GVISOR KATA RUNTIMES: whether containerd takes every key of the configuration, and finds these runtimes in it.
containerd() {
  local file=$work/containerd.toml
  run_ansible adhoc localhost --connection local --module-name ansible.builtin.template \
    --args "src=$PWD/install/roles/kubernetes/templates/containerd.toml.j2 dest=$file mode=0644" \
    --extra-vars @install/roles/kubernetes/defaults/main.yml \
    --extra-vars "{kubernetes_gvisor: $1, kubernetes_kata: $2, kubernetes_pause_image: registry.k8s.io/pause}" || return 1
  "$(component containerd)/containerd" --config "$file" config dump > "$work/dump" 2> "$work/said" || { cat "$work/said"; return 1; }
  # What it does not know it leaves out, with a warning.
  if grep 'unknown key' "$work/said"; then return 1; fi
  diff <(sed -nE "s/.*\.containerd\.runtimes\.([a-z]+)\]$/\1/p" "$work/dump" | xargs) <(echo "$3")
}

for playbook in install/*.yml; do
  check "$playbook can be read" run_ansible playbook --syntax-check "$playbook"
done
check "containerd's configuration" containerd false false "runc"
check "containerd's configuration with gVisor" containerd true false "runc runsc"
check "containerd's configuration with Kata" containerd false true "kata runc"
check "containerd's configuration with both" containerd true true "kata runc runsc"
exit "$failed"
