//! A pod claims a port of the pool.

use std::net::Ipv4Addr;

use stackube_openstack::id::NetworkId;
use stackube_openstack::network::{Port as NeutronPort, UpdatePort};
use stackube_openstack::{Error, Optional, Session};
use tracing::{info, warn};

use super::{Pool, Spare, discard};
use crate::port::{AddressBook, Claim, DEVICE_OWNER, Holder, Metrics, Place, PortIdentity};

/// What a claim needs of the pod's side.
pub(crate) struct Claimant<'a> {
    /// Addresses.
    pub(crate) book: &'a AddressBook,
    /// Counters.
    pub(crate) metrics: &'a Metrics,
    /// The service's own session.
    pub(crate) session: &'a Session,
    /// The pod.
    pub(crate) identity: &'a PortIdentity,
}

impl Pool {
    /// Claims a port for a pod; `None` if there is none to be had. On success the pod holds its address.
    ///
    /// # Errors
    /// When it is not known whether the port is the pod's now: the next attempt has to look.
    pub(crate) async fn claim(
        &self,
        claimant: &Claimant<'_>,
        place: &Place,
        network: &NetworkId,
    ) -> Result<Option<(NeutronPort, Ipv4Addr)>, Error> {
        if self.size == 0 {
            return Ok(None);
        }
        while let Some(spare) = self.take(place, network) {
            if let Some(port) = claimant.try_claim(&spare).await? {
                claimant.metrics.claim(Claim::Hit);
                self.changed.notify_one();
                return Ok(Some((port, spare.ip)));
            }
        }
        claimant.metrics.claim(Claim::Miss);
        Ok(None)
    }
}

impl Claimant<'_> {
    async fn try_claim(&self, spare: &Spare) -> Result<Option<NeutronPort>, Error> {
        let pod = Holder::Pod(self.identity.uid.clone());
        if !self.book.hand_over(&spare.holder(), &pod) {
            warn!(neutron_port = %spare.id, "a pool port without an address in the book: left to the next comparison");
            return Ok(None);
        }
        let claim = UpdatePort {
            name: Some(self.identity.name.clone()),
            description: Some(self.identity.uid.clone()),
            device_id: Some(self.identity.uid.clone()),
            ..UpdatePort::default()
        };
        match self.session.update_port(&spare.id, &claim, Some(spare.revision)).await {
            Ok(port) => Ok(Some(port)),
            Err(error) if error.is_precondition_failed() => {
                let found = self.changed_meanwhile(spare).await?;
                if found.is_none() {
                    self.book.cancel(&pod);
                }
                Ok(found)
            }
            Err(error) if error.is_not_found() => {
                info!(neutron_port = %spare.id, "a pool port was deleted by somebody else");
                self.book.cancel(&pod);
                Ok(None)
            }
            // Not sent, or refused: the port is as it was, the address is kept for the next attempt to find or to clear up.
            Err(error) => Err(error),
        }
    }

    /// The port is at another revision: by this very claim (its answer was lost and the client repeated it), by another
    /// leader's claim, or by somebody's change.
    async fn changed_meanwhile(&self, spare: &Spare) -> Result<Option<NeutronPort>, Error> {
        let Some(port) = self.session.get_port(&spare.id).await.optional()? else {
            return Ok(None);
        };
        let is_in_place = port.project_id.as_ref() == Some(&spare.project)
            && port.network_id == spare.network
            && port.device_owner == DEVICE_OWNER;
        if is_in_place && port.device_id == self.identity.uid && port.description == self.identity.uid {
            return Ok(Some(port));
        }
        if is_in_place && port.device_id.is_empty() {
            info!(neutron_port = %spare.id, "a pool port was changed by somebody else: deleted");
            discard(self.session, spare).await?;
        }
        Ok(None)
    }
}
