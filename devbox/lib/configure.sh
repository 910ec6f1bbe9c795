# shellcheck shell=bash
# The configured layer: configure.yml runs once over SSH into a booted host; the host is shut down and its changes are kept.

# running_inventory: that of the hosts which run, or will.
running_inventory() {
  if [[ -n $(host_running "$joining_host") ]]; then echo "$joined_inventory"; else echo "$inventory"; fi
}

# playbook NAME ARGUMENTS...: runs a playbook of install/ against the devbox's hosts.
playbook() {
  local name=${1:?the name of a playbook of install/}
  shift
  (
    cd "$repository"
    ANSIBLE_CONFIG=install/ansible.cfg ANSIBLE_HOME=$state/ansible ANSIBLE_SSH_CONTROL_PATH_DIR=$run/ssh LANG=C.UTF-8 \
      ANSIBLE_CALLBACKS_ENABLED=ansible.posix.profile_tasks \
      "$(ansible)/bin/python" -m ansible playbook --inventory "devbox/inventory/$(running_inventory).yml" "$@" "install/$name.yml"
  )
}

# make_configured PATH: for hosts that share nothing yet there is one layer, of the one host.
make_configured() {
  local layer=$1 name=${host_names[0]} layers
  mapfile -t layers < <(installed_layers)
  host_start "$name" "$layer" "${layers[@]}"
  playbook configure
  host_stop "$name"
  forget_identity "$layer"
  cp -a "$state/secrets" "$layer/root/devbox-secrets"
  rm -rf "$layer.work"
  sync --file-system "$layer"
}

# forget_identity LAYER: what belongs to this run of the devbox and not to its configuration.
forget_identity() {
  rm -rf "$1"/root/.ssh "$1"/root/.ansible "$1"/etc/ssh/ssh_host_* "$1"/var/log/journal
}

# restore_secrets: the passwords that the configured layer was made with, so that configure.yml may run again and change nothing.
restore_secrets() {
  rm -rf "$state/secrets"
  cp -a "$cache/configured-${keys[configured]}/root/devbox-secrets" "$state/secrets"
}

# configured_layers: all layers of a configured host, top first.
configured_layers() {
  echo "$cache/configured-${keys[configured]}"
  installed_layers
}
