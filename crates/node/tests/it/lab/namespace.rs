//! Named network namespaces.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::{require, run};

/// A network namespace; dropping it deletes it.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn new(name: &str) -> Self {
        run(Command::new(require("ip")).args(["netns", "add", name]));
        let namespace = Self { name: name.to_owned() };
        run(Command::new(require("ip")).args(["-n", name, "link", "set", "lo", "up"]));
        namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command in the namespace that dies with the thread that starts it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(require("setpriv"));
        command
            .args(["--pdeathsig", "KILL", "nsenter"])
            .arg(format!("--net={}", self.path().display()))
            .arg(program);
        command
    }

    /// `ip -json` in the namespace.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = run(Command::new(require("ip"))
            .args(["-n", &self.name, "-json"])
            .args(arguments));
        if text.trim().is_empty() {
            Value::Array(vec![])
        } else {
            serde_json::from_str(&text).unwrap()
        }
    }

    /// `ip` in the namespace; it has to succeed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        run(Command::new(require("ip"))
            .args(["-n", &self.name])
            .args(arguments.split(' ')))
    }

    /// Runs something on a thread in the namespace.
    pub(crate) fn enter<T: Send>(&self, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).unwrap();
        std::thread::scope(|scope| {
            let inside = || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            };
            scope.spawn(inside).join().unwrap()
        })
    }

    /// Packets that this namespace threw away for a wrong checksum.
    pub(crate) fn checksum_errors(&self) -> u64 {
        let text = self.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        let pairs = lines.chunks(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
        let errors = pairs.filter(|(name, _)| matches!(**name, "InCsumErrors" | "InHdrErrors"));
        errors.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    }

    /// Whether `address` answers a ping.
    pub(crate) fn pings(&self, address: &str) -> bool {
        let mut ping = self.command(&require("ping"));
        ping.args(["-c", "1", "-W", "1", address]);
        ping.output().unwrap().status.success()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new(require("ip"))
            .args(["netns", "delete", &self.name])
            .output();
    }
}

/// Removes namespaces of test processes that were killed.
pub(crate) fn sweep() {
    let names = run(Command::new(require("ip")).args(["netns", "list"]));
    for name in names.lines().filter_map(|line| line.split(' ').next()) {
        let process = name.strip_prefix("skt").and_then(|rest| rest.split('-').next());
        let gone = |id: &str| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists();
        if process.is_some_and(gone) {
            let _ = Command::new(require("ip")).args(["netns", "delete", name]).output();
        }
    }
}
