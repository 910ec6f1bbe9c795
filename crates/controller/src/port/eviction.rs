//! Moving a pod to another node when this one has no address for it (finding N23).
//!
//! Addresses are unique on a node, so tenants with small ranges can use up each other's. Only the scheduler can help, and it
//! does so for a new pod: the old one is evicted if something will make a new one, and if there is another node to go to. The
//! scheduler may all the same choose this node again, so an owner loses one pod a minute at most.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::api::{EvictParams, ListParams};
use kube::{Api, ResourceExt};
use stackube_api::{Port, PortHolder};
use tracing::{info, warn};

use super::book::Exhausted;
use super::dereference::{Node, chassis_of};
use super::{Shared, status};
use crate::stop::Stop;

mod elsewhere;

/// How long an owner's pods are left alone after one of them was evicted, and how seldom is looked for another node for a pod.
const PAUSE: Duration = Duration::from_secs(60);

/// Reason of Events: the range is full.
const EXHAUSTED: &str = "AddressesExhausted";
/// Reason of Events: the range is full on this node only, for good.
const EXHAUSTED_ON_NODE: &str = "AddressesExhaustedOnNode";

/// The stable reason for a lack of addresses.
pub(super) fn reason(full: Exhausted) -> &'static str {
    match full {
        Exhausted::Node { resting: 0 } => EXHAUSTED_ON_NODE,
        Exhausted::Node { .. } | Exhausted::Network { .. } => EXHAUSTED,
    }
}

/// What was done within the pause.
#[derive(Debug, Default)]
pub(super) struct Considered(Mutex<Recent>);

/// By UID.
#[derive(Debug, Default)]
struct Recent {
    /// Owners, when a pod of theirs was evicted.
    evicted: HashMap<String, Instant>,
    /// Pods, when was looked for another node.
    looked: HashMap<String, Instant>,
}

impl Considered {
    /// Whether to look for another node for the pod; then that is just being done. A pod that cannot be helped takes nothing of
    /// its siblings' turn.
    fn may_look(&self, owner: &str, pod: &str, now: Instant) -> bool {
        let mut recent = self.recent(now);
        !recent.evicted.contains_key(owner) && note(&mut recent.looked, pod, now)
    }

    /// Whether it is the owner's turn again; then a pod of it is just being evicted.
    fn may_evict(&self, owner: &str, now: Instant) -> bool {
        note(&mut self.recent(now).evicted, owner, now)
    }

    fn recent(&self, now: Instant) -> MutexGuard<'_, Recent> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.evicted.retain(|_, at| now < *at + PAUSE);
        recent.looked.retain(|_, at| now < *at + PAUSE);
        recent
    }
}

/// Notes the moment unless there is one; whether it was noted.
fn note(moments: &mut HashMap<String, Instant>, uid: &str, now: Instant) -> bool {
    let is_new = !moments.contains_key(uid);
    if is_new {
        moments.insert(uid.to_owned(), now);
    }
    is_new
}

/// Evicts the pod if that is the way out. Failures are logged: the pod goes on waiting.
pub(super) async fn consider(shared: &Shared, port: &Port, stop: &Stop) {
    let is_pod = port.spec.holder == PortHolder::Pod;
    if !is_pod || stop.reason() != EXHAUSTED_ON_NODE || !has_another_chassis(shared, &port.spec.node_name) {
        return;
    }
    let pods: Api<Pod> = Api::namespaced(shared.context.kube.clone(), &port.namespace().unwrap_or_default());
    match is_way_out(shared, port, &pods).await {
        Ok(true) => evict(shared, port, &pods).await,
        Ok(false) => {}
        Err(error) => warn!("cannot look whether the pod may be evicted: {error}"),
    }
}

/// The cache has nothing of Nodes but metadata, and no tolerations of pods: both are asked for, seldom enough.
async fn is_way_out(shared: &Shared, port: &Port, pods: &Api<Pod>) -> Result<bool, kube::Error> {
    let Some(pod) = pods.get_opt(&port.spec.pod_name).await? else {
        return Ok(false);
    };
    let Some(owner) = remaker(&pod, &port.spec.pod_uid) else {
        return Ok(false);
    };
    if !shared.considered.may_look(&owner, &port.spec.pod_uid, Instant::now()) {
        return Ok(false);
    }
    let nodes: Api<KubeNode> = Api::all(shared.context.kube.clone());
    let nodes = nodes.list(&ListParams::default()).await?;
    let can_go = elsewhere::exists(&nodes.items, &port.spec.node_name, &pod);
    Ok(can_go && shared.considered.may_evict(&owner, Instant::now()))
}

async fn evict(shared: &Shared, port: &Port, pods: &Api<Pod>) {
    match pods.evict(&port.spec.pod_name, &EvictParams::default()).await {
        Ok(_) => {
            info!(
                pod = port.spec.pod_name,
                node = port.spec.node_name,
                "evicted: the node has no address for it"
            );
            let note = format!(
                "node {} has no free address for this pod: another node may",
                port.spec.node_name
            );
            status::tell(shared, port, "Evict", EXHAUSTED_ON_NODE, note).await;
        }
        Err(error) => warn!(pod = port.spec.pod_name, "not evicted: {error}"),
    }
}

/// A look into the cache that spares the others where there is one node only.
fn has_another_chassis(shared: &Shared, this: &str) -> bool {
    let others = shared.nodes.state().into_iter().filter(|node| node.name_any() != this);
    others
        .into_iter()
        .any(|node| matches!(chassis_of(&node), Node::Chassis(_)))
}

/// UID of what makes a new pod in its place, and not on this very node again (a DaemonSet would).
fn remaker(pod: &Pod, uid: &str) -> Option<String> {
    if pod.uid().as_deref() != Some(uid) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let mut owners = pod.owner_references().iter();
    let controller = owners.find(|owner| owner.controller == Some(true))?;
    (controller.kind != "DaemonSet").then(|| controller.uid.clone())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn owner(kind: &str, controller: bool) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "o", "controller": controller}])
    }

    #[rstest]
    #[case::replica_set(json!({"ownerReferences": owner("ReplicaSet", true)}), true)]
    #[case::job(json!({"ownerReferences": owner("Job", true)}), true)]
    #[case::bare_pod(json!({}), false)]
    #[case::owned_but_not_controlled(json!({"ownerReferences": owner("ReplicaSet", false)}), false)]
    #[case::daemon_set(json!({"ownerReferences": owner("DaemonSet", true)}), false)]
    #[case::successor(json!({"ownerReferences": owner("StatefulSet", true), "uid": "u-2"}), false)]
    #[case::going_already(
        json!({"ownerReferences": owner("Job", true), "deletionTimestamp": "2026-01-01T00:00:00Z"}), false
    )]
    fn evicts_only_what_comes_back_elsewhere(#[case] metadata: Value, #[case] expected: bool) {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u-1"}});
        pod["metadata"]
            .as_object_mut()
            .unwrap()
            .extend(metadata.as_object().unwrap().clone());
        let found = remaker(&serde_json::from_value(pod).unwrap(), "u-1");
        assert_eq!(found.as_deref(), expected.then_some("o"));
    }

    #[test]
    fn an_owner_loses_one_pod_a_minute_at_most() {
        let (considered, now) = (Considered::default(), Instant::now());
        assert!(considered.may_evict("o-1", now));
        assert!(!considered.may_evict("o-1", now + PAUSE - Duration::from_secs(1)));
        assert!(considered.may_evict("o-2", now), "another owner's pods do not wait");
        assert!(considered.may_evict("o-1", now + PAUSE));
        assert!(!considered.may_evict("o-1", now + PAUSE), "the pause begins anew");
    }

    #[test]
    fn a_pod_that_cannot_be_helped_does_not_hold_its_siblings() {
        let (considered, now) = (Considered::default(), Instant::now());
        assert!(considered.may_look("o-1", "stuck", now));
        assert!(
            !considered.may_look("o-1", "stuck", now),
            "the nodes are not listed at each try"
        );
        assert!(considered.may_look("o-1", "sibling", now));
        assert!(considered.may_evict("o-1", now));
        assert!(
            !considered.may_look("o-1", "third", now),
            "nothing to look for before the owner's turn"
        );
        assert!(
            considered.may_look("o-1", "third", now + PAUSE),
            "and no turn was lost by that"
        );
    }
}
