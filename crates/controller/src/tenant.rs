//! Tenants: a Keystone project and user, a namespace with its limits, and the order for a Network.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt};
use kube::{Api, Client, ResourceExt};
use stackube_api::names::{SYSTEM_NAMESPACE, TENANT_LABEL};
use stackube_api::{Network, ResourceUsage, Tenant};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::context::Context;
use crate::reconcile;
use crate::stop::Stop;

mod apply;
mod claims;
mod deletion;
mod dereference;
mod flow;
mod manifests;
pub(crate) mod marks;
mod password;
mod plan;
mod rights;
mod status;
#[cfg(test)]
mod tests;
mod unserved;
mod usage;
mod validate;

pub(crate) use claims::Claims;
pub(crate) use plan::MEMBER;
pub(crate) use unserved::Unserved;

use status::Record;

/// The controller, not yet running, so that its store can be shared.
pub(crate) fn controller(client: &Client) -> Controller<Tenant> {
    let controller = reconcile::controller(Api::<Tenant>::all(client.clone()));
    let tenants = controller.store();
    let networks = watcher(Api::<Network>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .predicate_filter(state_of_network, PredicateConfig::default());
    let labelled = watcher::Config::default().labels(TENANT_LABEL);
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let namespaces = watcher(namespaces, labelled).default_backoff().touched_objects();
    let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let secrets = watcher(secrets, watcher::Config::default())
        .default_backoff()
        .touched_objects();
    controller
        .watches_stream(networks.boxed(), |network: Network| {
            network.namespace().map(|name| ObjectRef::new(&name))
        })
        .watches_stream(namespaces.boxed(), |namespace: PartialObjectMeta<Namespace>| {
            namespace.labels().get(TENANT_LABEL).map(|name| ObjectRef::new(name))
        })
        .watches_stream(secrets.boxed(), move |secret: PartialObjectMeta<Secret>| {
            users_of(&tenants, &secret.name_any())
        })
}

/// A Tenant cares for the state of its Network, not for each ID that is added to it.
fn state_of_network(network: &Network) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let status = network.status.as_ref();
    let mut hasher = DefaultHasher::new();
    status
        .and_then(|status| status.state)
        .map(|state| format!("{state:?}"))
        .hash(&mut hasher);
    status.and_then(|status| status.message.as_deref()).hash(&mut hasher);
    network.metadata.uid.hash(&mut hasher);
    // Of one that goes everything is news: what is told last, that it is gone, has nothing else that is new.
    let going = network.metadata.deletion_timestamp.as_ref();
    going.and(network.metadata.resource_version.as_ref()).hash(&mut hasher);
    Some(hasher.finish())
}

/// The Tenants whose password is in this Secret.
fn users_of(tenants: &Store<Tenant>, secret: &str) -> Vec<ObjectRef<Tenant>> {
    let refers = |tenant: &Tenant| {
        tenant
            .spec
            .password_secret_ref
            .as_ref()
            .is_some_and(|reference| reference.name == secret)
    };
    tenants
        .state_filter(refers)
        .iter()
        .map(|tenant| ObjectRef::from_obj(&**tenant))
        .collect()
}

/// Runs until `shutdown`.
pub(crate) async fn run(controller: Controller<Tenant>, context: Arc<Context>, shutdown: CancellationToken) {
    reconcile::drive(controller, context, shutdown, "tenant", reconcile).await;
}

async fn reconcile(tenant: Arc<Tenant>, context: Arc<Context>) -> Result<Action, Stop> {
    let api: Api<Tenant> = Api::all(context.kube.clone());
    let Some(tenant) = reconcile::latest(&api, &*tenant).await? else {
        return Ok(Action::await_change());
    };
    if tenant.metadata.deletion_timestamp.is_some() {
        return deletion::reconcile(&tenant, &context).await;
    }
    let tenant = if crate::finalizer::has(&*tenant) {
        tenant
    } else {
        Arc::new(crate::finalizer::add(&api, &tenant).await?)
    };
    let record = Record::new(context.kube.clone(), &tenant);
    match make(&tenant, &context, &record).await {
        Ok(network) => finish(&tenant, &context, &record, network.as_ref()).await,
        Err(End::Refused(refusal)) => {
            record.refused(&refusal).await?;
            context
                .events
                .warning(&*tenant, "Reconcile", refusal.reason, refusal.message.clone())
                .await;
            Err(Stop::refused(refusal.reason, refusal.message))
        }
        Err(End::Stopped((_, stop))) if stop.is_conflict() => Err(stop),
        Err(End::Stopped((step, stop))) => {
            record.stopped(step, &stop).await?;
            context
                .events
                .warning(&*tenant, "Reconcile", stop.reason(), stop.sentence())
                .await;
            Err(stop)
        }
    }
}

/// What is in use. `None` if it cannot be counted now: that is no reason to do the reconcile again.
async fn counted(tenant: &Tenant, context: &Context, record: &Record<'_>) -> Option<Vec<ResourceUsage>> {
    let project = record.project_id().await?;
    match usage::read(context, tenant, &project).await {
        Ok(usage) => Some(usage),
        Err(stop) => {
            info!(
                tenant = tenant.name_any(),
                reason = stop.sentence(),
                "cannot count what the tenant uses of its quotas"
            );
            None
        }
    }
}

/// How a reconcile ended early.
enum End {
    Refused(validate::Refusal),
    Stopped(apply::Stopped),
}

impl From<apply::Stopped> for End {
    fn from(stopped: apply::Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

async fn make(tenant: &Tenant, context: &Context, record: &Record<'_>) -> Result<Option<Network>, End> {
    use stackube_api::conditions::{NAMESPACE_READY, PROJECT_READY, USER_READY};
    let cluster = apply::at(NAMESPACE_READY, dereference::kubernetes(tenant, context).await)?;
    // Before Keystone is asked: while it is away, the password must not stay where it is, nor the Tenant say nothing.
    apply::at(USER_READY, apply::move_password(context, tenant, &cluster.kept).await)?;
    apply::at(PROJECT_READY, record.begin().await)?;
    let observed = apply::at(PROJECT_READY, dereference::dereference(tenant, context, cluster).await)?;
    let valid = judge(tenant, &observed, context).map_err(End::Refused)?;
    let plan = plan::plan(tenant, &valid, &observed, &context.identity, &context.config.defaults);
    let keystone = context.cloud.service();
    let work = apply::Work {
        context,
        tenant,
        valid: &valid,
        observed: &observed,
        plan: &plan,
        record,
        keystone,
    };
    let network = work.apply().await?;
    match valid.class_missing.or(valid.password_missing) {
        None => Ok(network),
        Some(refusal) => Err(End::Refused(refusal)),
    }
}

/// Whether the Tenant can be made as asked; if so, the project that it asks for is its own from now on.
fn judge(
    tenant: &Tenant,
    observed: &dereference::Observed,
    context: &Context,
) -> Result<validate::Valid, validate::Refusal> {
    let rules = validate::Rules {
        identity: &context.identity,
        addresses: &context.addresses.of_tenants(),
        default_subnet: context.config.user_subnet,
        project_used_by: claims::other_user(tenant, context),
        admission: &context.config.admission,
    };
    validate::validate(tenant, observed, &rules).inspect_err(|_| context.claims.refused(tenant))
}

async fn finish(
    tenant: &Tenant,
    context: &Context,
    record: &Record<'_>,
    network: Option<&Network>,
) -> Result<Action, Stop> {
    let active = record.finish(network).await?;
    record.usage(counted(tenant, context, record).await).await?;
    if active && !record.was_ready() {
        context
            .events
            .normal(
                tenant,
                "Reconcile",
                "Ready",
                "project, user, namespace and network are ready",
            )
            .await;
    }
    Ok(Action::requeue(context.config.drift_interval))
}

#[cfg(test)]
mod watch_tests {
    use futures::TryStreamExt;
    use serde_json::json;

    use super::*;

    fn network(version: &str, going: bool, state: &str) -> Network {
        let mut network = json!({
            "apiVersion": "stackube.io/v1", "kind": "Network",
            "metadata": {"name": "test", "namespace": "test", "uid": "u-1", "resourceVersion": version},
            "spec": {"cidr": "10.244.0.0/16", "gateway": "10.244.0.1"}, "status": {"state": state},
        });
        if going {
            network["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(network).unwrap()
    }

    #[tokio::test]
    async fn a_tenant_hears_of_its_networks_state_and_end_only() {
        use watcher::Event::{Apply, Delete};
        let events = [
            Apply(network("1", false, "Active")),
            // An ID was added.
            Apply(network("2", false, "Active")),
            Apply(network("3", true, "Terminating")),
            // The API server gives what was deleted the version of its deletion.
            Delete(network("4", true, "Terminating")),
        ];
        let heard: Vec<_> = futures::stream::iter(events.map(Ok))
            .touched_objects()
            .predicate_filter(state_of_network, PredicateConfig::default())
            .map_ok(|network| network.resource_version().unwrap())
            .try_collect()
            .await
            .unwrap();
        assert_eq!(heard, ["1", "3", "4"]);
    }
}
