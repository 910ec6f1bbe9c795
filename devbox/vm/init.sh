#!/bin/bash
# First process of the emulated machine: mounts what every Linux has, runs /vm/command, says its exit status and ends the machine.
# Two channels lead out of the machine: port 1 of its virtio serial device takes what the command prints, port 2 its exit status.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
cd /

end_machine() {
  echo b >/proc/sysrq-trigger # a reset, which ends an emulator that was told not to reboot
  sleep 60
}
trap end_machine EXIT # without an exit status, which the other side takes for a failure

# proc, sys, dev, dev/pts and run were mounted by the initramfs.
# What was asked for below /tmp stays where it is.
mkdir -p /vm/tmp
mount --bind /tmp /vm/tmp
mount -t tmpfs -o mode=1777 tmp /tmp
for path in /vm/tmp/*; do
  name=/tmp/${path##*/}
  if [[ -d $path ]]; then mkdir "$name"; elif [[ -e $path ]]; then touch "$name"; else continue; fi
  mount --bind "$path" "$name"
done
mkdir -p /dev/shm
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
hostname vm
ip link set lo up
until [[ -c $(echo /dev/vport*p1) && -c $(echo /dev/vport*p2) ]]; do sleep 0.1; done

echo "booted: Linux $(uname -r), $(cut -d' ' -f1 /proc/uptime) s after its start"
status=0
bash /vm/command </dev/null >"$(echo /dev/vport*p1)" 2>&1 || status=$?
echo "ended with $status, $(cut -d' ' -f1 /proc/uptime) s after the start"
echo "$status" >"$(echo /dev/vport*p2)"
