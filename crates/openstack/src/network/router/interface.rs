use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::Router;
use crate::error::Error;
use crate::id::{PortId, RouterId, SubnetId};
use crate::network::{Port, PortFilter};
use crate::request::Request;
use crate::resource::{Resource, absent_is_done};
use crate::service::Service;
use crate::session::Session;

/// A router's leg in a subnet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RouterInterface {
    /// The port that stands for it.
    pub port_id: PortId,
    /// The subnet.
    pub subnet_id: SubnetId,
}

impl Session {
    /// Connects a router to a subnet, with the subnet's gateway address. If it is connected already, that is success: a PUT
    /// that is repeated after a lost answer finds its own work, which Neutron reports as a bad request.
    ///
    /// # Errors
    /// [`Error::Conflict`] or [`Error::BadRequest`] if another router has the gateway address; else as for any request.
    pub async fn add_router_interface(&self, router: &RouterId, subnet: &SubnetId) -> Result<RouterInterface, Error> {
        let result = self
            .send(interface("routers/{}/add_router_interface", router, subnet))
            .await;
        match result {
            Ok(reply) => reply.decode(),
            Err(error @ (Error::BadRequest { .. } | Error::Conflict { .. })) => {
                let existing = self
                    .router_interfaces(router)
                    .await?
                    .into_iter()
                    .find(|leg| &leg.subnet_id == subnet);
                existing.ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Disconnects a router from a subnet. Absence of the connection, the router or the subnet is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] while floating IPs (`RouterInterfaceInUseByFloatingIP`) or routes of the router
    /// (`RouterInterfaceInUseByRoute`) need it; else as for any request.
    pub async fn remove_router_interface(&self, router: &RouterId, subnet: &SubnetId) -> Result<(), Error> {
        let request = interface("routers/{}/remove_router_interface", router, subnet);
        absent_is_done(self.send(request).await.map(drop))
    }

    /// The subnets that a router is connected to, without its gateway.
    ///
    /// # Errors
    /// As for any request.
    pub async fn router_interfaces(&self, router: &RouterId) -> Result<Vec<RouterInterface>, Error> {
        let filter = PortFilter {
            device_id: Some(router.to_string()),
            ..PortFilter::default()
        };
        let ports = self.list_ports_all_projects(&filter).await?;
        let legs = ports
            .into_iter()
            .filter(|port| port.device_id == router.as_str() && is_interface(port));
        Ok(legs
            .flat_map(|port| {
                let Port { id, fixed_ips, .. } = port;
                fixed_ips.into_iter().map(move |ip| RouterInterface {
                    port_id: id.clone(),
                    subnet_id: ip.subnet_id,
                })
            })
            .collect())
    }
}

/// `network:router_interface`, or its kinds for distributed and highly available routers.
fn is_interface(port: &Port) -> bool {
    let owner = port.device_owner.as_str();
    owner.starts_with("network:router_interface") || owner == "network:ha_router_replicated_interface"
}

fn interface(route: &'static str, router: &RouterId, subnet: &SubnetId) -> Request {
    Request::new(Service::Network, Method::PUT, route, &[router.as_str()])
        .about(Router::WHAT, router.as_str())
        .json(&json!({"subnet_id": subnet}))
}
