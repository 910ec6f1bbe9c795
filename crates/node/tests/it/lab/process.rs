//! Processes that end with their test.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process; dropping it kills it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`, which must be one of [`Namespace::command`](super::namespace::Namespace::command): those die
    /// with the thread that started them. Output is appended to `log`.
    pub(crate) fn spawn(name: &str, mut command: Command, log: &Path) -> Self {
        let log = File::options().append(true).create(true).open(log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self {
            child: command.spawn().unwrap_or_else(|e| panic!("{name}: {e}")),
        }
    }

    /// SIGTERM, and the end.
    pub(crate) fn terminate(mut self) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
