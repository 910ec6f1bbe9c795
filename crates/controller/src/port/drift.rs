//! Comparing the Neutron ports of live pods with what they were made as, from time to time.
//!
//! Members of a project can change its ports: other security groups, no anti-spoofing, another address. What can be put back
//! is put back; a port that is gone cannot, since the node has the old one plugged in, and is reported.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use stackube_api::names::cluster_tag;
use stackube_api::{Port, PortHolder};
use stackube_openstack::id::PortId;
use stackube_openstack::network::{Port as NeutronPort, PortFilter, Taggable};
use stackube_openstack::{Error, Optional, Session};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::dereference::{Net, Node, Target, chassis_of, is_holder_known, target};
use super::neutron::{Identity, differences};
use super::plan::is_complete;
use super::{Shared, api, status};
use crate::node::lacks_port;
use crate::pod::{Need, need, port_ref};
use crate::stop::Stop;

/// How many ports are put right at once.
const AT_ONCE: usize = 8;

/// Runs until `shutdown`.
pub(super) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let rounds = async {
        loop {
            tokio::time::sleep(shared.context.config.drift_interval).await;
            wake_forgotten(&shared);
            wake_without_port(&shared);
            if let Err(error) = round(&shared).await {
                warn!("the ports cannot be compared with Neutron: {error}");
            }
        }
    };
    let _ = shutdown.run_until_cancelled(rounds).await;
}

/// Ports whose holder the caches do not know.
fn wake_forgotten(shared: &Shared) {
    for port in shared.ports.state() {
        if port.metadata.deletion_timestamp.is_none() && !is_holder_known(&port, shared) {
            let _ = shared.wake_port.unbounded_send(ObjectRef::from_obj(&*port));
        }
    }
}

/// Pods and nodes that should have a Port and have none: whatever should have told them of its end was lost.
fn wake_without_port(shared: &Shared) {
    for pod in shared.pods.state() {
        let lacks = |port: ObjectRef<Port>| shared.ports.get(&port).is_none();
        if matches!(need(&pod), Need::Port { .. }) && port_ref(&pod).is_some_and(lacks) {
            let _ = shared.wake_pod.unbounded_send(ObjectRef::from_obj(&*pod));
        }
    }
    for node in shared.nodes.state() {
        if lacks_port(&node, shared) {
            let _ = shared.wake_node.unbounded_send(ObjectRef::from_obj(&*node));
        }
    }
}

async fn round(shared: &Shared) -> Result<(), Error> {
    let session = shared.context.cloud.service();
    // The Ports before the list: each of them had its Neutron port then.
    let ports: Vec<_> = shared
        .ports
        .state()
        .iter()
        .filter_map(|port| Live::of(port, shared))
        .collect();
    let filter = PortFilter {
        tags: vec![cluster_tag(&shared.context.identity.cluster)],
        ..PortFilter::default()
    };
    let found = session.list_ports_all_projects(&filter).await?;
    let found: HashMap<_, _> = found.into_iter().map(|port| (port.id.clone(), port)).collect();
    futures::stream::iter(ports)
        .for_each_concurrent(AT_ONCE, |live| {
            let (found, session) = (found.get(&live.id).cloned(), &session);
            async move {
                if let Err(error) = live.compare(shared, session, found).await {
                    warn!(neutron_port = %live.id, "the port could not be put right: {}", error.sentence());
                }
            }
        })
        .await;
    Ok(())
}

/// A Port that a running pod uses, with what its Neutron port should be.
struct Live {
    port: Arc<Port>,
    id: PortId,
    ip: std::net::Ipv4Addr,
    target: Box<Target>,
    chassis: String,
    identity: Identity,
}

impl Live {
    fn of(port: &Arc<Port>, shared: &Shared) -> Option<Self> {
        let status = port.status.as_ref().filter(|status| is_complete(status))?;
        if port.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let network = ObjectRef::new(&port.spec.network_name).within(&port.spec.network_namespace);
        let Net::Active(target) = target(&*shared.context.networks.get(&network)?) else {
            return None;
        };
        let Node::Chassis(chassis) = chassis_of(&*shared.nodes.get(&ObjectRef::new(&port.spec.node_name))?) else {
            return None;
        };
        Some(Self {
            port: Arc::clone(port),
            id: status.port_id.as_deref()?.parse().ok()?,
            ip: status.ip.as_deref()?.parse().ok()?,
            identity: Identity::of(port, &shared.context.identity.cluster),
            target,
            chassis,
        })
    }

    async fn compare(&self, shared: &Shared, session: &Session, listed: Option<NeutronPort>) -> Result<(), Stop> {
        // Somebody may just have taken the tags off, by which the list was asked for.
        let found = match listed {
            Some(found) => Some(found),
            None => session.get_port(&self.id).await.optional()?,
        };
        let Some(found) = found else {
            return self.report_loss(shared).await;
        };
        let Some(_lane) = shared.lanes.enter(&self.target.project).await else {
            return Ok(());
        };
        if let Some(change) = differences(&found, &self.identity, &self.target, &self.chassis, self.ip) {
            session.update_port(&self.id, &change, None).await?;
            info!(neutron_port = %self.id, pod = self.port.spec.pod_name, "the port was changed by somebody: put right");
            shared.context.metrics.repaired("port");
        }
        let tags = self.identity.tags();
        if found.tags.len() != tags.len() || !tags.iter().all(|tag| found.tags.contains(tag)) {
            session.replace_tags(&Taggable::Port(self.id.clone()), &tags).await?;
        }
        Ok(())
    }

    /// The Port may have been released since it was looked at, so it is asked for once more.
    async fn report_loss(&self, shared: &Shared) -> Result<(), Stop> {
        let now = api(&shared.context, &self.port).get_opt(&self.port.name_any()).await?;
        let id = now.as_ref().and_then(|port| port.status.as_ref()?.port_id.as_deref());
        let still_used = id == Some(self.id.as_str())
            && now
                .as_ref()
                .is_some_and(|port| port.metadata.deletion_timestamp.is_none());
        if still_used {
            let (of, what) = match self.port.spec.holder {
                PortHolder::Pod => ("this pod", "the pod".to_owned()),
                PortHolder::Node => ("this node", format!("Port {}", self.port.name_any())),
            };
            let note = format!(
                "Neutron port {} of {of} was deleted by somebody, so it has no network: delete {what} to get a new one",
                self.id
            );
            warn!(pod = self.port.spec.pod_name, "{note}");
            shared.metrics.error("PortLost");
            status::tell(shared, &self.port, "ComparePort", "PortLost", note).await;
        }
        Ok(())
    }
}
