//! What is sent to Neutron, field by field, and the calls with a twist.

use serde_json::{Value, json};
use stackube_openstack::network::{
    CreateNetwork, CreatePort, CreateRouter, CreateSecurityGroup, CreateSecurityGroupRule, CreateSubnet, Direction,
    ExternalGateway, FixedIpRequest, QuotaChange, SecurityGroupFilter, Taggable, UpdatePort, UpdateRouter,
};
use stackube_openstack::{Error, Session};
use wiremock::ResponseTemplate;

use crate::support::{Fake, TENANT, header, network, neutron_error, ok, tenant};

fn port(id: &str) -> Value {
    json!({"id": id, "name": "", "network_id": "n1", "project_id": TENANT, "status": "DOWN", "mac_address": "fa:16:3e:00:00:01",
        "fixed_ips": [{"subnet_id": "s1", "ip_address": "10.244.0.9"}], "security_groups": ["g1"], "device_id": "r1",
        "device_owner": "network:router_interface", "admin_state_up": true, "binding:vif_type": "ovs",
        "binding:host_id": "h", "allowed_address_pairs": [{"ip_address": "0.0.0.0/0", "mac_address": "x"}],
        "tags": [], "description": "", "revision_number": 4})
}

fn new_port() -> CreatePort {
    CreatePort {
        project_id: tenant(),
        network_id: "n1".parse().unwrap(),
        name: "kube-p".into(),
        description: "uid".into(),
        tags: vec!["stackube".into()],
        fixed_ips: vec![FixedIpRequest {
            subnet_id: "s1".parse().unwrap(),
            ip_address: Some("10.244.0.9".parse().unwrap()),
        }],
        security_groups: vec!["g1".parse().unwrap()],
        device_owner: "compute:stackube".into(),
        device_id: "uid".into(),
        admin_state_up: true,
        binding_host_id: Some("h".into()),
    }
}

async fn fake(verb: &str, at: &str, answer: Value) -> (Fake, Session) {
    let fake = Fake::start().await;
    fake.mount(verb, &format!("/networking/v2.0/{at}"), ok(answer)).await;
    let session = fake.cloud().service();
    (fake, session)
}

async fn sent(fake: &Fake, verb: &str, at: &str) -> Value {
    fake.requests(verb, &format!("/networking/v2.0/{at}")).await[0]
        .body_json()
        .unwrap()
}

#[tokio::test]
async fn a_port_is_sent_whole_with_its_tags() {
    let mut answer = port("p1");
    answer["tags"] = json!(["stackube"]);
    let (fake, session) = fake("POST", "ports", json!({"port": answer})).await;
    session.create_port(&new_port()).await.unwrap();
    assert!(fake.requests("PUT", "/networking/v2.0/ports/p1/tags").await.is_empty());
    assert_eq!(
        sent(&fake, "POST", "ports").await,
        json!({"port": {"project_id": TENANT, "network_id": "n1", "name": "kube-p", "description": "uid",
            "tags": ["stackube"], "fixed_ips": [{"subnet_id": "s1", "ip_address": "10.244.0.9"}],
            "security_groups": ["g1"], "device_owner": "compute:stackube", "device_id": "uid",
            "admin_state_up": true, "binding:host_id": "h"}})
    );
}

#[tokio::test]
async fn ports_whose_tags_were_dropped_are_tagged_by_a_second_call() {
    let (fake, session) = fake("POST", "ports", json!({"port": port("p1")})).await;
    fake.mount(
        "PUT",
        "/networking/v2.0/ports/p1/tags",
        ok(json!({"tags": ["stackube"]})),
    )
    .await;
    assert_eq!(session.create_port(&new_port()).await.unwrap().tags, ["stackube"]);
    assert_eq!(sent(&fake, "PUT", "ports/p1/tags").await, json!({"tags": ["stackube"]}));
}

#[tokio::test]
async fn security_groups_are_not_asked_for_by_project() {
    let group = |id: &str, project: &str| json!({"id": id, "name": "default", "project_id": project});
    let (fake, session) = fake(
        "GET",
        "security-groups",
        json!({"security_groups": [group("g1", TENANT), group("g2", "p")]}),
    )
    .await;
    fake.mount(
        "GET",
        "/networking/v2.0/security-group-rules",
        ok(json!({"security_group_rules": []})),
    )
    .await;
    let found = session
        .list_security_groups(&tenant(), &SecurityGroupFilter::default())
        .await
        .unwrap();
    assert_eq!(found.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), ["g1"]);
    session
        .list_security_group_rules(&tenant(), Some(&"g1".parse().unwrap()))
        .await
        .unwrap();
    for at in ["security-groups", "security-group-rules"] {
        let request = &fake.requests("GET", &format!("/networking/v2.0/{at}")).await[0];
        assert!(
            !request.url.query().unwrap().contains("project_id"),
            "Neutron would make a default group: {}",
            request.url
        );
    }
}

fn new_network() -> CreateNetwork {
    CreateNetwork {
        project_id: tenant(),
        name: "n".into(),
        description: "d".into(),
        tags: vec!["x".into(), "y".into()],
        mtu: None,
    }
}

#[tokio::test]
async fn other_objects_are_tagged_by_a_second_call() {
    let (fake, session) = fake("POST", "networks", json!({"network": network("n1", TENANT)})).await;
    fake.mount(
        "PUT",
        "/networking/v2.0/networks/n1/tags",
        ok(json!({"tags": ["x", "y"]})),
    )
    .await;
    let made = session.create_network(&new_network()).await.unwrap();
    assert_eq!(
        (made.mtu, made.port_security_enabled, made.external),
        (Some(1442), Some(true), false)
    );
    assert_eq!(made.tags, ["x", "y"]);
    let expected = json!({"network": {"project_id": TENANT, "name": "n", "description": "d"}});
    assert_eq!(sent(&fake, "POST", "networks").await, expected);
    assert_eq!(
        sent(&fake, "PUT", "networks/n1/tags").await,
        json!({"tags": ["x", "y"]})
    );
}

#[tokio::test]
async fn an_object_that_could_not_be_tagged_is_not_lost() {
    let mut answer = network("n1", TENANT);
    answer["tags"] = json!([]);
    let (fake, session) = fake("POST", "networks", json!({"network": answer})).await;
    fake.mount("PUT", "/networking/v2.0/networks/n1/tags", ResponseTemplate::new(500))
        .await;
    let made = session.create_network(&new_network()).await.unwrap();
    assert_eq!((made.id.as_str(), made.tags.len()), ("n1", 0));
    assert_eq!(fake.requests("POST", "/networking/v2.0/networks").await.len(), 1);
}

#[tokio::test]
async fn subnets_and_routers_are_sent_whole() {
    let answer = json!({"subnet": {"id": "s1", "name": "n", "project_id": TENANT, "network_id": "n1", "ip_version": 4,
        "cidr": "10.244.0.0/16", "gateway_ip": "10.244.0.1", "enable_dhcp": false,
        "allocation_pools": [{"start": "10.244.0.2", "end": "10.244.255.254"}]}});
    let (fake, session) = fake("POST", "subnets", answer).await;
    let cidr = "10.244.0.0/16".parse().unwrap();
    let new = CreateSubnet::new(
        tenant(),
        "n1".parse().unwrap(),
        "n".into(),
        cidr,
        "10.244.0.1".parse().unwrap(),
    );
    session.create_subnet(&new).await.unwrap();
    assert_eq!(
        sent(&fake, "POST", "subnets").await,
        json!({"subnet": {"project_id": TENANT, "network_id": "n1", "name": "n", "description": "",
            "cidr": "10.244.0.0/16", "gateway_ip": "10.244.0.1", "enable_dhcp": false, "ip_version": 4}})
    );

    let answer = json!({"router": {"id": "r1", "name": "r", "project_id": TENANT, "status": "ACTIVE", "admin_state_up": true,
        "external_gateway_info": {"network_id": "ext", "enable_snat": true, "qos_policy_id": null,
            "external_fixed_ips": [{"subnet_id": "s", "ip_address": "172.24.4.10"}]}}});
    let (fake, session) = self::fake("POST", "routers", answer.clone()).await;
    let gateway = Some(ExternalGateway::new("ext".parse().unwrap()));
    let new = CreateRouter {
        project_id: tenant(),
        name: "r".into(),
        description: String::new(),
        tags: vec![],
        external_gateway_info: gateway,
    };
    let made = session.create_router(&new).await.unwrap();
    assert_eq!(made.external_gateway_info.unwrap().external_fixed_ips.len(), 1);
    assert_eq!(
        sent(&fake, "POST", "routers").await["router"]["external_gateway_info"],
        json!({"network_id": "ext"})
    );

    let (fake, session) = self::fake("PUT", "routers/r1", answer).await;
    let change = UpdateRouter {
        external_gateway_info: Some(None),
        ..UpdateRouter::default()
    };
    session.update_router(&made.id, &change).await.unwrap();
    assert_eq!(
        sent(&fake, "PUT", "routers/r1").await,
        json!({"router": {"external_gateway_info": null}})
    );
}

#[tokio::test]
async fn routes_of_a_router_are_read_and_taken_away() {
    let answer = json!({"router": {"id": "r1", "name": "r", "status": "ACTIVE", "admin_state_up": true,
        "routes": [{"destination": "10.9.0.0/16", "nexthop": "10.244.0.9"}]}});
    let (fake, session) = fake("PUT", "routers/r1", answer).await;
    let change = UpdateRouter {
        routes: Some(vec![]),
        ..UpdateRouter::default()
    };
    let router = session.update_router(&"r1".parse().unwrap(), &change).await.unwrap();
    assert_eq!(router.routes[0].nexthop, "10.244.0.9");
    assert_eq!(
        sent(&fake, "PUT", "routers/r1").await,
        json!({"router": {"routes": []}})
    );
}

#[tokio::test]
async fn an_update_is_bound_to_a_revision_if_wanted() {
    let (fake, session) = fake("PUT", "ports/p1", json!({"port": port("p1")})).await;
    let change = UpdatePort {
        device_id: Some("x".into()),
        ..UpdatePort::default()
    };
    let id = "p1".parse().unwrap();
    assert_eq!(
        session
            .update_port(&id, &change, Some(3))
            .await
            .unwrap()
            .revision_number,
        4
    );
    session
        .update_port(
            &id,
            &UpdatePort {
                clear_allowed_address_pairs: true,
                ..UpdatePort::default()
            },
            None,
        )
        .await
        .unwrap();
    let requests = fake.requests("PUT", "/networking/v2.0/ports/p1").await;
    assert_eq!(header(&requests[0], "if-match"), "revision_number=3");
    assert_eq!(
        requests[0].body_json::<Value>().unwrap(),
        json!({"port": {"device_id": "x"}})
    );
    assert!(!requests[1].headers.contains_key("if-match"));
    assert_eq!(
        requests[1].body_json::<Value>().unwrap(),
        json!({"port": {"allowed_address_pairs": []}})
    );
}

#[tokio::test]
async fn ports_in_bulk_are_all_or_none() {
    let (fake, session) = fake("POST", "ports", json!({"ports": [port("p1"), port("p2")]})).await;
    for id in ["p1", "p2"] {
        fake.mount(
            "PUT",
            &format!("/networking/v2.0/ports/{id}/tags"),
            ok(json!({"tags": ["stackube"]})),
        )
        .await;
    }
    let made = session.create_ports(&[new_port(), new_port()]).await.unwrap();
    assert_eq!(
        made.iter().map(|port| port.id.as_str()).collect::<Vec<_>>(),
        ["p1", "p2"]
    );
    assert_eq!(sent(&fake, "POST", "ports").await["ports"].as_array().unwrap().len(), 2);
    let error = session.create_ports(&[new_port()]).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    assert!(session.create_ports(&[]).await.unwrap().is_empty());
    assert_eq!(
        fake.requests("POST", "/networking/v2.0/ports").await.len(),
        2,
        "nothing is sent for nothing"
    );
}

#[tokio::test]
async fn deleting_what_is_gone_is_success() {
    let fake = Fake::start().await;
    fake.mount(
        "DELETE",
        "/networking/v2.0/ports/p1",
        neutron_error(404, "PortNotFound", "gone"),
    )
    .await;
    let in_use = neutron_error(409, "NetworkInUse", "Unable to complete operation on network n1.");
    fake.mount("DELETE", "/networking/v2.0/networks/n1", in_use).await;
    let session = fake.cloud().service();
    session.delete_port(&"p1".parse().unwrap()).await.unwrap();
    let error = session.delete_network(&"n1".parse().unwrap()).await.unwrap_err();
    assert_eq!((error.is_conflict(), error.kind()), (true, Some("NetworkInUse")));
}

#[tokio::test]
async fn an_interface_that_exists_already_is_found() {
    let at = "/networking/v2.0/routers/r1/add_router_interface";
    let exists = neutron_error(
        400,
        "BadRequest",
        "Bad router request: Router already has a port on subnet s1.",
    );
    for (subnet, found) in [("s1", true), ("s2", false)] {
        let fake = Fake::start().await;
        fake.mount("PUT", at, exists.clone()).await;
        fake.mount("GET", "/networking/v2.0/ports", ok(json!({"ports": [port("p1")]})))
            .await;
        let result = fake
            .cloud()
            .service()
            .add_router_interface(&"r1".parse().unwrap(), &subnet.parse().unwrap())
            .await;
        assert_eq!(
            sent(&fake, "PUT", "routers/r1/add_router_interface").await,
            json!({"subnet_id": subnet})
        );
        match result {
            Ok(interface) => assert!(found && interface.port_id.as_str() == "p1"),
            Err(error) => assert!(!found && error.kind() == Some("BadRequest"), "{error}"),
        }
    }
}

#[tokio::test]
async fn adds_and_removes_router_interfaces() {
    let answer = json!({"id": "r1", "tenant_id": TENANT, "port_id": "p1", "network_id": "n1", "subnet_id": "s1", "subnet_ids": ["s1"]});
    let (fake, session) = fake("PUT", "routers/r1/add_router_interface", answer).await;
    let gone = neutron_error(
        404,
        "RouterInterfaceNotFoundForSubnet",
        "Router r1 has no interface on subnet s1",
    );
    fake.mount("PUT", "/networking/v2.0/routers/r1/remove_router_interface", gone)
        .await;
    let (router, subnet) = ("r1".parse().unwrap(), "s1".parse().unwrap());
    assert_eq!(
        session
            .add_router_interface(&router, &subnet)
            .await
            .unwrap()
            .port_id
            .as_str(),
        "p1"
    );
    session.remove_router_interface(&router, &subnet).await.unwrap();
}

#[tokio::test]
async fn security_groups_and_rules() {
    let rule = json!({"id": "ru1", "project_id": TENANT, "security_group_id": "g1", "direction": "ingress", "ethertype": "IPv4",
        "protocol": null, "port_range_min": null, "port_range_max": null, "remote_ip_prefix": null, "remote_group_id": "g1",
        "description": "", "normalized_cidr": null, "remote_address_group_id": null, "belongs_to_default_sg": false});
    let group = json!({"security_group": {"id": "g1", "name": "g", "project_id": TENANT, "stateful": true,
        "security_group_rules": [rule], "description": "", "tags": ["a"], "revision_number": 1, "shared": false}});
    let (fake, session) = fake("POST", "security-groups", group).await;
    fake.mount(
        "POST",
        "/networking/v2.0/security-group-rules",
        ok(json!({"security_group_rule": rule})),
    )
    .await;
    let new = CreateSecurityGroup {
        project_id: tenant(),
        name: "g".into(),
        description: String::new(),
        tags: Vec::new(),
    };
    let group = session.create_security_group(&new).await.unwrap();
    assert_eq!(group.security_group_rules[0].direction, Direction::Ingress);
    let mut new = CreateSecurityGroupRule::any_ipv4(tenant(), group.id.clone(), Direction::Ingress);
    new.remote_group_id = Some(group.id);
    session.create_security_group_rule(&new).await.unwrap();
    assert_eq!(
        sent(&fake, "POST", "security-group-rules").await,
        json!({"security_group_rule": {"project_id": TENANT, "security_group_id": "g1", "direction": "ingress",
            "ethertype": "IPv4", "remote_group_id": "g1", "description": ""}})
    );
}

#[tokio::test]
async fn quotas_are_set_read_and_deleted() {
    let quota = json!({"quota": {"network": 10, "subnet": 10, "port": 500, "router": -1, "floatingip": 5, "security_group": 10,
        "security_group_rule": 100, "rbac_policy": 0, "subnetpool": -1, "trunk": -1}});
    let at = format!("quotas/{TENANT}");
    let (fake, session) = fake("PUT", &at, quota.clone()).await;
    fake.mount("GET", &format!("/networking/v2.0/{at}/default"), ok(quota))
        .await;
    fake.mount("DELETE", &format!("/networking/v2.0/{at}"), ResponseTemplate::new(404))
        .await;
    let change = QuotaChange {
        port: Some(500),
        rbac_policy: Some(0),
        ..QuotaChange::default()
    };
    let now = session.set_quota(&tenant(), &change).await.unwrap();
    assert_eq!((now.port, now.router, now.rbac_policy), (500, -1, 0));
    assert_eq!(
        sent(&fake, "PUT", &at).await,
        json!({"quota": {"port": 500, "rbac_policy": 0}})
    );
    assert_eq!(session.get_default_quota(&tenant()).await.unwrap(), now);
    session.delete_quota(&tenant()).await.unwrap();
}

#[tokio::test]
async fn what_is_used_of_a_quota_is_read() {
    let kind = |used, limit| json!({"used": used, "limit": limit, "reserved": 0});
    let details = json!({"quota": {"network": kind(1, 10), "port": kind(3, 500), "floatingip": kind(0, -1),
        "security_group": kind(2, 10), "security_group_rule": kind(8, 100), "trunk": kind(0, -1)}});
    let (_fake, session) = fake("GET", &format!("quotas/{TENANT}/details"), details).await;
    let usage = session.get_quota_usage(&tenant()).await.unwrap();
    assert_eq!(
        (usage.port.used, usage.port.limit, usage.floatingip.limit),
        (3, 500, -1)
    );
    assert_eq!((usage.security_group.used, usage.security_group_rule.used), (2, 8));
}

#[tokio::test]
async fn missing_extensions_are_named() {
    let aliases = |aliases: &[&str]| json!({"extensions": aliases.iter().map(|alias| json!({"alias": alias, "name": alias, "links": []})).collect::<Vec<_>>()});
    let all = stackube_openstack::network::REQUIRED_EXTENSIONS;
    let (_fake, session) = fake("GET", "extensions", aliases(&all)).await;
    session.require_extensions().await.unwrap();
    let without: Vec<&str> = all.into_iter().filter(|alias| *alias != "revision-if-match").collect();
    let (_fake, session) = fake("GET", "extensions", aliases(&without)).await;
    let error = session.require_extensions().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("this Neutron lacks the API extensions revision-if-match"),
        "{error}"
    );
}

#[tokio::test]
async fn tells_an_ovn_chassis_from_other_agents() {
    let agent = |kind: &str| json!({"id": "a", "agent_type": kind, "host": "h", "alive": true, "admin_state_up": true, "configurations": {}});
    let agents = [
        "OVN Controller agent",
        "OVN Controller Gateway agent",
        "OVN Metadata agent",
        "Open vSwitch agent",
    ]
    .map(agent);
    let (_fake, session) = fake("GET", "agents", json!({"agents": agents})).await;
    let chassis: Vec<bool> = session
        .list_agents()
        .await
        .unwrap()
        .iter()
        .map(|agent| agent.is_ovn_chassis())
        .collect();
    assert_eq!(chassis, [true, true, false, false]);
}

#[tokio::test]
async fn tags_can_be_replaced() {
    let (fake, session) = fake("PUT", "security-groups/g1/tags", json!({"tags": ["a"]})).await;
    session
        .replace_tags(&Taggable::SecurityGroup("g1".parse().unwrap()), &["a".to_owned()])
        .await
        .unwrap();
    assert_eq!(
        sent(&fake, "PUT", "security-groups/g1/tags").await,
        json!({"tags": ["a"]})
    );
}
