//! The watches: one stream of changes from the API server, with what disappeared while nobody looked.

mod queue;

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stackube_api::Port;
use tokio::task::JoinSet;
use tracing::warn;

use crate::metrics::Metrics;
use crate::model::ObjectName;
pub use queue::{Queued, Receiver};

/// Kinds that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Services of all namespaces.
    Service,
    /// EndpointSlices of all namespaces.
    EndpointSlice,
    /// Namespaces; their metadata only.
    Namespace,
    /// Ports of this node.
    Port,
    /// Ranges of Services.
    ServiceCidr,
    /// This node.
    Node,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Service,
        Self::EndpointSlice,
        Self::Namespace,
        Self::Port,
        Self::ServiceCidr,
        Self::Node,
    ];

    /// For metrics and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Namespace => "Namespace",
            Self::Port => "Port",
            Self::ServiceCidr => "ServiceCIDR",
            Self::Node => "Node",
        }
    }
}

/// An object as it is now.
#[derive(Clone, Debug)]
pub enum Object {
    /// See [`Kind`].
    Service(Arc<Service>),
    /// See [`Kind`].
    EndpointSlice(Arc<EndpointSlice>),
    /// See [`Kind`].
    Namespace(Box<PartialObjectMeta<Namespace>>),
    /// See [`Kind`].
    Port(Box<Port>),
    /// See [`Kind`].
    ServiceCidr(Box<ServiceCIDR>),
    /// See [`Kind`].
    Node(Box<PartialObjectMeta<Node>>),
}

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// The object is new or different.
    Is(Object),
    /// The object is gone.
    Gone(Kind, ObjectName),
    /// The first list of that kind is complete.
    Listed(Kind),
}

/// Objects of a page of a list, which is in memory as a whole: tenants write most of these, and each may take megabytes. 10,000 of
/// them are 500 requests of some milliseconds.
const PAGE: u32 = 20;

/// Starts all watches. They end when the receiver is dropped; errors are retried with back-off for ever, and meanwhile what
/// was told before stands.
pub fn start(client: &Client, node: &str, metrics: &Metrics) -> (Receiver, JoinSet<()>) {
    let (sender, receiver) = queue::new();
    let mut tasks = JoinSet::new();
    let everything = || watcher::Config::default().page_size(PAGE);
    let own_ports = everything().fields(&format!("spec.nodeName={node}"));
    let own_node = everything().fields(&format!("metadata.name={node}"));
    let follower = |kind| Follower {
        kind,
        sender: sender.clone(),
        metrics: metrics.clone(),
    };
    let services = watcher(Api::<Service>::all(client.clone()), everything());
    tasks.spawn(follower(Kind::Service).follow(services, |o| Object::Service(Arc::new(o))));
    let slices = watcher(Api::<EndpointSlice>::all(client.clone()), everything());
    tasks.spawn(follower(Kind::EndpointSlice).follow(slices, |o| Object::EndpointSlice(Arc::new(o))));
    let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), everything());
    tasks.spawn(follower(Kind::Namespace).follow(namespaces, |o| Object::Namespace(Box::new(o))));
    let ports = watcher(Api::<Port>::all(client.clone()), own_ports);
    tasks.spawn(follower(Kind::Port).follow(ports, |o| Object::Port(Box::new(o))));
    let ranges = watcher(Api::<ServiceCIDR>::all(client.clone()), everything());
    tasks.spawn(follower(Kind::ServiceCidr).follow(ranges, |o| Object::ServiceCidr(Box::new(o))));
    let nodes = watcher(Api::<PartialObjectMeta<Node>>::all(client.clone()), own_node);
    tasks.spawn(follower(Kind::Node).follow(nodes, |o| Object::Node(Box::new(o))));
    (receiver, tasks)
}

struct Follower {
    kind: Kind,
    sender: queue::Sender,
    metrics: Metrics,
}

impl Follower {
    async fn follow<K>(
        self,
        events: impl futures::Stream<Item = watcher::Result<Event<K>>> + Send,
        object: impl Fn(K) -> Object + Send,
    ) where
        K: ResourceExt + Clone + DeserializeOwned + Serialize + Send + 'static,
    {
        // Who wrote which field takes more memory than the fields.
        let events = events
            .default_backoff()
            .modify(|object| object.managed_fields_mut().clear());
        futures::pin_mut!(events);
        let mut known = Known::default();
        while let Some(event) = events.next().await {
            let changes = match event {
                Ok(event) => self.changes(event, &mut known, &object),
                Err(error) => {
                    self.metrics.watch_failed(self.kind);
                    warn!(kind = self.kind.name(), error = %stackube_daemon::chain(&error), "the watch broke; starting it again");
                    continue;
                }
            };
            for (change, bytes) in changes {
                if self.sender.send(change, bytes).await.is_err() {
                    return;
                }
            }
        }
    }

    /// What an event tells, with the bytes of each object.
    fn changes<K: ResourceExt + Serialize>(
        &self,
        event: Event<K>,
        known: &mut Known<ObjectName>,
        object: impl Fn(K) -> Object,
    ) -> Vec<(Change, u32)> {
        let name = |object: &K| ObjectName::new(object.namespace().unwrap_or_default(), object.name_any());
        let is = |o: K| {
            let bytes = queue::bytes(&o);
            (Change::Is(object(o)), bytes)
        };
        match event {
            Event::Init => {
                known.begin();
                vec![]
            }
            Event::InitApply(o) => {
                known.listed(name(&o));
                vec![is(o)]
            }
            Event::InitDone => {
                let gone = known.end().into_iter().map(|name| Change::Gone(self.kind, name));
                gone.chain([Change::Listed(self.kind)])
                    .map(|change| (change, 0))
                    .collect()
            }
            Event::Apply(o) => {
                known.add(name(&o));
                vec![is(o)]
            }
            Event::Delete(o) => {
                let name = name(&o);
                known.remove(&name);
                vec![(Change::Gone(self.kind, name), 0)]
            }
        }
    }
}

/// Which objects exist, over lists that are made anew.
#[derive(Debug)]
struct Known<N> {
    names: HashSet<N>,
    list: HashSet<N>,
}

impl<N> Default for Known<N> {
    fn default() -> Self {
        Self {
            names: HashSet::new(),
            list: HashSet::new(),
        }
    }
}

impl<N: Eq + Hash + Clone> Known<N> {
    fn begin(&mut self) {
        self.list.clear();
    }

    fn listed(&mut self, name: N) {
        // Told at once, so it has to be taken back even if this list is never finished.
        self.names.insert(name.clone());
        self.list.insert(name);
    }

    /// What the new list does not have any more.
    fn end(&mut self) -> Vec<N> {
        let list = std::mem::take(&mut self.list);
        let gone = self.names.difference(&list).cloned().collect();
        self.names = list;
        gone
    }

    fn add(&mut self, name: N) {
        self.names.insert(name);
    }

    fn remove(&mut self, name: &N) {
        self.names.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disappeared_while_the_watch_was_broken_is_told() {
        let mut known = Known::default();
        known.begin();
        known.listed("a");
        known.listed("b");
        assert!(known.end().is_empty());
        known.add("c");
        known.remove(&"a");
        known.begin();
        known.listed("d"); // this list breaks off
        known.begin();
        known.listed("c");
        let mut gone = known.end();
        gone.sort_unstable();
        assert_eq!(gone, ["b", "d"]);
        assert!(known.end() == ["c"], "an empty list removes everything");
    }
}
