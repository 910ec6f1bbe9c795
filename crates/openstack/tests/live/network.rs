use stackube_openstack::network::{
    CreateNetwork, CreateRouter, CreateSecurityGroup, CreateSecurityGroupRule, CreateSubnet, Direction,
    ExternalGateway, NetworkFilter, QuotaChange, Route, RouterFilter, SecurityGroupFilter, SubnetFilter, Taggable,
    UpdateNetwork, UpdateRouter, UpdateSecurityGroup, UpdateSubnet,
};
use stackube_openstack::{Error, Optional};

use crate::support::{cloud, external_network, with_tenant};

#[tokio::test]
async fn this_neutron_will_do() {
    let session = cloud().service();
    session.require_extensions().await.unwrap();
    let agents = session.list_agents().await.unwrap();
    assert!(
        agents.iter().any(|agent| agent.is_ovn_chassis() && agent.alive),
        "{agents:?}"
    );
}

#[tokio::test]
async fn networks() {
    with_tenant(|tenant| async move {
        let session = tenant.session();
        let network = tenant.network().await;
        assert_eq!(network.project_id.as_ref(), Some(&tenant.project));
        assert_eq!(
            (network.shared, network.external, network.port_security_enabled),
            (false, false, Some(true))
        );
        assert!(network.mtu.is_some_and(|mtu| mtu >= 1280));

        let count = async |filter: NetworkFilter| session.list_networks(&tenant.project, &filter).await.unwrap().len();
        let tags = |tags: [&str; 2]| NetworkFilter {
            tags: tags.map(str::to_owned).into(),
            ..NetworkFilter::default()
        };
        assert_eq!((count(tags(["a", "b"])).await, count(tags(["a", "z"])).await), (1, 0));
        let described = |text: &str| NetworkFilter {
            description: Some(text.into()),
            ..NetworkFilter::default()
        };
        assert_eq!((count(described("d")).await, count(described("z")).await), (1, 0));

        let change = UpdateNetwork {
            description: Some("e, with: punctuation (x)".into()),
            ..UpdateNetwork::default()
        };
        session.update_network(&network.id, &change).await.unwrap();
        assert_eq!(count(described("e, with: punctuation (x)")).await, 1);
        session
            .replace_tags(&Taggable::Network(network.id.clone()), &["z".to_owned()])
            .await
            .unwrap();
        assert_eq!(session.get_network(&network.id).await.unwrap().tags, ["z"]);

        session.delete_network(&network.id).await.unwrap();
        session.delete_network(&network.id).await.unwrap();
        assert!(session.get_network(&network.id).await.optional().unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn subnets() {
    with_tenant(|tenant| async move {
        let session = tenant.session();
        let network = tenant.network().await;
        let made = tenant.subnet(&network.id, "10.244.0.0/24").await;
        let subnet = session.get_subnet(&made.id).await.unwrap();
        assert_eq!(
            (&subnet.tags, subnet.cidr, subnet.gateway_ip),
            (&made.tags, made.cidr, made.gateway_ip)
        );
        assert_eq!(
            session.get_network(&network.id).await.unwrap().subnets,
            std::slice::from_ref(&subnet.id)
        );
        let description = Some(subnet.description.clone().unwrap());
        let on = SubnetFilter {
            network_id: Some(network.id.clone()),
            description,
            tags: vec!["s".into()],
        };
        assert_eq!(
            session.list_subnets(&tenant.project, &on).await.unwrap(),
            std::slice::from_ref(&subnet)
        );
        let change = UpdateSubnet {
            name: Some("renamed".into()),
            ..UpdateSubnet::default()
        };
        assert_eq!(
            session.update_subnet(&subnet.id, &change).await.unwrap().name,
            "renamed"
        );

        let (cidr, gateway) = ("10.244.0.0/25".parse().unwrap(), "10.244.0.1".parse().unwrap());
        let overlapping = CreateSubnet::new(tenant.project.clone(), network.id.clone(), "x".into(), cidr, gateway);
        let refused = session.create_subnet(&overlapping).await.unwrap_err();
        assert!(matches!(&refused, Error::BadRequest { status: 400, .. }), "{refused:?}");
        assert_eq!(refused.kind(), Some("InvalidInput"));
        session.delete_subnet(&subnet.id).await.unwrap();
        session.delete_subnet(&subnet.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn routers() {
    with_tenant(|tenant| async move {
        let session = tenant.session();
        let network = tenant.network().await;
        let subnet = tenant.subnet(&network.id, "10.244.0.0/24").await;
        let external = external_network(&session).await;
        let new = CreateRouter {
            project_id: tenant.project.clone(),
            name: tenant.name.clone(),
            description: "d".into(),
            tags: vec!["a".into()],
            external_gateway_info: Some(ExternalGateway::new(external.clone())),
        };
        let router = session.create_router(&new).await.unwrap();
        assert_eq!(router.tags, ["a"]);
        let gateway = router.external_gateway_info.clone().unwrap();
        assert_eq!((gateway.network_id, gateway.external_fixed_ips.len()), (external, 1));

        let first = session.add_router_interface(&router.id, &subnet.id).await.unwrap();
        let again = session.add_router_interface(&router.id, &subnet.id).await.unwrap();
        assert_eq!(first, again, "adding it twice is success");
        assert_eq!(session.router_interfaces(&router.id).await.unwrap(), [first]);
        assert_eq!(
            session.delete_router(&router.id).await.unwrap_err().kind(),
            Some("RouterInUse")
        );
        assert_eq!(
            session.delete_subnet(&subnet.id).await.unwrap_err().kind(),
            Some("SubnetInUse")
        );

        let by_tag = RouterFilter {
            tags: vec!["a".into()],
            ..RouterFilter::default()
        };
        assert_eq!(session.list_routers(&tenant.project, &by_tag).await.unwrap().len(), 1);
        let change = UpdateRouter {
            external_gateway_info: Some(None),
            ..UpdateRouter::default()
        };
        assert_eq!(
            session
                .update_router(&router.id, &change)
                .await
                .unwrap()
                .external_gateway_info,
            None
        );
        for _ in 0..2 {
            session.remove_router_interface(&router.id, &subnet.id).await.unwrap();
        }
        for _ in 0..2 {
            session.delete_router(&router.id).await.unwrap();
        }
        assert!(session.get_router(&router.id).await.unwrap_err().is_not_found());
        session.remove_router_interface(&router.id, &subnet.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn routes_hold_a_leg_until_they_are_cleared() {
    with_tenant(|tenant| async move {
        let session = tenant.session();
        let network = tenant.network().await;
        let subnet = tenant.subnet(&network.id, "10.244.0.0/24").await;
        let new = CreateRouter {
            project_id: tenant.project.clone(),
            name: tenant.name.clone(),
            description: String::new(),
            tags: vec![],
            external_gateway_info: None,
        };
        let router = session.create_router(&new).await.unwrap();
        session.add_router_interface(&router.id, &subnet.id).await.unwrap();
        let change = UpdateRouter {
            routes: Some(vec![Route {
                destination: "10.9.0.0/16".into(),
                nexthop: "10.244.0.9".into(),
            }]),
            ..UpdateRouter::default()
        };
        assert_eq!(
            session.update_router(&router.id, &change).await.unwrap().routes.len(),
            1
        );
        let held = session.remove_router_interface(&router.id, &subnet.id).await;
        assert_eq!(held.unwrap_err().kind(), Some("RouterInterfaceInUseByRoute"));
        for _ in 0..2 {
            session.clear_routes(&router.id).await.unwrap();
        }
        session.remove_router_interface(&router.id, &subnet.id).await.unwrap();
        session.delete_router(&router.id).await.unwrap();
        session.clear_routes(&router.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn security_groups() {
    with_tenant(|tenant| async move {
        let session = tenant.session();
        let new = CreateSecurityGroup {
            project_id: tenant.project.clone(),
            name: tenant.name.clone(),
            description: "d".into(),
            tags: vec!["a".into()],
        };
        let group = session.create_security_group(&new).await.unwrap();
        assert_eq!(
            (group.tags.as_slice(), group.project_id.as_ref()),
            (["a".to_owned()].as_slice(), Some(&tenant.project))
        );
        let mut rule = CreateSecurityGroupRule::any_ipv4(tenant.project.clone(), group.id.clone(), Direction::Ingress);
        rule.remote_group_id = Some(group.id.clone());
        let made = session.create_security_group_rule(&rule).await.unwrap();
        assert_eq!(
            session.create_security_group_rule(&rule).await.unwrap_err().kind(),
            Some("SecurityGroupRuleExists")
        );
        let rules = session
            .list_security_group_rules(&tenant.project, Some(&group.id))
            .await
            .unwrap();
        assert!(
            rules.contains(&made) && rules.iter().any(|rule| rule.direction == Direction::Egress),
            "{rules:?}"
        );
        let read = session.get_security_group(&group.id).await.unwrap();
        assert_eq!(read.security_group_rules.len(), rules.len());
        session.delete_security_group_rule(&made.id).await.unwrap();
        let change = UpdateSecurityGroup {
            name: Some("renamed".into()),
            ..UpdateSecurityGroup::default()
        };
        assert_eq!(
            session.update_security_group(&group.id, &change).await.unwrap().name,
            "renamed"
        );

        let by_tag = SecurityGroupFilter {
            tags: vec!["a".into()],
            ..SecurityGroupFilter::default()
        };
        assert_eq!(
            tenant
                .service()
                .list_security_groups(&tenant.project, &by_tag)
                .await
                .unwrap()
                .len(),
            1
        );
        session.delete_security_group(&group.id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn only_the_service_user_removes_a_default_group() {
    with_tenant(|tenant| async move {
        let everything = SecurityGroupFilter::default();
        let groups = tenant
            .session()
            .list_security_groups(&tenant.project, &everything)
            .await
            .unwrap();
        let default = groups.iter().find(|group| group.name == "default").unwrap();
        let refused = tenant.session().delete_security_group(&default.id).await.unwrap_err();
        assert!(refused.is_conflict(), "{refused:?}");
        tenant.service().delete_security_group(&default.id).await.unwrap();
        let left = tenant
            .service()
            .list_security_groups(&tenant.project, &everything)
            .await
            .unwrap();
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn quotas() {
    with_tenant(|tenant| async move {
        let service = tenant.service();
        let default = service.get_default_quota(&tenant.project).await.unwrap();
        assert_eq!(service.get_quota(&tenant.project).await.unwrap(), default);
        let change = QuotaChange {
            network: Some(1),
            rbac_policy: Some(0),
            ..QuotaChange::default()
        };
        let set = service.set_quota(&tenant.project, &change).await.unwrap();
        assert_eq!((set.network, set.rbac_policy, set.port), (1, 0, default.port));
        tenant.network().await;
        let new = CreateNetwork {
            project_id: tenant.project.clone(),
            name: "second".into(),
            description: String::new(),
            tags: Vec::new(),
            mtu: None,
        };
        let over = tenant.session().create_network(&new).await.unwrap_err();
        let Error::QuotaExceeded { resources, .. } = &over else {
            panic!("{over:?}")
        };
        assert_eq!(resources, &["network"]);
        assert!(
            tenant.session().set_quota(&tenant.project, &change).await.is_err(),
            "members may not"
        );
        for _ in 0..2 {
            service.delete_quota(&tenant.project).await.unwrap();
        }
        assert_eq!(service.get_quota(&tenant.project).await.unwrap(), default);
        assert!(service.list_rbac_policies(&tenant.project).await.unwrap().is_empty());
    })
    .await;
}
