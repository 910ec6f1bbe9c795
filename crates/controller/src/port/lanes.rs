//! Fairness toward Neutron: how much of one project's work is under way at once.
//!
//! Pod ports are made with the service's own token (binding needs it), so the client's limit for each project does not tell
//! tenants apart there. A tenant that starts a hundred pods takes its lane's few places again and again; the others' pods do
//! not queue behind them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stackube_openstack::id::ProjectId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One lane for each project that has work.
#[derive(Debug)]
pub(crate) struct Lanes {
    width: usize,
    lanes: Mutex<HashMap<ProjectId, Arc<Semaphore>>>,
}

impl Lanes {
    /// Lanes of `width` places.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width: width.max(1),
            lanes: Mutex::default(),
        }
    }

    /// Waits for a place in the lane of `project`, first come first served. `None` never happens: lanes are not closed.
    pub(crate) async fn enter(&self, project: &ProjectId) -> Option<OwnedSemaphorePermit> {
        self.lane(project).acquire_owned().await.ok()
    }

    /// A place that leaves at least one other free: for work that must not delay a pod.
    pub(crate) fn enter_if_idle(&self, project: &ProjectId) -> Option<OwnedSemaphorePermit> {
        let lane = self.lane(project);
        (lane.available_permits() == self.width)
            .then(|| lane.try_acquire_owned().ok())
            .flatten()
    }

    fn lane(&self, project: &ProjectId) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        // A lane that nobody is in or waits for is as good as none.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        Arc::clone(
            lanes
                .entry(project.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(self.width))),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn project(name: &str) -> ProjectId {
        name.parse().unwrap()
    }

    #[tokio::test]
    async fn a_full_lane_does_not_hold_up_another() {
        let lanes = Lanes::new(2);
        let (busy, other) = (project("busy"), project("other"));
        let places = [lanes.enter(&busy).await, lanes.enter(&busy).await];
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, lanes.enter(&busy)).await.is_err());
        assert!(lanes.enter_if_idle(&busy).is_none());
        assert!(timeout(soon, lanes.enter(&other)).await.is_ok());
        drop(places);
        assert!(timeout(soon, lanes.enter(&busy)).await.is_ok());
    }

    #[tokio::test]
    async fn idle_lanes_are_forgotten() {
        let lanes = Lanes::new(1);
        for n in 0..100 {
            drop(lanes.enter(&project(&n.to_string())).await);
        }
        assert!(lanes.lanes.lock().unwrap().len() <= 1);
    }
}
