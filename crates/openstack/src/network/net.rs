use serde::{Deserialize, Serialize};

use super::tags::{Tagged, push_tags};
use crate::error::Error;
use crate::id::{NetworkId, ProjectId, SubnetId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Owned, Query, Resource, push};
use crate::service::Service;
use crate::session::Session;

/// A layer 2 network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Network {
    /// Its ID.
    pub id: NetworkId,
    /// For display.
    pub name: String,
    /// The owner.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// `ACTIVE`, `DOWN`, `BUILD` or `ERROR`.
    pub status: String,
    /// Whether it forwards anything.
    pub admin_state_up: bool,
    /// In bytes, for the IP packets of its ports.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Its subnets.
    #[serde(default)]
    pub subnets: Vec<SubnetId>,
    /// Whether every project may use it.
    #[serde(default)]
    pub shared: bool,
    /// Whether routers may have their gateway there.
    #[serde(default, rename = "router:external")]
    pub external: bool,
    /// The default for its ports.
    #[serde(default)]
    pub port_security_enabled: Option<bool>,
    /// `geneve`, `vlan`, `flat`, …: how it is carried between hosts. Only administrators see it.
    #[serde(default, rename = "provider:network_type")]
    pub provider_network_type: Option<String>,
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

/// A network to be made. It is neither shared nor external.
#[derive(Debug, Clone, Serialize)]
pub struct CreateNetwork {
    /// The owner.
    pub project_id: ProjectId,
    /// For display.
    pub name: String,
    /// Free text, at most 255 characters. The one mark that is there from the beginning.
    pub description: String,
    /// At most 50 tags of 1 to 255 characters, put on by a second call.
    #[serde(skip)]
    pub tags: Vec<String>,
    /// In bytes; `None` lets Neutron choose the largest that fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

/// Changes of a network; `None` leaves as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateNetwork {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it forwards anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// The default for its ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_security_enabled: Option<bool>,
}

impl Payload for CreateNetwork {}
impl Payload for UpdateNetwork {}

/// Which networks to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct NetworkFilter {
    /// With this name.
    pub name: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// External or not.
    pub external: Option<bool>,
    /// With exactly this description.
    pub description: Option<String>,
}

impl NetworkFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "name", self.name.as_ref());
        push(&mut query, "router:external", self.external);
        push(&mut query, "description", self.description.as_ref());
        push_tags(&mut query, &self.tags);
        query
    }
}

impl Resource for Network {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "network";
    const COLLECTION: &'static str = "networks";
    const MEMBER: &'static str = "networks/{}";
    const KEY: &'static str = "network";
    const KEYS: &'static str = "networks";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Tagged for Network {
    const TAGS: &'static str = "networks/{}/tags";

    fn tags_mut(&mut self) -> &mut Vec<String> {
        &mut self.tags
    }
}

impl Owned for Network {
    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// Makes it, then puts its tags on. If the second call fails, that is logged and the result has no tags.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`]; else as for any request.
    pub async fn create_network(&self, new: &CreateNetwork) -> Result<Network, Error> {
        Ok(self.tagged(self.create(new).await?, &new.tags).await)
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_network(&self, id: &NetworkId) -> Result<Network, Error> {
        self.get(id.as_str()).await
    }

    /// The networks that the project owns.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_networks(&self, project: &ProjectId, filter: &NetworkFilter) -> Result<Vec<Network>, Error> {
        self.list_owned(project, filter.query()).await
    }

    /// The networks that this session may see, whoever owns them.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_networks_all_projects(&self, filter: &NetworkFilter) -> Result<Vec<Network>, Error> {
        self.list(filter.query()).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn update_network(&self, id: &NetworkId, change: &UpdateNetwork) -> Result<Network, Error> {
        self.put(id.as_str(), change, None).await
    }

    /// Deletes it with its subnets; absence is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] (`NetworkInUse`) while it has ports; else as for any request.
    pub async fn delete_network(&self, id: &NetworkId) -> Result<(), Error> {
        self.delete::<Network>(id.as_str()).await
    }
}
