//! Networks: a network, a subnet, a router and a security group in Neutron, in the project of the namespace's Tenant.

use std::sync::Arc;

use kube::runtime::controller::{Action, Controller};
use kube::{Api, Client, ResourceExt};
use stackube_api::Network;
use stackube_api::address::Subnet;
use stackube_api::names::cluster_tag;
use stackube_openstack::id::NetworkId;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::context::Context;
use crate::stop::Stop;
use crate::{finalizer, reconcile};

mod adopt;
mod apply;
mod deletion;
mod inventory;
mod leftovers;
pub(crate) mod marks;
mod observed;
mod owner;
mod plan;
pub(crate) mod range;
mod status;
pub(crate) mod system;

pub(crate) use deletion::goes_with_network;
pub(crate) use inventory::Inventory;

use apply::Work;
use marks::Marks;
use observed::Observed;
use owner::Owner;
use plan::Wanted;
use status::Record;

/// The controller, not yet running, so that its store can be shared.
pub(crate) fn controller(client: &Client) -> Controller<Network> {
    reconcile::controller(Api::<Network>::all(client.clone()))
}

/// Runs until `shutdown`.
pub(crate) async fn run(controller: Controller<Network>, context: Arc<Context>, shutdown: CancellationToken) {
    reconcile::drive(controller, context, shutdown, "network", reconcile).await;
}

async fn reconcile(network: Arc<Network>, context: Arc<Context>) -> Result<Action, Stop> {
    let api: Api<Network> = Api::namespaced(context.kube.clone(), &network.namespace().unwrap_or_default());
    let Some(network) = reconcile::latest(&api, &*network).await? else {
        return Ok(Action::await_change());
    };
    if network.metadata.deletion_timestamp.is_some() {
        return deletion::reconcile(&network, &context).await;
    }
    let network = if finalizer::has(&*network) {
        network
    } else {
        Arc::new(finalizer::add(&api, &network).await?)
    };
    let mut record = Record::new(context.kube.clone(), &network);
    match make(&network, &context, &mut record).await {
        Ok(()) => {
            record.active().await?;
            if !record.was_ready() {
                context
                    .events
                    .normal(&*network, "Reconcile", "Active", "the network is ready for pods")
                    .await;
            }
            Ok(Action::requeue(context.config.drift_interval))
        }
        Err(stop) if stop.is_conflict() => Err(stop),
        Err(stop) => {
            record.stopped(&stop).await?;
            match stop {
                Stop::Waiting { .. } => {}
                _ => {
                    context
                        .events
                        .warning(&*network, "Reconcile", stop.reason(), stop.sentence())
                        .await;
                }
            }
            Err(stop)
        }
    }
}

async fn make(network: &Network, context: &Context, record: &mut Record<'_>) -> Result<(), Stop> {
    let range = validate(network, context).await?;
    let owner = owner::find(network, context).await?;
    let adopted = adopted(network, &owner)?;
    let marks = Marks::new(network, owner.project.clone(), &context.identity.cluster);
    let external = context.config.external_network.clone();
    let wanted = Wanted {
        range,
        external,
        tags: marks.tags.clone(),
        adopted: adopted.is_some(),
    };
    if record.was_ready() && adopted.is_none() && is_as_made(record, context, &owner, &wanted).await? {
        return Ok(());
    }
    // The project is in the status before anything is made, so without it there is nothing to look for. The status is not from
    // the cache (see `reconcile::latest`): that may not have yet what an earlier try wrote before it made things.
    let untouched = record.status().project_id.is_none();
    record.project(&owner.project).await?;
    let service = context.cloud.service();
    let mut observed = match &adopted {
        None if untouched => Observed::default(),
        None => observed::observe(&owner.session, &owner.project, record.status(), &marks.description).await?,
        Some(id) => {
            let group = observed::group(&owner.session, &owner.project, record.status(), &marks.description).await?;
            let found = adopt::observe(&owner.session, &service, &owner.project, id, &range).await?;
            Observed { group, ..found }
        }
    };
    record.known(&observed).await?;
    let repairing = record.was_ready();
    let work = Work {
        session: &owner.session,
        service: &service,
        marks: &marks,
        wanted: &wanted,
    };
    work.apply(&mut observed, record, |action| {
        if repairing {
            info!(?action, "mended what was changed outside");
            context.metrics.repaired(action.object());
        }
    })
    .await
}

/// Whether the last snapshot of Neutron shows everything as it was made. If not, it is looked at closely before anything is
/// changed: the snapshot may be old, and tags may have been removed.
async fn is_as_made(record: &Record<'_>, context: &Context, owner: &Owner, wanted: &Wanted) -> Result<bool, Stop> {
    let tag = cluster_tag(&context.identity.cluster);
    let snapshot = context
        .inventory
        .get(&context.cloud.service(), &tag, context.config.drift_interval / 2)
        .await?;
    Ok(plan::plan(wanted, &snapshot.of(record.status(), &owner.project)).is_empty())
}

async fn validate(network: &Network, context: &Context) -> Result<Subnet, Stop> {
    let rules = if owner::is_system(network) {
        context.addresses.of_system()
    } else {
        context.addresses.of_tenants()
    };
    let exists = network
        .status
        .as_ref()
        .is_some_and(|status| status.network_id.is_some());
    let judged = range::judge(&network.spec.cidr, Some(&network.spec.gateway), &rules, exists)
        .map_err(|error| Stop::refused("InvalidNetwork", error.to_string()))?;
    if let Some(objection) = judged.objection {
        let note = format!("{objection}. The network exists and stays; a new one would be refused this range");
        context
            .events
            .warning(network, "Reconcile", "RangeNotAllowed", note)
            .await;
    }
    Ok(judged.range)
}

/// The network to use instead of a new one. Only for projects that existed before: nobody else can have one.
fn adopted(network: &Network, owner: &Owner) -> Result<Option<NetworkId>, Stop> {
    let Some(id) = network.spec.network_id.as_deref().filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    if !owner.adopted {
        let message =
            "networkID names a network of an existing project, but this Tenant has a new one: give spec.tenantID";
        return Err(Stop::refused("InvalidNetwork", message));
    }
    NetworkId::new(id)
        .map(Some)
        .map_err(|error| Stop::refused("InvalidNetwork", error.to_string()))
}
