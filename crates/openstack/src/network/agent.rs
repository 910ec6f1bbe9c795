use http::Method;
use serde::Deserialize;

use crate::error::Error;
use crate::id::AgentId;
use crate::request::Request;
use crate::service::Service;
use crate::session::Session;

/// A part of Neutron that runs on a host. With OVN: a chassis.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Agent {
    /// Its ID.
    pub id: AgentId,
    /// E.g. `OVN Controller agent`, `OVN Controller Gateway agent`, `Open vSwitch agent`.
    pub agent_type: String,
    /// The host name, for OVN the one that `ovn-controller` registers: what a port's `binding:host_id` must be.
    pub host: String,
    /// Whether it was heard of lately.
    pub alive: bool,
    /// Whether the operator lets it be used.
    pub admin_state_up: bool,
}

impl Agent {
    /// Whether this is an OVN chassis, to which ports can be bound.
    #[must_use]
    pub fn is_ovn_chassis(&self) -> bool {
        matches!(
            self.agent_type.as_str(),
            "OVN Controller agent" | "OVN Controller Gateway agent"
        )
    }
}

impl Session {
    /// All agents. Only administrators see any.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_agents(&self) -> Result<Vec<Agent>, Error> {
        let request = Request::new(Service::Network, Method::GET, "agents", &[]).about("agent", "list");
        self.send(request).await?.decode_key("agents")
    }
}
