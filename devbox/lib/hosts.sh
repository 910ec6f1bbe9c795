# shellcheck shell=bash
# Test hosts: runc containers that boot systemd on layers of the cache.

# runc: the one of the cache, with its own list of containers.
host_runc() {
  "$(component runc)/runc" --root "$run/runc" "$@"
}

# host_running NAME: prints yes when the host's container runs.
host_running() {
  if [[ -d $run/runc/$1 && $(host_runc state "$1" 2>/dev/null | jq --raw-output .status) == running ]]; then echo yes; fi
}

# host_exec NAME COMMAND...: runs a command in the host, as root.
host_exec() {
  local name=$1
  shift
  host_runc exec "$name" "$@"
}

# enter NAME [COMMAND...]: a root shell in the host, or one command.
enter() {
  local name=${1:?the name of a host} terminal=()
  shift
  if [[ -z $(host_running "$name") ]]; then die "$name does not run" "start it with: make devbox"; fi
  if [[ -t 0 ]]; then terminal=(--tty); fi
  if (($# == 0)); then set -- bash -l; fi
  exec "$(component runc)/runc" --root "$run/runc" exec "${terminal[@]}" "$name" "$@"
}

# make_identity: this devbox's SSH key, and one host key for all of its hosts.
make_identity() {
  local key name
  mkdir -p "$state/ssh"
  for key in key host_key; do
    if [[ ! -s $state/ssh/$key ]]; then ssh-keygen -q -t ed25519 -N '' -C stackube-devbox -f "$state/ssh/$key"; fi
  done
  : >"$state/ssh/known_hosts"
  : >"$state/ssh/config"
  for name in "${!host_address[@]}"; do
    echo "$name,${host_address[$name]} $(cut -d' ' -f1,2 "$state/ssh/host_key.pub")" >>"$state/ssh/known_hosts"
    cat >>"$state/ssh/config" <<SSH
Host $name
  HostName ${host_address[$name]}
  HostKeyAlias $name
  User root
  IdentityFile $state/ssh/key
  IdentitiesOnly yes
  UserKnownHostsFile $state/ssh/known_hosts
  StrictHostKeyChecking yes
SSH
  done
}

# host_devices: the devices of the machine that hosts use, as JSON.
host_devices() {
  local device
  for device in /dev/net/tun /dev/fuse /dev/kmsg; do
    if [[ -c $device ]]; then stat --format="$device %Hr %Lr" "$device"; fi
  done | jq --raw-input --null-input \
    '[inputs | split(" ") | {path: .[0], type: "c", major: (.[1] | tonumber), minor: (.[2] | tonumber), fileMode: 438}]'
}

# host_start NAME UPPER LAYER...: boots a host. UPPER is where its changes go, LAYERs are its file system, top first.
host_start() {
  local name=$1 upper=$2 directory=$run/hosts/$1 data=$state/hosts/$1 lower
  shift 2
  lower=$(IFS=:; echo "$*")
  mkdir -p "$directory" "$upper" "$upper.work" "$data"/{containerd,kubelet} "$run/runc"
  printf '%s=%q\n' name "$name" hostname "$name.stackube.internal" address "${host_address[$name]}" \
    lower "$lower" upper "$upper" work "$upper.work" identity "$state/ssh" data "$data" \
    runc "$(component runc)/runc" run_root "$run/runc" >"$directory/host.env"
  jq --null-input --from-file "$devbox/host/runc.jq" \
    --arg hostname "$name.stackube.internal" --arg netns "/run/netns/$name" --arg cgroup "/$cgroup/$name" \
    --arg root "$directory/root" --argjson devices "$(host_devices)" \
    --argjson binds "$(jq --null-input --arg data "$data" \
      '{"/var/lib/containerd": ($data + "/containerd"), "/var/lib/kubelet": ($data + "/kubelet")}')" \
    >"$directory/config.json"
  (
    cgroup_join keeper
    exec setsid unshare --mount --propagation private "$devbox/host/keeper.sh" "$directory"
  ) </dev/null >"$state/log/$name.log" 2>&1 {machine_lock}>&- &
  host_wait "$name" $!
  # As systemd does at the boot of a machine, but not of a container: pods that see mounts of the host need it.
  host_exec "$name" mount --make-rshared /
}

# host_wait NAME KEEPER: until systemd says that the boot is over; three minutes at most (it takes seconds on an idle machine).
host_wait() {
  local name=$1 keeper=$2 boot=offline attempt
  for ((attempt = 0; attempt < 900; attempt++)); do
    if [[ -n $(host_running "$name") ]]; then boot=$(host_exec "$name" systemctl is-system-running 2>/dev/null || true); fi
    case $boot in
      running) return ;;
      degraded)
        host_exec "$name" systemctl --failed --no-pager --plain
        die "units of $name failed at boot" "look with: devbox/devbox enter $name journalctl -b -p err"
        ;;
    esac
    if [[ ! -d /proc/$keeper ]]; then
      cat "$state/log/$name.log"
      die "$name has ended; its runc said what is above"
    fi
    sleep 0.2
  done
  die "$name did not boot within three minutes (systemd says: $boot)"
}

# host_stop NAME: shuts a host down in order, so that its files are whole; 60 seconds at most.
host_stop() {
  local name=$1 attempt
  host_exec "$name" systemctl poweroff
  for ((attempt = 0; attempt < 600; attempt++)); do
    if [[ -z $(cgroup_processes keeper) ]]; then
      rm -rf "$run/hosts/$name" "$state/hosts/$name"
      return
    fi
    sleep 0.1
  done
  die "$name did not shut down within 60 seconds"
}

# hosts_forget: removes the run state of every host of this machine, whichever checkout started it.
hosts_forget() {
  local environment data
  for environment in "$run"/hosts/*/host.env; do
    if [[ ! -f $environment ]]; then continue; fi
    # shellcheck source=/dev/null disable=SC2154
    data=$(source "$environment" && echo "$data")
    remove_tree "$data"
  done
  remove_tree "$run/hosts" "$run/runc" "$state/hosts"
}
