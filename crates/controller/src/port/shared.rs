//! What the parts of this module share for the time of one leadership.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use stackube_api::Port;

use super::{AddressBook, Metrics, batch::Batches, eviction::Considered, lanes::Lanes};
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
    /// Ports that this process makes or has made, before their first reconcile has succeeded.
    pub(crate) fresh: Fresh,
    /// What Events have said.
    pub(crate) told: Told,
    /// Which pods, and whose, were considered for eviction.
    pub(super) considered: Considered,
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
    /// The API server has said that it was this process who made it.
    made: bool,
    tried: bool,
}

impl Fresh {
    /// This process is about to make the Port. Said before the call: the watch may tell of the Port before the answer does.
    pub(crate) fn making(&self, uid: &str) {
        self.lock().entry(uid.to_owned()).or_insert_with(|| Birth {
            at: Instant::now(),
            made: false,
            tried: false,
        });
    }

    /// This process has made the Port.
    pub(crate) fn made(&self, uid: &str) {
        if let Some(birth) = self.lock().get_mut(uid) {
            birth.made = true;
        }
    }

    /// It did not, or nobody knows.
    pub(crate) fn not_made(&self, uid: &str) {
        let mut births = self.lock();
        if births.get(uid).is_some_and(|birth| !birth.made) {
            births.remove(uid);
        }
    }

    /// True once for a Port that this process has made: nobody can have made its Neutron port yet, so looking is needless.
    /// Never again after a try that came before it was known who made the Port.
    pub(super) fn is_first_try(&self, uid: &str) -> bool {
        self.lock()
            .get_mut(uid)
            .is_some_and(|birth| !std::mem::replace(&mut birth.tried, true) && birth.made)
    }

    /// The Port is ready or gone; answers with its age if this process made it.
    pub(super) fn ended(&self, uid: &str) -> Option<Duration> {
        let birth = self.lock().remove(uid)?;
        birth.made.then(|| birth.at.elapsed())
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
        fresh.making("new");
        fresh.made("new");
        assert!(fresh.is_first_try("new"));
        assert!(!fresh.is_first_try("new"));
        assert!(fresh.ended("new").is_some());
        assert!(fresh.ended("new").is_none());
    }

    #[test]
    fn a_try_that_overtakes_the_answer_looks_and_so_does_the_next() {
        let fresh = Fresh::default();
        fresh.making("overtaken");
        assert!(!fresh.is_first_try("overtaken"));
        fresh.made("overtaken");
        assert!(!fresh.is_first_try("overtaken"), "the first may have made something");
    }

    #[test]
    fn a_port_that_somebody_else_made_is_looked_for() {
        let fresh = Fresh::default();
        fresh.making("exists");
        fresh.not_made("exists");
        assert!(!fresh.is_first_try("exists"));
        assert!(fresh.ended("exists").is_none());
        fresh.making("new");
        fresh.made("new");
        fresh.not_made("new");
        assert!(fresh.is_first_try("new"), "an answer that was given stands");
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
