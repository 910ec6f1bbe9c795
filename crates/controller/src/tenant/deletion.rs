//! Removing a Tenant: what is done next, decided from what is still there. Every reconcile starts from the beginning, so it does
//! not matter where the last one was cut off.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use stackube_api::Tenant;
use stackube_api::names::{SYSTEM_NAMESPACE, password_secret};
use stackube_openstack::Session;
use stackube_openstack::id::ProjectId;

use super::dereference::keystone;
use super::status::Record;
use super::validate::{Ownership, ownership};
use crate::context::Context;
use crate::finalizer;
use crate::stop::Stop;

mod bindings;
mod leftovers;
pub(super) mod plan;
mod waits;

use plan::Removal;

/// How often the namespace is looked at while it goes away.
const LOOK: Duration = Duration::from_secs(2);

/// Takes away what was made for the Tenant, in order; the finalizer last.
///
/// # Errors
/// What stopped it, or what it waits for; the status tells.
pub(super) async fn reconcile(tenant: &Tenant, context: &Arc<Context>) -> Result<Action, Stop> {
    if !finalizer::has(tenant) {
        return Ok(Action::await_change());
    }
    let record = Record::new(context.kube.clone(), tenant);
    match remove(tenant, context, &record).await {
        Ok(()) => {
            finalizer::remove(&Api::<Tenant>::all(context.kube.clone()), tenant).await?;
            context.claims.release(&tenant.uid().unwrap_or_default());
            Ok(Action::await_change())
        }
        Err(stop) => {
            let note = stop.sentence();
            let news = record.terminating(stop.reason(), note.clone()).await?;
            match stop {
                Stop::Waiting { .. } if !news => {}
                Stop::Waiting { .. } => context.events.normal(tenant, "Delete", stop.reason(), note).await,
                _ => context.events.warning(tenant, "Delete", stop.reason(), note).await,
            }
            Err(stop)
        }
    }
}

async fn remove(tenant: &Tenant, context: &Context, record: &Record<'_>) -> Result<(), Stop> {
    // A namespace goes when its pods have ended, and they may take their time: nobody is let in until then, and what runs there has
    // no rights either. Neither waits for the other, as Keystone may be away.
    let closed = close(tenant, context).await;
    let access = if record.is_revoked() {
        Ok(())
    } else {
        access(tenant, context).await
    };
    let namespace = closed?;
    if access.is_ok() && !record.is_revoked() {
        record.revoked().await?;
    }
    if let Some(namespace) = namespace {
        let keeps = waits::look(&context.kube, &namespace).await?;
        return Err(Stop::waiting("NamespaceTerminating", keeps, LOOK));
    }
    access?;
    let session = context.cloud.service();
    let found = keystone(tenant, context, &session).await?;
    for step in plan::plan(tenant, &found, &context.identity) {
        carry_out(&step, context, &session).await?;
    }
    let secrets: Api<Secret> = Api::namespaced(context.kube.clone(), SYSTEM_NAMESPACE);
    gone(
        secrets
            .delete(&password_secret(&tenant.name_any()), &DeleteParams::default())
            .await,
    )
}

/// Ends what the tenant's users may do in OpenStack, and with it their way into Kubernetes.
pub(super) async fn access(tenant: &Tenant, context: &Context) -> Result<(), Stop> {
    let session = context.cloud.service();
    let found = keystone(tenant, context, &session).await?;
    for step in plan::access(tenant, &found, &context.identity) {
        carry_out(&step, context, &session).await?;
    }
    Ok(())
}

async fn carry_out(step: &Removal, context: &Context, session: &Session) -> Result<(), Stop> {
    match step {
        Removal::Revoke(project, held) => session.revoke_role(project, &held.actor, &held.role).await?,
        Removal::User(id) => session.delete_user(id).await?,
        Removal::Leftovers(project) => leftovers::remove(session, project).await?,
        Removal::Project(project) => {
            session.delete_project(project).await?;
            forget(context, project);
        }
        Removal::Leave(project) => forget(context, project),
    }
    Ok(())
}

fn forget(context: &Context, project: &ProjectId) {
    context.cloud.forget(project);
}

/// The namespace goes first, with its pods, and with the Network, whose own finalizer empties Neutron; all rights in it at once.
/// A namespace that was never this Tenant's is left alone. Tells which one is still there.
async fn close(tenant: &Tenant, context: &Context) -> Result<Option<Namespace>, Stop> {
    let name = tenant.name_any();
    let namespaces: Api<Namespace> = Api::all(context.kube.clone());
    let Some(namespace) = own_namespace(tenant, context).await? else {
        return Ok(None);
    };
    if namespace.metadata.deletion_timestamp.is_none() {
        let same = Preconditions {
            uid: namespace.uid(),
            resource_version: None,
        };
        gone(
            namespaces
                .delete(&name, &DeleteParams::default().preconditions(same))
                .await,
        )?;
    }
    // Only now nobody can make more of them.
    bindings::remove(&context.kube, &name).await?;
    Ok(Some(namespace))
}

async fn own_namespace(tenant: &Tenant, context: &Context) -> Result<Option<Namespace>, kube::Error> {
    let namespaces: Api<Namespace> = Api::all(context.kube.clone());
    let namespace = namespaces.get_opt(&tenant.name_any()).await?;
    Ok(namespace.filter(|namespace| ownership(namespace, tenant) == Ownership::Ours))
}

/// Absence is what was wanted.
fn gone<T>(result: Result<T, kube::Error>) -> Result<(), Stop> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => Ok(result.map(drop)?),
    }
}
