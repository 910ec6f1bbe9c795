use std::collections::BTreeSet;
use std::net::IpAddr;

use stackube_openstack::id::{NetworkId, SubnetId};
use stackube_openstack::network::{
    BindingVifType, CreatePort, CreateSecurityGroup, FixedIpRequest, Port, PortFilter, Taggable, UpdatePort,
};
use stackube_openstack::{Cloud, Session};

use crate::support::{Tenant, config, with_tenant, with_tenant_of};

async fn chassis(session: &Session) -> String {
    let agents = session.list_agents().await.unwrap();
    agents
        .into_iter()
        .find(|agent| agent.is_ovn_chassis() && agent.alive)
        .unwrap()
        .host
}

fn new_port(tenant: &Tenant, network: &NetworkId, subnet: &SubnetId, ip: Option<&str>) -> CreatePort {
    let ip_address: Option<IpAddr> = ip.map(|ip| ip.parse().unwrap());
    CreatePort {
        project_id: tenant.project.clone(),
        network_id: network.clone(),
        name: tenant.name.clone(),
        description: "uid".into(),
        tags: vec!["a".into()],
        fixed_ips: vec![FixedIpRequest {
            subnet_id: subnet.clone(),
            ip_address,
        }],
        security_groups: Vec::new(),
        device_owner: "compute:stackube".into(),
        device_id: tenant.name.clone(),
        admin_state_up: true,
        binding_host_id: None,
    }
}

/// A network with a subnet.
async fn place(tenant: &Tenant) -> (NetworkId, SubnetId) {
    let network = tenant.network().await;
    let subnet = tenant.subnet(&network.id, "10.244.0.0/24").await;
    (network.id, subnet.id)
}

#[tokio::test]
async fn a_port_is_made_whole_by_one_call() {
    with_tenant(|tenant| async move {
        let (service, (network, subnet)) = (tenant.service(), place(&tenant).await);
        let host = chassis(&service).await;
        let mut new = new_port(&tenant, &network, &subnet, Some("10.244.0.9"));
        new.binding_host_id = Some(host.clone());
        let port = service.create_port(&new).await.unwrap();
        assert_eq!(port.project_id.as_ref(), Some(&tenant.project));
        assert_eq!(
            (port.tags.as_slice(), port.description.as_str()),
            (["a".to_owned()].as_slice(), "uid")
        );
        assert_eq!(port.binding_host_id.as_deref(), Some(host.as_str()));
        assert_eq!(port.binding_vif_type, Some(BindingVifType::Ovs));
        assert_eq!(
            (port.port_security_enabled, port.security_groups.len()),
            (Some(true), 0)
        );
        assert_eq!(port.fixed_ips[0].ip_address.to_string(), "10.244.0.9");
        assert_eq!(
            service.get_port(&port.id).await.unwrap().tags,
            ["a"],
            "tags come with the POST"
        );
        let seen_by_member = tenant.session().get_port(&port.id).await.unwrap();
        assert_eq!(seen_by_member.binding_host_id, None, "bindings are for administrators");

        let taken = service.create_port(&new).await.unwrap_err();
        assert_eq!(
            (taken.is_conflict(), taken.kind()),
            (true, Some("IpAddressAlreadyAllocated"))
        );
        let outside = new_port(&tenant, &network, &subnet, Some("10.245.0.9"));
        assert_eq!(
            service.create_port(&outside).await.unwrap_err().kind(),
            Some("InvalidIpForSubnet")
        );
        let in_use = tenant.session().delete_network(&network).await.unwrap_err();
        assert_eq!(in_use.kind(), Some("NetworkInUse"));
        for _ in 0..2 {
            service.delete_port(&port.id).await.unwrap();
        }
        assert!(service.get_port(&port.id).await.unwrap_err().is_not_found());
    })
    .await;
}

#[tokio::test]
async fn a_port_is_changed_by_revision() {
    with_tenant(|tenant| async move {
        let (service, (network, subnet)) = (tenant.service(), place(&tenant).await);
        let port = service
            .create_port(&new_port(&tenant, &network, &subnet, None))
            .await
            .unwrap();
        let port = service.get_port(&port.id).await.unwrap();
        let claim = UpdatePort {
            device_id: Some("claimed".into()),
            ..UpdatePort::default()
        };
        let changed = service
            .update_port(&port.id, &claim, Some(port.revision_number))
            .await
            .unwrap();
        assert!(changed.device_id == "claimed" && changed.revision_number > port.revision_number);
        let stale = service
            .update_port(&port.id, &claim, Some(port.revision_number))
            .await
            .unwrap_err();
        assert!(stale.is_precondition_failed(), "{stale:?}");

        service
            .replace_tags(&Taggable::Port(port.id.clone()), &["b".to_owned()])
            .await
            .unwrap();
        let clear = UpdatePort {
            clear_allowed_address_pairs: true,
            ..UpdatePort::default()
        };
        assert_eq!(service.update_port(&port.id, &clear, None).await.unwrap().tags, ["b"]);
    })
    .await;
}

#[tokio::test]
async fn a_host_that_is_no_chassis_fails_the_binding() {
    with_tenant(|tenant| async move {
        let (service, network) = (tenant.service(), tenant.network().await);
        let subnet = tenant.subnet(&network.id, "10.244.0.0/24").await;
        let unbound = service
            .create_port(&new_port(&tenant, &network.id, &subnet.id, None))
            .await
            .unwrap();
        assert_eq!(unbound.binding_vif_type, Some(BindingVifType::Unbound));
        let bind = |host: &str| UpdatePort {
            binding_host_id: Some(host.to_owned()),
            ..UpdatePort::default()
        };
        let failed = service
            .update_port(&unbound.id, &bind("no-such-host"), None)
            .await
            .unwrap();
        assert_eq!(failed.binding_vif_type, Some(BindingVifType::Failed));
        let bound = service
            .update_port(&unbound.id, &bind(&chassis(&service).await), None)
            .await
            .unwrap();
        assert_eq!(bound.binding_vif_type, Some(BindingVifType::Ovs));
    })
    .await;
}

#[tokio::test]
async fn ports_in_bulk_are_listed_page_by_page() {
    let mut config = config();
    config.page_size = 3.try_into().unwrap();
    with_tenant_of(Cloud::new(config).unwrap(), |tenant| async move {
        let (service, (network, subnet)) = (tenant.service(), place(&tenant).await);
        let new_port = |n: u8| new_port(&tenant, &network, &subnet, Some(&format!("10.244.0.{n}")));
        let mut new: Vec<CreatePort> = (10..20).map(new_port).collect();
        let made = service.create_ports(&new).await.unwrap();
        let listed = service
            .list_ports(&tenant.project, &PortFilter::default())
            .await
            .unwrap();
        let ids = |ports: &[Port]| ports.iter().map(|port| port.id.clone()).collect::<BTreeSet<_>>();
        assert_eq!((ids(&made).len(), listed.len()), (10, 10));
        assert_eq!(ids(&listed), ids(&made));
        assert!(
            listed.iter().all(|port| port.tags == ["a"]),
            "tags come with a bulk POST too"
        );
        let read = service.get_port(&listed[0].id).await.unwrap();
        assert_eq!(
            (&listed[0].mac_address, &listed[0].fixed_ips),
            (&read.mac_address, &read.fixed_ips)
        );
        assert_eq!(
            (listed[0].created_at, listed[0].port_security_enabled),
            (read.created_at, Some(true))
        );

        new[0].fixed_ips[0].ip_address = Some("10.244.0.100".parse().unwrap());
        assert!(service.create_ports(&new).await.unwrap_err().is_conflict());
        let after = service
            .list_ports(&tenant.project, &PortFilter::default())
            .await
            .unwrap();
        assert_eq!(ids(&after), ids(&made), "all or none");
    })
    .await;
}

#[tokio::test]
async fn ports_are_found_by_every_filter() {
    with_tenant(|tenant| async move {
        let (service, (network, subnet)) = (tenant.service(), place(&tenant).await);
        let mut new = new_port(&tenant, &network, &subnet, Some("10.244.0.12"));
        let host = chassis(&service).await;
        new.binding_host_id = Some(host.clone());
        let group = CreateSecurityGroup {
            project_id: tenant.project.clone(),
            name: tenant.name.clone(),
            description: String::new(),
            tags: vec![],
        };
        let group = tenant.session().create_security_group(&group).await.unwrap().id;
        new.security_groups = vec![group.clone()];
        service.create_port(&new).await.unwrap();
        let found = async |filter: PortFilter| service.list_ports_all_projects(&filter).await.unwrap().len();
        let filter = PortFilter {
            network_id: Some(network.clone()),
            device_owner: Some("compute:stackube".into()),
            device_id: Some(tenant.name.clone()),
            description: Some("uid".into()),
            tags: vec!["a".into()],
            binding_host_id: Some(host),
            ip_address: Some("10.244.0.12".parse().unwrap()),
            security_group: Some(group),
        };
        assert_eq!(found(filter.clone()).await, 1);
        let other = || Some("other".to_owned());
        let misses: [fn(&mut PortFilter, Option<String>); 8] = [
            |filter, _| filter.network_id = Some("other".parse().unwrap()),
            |filter, other| filter.device_owner = other,
            |filter, other| filter.device_id = other,
            |filter, other| filter.description = other,
            |filter, other| filter.tags = other.into_iter().collect(),
            |filter, other| filter.binding_host_id = other,
            |filter, _| filter.ip_address = Some("10.244.0.13".parse().unwrap()),
            |filter, _| filter.security_group = Some("other".parse().unwrap()),
        ];
        for (number, miss) in misses.into_iter().enumerate() {
            let mut filter = filter.clone();
            miss(&mut filter, other());
            assert_eq!(found(filter).await, 0, "filter {number}");
        }
    })
    .await;
}
