//! kubelet's cgroup: the sockets that it opens get the mark that leads to the pods.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stackube_daemon::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Datapath, DatapathError};
use crate::metrics::Metrics;

/// How soon a kubelet that was started again, in a new cgroup, is found.
const INTERVAL: Duration = Duration::from_secs(1);
/// Where the unified hierarchy may be under the mount of the cgroups: there itself, or beside those of version 1.
const HIERARCHIES: [&str; 2] = ["", "unified"];
/// What systemd calls it on nodes that kubeadm made.
const SERVICE: &str = "system.slice/kubelet.service";

/// Keeps kubelet's cgroup marked until `stop`. `mount` is where the host's cgroups are mounted; `path`, if set, is
/// kubelet's cgroup in the unified hierarchy.
pub async fn keep(datapath: Datapath, mount: PathBuf, path: Option<String>, metrics: Metrics, stop: CancellationToken) {
    let mut known: Option<Result<PathBuf, String>> = None;
    loop {
        let outcome = mark(&datapath, &mount, path.as_deref()).await;
        metrics.kubelet_marked(outcome.is_ok());
        if known.as_ref() != Some(&outcome) {
            match &outcome {
                Ok(cgroup) => info!(cgroup = %cgroup.display(), "kubelet's sockets are marked"),
                Err(error) => warn!(%error, "kubelet's sockets are not marked: its probes will not reach pods"),
            }
            known = Some(outcome);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn mark(datapath: &Datapath, mount: &Path, path: Option<&str>) -> Result<PathBuf, String> {
    let wanted = path.unwrap_or(SERVICE).trim_start_matches('/');
    let cgroup = find(mount, wanted).ok_or_else(|| {
        format!(
            "there is no cgroup {wanted} in the unified hierarchy under {}: set kubelet-cgroup to kubelet's \
             (the line of /proc/PID/cgroup that begins with 0::)",
            mount.display()
        )
    })?;
    let directory = cgroup.clone();
    let marked = datapath
        .with(move |programs| Ok(programs.mark_kubelet(&directory)?))
        .await;
    marked.map(|()| cgroup).map_err(|error: DatapathError| chain(&error))
}

/// kubelet's cgroup, if it is there.
fn find(mount: &Path, cgroup: &str) -> Option<PathBuf> {
    let hierarchies = HIERARCHIES.iter().map(|hierarchy| mount.join(hierarchy));
    // Only directories of the unified hierarchy have this file.
    hierarchies
        .map(|hierarchy| hierarchy.join(cgroup))
        .find(|cgroup| cgroup.join("cgroup.controllers").is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_unified_hierarchy_is_found_wherever_it_is() {
        for place in ["", "unified"] {
            let mount = tempfile::tempdir().unwrap();
            assert_eq!(find(mount.path(), SERVICE), None);
            // Of version 1: without the file.
            fs::create_dir_all(mount.path().join("pids").join(SERVICE)).unwrap();
            let cgroup = mount.path().join(place).join(SERVICE);
            fs::create_dir_all(&cgroup).unwrap();
            assert_eq!(find(mount.path(), SERVICE), None);
            fs::write(cgroup.join("cgroup.controllers"), "").unwrap();
            assert_eq!(find(mount.path(), SERVICE), Some(cgroup));
        }
    }
}
