//! What the parts of this module share for the time of one leadership.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use stackube_api::Port;

use super::{AddressBook, Metrics, batch::Batches, lanes::Lanes};
use crate::context::Context;
use crate::pool::Pool;

/// How long an address rests after use (N6 of the design's findings: at least this).
pub(super) const REST: Duration = Duration::from_secs(60);

/// How often an Event repeats what has not changed.
const REMIND: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Shared {
    /// What all reconcilers share.
    pub(crate) context: Arc<Context>,
    /// Which address is whose.
    pub(crate) book: AddressBook,
    /// Ports made ahead of need.
    pub(crate) pool: Pool,
    /// Fairness toward Neutron.
    pub(crate) lanes: Lanes,
    /// Ports that wait to be made.
    pub(crate) batches: Batches,
    /// All Ports.
    pub(crate) ports: Store<Port>,
    /// All bound pods, pruned.
    pub(crate) pods: Store<Pod>,
    /// All Nodes, their metadata only.
    pub(crate) nodes: Store<PartialObjectMeta<Node>>,
    /// Ports that this process made, before their first reconcile has succeeded.
    pub(crate) fresh: Fresh,
    /// What Events have said.
    pub(crate) told: Told,
    /// Numbers.
    pub(crate) metrics: Metrics,
    /// Asks for a look at a Pod, whose Port is gone.
    pub(super) wake_pod: UnboundedSender<ObjectRef<Pod>>,
    /// Asks for a look at a Node, whose Port is gone.
    pub(super) wake_node: UnboundedSender<ObjectRef<PartialObjectMeta<Node>>>,
    /// Asks for a look at a Port, whose pod may be gone.
    pub(super) wake_port: UnboundedSender<ObjectRef<Port>>,
}

/// What is known of Ports because this very process made them.
#[derive(Debug, Default)]
pub(crate) struct Fresh(Mutex<HashMap<String, Birth>>);

#[derive(Debug)]
struct Birth {
    at: Instant,
    tried: bool,
}

impl Fresh {
    /// This process has made the Port.
    pub(crate) fn made(&self, uid: &str) {
        self.lock().insert(
            uid.to_owned(),
            Birth {
                at: Instant::now(),
                tried: false,
            },
        );
    }

    /// True once for a Port that this process has made: nobody can have made its Neutron port yet, so looking is needless.
    pub(super) fn is_first_try(&self, uid: &str) -> bool {
        self.lock()
            .get_mut(uid)
            .is_some_and(|birth| !std::mem::replace(&mut birth.tried, true))
    }

    /// The Port is ready or gone; answers with its age if this process made it.
    pub(super) fn ended(&self, uid: &str) -> Option<Duration> {
        self.lock().remove(uid).map(|birth| birth.at.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Birth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the Events of each pod have said last, so that a message which differs in a request's ID only is not one more Event.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<String, (&'static str, Instant)>>);

impl Told {
    /// Whether `reason` is news about the pod with this UID: another one than before, or not said for [`REMIND`].
    pub(crate) fn is_news(&self, uid: &str, reason: &'static str, now: Instant) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, (_, at)| now < *at + REMIND);
        let known = told.get(uid).is_some_and(|(last, _)| *last == reason);
        if !known {
            told.insert(uid.to_owned(), (reason, now));
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_try_of_a_port_made_here_needs_no_look() {
        let fresh = Fresh::default();
        assert!(!fresh.is_first_try("found after a restart"));
        fresh.made("new");
        assert!(fresh.is_first_try("new"));
        assert!(!fresh.is_first_try("new"));
        assert!(fresh.ended("new").is_some());
        assert!(fresh.ended("new").is_none());
    }

    #[test]
    fn an_event_repeats_itself_after_a_while_only() {
        let (told, now) = (Told::default(), Instant::now());
        assert!(told.is_news("u-1", "QuotaExceeded", now));
        assert!(!told.is_news("u-1", "QuotaExceeded", now + REMIND / 2));
        assert!(told.is_news("u-2", "QuotaExceeded", now));
        assert!(told.is_news("u-1", "BindingFailed", now + REMIND / 2));
        assert!(told.is_news("u-1", "BindingFailed", now + REMIND * 2));
    }
}
