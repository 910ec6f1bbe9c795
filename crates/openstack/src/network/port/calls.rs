use std::sync::Once;

use http::Method;

use super::{CreatePort, Port, PortFilter, UpdatePort};
use crate::error::Error;
use crate::id::{PortId, ProjectId};
use crate::request::{Payload, Request};
use crate::resource::Resource;
use crate::session::Session;

/// Ports to be made in one call.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Bulk<'a>(&'a [CreatePort]);

impl Payload for Bulk<'_> {}

/// Said once: a second call per port is slow.
static TAGS_DROPPED: Once = Once::new();

impl Session {
    /// # Errors
    /// [`Error::Conflict`] (`IpAddressAlreadyAllocated`) if the address is taken, [`Error::QuotaExceeded`],
    /// [`Error::BadRequest`] (`InvalidIpForSubnet`) if it is outside the subnet; else as for any request.
    pub async fn create_port(&self, new: &CreatePort) -> Result<Port, Error> {
        Ok(self.port_tagged(self.create(new).await?, &new.tags).await)
    }

    /// Makes all of them or none, and returns them in the order given.
    ///
    /// # Errors
    /// As [`Session::create_port`].
    pub async fn create_ports(&self, new: &[CreatePort]) -> Result<Vec<Port>, Error> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let request = Request::new(Port::SERVICE, Method::POST, Port::COLLECTION, &[]).about(Port::WHAT, "(new)");
        let reply = self.send(request.keyed(Port::KEYS, &Bulk(new))).await?;
        let made: Vec<Port> = reply.decode_key(Port::KEYS)?;
        if made.len() != new.len() {
            return Err(reply.nonsense(format!("{} ports were asked for, {} made", new.len(), made.len())));
        }
        let mut tagged = Vec::with_capacity(made.len());
        for (port, new) in made.into_iter().zip(new) {
            tagged.push(self.port_tagged(port, &new.tags).await);
        }
        Ok(tagged)
    }

    async fn port_tagged(&self, port: Port, tags: &[String]) -> Port {
        if port.tags.len() < tags.len() {
            TAGS_DROPPED.call_once(|| {
                tracing::warn!(
                    "Neutron drops the tags of new ports; they are put on by a second call each. To make ports faster, add \
                     tag_ports_during_bulk_creation to extension_drivers in its ml2_conf.ini"
                );
            });
        }
        self.tagged(port, tags).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_port(&self, id: &PortId) -> Result<Port, Error> {
        self.get(id.as_str()).await
    }

    /// The ports that the project owns.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_ports(&self, project: &ProjectId, filter: &PortFilter) -> Result<Vec<Port>, Error> {
        self.list_owned(project, filter.query()).await
    }

    /// The ports that this session may see, whoever owns them; all there are in the service's own session.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_ports_all_projects(&self, filter: &PortFilter) -> Result<Vec<Port>, Error> {
        self.list(filter.query()).await
    }

    /// Changes a port; with `if_revision` only if its `revision_number` is still that.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`] if it is not (also when an answer was lost and this is the repetition of a change that
    /// took effect: read the port), [`Error::NotFound`] if there is none; else as for any request.
    pub async fn update_port(&self, id: &PortId, change: &UpdatePort, if_revision: Option<u64>) -> Result<Port, Error> {
        self.put(id.as_str(), change, if_revision).await
    }

    /// Absence is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] (`ServicePortInUse`) for ports that a router or load balancer owns; else as for any request.
    pub async fn delete_port(&self, id: &PortId) -> Result<(), Error> {
        self.delete::<Port>(id.as_str()).await
    }
}
