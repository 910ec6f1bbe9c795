//! Ports: the Neutron port of each pod, and all that happens to it.
//!
//! `dereference -> plan -> apply -> status`: [`dereference`] reads what a Port depends on, [`plan`] decides (pure), [`provide`]
//! and [`release`] act, [`status`] writes what came of it. [`book`] says which addresses are free, [`neutron`] what a pod's
//! Neutron port looks like, [`drift`] compares all of them with that from time to time.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use stackube_api::Port;
use tracing::{info, warn};

use crate::context::Context;
use crate::pod;
use crate::stop::Stop;

mod batch;
mod book;
mod dereference;
mod drift;
mod eviction;
#[cfg(test)]
pub(crate) mod fake;
mod lanes;
mod metrics;
mod neutron;
mod order;
mod plan;
mod provide;
mod rebuild;
mod release;
mod run;
mod shared;
mod status;

pub(crate) use book::{AddressBook, Holder, NetworkKey, Place};
pub(crate) use dereference::{Net, Node, Target, chassis_of, target};
pub(crate) use metrics::{Claim, Metrics};
pub(crate) use neutron::{DEVICE_OWNER, Identity as PortIdentity, address, binding_problem, is_address_conflict};
pub(crate) use order::{after, make, order};
pub(crate) use run::run;
pub(crate) use shared::Shared;

use dereference::{Facts, dereference};
use plan::{Plan, plan};

/// When a pod or Port is looked at again that waits for something which no watch tells.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Brings one Port to where it should be.
pub(crate) async fn reconcile(port: Arc<Port>, shared: Arc<Shared>) -> Result<Action, Stop> {
    let result = advance(&port, &shared).await;
    if let Err(stop) = &result {
        shared.metrics.error(stop.reason());
        status::explain(&shared, &port, stop).await;
    }
    result
}

async fn advance(port: &Port, shared: &Shared) -> Result<Action, Stop> {
    let facts = dereference(port, shared).await?;
    match plan(port, &facts) {
        Plan::Keep => {
            observe(port, shared, &facts);
        }
        Plan::Release => pod::delete(shared, port).await?,
        Plan::Provide { target, chassis } => provide::provide(shared, port, &target, &chassis).await?,
        Plan::GiveAnother { refused } => {
            let cleared = release::take_back(shared, port, &refused).await?;
            info!(
                node = port.spec.node_name,
                address = refused,
                "the node refused the address, choosing another"
            );
            let facts = Facts {
                port_is_cleared: true,
                ..facts
            };
            if let Plan::Provide { target, chassis } = plan(&cleared, &facts) {
                provide::provide(shared, &cleared, &target, &chassis).await?;
            }
        }
        Plan::DropRefusal => release::drop_refusal(shared, port).await?,
        Plan::Wait { reason, message } => return Err(Stop::waiting(reason, message, LOOK_AGAIN)),
        Plan::DisownNode => release::disown_node(shared, port).await?,
        Plan::Remove => release::remove(shared, port, &facts).await?,
        Plan::Nothing => {}
    }
    Ok(Action::await_change())
}

/// Notes the address of a ready Port in the book: it may have been given by an earlier leader.
fn observe(port: &Port, shared: &Shared, facts: &Facts) {
    let Some(ip) = facts.assigned else { return };
    let holder = Holder::Pod(port.name_any());
    if let Some(taken) = shared.book.observe(&holder, &place(port), ip) {
        // The node lets only one of them in and refuses the other, which then gets another address.
        warn!(
            node = port.spec.node_name,
            "two pods of a node have one address: {taken}"
        );
        shared.metrics.error("AddressCollision");
    }
}

/// Where a Port's address must be unique.
pub(crate) fn place(port: &Port) -> Place {
    let network = NetworkKey {
        namespace: port.spec.network_namespace.clone(),
        name: port.spec.network_name.clone(),
    };
    Place {
        node: port.spec.node_name.clone(),
        network,
    }
}

fn api(context: &Context, port: &Port) -> Api<Port> {
    Api::namespaced(context.kube.clone(), &port.namespace().unwrap_or_default())
}
