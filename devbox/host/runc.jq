# The OCI runtime configuration of a test host: a container that boots systemd, with everything of its own but the kernel.
# Arguments: $hostname, $netns, $cgroup, $root, $binds (name -> directory of the machine), $devices (paths with their numbers).
{
  ociVersion: "1.2.0",
  hostname: $hostname,
  root: {path: $root, readonly: false},
  process: {
    terminal: false,
    cwd: "/",
    user: {uid: 0, gid: 0},
    # systemd 257 wants to be asked twice before it runs on cgroup v1; on a v2 machine the word means nothing.
    args: ["/usr/lib/systemd/systemd", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"],
    env: ["container=oci", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    noNewPrivileges: false,
    capabilities: (
      # All but what is the machine's alone (modules, clock, audit) and SYS_RESOURCE, which not every machine has to give.
      ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
       "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
       "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
       "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "SETFCAP", "MAC_ADMIN", "SYSLOG", "BPF", "PERFMON"]
      | map("CAP_" + .) | {bounding: ., effective: ., permitted: .}
    )
  },
  linux: {
    namespaces: ((["pid", "ipc", "uts", "mount", "cgroup"] | map({type: .})) + [{type: "network", path: $netns}]),
    cgroupsPath: $cgroup,
    rootfsPropagation: "shared",
    maskedPaths: [],
    readonlyPaths: [],
    resources: {devices: [{allow: true, access: "rwm"}]},
    devices: $devices
  },
  mounts: (
    [
      {destination: "/proc", type: "proc", source: "proc"},
      {destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"]},
      {destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
      {destination: "/dev/shm", type: "tmpfs", source: "shm"},
      {destination: "/dev/mqueue", type: "mqueue", source: "mqueue"},
      {destination: "/sys", type: "sysfs", source: "sysfs", options: ["rw", "nosuid", "noexec", "nodev"]},
      {destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw", "nosuid", "noexec", "nodev", "relatime"]},
      {destination: "/sys/fs/bpf", type: "bpf", source: "bpf"},
      {destination: "/run", type: "tmpfs", source: "tmpfs"},
      {destination: "/tmp", type: "tmpfs", source: "tmpfs"}
    ]
    # An overlay cannot be the upper of an overlay: container and pod directories are real disk of the machine.
    + [$binds | to_entries[] | {destination: .key, type: "bind", source: .value, options: ["rbind", "rw", "rshared"]}]
  )
}
