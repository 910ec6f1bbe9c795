//! A bpffs of one's own: whatever a test pins goes away with it.

use std::path::{Path, PathBuf};

/// A mounted bpffs.
pub(crate) struct Pins {
    directory: tempfile::TempDir,
}

impl Pins {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        rustix::mount::mount("bpf", directory.path(), "bpf", rustix::mount::MountFlags::empty(), None).unwrap();
        Self { directory }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("stackube")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}
