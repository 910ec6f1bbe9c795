//! What a project still owns in Neutron when its Tenant goes: things that the tenant's own users made (with `openstackAccess:
//! member`), and the security group `default`, which Neutron makes by itself. Keystone does not tell Neutron that a project is
//! gone, so nobody else would ever remove them.

use stackube_openstack::id::{ProjectId, RouterId};
use stackube_openstack::network::{
    FloatingIpFilter, NetworkFilter, PortFilter, RouterFilter, SecurityGroupFilter, SubnetFilter,
};
use stackube_openstack::{Error, Session};

use crate::network::goes_with_network;

/// Deletes in the order in which things hold each other: floating IPs, routers, ports, subnets, networks, security groups, RBAC
/// policies; the quota last. Lists return only what belongs to exactly this project.
///
/// # Errors
/// Those of Neutron. What was deleted stays deleted; repeat to go on.
pub(super) async fn remove(session: &Session, project: &ProjectId) -> Result<(), Error> {
    for address in session.list_floating_ips(project, &FloatingIpFilter::default()).await? {
        session.delete_floating_ip(&address.id).await?;
    }
    for router in session.list_routers(project, &RouterFilter::default()).await? {
        remove_router(session, &router.id).await?;
    }
    let ports = session.list_ports(project, &PortFilter::default()).await?;
    // Members may call ports on networks of theirs `network:` whatever, so that says nothing. Legs have gone with the routers.
    for port in ports.iter().filter(|port| !goes_with_network(port)) {
        session.delete_port(&port.id).await?;
    }
    for subnet in session.list_subnets(project, &SubnetFilter::default()).await? {
        session.delete_subnet(&subnet.id).await?;
    }
    for policy in session.list_rbac_policies(project).await? {
        session.delete_rbac_policy(&policy.id).await?;
    }
    for network in session.list_networks(project, &NetworkFilter::default()).await? {
        session.delete_network(&network.id).await?;
    }
    // Asking for the groups of a project makes its `default` group, so this list is the last one.
    for group in session
        .list_security_groups(project, &SecurityGroupFilter::default())
        .await?
    {
        session.delete_security_group(&group.id).await?;
    }
    session.delete_quota(project).await
}

/// Takes a router out of all its subnets and deletes it; its gateway goes with it. Routes of the tenant's users would hold its
/// legs.
///
/// # Errors
/// Those of Neutron.
async fn remove_router(session: &Session, router: &RouterId) -> Result<(), Error> {
    session.clear_routes(router).await?;
    for leg in session.router_interfaces(router).await? {
        session.remove_router_interface(router, &leg.subnet_id).await?;
    }
    session.delete_router(router).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::port::fake::Fake;

    /// What a project owns that Keystone knows no more, beside something of another.
    async fn orphaned() -> Fake {
        let fake = Fake::start().await;
        let object = |id: &str, project: &str| {
            json!({
                "id": id, "name": "n", "project_id": project, "status": "ACTIVE", "admin_state_up": true,
                "enable_dhcp": false, "network_id": "n-1", "cidr": "10.0.0.0/24", "ip_version": 4,
                "floating_ip_address": "172.24.4.9", "floating_network_id": "outside",
                "object_type": "network", "object_id": "n-1", "action": "access_as_shared", "target_tenant": "*",
            })
        };
        for kind in KINDS {
            let objects = [object(&format!("ours-{kind}"), "project"), object("another", "other")];
            fake.state().others.insert(kind.into(), objects.into());
        }
        let quota = json!({"id": "project"});
        fake.state().others.insert("quotas".into(), vec![quota]);
        fake
    }

    const KINDS: [&str; 6] = [
        "floatingips",
        "routers",
        "subnets",
        "rbac-policies",
        "networks",
        "security-groups",
    ];

    #[tokio::test]
    async fn everything_goes_without_keystone_knowing_the_project() {
        let fake = orphaned().await;
        for owner in ["network:x", "network:router_interface", "", "network:dhcp"] {
            fake.port(&json!({"device_owner": owner, "device_id": "", "tags": [], "security_groups": []}));
        }
        remove(&fake.session, &"project".parse().unwrap()).await.unwrap();
        let state = fake.state();
        for kind in KINDS {
            let left: Vec<_> = state.others[kind].iter().map(|object| &object["id"]).collect();
            assert_eq!(left, ["another"], "{kind}");
        }
        assert!(state.others["quotas"].is_empty());
        let owners: Vec<_> = state.ports.iter().map(|port| &port["device_owner"]).collect();
        assert_eq!(owners, ["network:dhcp"], "that goes with its network");
        let asked = state.requests.iter().find(|request| request.contains("/v3/"));
        assert_eq!(asked, None);
    }

    #[tokio::test]
    async fn routes_do_not_hold_a_router() {
        let fake = Fake::start().await;
        fake.port(&json!({"device_owner": "network:router_interface", "device_id": "r-1"}));
        let router = json!({
            "id": "r-1", "name": "r", "project_id": "project", "status": "ACTIVE", "admin_state_up": true,
            "routes": [{"destination": "10.9.0.0/16", "nexthop": "10.244.0.10"}],
        });
        fake.state().others.insert("routers".into(), vec![router]);
        remove_router(&fake.session, &"r-1".parse().unwrap()).await.unwrap();
        assert!(fake.state().others["routers"].is_empty());
    }
}
