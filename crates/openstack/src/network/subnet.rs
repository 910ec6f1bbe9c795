use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

use super::tags::{Tagged, push_tags};
use crate::error::Error;
use crate::id::{NetworkId, ProjectId, SubnetId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Owned, Query, Resource, push};
use crate::service::Service;
use crate::session::Session;

/// A block of addresses on a network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subnet {
    /// Its ID.
    pub id: SubnetId,
    /// For display.
    pub name: String,
    /// The owner.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// The network it is on.
    pub network_id: NetworkId,
    /// The block.
    pub cidr: IpNet,
    /// 4 or 6.
    pub ip_version: u8,
    /// The address of the router, if it has one.
    #[serde(default)]
    pub gateway_ip: Option<IpAddr>,
    /// Whether Neutron answers DHCP there.
    pub enable_dhcp: bool,
    /// What Neutron chooses addresses from.
    #[serde(default)]
    pub allocation_pools: Vec<AllocationPool>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Grows with each change.
    #[serde(default)]
    pub revision_number: u64,
}

/// A range of addresses, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationPool {
    /// The first.
    pub start: IpAddr,
    /// The last.
    pub end: IpAddr,
}

/// A subnet to be made.
#[derive(Debug, Clone, Serialize)]
pub struct CreateSubnet {
    /// The owner.
    pub project_id: ProjectId,
    /// The network it is on.
    pub network_id: NetworkId,
    /// For display.
    pub name: String,
    /// Free text, at most 255 characters. The one mark that is there from the beginning.
    pub description: String,
    /// At most 50 tags of 1 to 255 characters, put on by a second call.
    #[serde(skip)]
    pub tags: Vec<String>,
    /// The block.
    pub cidr: Ipv4Net,
    /// The address of the router.
    pub gateway_ip: Ipv4Addr,
    /// Whether Neutron answers DHCP there; pods are given their addresses without it.
    pub enable_dhcp: bool,
    /// Always 4.
    ip_version: u8,
}

impl CreateSubnet {
    /// A subnet without DHCP, tags and description.
    #[must_use]
    pub fn new(
        project_id: ProjectId,
        network_id: NetworkId,
        name: String,
        cidr: Ipv4Net,
        gateway_ip: Ipv4Addr,
    ) -> Self {
        Self {
            project_id,
            network_id,
            name,
            description: String::new(),
            tags: Vec::new(),
            cidr,
            gateway_ip,
            enable_dhcp: false,
            ip_version: 4,
        }
    }
}

/// Changes of a subnet; `None` leaves as it is. Its CIDR cannot change.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateSubnet {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The address of the router.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_ip: Option<IpAddr>,
    /// Whether Neutron answers DHCP there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dhcp: Option<bool>,
}

impl Payload for CreateSubnet {}
impl Payload for UpdateSubnet {}

/// Which subnets to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct SubnetFilter {
    /// On this network.
    pub network_id: Option<NetworkId>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// With exactly this description.
    pub description: Option<String>,
}

impl SubnetFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "network_id", self.network_id.as_ref());
        push(&mut query, "description", self.description.as_ref());
        push_tags(&mut query, &self.tags);
        query
    }
}

impl Resource for Subnet {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "subnet";
    const COLLECTION: &'static str = "subnets";
    const MEMBER: &'static str = "subnets/{}";
    const KEY: &'static str = "subnet";
    const KEYS: &'static str = "subnets";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Tagged for Subnet {
    const TAGS: &'static str = "subnets/{}/tags";

    fn tags_mut(&mut self) -> &mut Vec<String> {
        &mut self.tags
    }
}

impl Owned for Subnet {
    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// Makes it, then puts its tags on. If the second call fails, that is logged and the result has no tags.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if the block overlaps another on the network or the gateway is outside it,
    /// [`Error::QuotaExceeded`]; else as for any request.
    pub async fn create_subnet(&self, new: &CreateSubnet) -> Result<Subnet, Error> {
        Ok(self.tagged(self.create(new).await?, &new.tags).await)
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_subnet(&self, id: &SubnetId) -> Result<Subnet, Error> {
        self.get(id.as_str()).await
    }

    /// The subnets that the project owns.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_subnets(&self, project: &ProjectId, filter: &SubnetFilter) -> Result<Vec<Subnet>, Error> {
        self.list_owned(project, filter.query()).await
    }

    /// The subnets that this session may see, whoever owns them.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_subnets_all_projects(&self, filter: &SubnetFilter) -> Result<Vec<Subnet>, Error> {
        self.list(filter.query()).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn update_subnet(&self, id: &SubnetId, change: &UpdateSubnet) -> Result<Subnet, Error> {
        self.put(id.as_str(), change, None).await
    }

    /// Absence is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] (`SubnetInUse`) while ports have its addresses; else as for any request.
    pub async fn delete_subnet(&self, id: &SubnetId) -> Result<(), Error> {
        self.delete::<Subnet>(id.as_str()).await
    }
}
