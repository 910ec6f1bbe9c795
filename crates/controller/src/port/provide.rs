//! Finding or making the Neutron port of a pod.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use kube::ResourceExt;
use stackube_api::Port;
use stackube_openstack::network::{Port as NeutronPort, PortFilter, Taggable, UpdatePort};
use stackube_openstack::{Error, Session};
use tracing::{debug, info, warn};

use super::batch::{BatchError, Batches};
use super::book::{AddressBook, Exhausted, Holder, Place};
use super::dereference::Target;
use super::lanes::Lanes;
use super::neutron::{
    DEVICE_OWNER, Identity, Settlement, binding_problem, create_request, differences, is_address_conflict, settle,
};
use super::shared::Fresh;
use super::{LOOK_AGAIN, Metrics, Shared, eviction, place, status};
use crate::pool::{Claimant, Pool};
use crate::stop::{QUOTA_EXCEEDED, Stop};

/// How many addresses are tried before the pod waits. Each conflict teaches the book all addresses of the network, so more
/// than two tries are rare.
const PICKS: usize = 6;

/// How long addresses of ports that are not ours are left alone before they are tried again.
const FOREIGN: Duration = Duration::from_secs(300);

/// When to look again for room in a quota or a range: pods that end make it, and nothing tells.
const FULL: Duration = Duration::from_secs(15);

/// When to look again for a port that may have been made.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Gives the Port a bound Neutron port and says so in its status.
pub(super) async fn provide(shared: &Shared, port: &Port, target: &Target, chassis: &str) -> Result<(), Stop> {
    let (session, identity) = (
        shared.context.cloud.service(),
        Identity::of(port, &shared.context.identity.cluster),
    );
    let attempt = Attempt {
        book: &shared.book,
        pool: &shared.pool,
        lanes: &shared.lanes,
        batches: &shared.batches,
        fresh: &shared.fresh,
        metrics: &shared.metrics,
        session: &session,
        identity: &identity,
        target,
        chassis,
        holder: Holder::Pod(port.name_any()),
        place: place(port),
    };
    let (made, ip) = match attempt.neutron_port().await {
        Ok(made) => made,
        Err(stop) => {
            eviction::consider(shared, port, &stop).await;
            return Err(stop);
        }
    };
    if let Some(problem) = binding_problem(&made, chassis) {
        return Err(Stop::waiting("BindingFailed", problem, LOOK_AGAIN));
    }
    status::publish(shared, port, &status::ready(&made, ip, target)).await?;
    if let Some(after) = shared.fresh.ended(&port.name_any()) {
        shared.metrics.ready(after);
        info!(node = port.spec.node_name, %ip, seconds = after.as_secs_f64(), "port is ready");
    }
    shared.pool.wake();
    attempt.retag(&made).await;
    Ok(())
}

struct Attempt<'a> {
    book: &'a AddressBook,
    pool: &'a Pool,
    lanes: &'a Lanes,
    batches: &'a Batches,
    fresh: &'a Fresh,
    metrics: &'a Metrics,
    session: &'a Session,
    identity: &'a Identity,
    target: &'a Target,
    chassis: &'a str,
    holder: Holder,
    place: Place,
}

impl Attempt<'_> {
    async fn neutron_port(&self) -> Result<(NeutronPort, Ipv4Addr), Stop> {
        let mut found = if self.fresh.is_first_try(&self.identity.uid) {
            vec![]
        } else {
            self.find().await?
        };
        for _ in 0..PICKS {
            match settle(found, self.identity, self.target, self.chassis) {
                Settlement::Use { port, ip, change } => {
                    if let Some(port) = self.adopt(*port, ip, change).await? {
                        return Ok((port, ip));
                    }
                }
                Settlement::Discard { port, why } => self.discard(&port, &why).await?,
                Settlement::Refuse { ids } => return Err(self.ambiguous(&ids)),
                Settlement::Make => {
                    if let Some(made) = self.make().await? {
                        return Ok(made);
                    }
                }
            }
            found = self.find().await?;
        }
        let message = format!(
            "no address of {} could be had in {PICKS} tries",
            self.target.range.range()
        );
        Err(Stop::waiting("AddressConflict", message, LOOK_AGAIN))
    }

    /// What an earlier attempt, perhaps of an earlier leader, may have made. By device rather than by tag: a port that was
    /// claimed from the pool gets its tags after everything else.
    async fn find(&self) -> Result<Vec<NeutronPort>, Error> {
        let _place = self.lanes.enter(&self.target.project).await;
        let filter = PortFilter {
            network_id: Some(self.target.network.clone()),
            device_id: Some(self.identity.uid.clone()),
            ..PortFilter::default()
        };
        self.session.list_ports(&self.target.project, &filter).await
    }

    /// Takes over what was found, if its address is still free here; else it goes, and the pod gets another.
    async fn adopt(
        &self,
        port: NeutronPort,
        ip: Ipv4Addr,
        change: Option<Box<UpdatePort>>,
    ) -> Result<Option<NeutronPort>, Stop> {
        if let Err(taken) = self.book.take(&self.holder, &self.place, ip) {
            self.discard(&port, &taken.to_string()).await?;
            return Ok(None);
        }
        let Some(change) = change else { return Ok(Some(port)) };
        info!(neutron_port = %port.id, "the port that was found is not as made, changing it");
        Ok(Some(self.session.update_port(&port.id, &change, None).await?))
    }

    async fn discard(&self, port: &NeutronPort, why: &str) -> Result<(), Stop> {
        warn!(neutron_port = %port.id, "the port that was found cannot be used: {why}");
        self.session.delete_port(&port.id).await?;
        self.book.cancel(&self.holder);
        Ok(())
    }

    /// From the pool, or anew. `None` when the address was taken after all: the next pick is another.
    async fn make(&self) -> Result<Option<(NeutronPort, Ipv4Addr)>, Stop> {
        if let Some(claimed) = self.claim().await? {
            return Ok(Some(claimed));
        }
        let ip = match self.reserve() {
            Ok(ip) => ip,
            // Ports made ahead of need give way to a pod that needs a place now.
            Err(full)
                if self
                    .pool
                    .yield_addresses(self.book, self.session, &self.place, self.target)
                    .await? =>
            {
                debug!("{full}; the pool has given way");
                return Ok(None);
            }
            Err(full) => return Err(self.exhausted(full)),
        };
        let request = create_request(self.identity, self.target, self.chassis, ip);
        match self.batches.create(self.lanes, self.session, request).await {
            Ok(port) => Ok(Some((port, ip))),
            Err(BatchError::OpenStack(error)) => self.not_made(ip, error).await,
            Err(cut_off @ BatchError::CutOff) => Err(Stop::waiting("CutOff", cut_off.to_string(), AT_ONCE)),
        }
    }

    fn reserve(&self) -> Result<Ipv4Addr, Exhausted> {
        self.book
            .reserve(&self.holder, &self.place, &self.target.range, rand::random())
    }

    async fn claim(&self) -> Result<Option<(NeutronPort, Ipv4Addr)>, Stop> {
        let claimant = Claimant {
            book: self.book,
            metrics: self.metrics,
            session: self.session,
            identity: self.identity,
        };
        let _place = if self.pool.has(&self.place, &self.target.network) {
            self.lanes.enter(&self.target.project).await
        } else {
            None
        };
        let claimed = self.pool.claim(&claimant, &self.place, &self.target.network).await?;
        let Some((port, ip)) = claimed else { return Ok(None) };
        match differences(&port, self.identity, self.target, self.chassis, ip) {
            None => Ok(Some((port, ip))),
            Some(change) => Ok(Some((self.session.update_port(&port.id, &change, None).await?, ip))),
        }
    }

    async fn not_made(&self, ip: Ipv4Addr, error: Error) -> Result<Option<(NeutronPort, Ipv4Addr)>, Stop> {
        if is_address_conflict(&error) {
            info!(%ip, "the address is taken in Neutron, choosing another");
            self.book.cancel(&self.holder);
            self.learn_addresses(ip).await?;
            return Ok(None);
        }
        // Whether the port exists now is open: the reservation stays, and the next attempt looks first.
        if error.may_have_been_executed() {
            return Err(error.into());
        }
        self.book.cancel(&self.holder);
        if error.is_quota() {
            if self
                .pool
                .yield_quota(self.book, self.session, &self.target.project)
                .await?
            {
                return Ok(None);
            }
            let sentence = Stop::from(error).sentence();
            let message = format!("{sentence}; raise quota.network.ports of the Tenant, or end other pods");
            return Err(Stop::waiting(QUOTA_EXCEEDED, message, FULL));
        }
        Err(error.into())
    }

    /// Notes which addresses of the network others have: the router, ports that a tenant made, an adopted network's.
    async fn learn_addresses(&self, conflicting: Ipv4Addr) -> Result<(), Stop> {
        let filter = PortFilter {
            network_id: Some(self.target.network.clone()),
            ..PortFilter::default()
        };
        let ports = self.session.list_ports_all_projects(&filter).await?;
        let others = ports.iter().filter(|port| port.device_id != self.identity.uid);
        let addresses = others
            .flat_map(|port| &port.fixed_ips)
            .filter_map(|fixed| match fixed.ip_address {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            });
        let ours = ports.iter().any(|port| port.device_id == self.identity.uid);
        let conflicting = (!ours).then_some(conflicting);
        self.book
            .foreign(&self.target.key, addresses.chain(conflicting), FOREIGN);
        Ok(())
    }

    fn exhausted(&self, full: Exhausted) -> Stop {
        let (range, node) = (self.target.range.range(), &self.place.node);
        let message = match full {
            Exhausted::Network { resting: 0 } => format!("all addresses of {range} are in use: end other pods"),
            Exhausted::Node { resting: 0 } => format!(
                "{range} has free addresses, but other pods of node {node} have the same ones (addresses are unique on a \
                 node): delete the pod so that it is scheduled to another node, or choose a larger range"
            ),
            Exhausted::Network { resting } | Exhausted::Node { resting } => {
                format!("no address of {range} is free on node {node}; {resting} will be within a minute")
            }
        };
        Stop::waiting(eviction::reason(full), message, FULL)
    }

    fn ambiguous(&self, ids: &[String]) -> Stop {
        let ids = ids.join(", ");
        let message =
            format!("several Neutron ports claim to be this pod's and none was chosen: delete all but one of {ids}");
        Stop::refused("PortAmbiguous", message)
    }

    /// A port from the pool still has the pool's tags. Not worth failing for: the next comparison puts them right.
    async fn retag(&self, port: &NeutronPort) {
        let tags = self.identity.tags();
        if tags.iter().all(|tag| port.tags.contains(tag)) && port.tags.len() == tags.len() {
            return;
        }
        if let Err(error) = self.session.replace_tags(&Taggable::Port(port.id.clone()), &tags).await {
            warn!(neutron_port = %port.id, "tags not written yet: {error}");
        }
        debug_assert_eq!(port.device_owner, DEVICE_OWNER);
    }
}

#[cfg(test)]
mod tests;
