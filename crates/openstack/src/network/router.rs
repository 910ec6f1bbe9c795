use serde::{Deserialize, Serialize};

use super::tags::{Tagged, push_tags};
use crate::error::{Error, Optional};
use crate::id::{NetworkId, ProjectId, RouterId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Owned, Query, Resource, absent_is_done, push};
use crate::service::Service;
use crate::session::Session;

mod interface;

pub use interface::RouterInterface;

/// A router.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Router {
    /// Its ID.
    pub id: RouterId,
    /// For display.
    pub name: String,
    /// The owner.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// `ACTIVE` or `ERROR`, among others.
    pub status: String,
    /// Whether it forwards anything.
    pub admin_state_up: bool,
    /// The way out, if any.
    #[serde(default)]
    pub external_gateway_info: Option<ExternalGateway>,
    /// Ways to where it has no leg: somebody wrote them, Neutron makes none.
    #[serde(default)]
    pub routes: Vec<Route>,
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

/// The connection of a router to an external network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalGateway {
    /// The external network, always by ID: anybody may give a shared network any name.
    pub network_id: NetworkId,
    /// Whether addresses are translated on the way out. Only administrators may choose; `None` takes the cloud's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_snat: Option<bool>,
    /// The router's own addresses out there; never sent.
    #[serde(default, skip_serializing)]
    pub external_fixed_ips: Vec<super::FixedIp>,
}

impl ExternalGateway {
    /// With the cloud's defaults.
    #[must_use]
    pub fn new(network_id: NetworkId) -> Self {
        Self {
            network_id,
            enable_snat: None,
            external_fixed_ips: Vec::new(),
        }
    }
}

/// A way through one of a router's subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to: a block of addresses.
    pub destination: String,
    /// Through which address.
    pub nexthop: String,
}

/// A router to be made.
#[derive(Debug, Clone, Serialize)]
pub struct CreateRouter {
    /// The owner.
    pub project_id: ProjectId,
    /// For display.
    pub name: String,
    /// Free text, at most 255 characters. The one mark that is there from the beginning.
    pub description: String,
    /// At most 50 tags of 1 to 255 characters, put on by a second call.
    #[serde(skip)]
    pub tags: Vec<String>,
    /// The way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_gateway_info: Option<ExternalGateway>,
}

/// Changes of a router; `None` leaves as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateRouter {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it forwards anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// `Some(None)` takes the gateway away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_gateway_info: Option<Option<ExternalGateway>>,
    /// All its routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
}

impl Payload for CreateRouter {}
impl Payload for UpdateRouter {}

/// Which routers to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct RouterFilter {
    /// With this name.
    pub name: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// With exactly this description.
    pub description: Option<String>,
}

impl RouterFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "name", self.name.as_ref());
        push(&mut query, "description", self.description.as_ref());
        push_tags(&mut query, &self.tags);
        query
    }
}

impl Resource for Router {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "router";
    const COLLECTION: &'static str = "routers";
    const MEMBER: &'static str = "routers/{}";
    const KEY: &'static str = "router";
    const KEYS: &'static str = "routers";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Tagged for Router {
    const TAGS: &'static str = "routers/{}/tags";

    fn tags_mut(&mut self) -> &mut Vec<String> {
        &mut self.tags
    }
}

impl Owned for Router {
    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// Makes it, then puts its tags on. If the second call fails, that is logged and the result has no tags.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`], [`Error::NotFound`] or [`Error::BadRequest`] if the external network is none; else as for
    /// any request.
    pub async fn create_router(&self, new: &CreateRouter) -> Result<Router, Error> {
        Ok(self.tagged(self.create(new).await?, &new.tags).await)
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_router(&self, id: &RouterId) -> Result<Router, Error> {
        self.get(id.as_str()).await
    }

    /// The routers that the project owns.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_routers(&self, project: &ProjectId, filter: &RouterFilter) -> Result<Vec<Router>, Error> {
        self.list_owned(project, filter.query()).await
    }

    /// The routers that this session may see, whoever owns them.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_routers_all_projects(&self, filter: &RouterFilter) -> Result<Vec<Router>, Error> {
        self.list(filter.query()).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn update_router(&self, id: &RouterId, change: &UpdateRouter) -> Result<Router, Error> {
        self.put(id.as_str(), change, None).await
    }

    /// Takes all its routes away. Absence of the router is success.
    ///
    /// # Errors
    /// As for any request.
    pub async fn clear_routes(&self, id: &RouterId) -> Result<(), Error> {
        let router = self.get_router(id).await.optional()?;
        // A Neutron without the extension for routes would refuse even an empty list.
        if router.is_none_or(|router| router.routes.is_empty()) {
            return Ok(());
        }
        let none = UpdateRouter {
            routes: Some(Vec::new()),
            ..UpdateRouter::default()
        };
        absent_is_done(self.update_router(id, &none).await.map(drop))
    }

    /// Absence is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] (`RouterInUse`) while it has interfaces; else as for any request.
    pub async fn delete_router(&self, id: &RouterId) -> Result<(), Error> {
        self.delete::<Router>(id.as_str()).await
    }
}
