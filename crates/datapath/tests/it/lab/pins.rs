//! A bpffs of one's own: whatever a test pins goes away with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A mounted bpffs. A child process takes it down when its input ends, which happens also when this process is killed.
pub(crate) struct Pins {
    directory: PathBuf,
    keeper: Child,
}

impl Pins {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap().keep();
        rustix::mount::mount("bpf", &directory, "bpf", rustix::mount::MountFlags::empty(), None).unwrap();
        let take_down = "cat; umount --lazy \"$0\" && rmdir \"$0\"";
        let keeper = Command::new("sh")
            .args(["-c", take_down])
            .arg(&directory)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self { directory, keeper }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("stackube")
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        assert!(self.keeper.wait().unwrap().success());
    }
}
