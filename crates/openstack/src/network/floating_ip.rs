use std::net::IpAddr;

use serde::Deserialize;

use super::tags::push_tags;
use crate::error::Error;
use crate::id::{FloatingIpId, NetworkId, PortId, ProjectId, RouterId, none_if_empty};
use crate::resource::{Owned, Query, Resource, push};
use crate::service::Service;
use crate::session::Session;

/// An address on an external network that is translated to a port's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FloatingIp {
    /// Its ID.
    pub id: FloatingIpId,
    /// The owner.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// The address outside.
    pub floating_ip_address: IpAddr,
    /// The external network.
    pub floating_network_id: NetworkId,
    /// The port it leads to.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub port_id: Option<PortId>,
    /// The router that translates.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub router_id: Option<RouterId>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Which floating IPs to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct FloatingIpFilter {
    /// Leading to this port.
    pub port_id: Option<PortId>,
    /// Translated by this router.
    pub router_id: Option<RouterId>,
    /// With all of these tags.
    pub tags: Vec<String>,
}

impl FloatingIpFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "port_id", self.port_id.as_ref());
        push(&mut query, "router_id", self.router_id.as_ref());
        push_tags(&mut query, &self.tags);
        query
    }
}

impl Resource for FloatingIp {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "floating IP";
    const COLLECTION: &'static str = "floatingips";
    const MEMBER: &'static str = "floatingips/{}";
    const KEY: &'static str = "floatingip";
    const KEYS: &'static str = "floatingips";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Owned for FloatingIp {
    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// The floating IPs that the project owns.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_floating_ips(
        &self,
        project: &ProjectId,
        filter: &FloatingIpFilter,
    ) -> Result<Vec<FloatingIp>, Error> {
        self.list_owned(project, filter.query()).await
    }

    /// Gives the address back; absence is success.
    ///
    /// # Errors
    /// As for any request.
    pub async fn delete_floating_ip(&self, id: &FloatingIpId) -> Result<(), Error> {
        self.delete::<FloatingIp>(id.as_str()).await
    }
}
