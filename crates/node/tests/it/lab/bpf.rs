//! A bpffs of one lab, so that labs that run side by side do not see each other's maps.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{require, run};

/// A mounted bpffs; dropping it unmounts it, and everything that is pinned there goes.
pub(crate) struct Mount {
    path: PathBuf,
}

impl Mount {
    pub(crate) fn new(path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        run(Command::new(require("mount")).args(["-t", "bpf", "bpf"]).arg(path));
        Self { path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        unmount(&self.path);
    }
}

/// Unmounts those of test processes that were killed.
pub(crate) fn sweep() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new) {
        let lab = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let process = lab.and_then(|name| name.strip_prefix("kubestack-")?.split('-').next());
        let gone = |id: &str| id.parse::<u32>().is_ok() && !Path::new("/proc").join(id).exists();
        if path.ends_with("bpf") && process.is_some_and(gone) {
            unmount(path);
        }
    }
}

fn unmount(path: &Path) {
    let _ = Command::new(require("umount")).args(["--lazy"]).arg(path).output();
}
