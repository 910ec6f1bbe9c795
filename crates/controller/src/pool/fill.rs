//! Making and deleting ports of the pool.

use std::net::{IpAddr, Ipv4Addr};

use stackube_api::names::cluster_tag;
use stackube_openstack::network::{CreatePort, FixedIpRequest, Port as NeutronPort};
use stackube_openstack::{Error, Session};
use tracing::{debug, info};

use super::{POOL_TAG, Scarce, Spare, discard};
use crate::port::{DEVICE_OWNER, Holder, Place, Shared, Target, binding_problem, is_address_conflict};

/// A port that no pod owns yet: no device, and the pool's tag instead of an owner's.
pub(super) fn request(cluster: &str, target: &Target, chassis: &str, ip: Ipv4Addr) -> CreatePort {
    CreatePort {
        project_id: target.project.clone(),
        network_id: target.network.clone(),
        name: "kube-pool".to_owned(),
        description: "made ahead of need, for the next pod on this host".to_owned(),
        tags: vec![cluster_tag(cluster), POOL_TAG.to_owned()],
        fixed_ips: vec![FixedIpRequest {
            subnet_id: target.subnet.clone(),
            ip_address: Some(IpAddr::V4(ip)),
        }],
        security_groups: vec![target.group.clone()],
        device_owner: DEVICE_OWNER.to_owned(),
        device_id: String::new(),
        admin_state_up: true,
        binding_host_id: Some(chassis.to_owned()),
    }
}

/// Makes `count` ports in one call, if nobody of the project waits for Neutron.
///
/// # Errors
/// What Neutron answers, but for a lack of quota or addresses: then the pool stays small for a while.
pub(super) async fn add(
    shared: &Shared,
    place: &Place,
    target: &Target,
    chassis: &str,
    count: usize,
) -> Result<(), Error> {
    if shared.pool.is_paused(place, &target.project) {
        return Ok(());
    }
    let Some(_lane) = shared.lanes.enter_if_idle(&target.project) else {
        return Ok(());
    };
    let reserved = reserve(shared, place, target, count);
    if reserved.is_empty() {
        return Ok(());
    }
    let cluster = &shared.context.identity.cluster;
    let requests: Vec<_> = reserved
        .iter()
        .map(|(_, ip)| request(cluster, target, chassis, *ip))
        .collect();
    let session = shared.context.cloud.service();
    match session.create_ports(&requests).await {
        Ok(made) => keep(shared, &session, (place, target, chassis), reserved, made).await,
        Err(error) => {
            // Ports that were made although the answer was lost are found by the next comparison with Neutron.
            reserved.iter().for_each(|(holder, _)| shared.book.cancel(holder));
            scarce(shared, place, target, error)
        }
    }
}

fn reserve(shared: &Shared, place: &Place, target: &Target, count: usize) -> Vec<(Holder, Ipv4Addr)> {
    let reserve = |n| {
        let temporary = Holder::Pool(format!("{}/{}/new-{n}", place.node, place.network));
        match shared.book.reserve(&temporary, place, &target.range, rand::random()) {
            Ok(ip) => Some((temporary, ip)),
            Err(full) => {
                debug!(node = place.node, network = %place.network, "no address for the pool: {full}");
                shared.pool.pause(Scarce::Network(place.network.clone()));
                None
            }
        }
    };
    (0..count).map_while(reserve).collect()
}

async fn keep(
    shared: &Shared,
    session: &Session,
    (place, target, chassis): (&Place, &Target, &str),
    reserved: Vec<(Holder, Ipv4Addr)>,
    made: Vec<NeutronPort>,
) -> Result<(), Error> {
    let mut result = Ok(());
    for ((temporary, ip), port) in reserved.into_iter().zip(made) {
        let spare = Spare::of(&port, ip, &target.project);
        if let Some(problem) = binding_problem(&port, chassis) {
            info!("not kept for the pool: {problem}");
            shared.pool.pause(Scarce::Node(place.node.clone()));
            // What stays is a misfit to the next comparison with Neutron, which deletes it.
            result = result.and(discard(session, &spare).await);
            shared.book.cancel(&temporary);
            continue;
        }
        shared.book.hand_over(&temporary, &spare.holder());
        shared.pool.put(place, spare);
    }
    result
}

fn scarce(shared: &Shared, place: &Place, target: &Target, error: Error) -> Result<(), Error> {
    if error.is_quota() {
        info!(project = %target.project, "no quota left for the pool");
        shared.pool.pause(Scarce::Quota(target.project.clone()));
        Ok(())
    } else if is_address_conflict(&error) {
        debug!(
            node = place.node,
            "an address that was chosen for the pool is taken; others next time"
        );
        Ok(())
    } else {
        Err(error)
    }
}

/// Deletes `count` ports of a place.
///
/// # Errors
/// What Neutron answers; what is left stays in the pool.
pub(super) async fn drop_some(shared: &Shared, place: &Place, count: usize) -> Result<(), Error> {
    let session = shared.context.cloud.service();
    let spares = shared.pool.take_where(count, |at, _| at == place);
    shared.pool.give_up(&shared.book, &session, spares).await?;
    Ok(())
}
