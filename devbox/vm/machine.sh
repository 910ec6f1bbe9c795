#!/usr/bin/env bash
# Boots the emulated machine, in a mount namespace that run has made.
# usage: machine.sh SCRATCH BASE LAYER TIMEOUT N PATH*N COMMAND [ARGUMENT]...     SCRATCH is any directory that nobody here needs.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
scratch=$1 base=$2 layer=$3 timeout=$4
with=("${@:6:$5}")
shift $((5 + $5))

mount -t tmpfs -o mode=755 vm "$scratch"
mkdir -p "$scratch"/own/{vm,dev,proc,sys,run,tmp} "$scratch/image"
install --mode=755 "$here/init.sh" "$scratch/own/vm/init"
printf 'exec%s\n' "$(printf ' %q' "$@")" >"$scratch/own/vm/command"
for path in "${with[@]}"; do
  mkdir -p "$scratch/own$(dirname "$path")"
  cp --archive --dereference "$path" "$scratch/own$path"
done
mount -t overlay -o "lowerdir=$scratch/own:$layer:$base" overlay "$scratch/image"

# accelerator: KVM if it can make a processor (a nested one may be there and fail at that), else software emulation.
accelerator() {
  if echo quit | timeout 10 qemu-system-x86_64 -accel kvm -cpu max -nodefaults -nic none -display none -S -monitor stdio >/dev/null 2>&1; then
    echo kvm
  else
    echo tcg,thread=multi
  fi
}

# No network card: nothing leads out of the machine but the two channels of init.sh.
# shellcheck disable=SC2054 # commas belong to qemu's arguments
machine=(
  qemu-system-x86_64 -accel "${STACKUBE_VM_ACCELERATOR:-$(accelerator)}" -cpu max -smp 2 -m 3072
  -nodefaults -no-reboot -display none -nic none
  -kernel "$layer/boot/vmlinuz" -initrd "$layer/boot/initrd.img"
  -append "boot=vm init=/vm/init console=ttyS0 loglevel=4 panic=-1 mitigations=off"
  -fsdev "local,id=image,path=$scratch/image,security_model=none,readonly=on,multidevs=remap"
  -device virtio-9p-pci,fsdev=image,mount_tag=image
  -serial "file:$scratch/console"
  -device virtio-serial-pci
  -chardev "file,id=output,path=$scratch/output" -device virtserialport,nr=1,chardev=output
  -chardev "file,id=status,path=$scratch/status" -device virtserialport,nr=2,chardev=status
)
# If this script ends in any way, so do the others.
with_parent=(setpriv --pdeathsig KILL)
mkfifo "$scratch/output"
cat "$scratch/output" & # ends with qemu
: >"$scratch/console"
: >"$scratch/status"
since=$SECONDS ended=0
"${with_parent[@]}" timeout --foreground --signal=KILL "$timeout" "${with_parent[@]}" "${machine[@]}" </dev/null 2>"$scratch/messages" || ended=$?
: 1<>"$scratch/output" # lets cat go if qemu has not come to open it
wait
grep -a '^booted: \|^ended ' "$scratch/console" | sed 's/^/emulated machine: /' >&2 || true
status=$(<"$scratch/status")
if [[ $status =~ ^[0-9]+$ ]]; then exit "$status"; fi
{
  echo "emulated machine: it ended after $((SECONDS - since)) s (time-out: $timeout s) without the command's exit status; qemu's was $ended"
  sed 's/^/    qemu | /' "$scratch/messages"
  tail -n 40 "$scratch/console" | tr -d '\r' | sed 's/^/    console | /'
} >&2
if ((SECONDS - since >= timeout)); then exit 124; fi
exit 125
