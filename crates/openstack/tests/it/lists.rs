//! Lists are complete, and a project's list holds only what is the project's.

use serde_json::{Value, json};
use stackube_openstack::id::ProjectId;
use stackube_openstack::identity::ProjectFilter;
use stackube_openstack::network::{NetworkFilter, PortFilter};
use stackube_openstack::{Cloud, Error};
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, Request, Respond, ResponseTemplate};

use crate::support::{Fake, OWN_PROJECT, TENANT, network, neutron_error, ok, own, tenant};

const NETWORKS: &str = "/networking/v2.0/networks";

/// Pages as Neutron does: by limit and marker, in the order of IDs, a `next` link whenever the page is full.
struct Neutron {
    ids: Vec<String>,
    /// `pagination_max_limit`.
    cap: usize,
}

fn query(request: &Request, name: &str) -> Option<String> {
    request
        .url
        .query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

impl Respond for Neutron {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let limit = self.cap.min(query(request, "limit").unwrap().parse().unwrap());
        let after = query(request, "marker").unwrap_or_default();
        let page: Vec<Value> = self
            .ids
            .iter()
            .filter(|id| **id > after)
            .take(limit)
            .map(|id| network(id, OWN_PROJECT))
            .collect();
        let links = if page.len() == limit {
            json!([{"rel": "next", "href": "http://elsewhere/"}, {"rel": "previous", "href": "x"}])
        } else {
            json!([{"rel": "previous", "href": "x"}])
        };
        ok(json!({"networks": page, "networks_links": links}))
    }
}

async fn listed(count: usize, page_size: usize, cap: usize) -> (Vec<String>, usize) {
    let ids: Vec<String> = (0..count).map(|n| format!("net-{n:04}")).collect();
    let fake = Fake::start().await;
    fake.mount("GET", NETWORKS, Neutron { ids: ids.clone(), cap }).await;
    let mut config = fake.config();
    config.page_size = page_size.try_into().unwrap();
    let session = Cloud::new(config).unwrap().service();
    let found = session.list_networks(&own(), &NetworkFilter::default()).await.unwrap();
    let found: Vec<String> = found.into_iter().map(|network| network.id.to_string()).collect();
    assert_eq!(found, ids);
    (found, fake.requests("GET", NETWORKS).await.len())
}

#[tokio::test]
async fn reads_all_pages() {
    for (count, page_size, cap, requests) in [
        (0, 10, 100, 1),
        (9, 10, 100, 1),
        (10, 10, 100, 2),
        (95, 10, 100, 10),
        (95, 50, 20, 5),
    ] {
        let (found, sent) = listed(count, page_size, cap).await;
        assert_eq!(
            (found.len(), sent),
            (count, requests),
            "{count} in pages of {page_size}, at most {cap}"
        );
    }
}

#[tokio::test]
async fn asks_for_pages_with_all_filters() {
    let fake = Fake::start().await;
    fake.mount("GET", NETWORKS, ok(json!({"networks": []}))).await;
    let filter = NetworkFilter {
        name: Some("a b&c".into()),
        tags: vec!["x=1".into(), "y".into()],
        external: Some(true),
        description: Some("d".into()),
    };
    fake.cloud().service().list_networks(&tenant(), &filter).await.unwrap();
    let request = &fake.requests("GET", NETWORKS).await[0];
    for (name, value) in [
        ("name", "a b&c"),
        ("tags", "x=1,y"),
        ("router:external", "true"),
        ("description", "d"),
        ("project_id", TENANT),
        ("limit", "500"),
    ] {
        assert_eq!(query(request, name).as_deref(), Some(value), "{name}");
    }
}

#[tokio::test]
async fn what_other_projects_share_is_left_out() {
    let fake = Fake::start().await;
    let foreign = [network("n2", OWN_PROJECT), network("n3", "")];
    let body = json!({"networks": [network("n1", TENANT), foreign[0], foreign[1]]});
    fake.mount("GET", NETWORKS, ok(body)).await;
    let session = fake.cloud().service();
    let filter = NetworkFilter::default();
    let mine = session.list_networks(&tenant(), &filter).await.unwrap();
    assert_eq!(
        mine.iter().map(|network| network.id.as_str()).collect::<Vec<_>>(),
        ["n1"]
    );
    let all = session.list_networks_all_projects(&filter).await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[2].project_id, None, "Neutron's own objects have an empty project");
    assert!(query(&fake.requests("GET", NETWORKS).await[1], "project_id").is_none());
}

#[tokio::test]
async fn a_service_that_repeats_a_page_is_an_error() {
    let fake = Fake::start().await;
    let body = json!({"networks": [network("n1", OWN_PROJECT)], "networks_links": [{"rel": "next", "href": "x"}]});
    fake.mount("GET", NETWORKS, ok(body)).await;
    let error = fake
        .cloud()
        .service()
        .list_networks(&own(), &NetworkFilter::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the pages of this list do not end"),
        "{error}"
    );
    assert_eq!(fake.requests("GET", NETWORKS).await.len(), 2);
}

#[tokio::test]
async fn a_list_begins_anew_when_the_object_between_two_pages_is_deleted() {
    let fake = Fake::start().await;
    let full = json!([{"rel": "next", "href": "x"}]);
    let gone = neutron_error(404, "NetworkNotFound", "Network n1 could not be found.");
    fake.mount_first(
        1,
        "GET",
        NETWORKS,
        ok(json!({"networks": [network("n1", OWN_PROJECT)], "networks_links": full})),
    )
    .await;
    fake.mount_first(1, "GET", NETWORKS, gone.clone()).await;
    fake.mount_first(
        1,
        "GET",
        NETWORKS,
        ok(json!({"networks": [network("n2", OWN_PROJECT)]})),
    )
    .await;
    fake.mount("GET", NETWORKS, gone).await;
    let session = fake.cloud().service();
    let found = session.list_networks(&own(), &NetworkFilter::default()).await.unwrap();
    assert_eq!(
        found.iter().map(|network| network.id.as_str()).collect::<Vec<_>>(),
        ["n2"]
    );
    let markers: Vec<_> = fake
        .requests("GET", NETWORKS)
        .await
        .iter()
        .map(|request| query(request, "marker"))
        .collect();
    assert_eq!(markers, [None, Some("n1".to_owned()), None]);
    let error = session
        .list_networks(&own(), &NetworkFilter::default())
        .await
        .unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        fake.requests("GET", NETWORKS).await.len(),
        4,
        "a 404 for the first page is final"
    );
}

#[tokio::test]
async fn a_list_that_is_none_is_an_error() {
    for body in [
        json!([]),
        json!({}),
        json!({"networks": {}}),
        json!("x"),
        json!({"networks": [{"id": 1}]}),
    ] {
        let fake = Fake::start().await;
        fake.mount("GET", NETWORKS, ok(body.clone())).await;
        let error = fake
            .cloud()
            .service()
            .list_networks(&own(), &NetworkFilter::default())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{body}: {error}");
    }
}

#[tokio::test]
async fn a_list_cut_short_by_keystone_is_read_on() {
    let fake = Fake::start().await;
    let project = |id: &str| json!({"id": id, "name": id, "domain_id": "default", "enabled": true, "tags": []});
    let at = "/identity/v3/projects";
    Mock::given(method("GET"))
        .and(path(at))
        .and(query_param_is_missing("marker"))
        .respond_with(ok(
            json!({"projects": [project("p1"), project("p2")], "truncated": true,
            "links": {"next": "http://elsewhere/?marker=p2", "self": "x", "previous": null}}),
        ))
        .mount(&fake.server)
        .await;
    Mock::given(method("GET"))
        .and(path(at))
        .and(query_param("marker", "p2"))
        .respond_with(ok(
            json!({"projects": [project("p3")], "links": {"next": null, "self": "x", "previous": null}}),
        ))
        .mount(&fake.server)
        .await;
    let found = fake
        .cloud()
        .service()
        .list_projects(&ProjectFilter::default())
        .await
        .unwrap();
    assert_eq!(
        found.iter().map(|p| p.id.clone()).collect::<Vec<ProjectId>>(),
        ["p1", "p2", "p3"].map(|p| p.parse().unwrap())
    );
}

#[tokio::test]
async fn lists_of_ports_ask_only_for_what_is_used() {
    let fake = Fake::start().await;
    let port = json!({"id": "p1", "network_id": "n1", "project_id": TENANT, "mac_address": "fa:16:3e:00:00:01",
        "fixed_ips": [{"subnet_id": "s1", "ip_address": "10.244.0.9"}], "binding:vif_type": "binding_failed",
        "created_at": "2026-11-22T03:00:00Z"});
    fake.mount("GET", "/networking/v2.0/ports", ok(json!({"ports": [port]})))
        .await;
    let filter = PortFilter {
        network_id: Some("n1".parse().unwrap()),
        device_owner: Some("compute:stackube".into()),
        device_id: Some("uid".into()),
        tags: vec!["t".into()],
        binding_host_id: Some("h.example.org".into()),
        ip_address: Some("10.244.0.9".parse().unwrap()),
        security_group: Some("g1".parse().unwrap()),
        description: Some("d".into()),
    };
    let found = fake.cloud().service().list_ports(&tenant(), &filter).await.unwrap();
    assert_eq!(
        found[0].binding_vif_type,
        Some(stackube_openstack::network::BindingVifType::Failed)
    );
    let request = &fake.requests("GET", "/networking/v2.0/ports").await[0];
    for (name, value) in [
        ("network_id", "n1"),
        ("device_owner", "compute:stackube"),
        ("device_id", "uid"),
        ("security_groups", "g1"),
        ("description", "d"),
        ("tags", "t"),
        ("binding:host_id", "h.example.org"),
        ("fixed_ips", "ip_address=10.244.0.9"),
    ] {
        assert_eq!(query(request, name).as_deref(), Some(value), "{name}");
    }
    let fields: Vec<_> = request
        .url
        .query_pairs()
        .filter(|(key, _)| key == "fields")
        .map(|(_, value)| value)
        .collect();
    assert!(fields.iter().any(|field| field == "id") && fields.iter().any(|field| field == "project_id"));
}
