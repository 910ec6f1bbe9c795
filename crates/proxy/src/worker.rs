//! The loop: changes in, writes out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use stackube_api::names::TENANT_LABEL;
use stackube_daemon::chain;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::dns;
use crate::metrics::Metrics;
use crate::model::{Cluster, Desired, Update};
use crate::names::{self, Names, PodIdentities};
use crate::program::{Done, ProgramError, Programmer};
use crate::ration::Ration;
use crate::run::{MAPS, WATCHES};
use crate::serve::Readiness;
use crate::watch::{Change, Kind, Object, Queued, Receiver};

/// Changes that are taken in before the maps are written once.
const BATCH: usize = 4096;
/// How often the maps are compared with what they should be.
const AUDIT: Duration = Duration::from_secs(60);
/// How soon a predecessor is asked again whether it still writes.
const HAND_OVER: Duration = Duration::from_millis(50);
/// First and longest pause after a write that failed.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));
/// The zone of a Node.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The worker cannot go on.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// No watch ends by itself.
    #[error("the watches of the API server have ended; the process has to start again")]
    WatchesEnded,
}

/// Keeps the maps as the cluster is.
#[derive(Debug)]
pub struct Worker {
    ration: Ration,
    /// Namespaces that want more than their ration, as was said last.
    rationed: BTreeSet<String>,
    cluster: Cluster,
    desired: Desired,
    programmer: Programmer,
    unlisted: BTreeSet<Kind>,
    complete: CancellationToken,
    store: Arc<dns::Store>,
    identities: Arc<PodIdentities>,
    metrics: Metrics,
    readiness: Readiness,
    /// When to do something without a change.
    next: Instant,
    audit: Instant,
    pause: Duration,
    /// Networks that want more of the maps than their share, as was said last.
    crowded: BTreeMap<String, usize>,
}

impl Worker {
    /// Nothing is written yet. `names` gets every change, too.
    pub fn new(
        ration: Ration,
        cluster: Cluster,
        maps: &Path,
        names: &Names,
        metrics: Metrics,
        readiness: Readiness,
    ) -> Self {
        let now = Instant::now();
        Self {
            ration,
            rationed: BTreeSet::new(),
            cluster,
            desired: Desired::default(),
            programmer: Programmer::new(maps),
            unlisted: Kind::ALL.into(),
            complete: CancellationToken::new(),
            store: Arc::clone(&names.store),
            identities: Arc::clone(&names.identities),
            metrics,
            readiness,
            next: now,
            audit: now + AUDIT,
            pause: RETRY.0,
            crowded: BTreeMap::new(),
        }
    }

    /// Cancelled when the first lists of all kinds are in.
    pub fn complete(&self) -> CancellationToken {
        self.complete.clone()
    }

    /// Works until `stop`, then leaves the maps to the successor at once.
    ///
    /// # Errors
    /// [`WorkerError::WatchesEnded`].
    pub async fn run(mut self, mut changes: Receiver, stop: CancellationToken) -> Result<(), WorkerError> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let next = tokio::time::Instant::from_std(self.next.min(self.audit));
            let complete = self.unlisted.is_empty();
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                received = changes.recv_many(&mut batch, BATCH) => if received == 0 {
                    return Err(WorkerError::WatchesEnded);
                },
                () = tokio::time::sleep_until(next), if complete => {}
            }
            let began = Instant::now();
            for Queued { change, .. } in batch.drain(..) {
                self.take_in(change);
            }
            self.say_who_is_rationed();
            if self.unlisted.is_empty() {
                tokio::task::block_in_place(|| self.write(began));
            }
        }
    }

    fn say_who_is_rationed(&mut self) {
        let left_out = self.ration.left_out();
        for (namespace, parts) in left_out.iter().filter(|(name, _)| !self.rationed.contains(*name)) {
            warn!(
                namespace,
                parts,
                "the namespace's ration of this node's memory is used up; these ports and endpoints are left out until they are written again"
            );
        }
        self.metrics.rationed(left_out.values().sum());
        self.rationed = left_out.keys().cloned().collect();
    }

    fn take_in(&mut self, change: Change) {
        let change = &self.ration.admit(change);
        names::feed(&self.store, &self.cluster, change);
        match change {
            Change::Is(object) => self.is(object),
            Change::Gone(kind, name) => {
                self.metrics.changed(*kind);
                match kind {
                    Kind::Service => self.cluster.service_gone(name),
                    Kind::EndpointSlice => self.cluster.slice_gone(name),
                    Kind::Namespace => self.cluster.namespace_gone(&name.name),
                    Kind::Port => self.cluster.port_gone(name),
                    Kind::ServiceCidr => self.cluster.service_range_gone(&name.name),
                    Kind::Node => {}
                }
            }
            Change::Listed(kind) => {
                if self.unlisted.remove(kind) && self.unlisted.is_empty() {
                    info!(services = self.cluster.services_known(), "have all lists");
                    self.readiness.ready(WATCHES);
                    self.complete.cancel();
                }
            }
        }
    }

    fn is(&mut self, object: &Object) {
        let kind = match object {
            Object::Service(service) => {
                self.cluster.service(service);
                Kind::Service
            }
            Object::EndpointSlice(slice) => {
                self.cluster.slice(slice);
                Kind::EndpointSlice
            }
            Object::Namespace(namespace) => {
                let tenant = namespace.labels().get(TENANT_LABEL).map(String::as_str);
                self.cluster.namespace(&namespace.name_any(), tenant);
                Kind::Namespace
            }
            Object::Port(port) => {
                self.cluster.port(port);
                Kind::Port
            }
            Object::ServiceCidr(range) => {
                let cidrs = range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref());
                self.cluster.service_range(&range.name_any(), cidrs.unwrap_or_default());
                Kind::ServiceCidr
            }
            Object::Node(node) => {
                self.cluster.zone(node.labels().get(ZONE_LABEL).map(String::as_str));
                Kind::Node
            }
        };
        self.metrics.changed(kind);
    }

    /// Writes what has changed; sets when to look again.
    fn write(&mut self, began: Instant) {
        let dirty = self.cluster.take_dirty();
        let update = self.desired.update(&self.cluster, &dirty);
        let ranges = self.cluster.service_ranges();
        let audit = began >= self.audit && self.programmer.is_writer();
        if !audit && self.programmer.is_writer() && update == Update::default() && !dirty.ranges {
            self.next = self.audit;
            return;
        }
        let result = if audit {
            self.programmer.audit(&self.desired, update, &ranges)
        } else {
            self.programmer.sync(&self.desired, update, &ranges)
        };
        if began >= self.audit {
            self.audit = began + AUDIT;
            self.identities.reopen();
        }
        self.metrics.writer(self.programmer.is_writer());
        match result {
            Ok(done) => self.written(began, audit, done),
            Err(ProgramError::OtherWriter) => {
                self.readiness.ready(MAPS);
                self.next = began + HAND_OVER;
            }
            Err(error) => {
                warn!(error = %chain(&error), "cannot write the maps; trying again");
                self.readiness.blocked(MAPS, chain(&error));
                self.metrics.sync_failed();
                self.next = began + self.pause;
                self.pause = (self.pause * 2).min(RETRY.1);
            }
        }
    }

    fn written(&mut self, began: Instant, audit: bool, done: Done) {
        if audit && done.writes > 0 {
            warn!(
                entries = done.writes,
                "entries of the maps were not as they should be; put them right"
            );
            self.metrics.repaired(done.writes);
        }
        let crowded = self.programmer.crowded();
        for (network, entries) in crowded
            .iter()
            .filter(|(network, _)| !self.crowded.contains_key(*network))
        {
            warn!(
                network,
                entries,
                "the network's share of this node's maps is used up; these Services are missing or lack endpoints"
            );
        }
        self.crowded = crowded;
        self.metrics.synced(began.elapsed(), done.writes, done.sizes);
        self.readiness.ready(MAPS);
        self.pause = RETRY.0;
        self.next = self.audit;
    }
}
