//! Ranges that are used up, and what strangers change in them.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use anyhow::ensure;
use kube::{Api, ResourceExt};
use stackube_api::{Network, Port};
use stackube_e2e::{
    devbox::Devbox,
    events::told,
    pods,
    tenant::{self, with_tenant},
    wait,
};
use stackube_openstack::{
    Session,
    id::{NetworkId, ProjectId, SecurityGroupId, SubnetId},
    network::{CreatePort, CreateSecurityGroupRule, Direction, EtherType, FixedIpRequest, PortFilter, UpdatePort},
};

use crate::shared;

pub(crate) async fn network_of(devbox: &Devbox, name: &str) -> stackube_api::NetworkStatus {
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    networks.get(name).await.unwrap().status.unwrap()
}

/// Takes every free address of a tenant's network, of which `addresses` are all, by ports that are made past Stackube, many
/// addresses each.
pub(crate) async fn take_all(
    session: &Session,
    project: &ProjectId,
    network: &stackube_api::NetworkStatus,
    addresses: impl Iterator<Item = IpAddr>,
) {
    let network_id = NetworkId::new(network.network_id.as_deref().unwrap()).unwrap();
    let subnet_id = SubnetId::new(network.subnet_id.as_deref().unwrap()).unwrap();
    let in_it = PortFilter {
        network_id: Some(network_id.clone()),
        ..PortFilter::default()
    };
    let taken: HashSet<IpAddr> = session
        .list_ports_all_projects(&in_it)
        .await
        .unwrap()
        .iter()
        .flat_map(|port| port.fixed_ips.iter().map(|fixed| fixed.ip_address))
        .collect();
    let free: Vec<_> = addresses.filter(|address| !taken.contains(address)).collect();
    for some in free.chunks(64) {
        let own = CreatePort {
            project_id: project.clone(),
            network_id: network_id.clone(),
            name: "own".into(),
            description: String::new(),
            tags: vec![],
            fixed_ips: some
                .iter()
                .map(|address| FixedIpRequest {
                    subnet_id: subnet_id.clone(),
                    ip_address: Some(*address),
                })
                .collect(),
            security_groups: vec![],
            device_owner: String::new(),
            device_id: String::new(),
            admin_state_up: true,
            binding_host_id: None,
        };
        session.create_port(&own).await.unwrap();
    }
}

#[tokio::test]
async fn a_pod_without_a_free_address_says_so() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let spec = "network: {cidr: 10.232.0.0/24, gateway: 10.232.0.1}";
    with_tenant(&devbox, "full", spec, async |tenant| {
        let name = tenant.name_any();
        let network = network_of(&devbox, &name).await;
        let all = (1..=254).map(|host| IpAddr::from([10, 232, 0, host]));
        take_all(&devbox.cloud.service(), &tenant::project_of(&tenant), &network, all).await;
        pods::create(&devbox, &name, "late", "x").await.unwrap();
        wait::until("an Event about the addresses", Duration::from_secs(240), || async {
            let shown = "custom-columns=R:.reason,M:.message";
            let events = devbox.kubectl(&["-n", &name, "get", "events", "-o", shown], "").await?;
            ensure!(
                events.contains("AddressesExhausted") && events.contains("10.232.0.0/24"),
                "{events}"
            );
            Ok(())
        })
        .await;
        let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), &name);
        let message = ports.list(&Default::default()).await.unwrap().items.remove(0);
        let message = message.status.unwrap().message.unwrap_or_default();
        assert!(message.contains("10.232.0.0/24"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn what_strangers_open_is_closed_again() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "opened", "", async |tenant| {
        let name = tenant.name_any();
        let project = tenant::project_of(&tenant);
        let session = devbox.cloud.service();
        pods::run(&devbox, &name, "web", "x").await;
        let group = network_of(&devbox, &name).await.security_group_id.unwrap();
        let group = SecurityGroupId::new(group).unwrap();
        let open = CreateSecurityGroupRule {
            project_id: project.clone(),
            security_group_id: group.clone(),
            direction: Direction::Ingress,
            ethertype: EtherType::IPv4,
            protocol: Some("tcp".into()),
            port_range_min: Some(80),
            port_range_max: Some(80),
            remote_ip_prefix: Some("0.0.0.0/0".parse().unwrap()),
            remote_group_id: None,
            description: String::new(),
        };
        let rule = session.create_security_group_rule(&open).await.unwrap();
        let of_pods = PortFilter {
            device_owner: Some("compute:stackube".into()),
            ..PortFilter::default()
        };
        let port = session.list_ports(&project, &of_pods).await.unwrap();
        let port = port.into_iter().find(|port| !port.device_id.is_empty()).unwrap();
        let unguarded = UpdatePort {
            security_groups: Some(vec![]),
            port_security_enabled: Some(false),
            ..UpdatePort::default()
        };
        session.update_port(&port.id, &unguarded, None).await.unwrap();
        wait::until("rule and port are as made", Duration::from_secs(240), || async {
            let rules = session.list_security_group_rules(&project, Some(&group)).await?;
            ensure!(rules.iter().all(|left| left.id != rule.id), "the rule is still there");
            let now = session.get_port(&port.id).await?;
            ensure!(
                now.port_security_enabled == Some(true) && now.security_groups == [group.clone()],
                "{now:?}"
            );
            Ok::<_, anyhow::Error>(())
        })
        .await;
        // One that is gone cannot be put right under a running pod: who has it is told what to do, and that helps.
        session.delete_port(&port.id).await.unwrap();
        let what = ["was deleted by somebody", "delete the pod"];
        told(&devbox, &name, None, "PortLost", &what, Duration::from_secs(240)).await;
        devbox
            .kubectl(&["-n", &name, "delete", "pod", "web"], "")
            .await
            .unwrap();
        pods::run(&devbox, &name, "web", "x").await;
    })
    .await;
}
