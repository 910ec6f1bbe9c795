//! What all reconcilers share.

use std::sync::Arc;

use kube::Client;
use kube::runtime::reflector::Store;
use stackube_api::{Network, Tenant};
use stackube_openstack::Cloud;
use stackube_openstack::id::{DomainId, ProjectId, UserId};

use crate::addresses::Addresses;
use crate::config::Config;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::network::Inventory;
use crate::tenant::Claims;

#[cfg(test)]
pub(crate) mod fake;

/// What all reconcilers share. There is one for the time of a leadership.
pub(crate) struct Context {
    /// The Kubernetes API, as the controller's service account.
    pub(crate) kube: Client,
    /// OpenStack, as the service user: `service()` is its own project (kind P of the design: Keystone, quotas, pod ports),
    /// `project(id)` a tenant's (kind T: everything that belongs to a tenant, and look-ups of IDs that a tenant supplied).
    pub(crate) cloud: Cloud,
    /// What the operator configured, checked.
    pub(crate) config: Arc<Config>,
    /// Who we are in OpenStack and Kubernetes.
    pub(crate) identity: Identity,
    /// Ranges that networks may have, with all that OpenStack and Kubernetes reserve by now.
    pub(crate) addresses: Addresses,
    /// Publishes Events.
    pub(crate) events: Events,
    /// Counters.
    pub(crate) metrics: Metrics,
    /// All Tenants, as the Tenant controller's watch sees them.
    pub(crate) tenants: Store<Tenant>,
    /// All Networks, as the Network controller's watch sees them.
    pub(crate) networks: Store<Network>,
    /// Which Tenant has taken which existing project.
    pub(crate) claims: Claims,
    /// The last look at all networks in Neutron.
    pub(crate) inventory: Inventory,
}

/// Who the controller is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// UID of the namespace `kube-system`: tells the objects of this cluster from another's in the same cloud.
    pub(crate) cluster: String,
    /// The service user's own project.
    pub(crate) project: ProjectId,
    /// The service user.
    pub(crate) user: UserId,
    /// Domain of tenants' projects and users, unless a Tenant names another.
    pub(crate) tenant_domain: DomainId,
}
