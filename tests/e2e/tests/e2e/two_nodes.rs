//! What takes a second node (`make nodes`): the wire between them, and pods that move.

mod drained;
mod lost;
mod moves;
mod southbound;
mod system;
mod walls;

use std::net::{IpAddr, Ipv4Addr};

use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_e2e::{devbox::Devbox, tenant::project_of};

use crate::exhaustion::{network_of, take_all};

/// Takes all addresses of a tenant's network, a range of /24, but these of it.
async fn leave(devbox: &Devbox, tenant: &Tenant, left: &[Ipv4Addr]) {
    let network = network_of(devbox, &tenant.name_any()).await;
    let [a, b, c, _] = left[0].octets();
    let all = (1..=254)
        .map(|host| Ipv4Addr::new(a, b, c, host))
        .filter(|address| !left.contains(address))
        .map(IpAddr::from);
    take_all(&devbox.cloud.service(), &project_of(tenant), &network, all).await;
}
