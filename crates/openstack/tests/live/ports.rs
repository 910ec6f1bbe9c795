use std::collections::BTreeSet;
use std::net::IpAddr;

use stackube_openstack::id::{NetworkId, SubnetId};
use stackube_openstack::network::{BindingVifType, CreatePort, FixedIpRequest, PortFilter, Taggable, UpdatePort};
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

#[tokio::test]
async fn a_port_is_made_whole_and_changed_by_revision() {
    with_tenant(|tenant| async move {
        let (service, network) = (tenant.service(), tenant.network().await);
        let subnet = tenant.subnet(&network.id, "10.244.0.0/24").await;
        let host = chassis(&service).await;
        let mut new = new_port(&tenant, &network.id, &subnet.id, Some("10.244.0.9"));
        new.binding_host_id = Some(host.clone());
        let port = service.create_port(&new).await.unwrap();
        assert_eq!(
            (port.project_id.as_ref(), port.tags.as_slice()),
            (Some(&tenant.project), ["a".to_owned()].as_slice())
        );
        assert_eq!(
            (port.binding_host_id.as_deref(), &port.binding_vif_type),
            (Some(host.as_str()), &Some(BindingVifType::Ovs))
        );
        assert_eq!(
            (port.description.as_str(), port.port_security_enabled),
            ("uid", Some(true))
        );
        assert_eq!(port.fixed_ips[0].ip_address.to_string(), "10.244.0.9");
        assert!(port.security_groups.is_empty() && port.created_at.is_some());

        let taken = service.create_port(&new).await.unwrap_err();
        assert_eq!(
            (taken.is_conflict(), taken.kind()),
            (true, Some("IpAddressAlreadyAllocated"))
        );
        let outside = new_port(&tenant, &network.id, &subnet.id, Some("10.245.0.9"));
        let outside = service.create_port(&outside).await.unwrap_err();
        assert_eq!(outside.kind(), Some("InvalidIpForSubnet"));

        let change = UpdatePort {
            device_id: Some("claimed".into()),
            ..UpdatePort::default()
        };
        let changed = service
            .update_port(&port.id, &change, Some(port.revision_number))
            .await
            .unwrap();
        assert!(changed.device_id == "claimed" && changed.revision_number > port.revision_number);
        let stale = service
            .update_port(&port.id, &change, Some(port.revision_number))
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
        let seen_by_member = tenant.session().get_port(&port.id).await.unwrap();
        assert_eq!(seen_by_member.binding_host_id, None, "bindings are for administrators");

        let in_use = tenant.session().delete_network(&network.id).await.unwrap_err();
        assert_eq!(in_use.kind(), Some("NetworkInUse"));
        for _ in 0..2 {
            service.delete_port(&port.id).await.unwrap();
        }
        assert!(service.get_port(&port.id).await.unwrap_err().is_not_found());
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
        let (service, network) = (tenant.service(), tenant.network().await);
        let subnet = tenant.subnet(&network.id, "10.244.0.0/24").await;
        let new: Vec<CreatePort> = (10..20)
            .map(|n| new_port(&tenant, &network.id, &subnet.id, Some(&format!("10.244.0.{n}"))))
            .collect();
        let made = service.create_ports(&new).await.unwrap();
        let ids = |ports: &[stackube_openstack::network::Port]| {
            ports.iter().map(|port| port.id.clone()).collect::<BTreeSet<_>>()
        };
        assert_eq!(ids(&made).len(), 10);
        assert!(
            made.iter().all(|port| port.tags == ["a"]),
            "tags come with a bulk POST too"
        );
        let listed = service
            .list_ports(&tenant.project, &PortFilter::default())
            .await
            .unwrap();
        assert_eq!((ids(&listed), listed.len()), (ids(&made), 10));
        assert_eq!(
            listed[0],
            *made.iter().find(|port| port.id == listed[0].id).unwrap(),
            "lists give whole ports"
        );

        let count = async |filter: PortFilter| service.list_ports_all_projects(&filter).await.unwrap().len();
        let by_ip = PortFilter {
            ip_address: Some("10.244.0.12".parse().unwrap()),
            network_id: Some(network.id.clone()),
            ..PortFilter::default()
        };
        assert_eq!(count(by_ip).await, 1);
        let filter = PortFilter {
            network_id: Some(network.id.clone()),
            device_owner: Some("compute:stackube".into()),
            device_id: Some(tenant.name.clone()),
            tags: vec!["a".into()],
            ..PortFilter::default()
        };
        assert_eq!(count(filter.clone()).await, 10);
        assert_eq!(
            count(PortFilter {
                tags: vec!["z".into()],
                ..filter.clone()
            })
            .await,
            0
        );
        assert_eq!(
            count(PortFilter {
                binding_host_id: Some("elsewhere".into()),
                ..filter
            })
            .await,
            0
        );

        let mut bad = new;
        bad[0].fixed_ips[0].ip_address = Some("10.244.0.100".parse().unwrap());
        assert!(service.create_ports(&bad).await.unwrap_err().is_conflict());
        assert_eq!(
            service
                .list_ports(&tenant.project, &PortFilter::default())
                .await
                .unwrap()
                .len(),
            10,
            "all or none"
        );
    })
    .await;
}
