//! Network namespaces, and sockets inside of them.

use std::fs::File;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs a program that must succeed.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let out = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A namespace that goes away with the value; those of a run that was killed go with the next one.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

const PREFIX: &str = "skdatapath-";

impl Namespace {
    pub(crate) fn new(what: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
                let _raced = Command::new("ip").args(["netns", "del", &name]).output();
            }
        }
        let name = format!("{PREFIX}{}-{}-{what}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"));
        run(&format!("ip -n {name} link set lo up"));
        Self { name }
    }

    /// `ip` in this namespace; lines or `;` separate commands.
    pub(crate) fn ip(&self, commands: &str) {
        for command in commands
            .split([';', '\n'])
            .map(str::trim)
            .filter(|command| !command.is_empty())
        {
            run(&format!("ip -n {} {command}", self.name));
        }
    }

    /// Waits until `ip` says this of a device: the kernel takes up to a second from a cable's being plugged in to using it, and loses what is sent
    /// before without a word.
    pub(crate) fn wait_for_link(&self, ifname: &str, state: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = run(&format!("ip -n {} -d -o link show {ifname}", self.name));
            if seen.contains(state) {
                return;
            }
            assert!(Instant::now() < deadline, "not '{state}': {seen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Moves the calling thread here for good.
    pub(crate) fn enter(&self) {
        enter(&self.name);
    }

    /// Runs a closure in a thread inside.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::thread::JoinHandle<T> {
        let name = self.name.clone();
        std::thread::spawn(move || {
            enter(&name);
            work()
        })
    }

    /// Runs a closure inside and waits for it.
    pub(crate) fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn(work).join().unwrap()
    }

    /// Packets that this namespace threw away for a wrong checksum.
    pub(crate) fn checksum_errors(&self) -> u64 {
        self.counted("snmp", &["InCsumErrors", "InHdrErrors"])
    }

    /// The sum of these counters in a file of `/proc/net`, in which a line of names stands before each line of values.
    pub(crate) fn counted(&self, file: &str, names: &'static [&str]) -> u64 {
        let path = format!("/proc/thread-self/net/{file}");
        self.within(move || {
            let text = std::fs::read_to_string(path).unwrap();
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
            let pairs = lines.chunks(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
            let wanted = pairs.filter(|(name, _)| names.contains(*name));
            wanted.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
        })
    }
}

fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).unwrap();
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network)).unwrap();
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.name));
    }
}
