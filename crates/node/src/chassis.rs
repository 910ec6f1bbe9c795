//! The name under which this node's chassis is known to OVN, published on the Node for the controller.
//!
//! Neutron binds a port to a host by the hostname of the host's chassis. That need not be the node's name in
//! Kubernetes, and a port bound to the wrong name stays unbound for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use stackube_api::names::CHASSIS_ANNOTATION;
use stackube_daemon::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ovsdb::Ovsdb;

/// Pauses between attempts of a write that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The hostname that ovn-controller registers: `external_ids:hostname` of the database, `hostname-CHASSIS` before it if
/// there is one, else the host's own name (ovn-controller(8); `get_hostname` in controller/chassis.c).
pub fn hostname(external_ids: &BTreeMap<String, String>, own: &str) -> String {
    let of_chassis = external_ids
        .get("system-id")
        .and_then(|id| external_ids.get(&format!("hostname-{id}")));
    of_chassis
        .or_else(|| external_ids.get("hostname"))
        .map_or(own, String::as_str)
        .to_owned()
}

/// Keeps the annotation on `node` right until `stop`, also when somebody removes it or the Node is registered anew.
pub async fn publish(client: Client, node: String, ovsdb: Ovsdb, stop: CancellationToken) {
    let nodes: Api<PartialObjectMeta<Node>> = Api::all(client);
    let own = watcher::Config::default().fields(&format!("metadata.name={node}"));
    let events = watcher(nodes.clone(), own).default_backoff();
    futures::pin_mut!(events);
    let mut views = ovsdb.subscribe();
    let mut seen = Seen::NoNode;
    let mut logged: Option<String> = None;
    let mut failing: Option<Duration> = None;
    loop {
        let view = views.borrow_and_update().clone();
        let wanted = view.map(|view| hostname(&view.external_ids, &own_hostname()));
        if let Some(wanted) = wanted.filter(|wanted| seen.lacks(wanted)) {
            match annotate(&nodes, &node, &wanted).await {
                Ok(()) => {
                    if logged.as_ref() != Some(&wanted) {
                        info!(hostname = %wanted, "published the chassis hostname");
                    }
                    logged = Some(wanted.clone());
                    (seen, failing) = (Seen::Node(Some(wanted)), None);
                }
                Err(error) => {
                    warn!(error = %chain(&error), node, "cannot publish the chassis hostname");
                    failing = Some(failing.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE)));
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = views.changed(), if failing.is_none() => if changed.is_err() { return },
            event = events.next() => match event {
                Some(Ok(event)) => seen.take_in(&event),
                Some(Err(error)) => warn!(error = %chain(&error), node, "cannot watch the Node"),
                None => return,
            },
            () = tokio::time::sleep(failing.unwrap_or_default()), if failing.is_some() => {}
        }
    }
}

/// What the API server says of the Node.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It is not there, or nothing is known yet.
    NoNode,
    /// It is there, with this annotation.
    Node(Option<String>),
}

impl Seen {
    /// Whether there is a Node to write `wanted` on. What comes from the watch may be older than the last write: writing
    /// the same again changes nothing.
    fn lacks(&self, wanted: &str) -> bool {
        matches!(self, Self::Node(value) if value.as_deref() != Some(wanted))
    }

    fn take_in(&mut self, event: &watcher::Event<PartialObjectMeta<Node>>) {
        match event {
            watcher::Event::InitApply(node) | watcher::Event::Apply(node) => {
                *self = Self::Node(node.annotations().get(CHASSIS_ANNOTATION).cloned());
            }
            watcher::Event::Init | watcher::Event::Delete(_) => *self = Self::NoNode,
            watcher::Event::InitDone => {}
        }
    }
}

async fn annotate(nodes: &Api<PartialObjectMeta<Node>>, node: &str, hostname: &str) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {"annotations": {CHASSIS_ANNOTATION: hostname}}});
    nodes
        .patch_metadata(node, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
}

fn own_hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hostname_is_chosen_as_ovn_controller_does() {
        let ids = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(hostname(&ids(&[]), "own"), "own");
        assert_eq!(hostname(&ids(&[("hostname", "a.example.org")]), "own"), "a.example.org");
        let both = [
            ("system-id", "ch1"),
            ("hostname", "a.example.org"),
            ("hostname-ch1", "b.example.org"),
        ];
        assert_eq!(hostname(&ids(&both), "own"), "b.example.org");
        assert_eq!(hostname(&ids(&[("hostname", "a"), ("hostname-ch1", "b")]), "own"), "a");
    }
}
