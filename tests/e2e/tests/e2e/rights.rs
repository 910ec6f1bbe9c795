//! What members of a tenant may do in Kubernetes: every role, in their own namespace and in others.

use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt, stream};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::{Api, Client, ResourceExt};
use stackube_api::names::tenant_reader;
use stackube_e2e::{
    always::always,
    devbox::Devbox,
    identity::Identity,
    keystone::with_keystone,
    tenant::{self, with_two_tenants},
    wait,
};
use stackube_openstack::id::ProjectId;

use crate::shared;

mod list;
mod members;
pub(crate) mod requests;
mod running;
pub(crate) mod tables;

use members::Member;
use tables::{CLUSTER, OWN, pairs};

/// Namespaces of the administrator.
pub(crate) const OTHERS: [&str; 2] = ["kube-system", "stackube-system"];
/// Questions at the same time.
pub(crate) const AT_ONCE: usize = 8;

/// Verb, `group/resource/subresource`, namespace, name, and whether the bearer may.
type Cell<'a> = (&'a str, &'a str, &'a str, &'a str, bool);

/// All cells of one role: `index` is its place among admin, edit, view.
fn cells<'a>(index: usize, own: &'a str, others: &[&'a str]) -> Vec<Cell<'a>> {
    let mut cells = vec![];
    for (verbs, resources, expected) in OWN {
        for (verb, resource) in pairs(verbs, resources) {
            cells.push((verb, resource, own, "", expected.as_bytes()[index] == b'y'));
            cells.extend(others.iter().map(|other| (verb, resource, *other, "", false)));
        }
    }
    for (verbs, resources) in CLUSTER {
        cells.extend(pairs(verbs, resources).map(|(verb, resource)| (verb, resource, "", "", false)));
    }
    cells.extend(others.iter().flat_map(|other| {
        [
            ("get", "stackube.kubernetes.io/tenants", "", *other, false),
            ("get", "/namespaces", other, other, false),
        ]
    }));
    cells.push(("get", "/namespaces", own, own, true));
    cells
}

/// Asks the API server about every cell of one role, in the name of the client's token. How many were asked about, and
/// refused as they should be.
///
/// # Panics
/// With the answers that are wrong.
pub(crate) async fn assert_reviewed(client: &Client, index: usize, own: &str, others: &[&str]) -> (usize, usize) {
    let cells = cells(index, own, others);
    let who = &Identity::bearer();
    let answers = stream::iter(&cells).map(|&(verb, resource, namespace, name, expected)| async move {
        let allowed = who.may(client, verb, resource, namespace, name).await.unwrap();
        (allowed != expected).then(|| format!("{verb} {resource} {name} in {namespace:?}: {allowed}"))
    });
    let wrong: Vec<String> = answers
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(
        wrong.is_empty(),
        "{} of {} answers are wrong: {wrong:#?}",
        wrong.len(),
        cells.len()
    );
    let refused = cells.iter().filter(|cell| !cell.4).count();
    (cells.len(), refused)
}

#[tokio::test]
async fn each_role_has_its_rights_in_its_namespace_and_none_elsewhere() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "rights", async |own, other| {
        let (name, foreign) = (own.name_any(), other.name_any());
        let others: Vec<&str> = OTHERS.into_iter().chain([foreign.as_str()]).collect();
        with_keystone(&devbox, async |keystone| {
            let (mut asked, mut tried) = ((0, 0), (0, 0));
            let (members, ()) = tokio::join!(members::of(&devbox, keystone, &own), running::make(&devbox, &name));
            for (index, member) in members.iter().enumerate() {
                let client = &member.client;
                let (all, refused) = assert_reviewed(client, index, &name, &others).await;
                asked = (asked.0 + all, asked.1 + refused);
                let reader = Identity::bearer();
                let tenants = "stackube.kubernetes.io/tenants";
                assert!(reader.may(client, "get", tenants, "", &name).await.unwrap());
                let (all, refused) = requests::assert_answered(client, index, &name, &others).await;
                tried = (tried.0 + all, tried.1 + refused);
                let (all, refused) = running::assert_answered(&devbox, member, index, &name, &foreign).await;
                tried = (tried.0 + all, tried.1 + refused);
                list::assert_shown(&devbox, member, index, &name, &foreign).await;
            }
            println!(
                "rights: {} cells reviewed, {} refused; {} requests tried, {} refused",
                asked.0, asked.1, tried.0, tried.1
            );
            let viewer = members.last().unwrap();
            own_tenant_and_no_list(&devbox, viewer, &name).await;
        })
        .await;
        groups_that_only_look_like_it(&devbox, &name, &tenant::project_of(&own)).await;
    })
    .await;
}

/// Asserts that kubectl shows a member its own Tenant and Network, and not who else is there.
async fn own_tenant_and_no_list(devbox: &Devbox, member: &Member, name: &str) {
    let kubectl = async |arguments: &[&str]| devbox.kubectl_with(&member.token, arguments).await;
    let seen = kubectl(&["get", "tenant", name, "-o", "name"]).await.unwrap();
    assert_eq!(seen.trim(), format!("tenant.stackube.kubernetes.io/{name}"));
    kubectl(&["-n", name, "get", "network", name]).await.unwrap();
    let refused = kubectl(&["get", "tenants"]).await.unwrap_err();
    assert!(format!("{refused:#}").contains("forbidden"), "{refused:#}");
    let operator = Identity::in_group("stackube:operators").flags();
    let arguments: Vec<&str> = operator.iter().map(String::as_str).chain(["get", "tenants"]).collect();
    assert!(devbox.kubectl(&arguments, "").await.unwrap().contains(name));
}

/// Asserts that groups made of names, or of other IDs, give nothing.
async fn groups_that_only_look_like_it(devbox: &Devbox, name: &str, project: &ProjectId) {
    let real = Identity::in_project(devbox, project, "stackube-admin").await;
    let role = real.groups[0].rsplit(':').next().unwrap().to_owned();
    for group in [
        // Names instead of IDs: whoever administers a domain could choose them.
        format!("keystone:project:{name}:stackube-admin"),
        format!("keystone:project:{name}:{role}"),
        format!("keystone:project:{project}:stackube-admin"),
        // Another project, another role, and both swapped.
        format!("keystone:project:00000000000000000000000000000000:{role}"),
        format!("keystone:project:{role}:{project}"),
        format!("keystone:project:{project}"),
        format!("keystone:project:{project}:{role}:"),
        format!("keystone:project:{project}:{role} "),
        format!("KEYSTONE:PROJECT:{project}:{role}"),
        "keystone:project:system:masters".to_owned(),
        "stackube:operator".to_owned(),
    ] {
        let who = Identity::in_group(&group);
        for (verb, path, namespace) in [
            ("get", "/pods", name),
            ("create", "/pods", name),
            ("list", "stackube.kubernetes.io/tenants", ""),
            ("get", "/secrets", "stackube-system"),
        ] {
            let allowed = who.may(&devbox.kube, verb, path, namespace, "").await.unwrap();
            assert!(!allowed, "{group:?} may {verb} {path} in {namespace:?}");
        }
    }
    assert!(real.may(&devbox.kube, "create", "/pods", name, "").await.unwrap());
}

#[tokio::test]
async fn rights_and_limits_are_put_back_and_go_with_the_tenant() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let roles: Api<ClusterRole> = Api::all(devbox.kube.clone());
    let cluster_bindings: Api<ClusterRoleBinding> = Api::all(devbox.kube.clone());
    let name = tenant::unique("bound");
    tenant::create(&devbox, &name, "").await.unwrap();
    let old = tenant::active(&devbox, &name).await.status.unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(devbox.kube.clone(), &name);
    let kept = [
        "rolebinding/stackube-edit",
        "resourcequota/stackube",
        "limitrange/stackube",
    ];
    let call = |verb| [&["-n", name.as_str(), verb][..], &kept].concat();
    devbox.kubectl(&call("delete"), "").await.unwrap();
    wait::until("rights and limits are back", Duration::from_secs(60), || async {
        devbox.kubectl(&call("get"), "").await
    })
    .await;
    roles.get(&tenant_reader(&name)).await.unwrap();
    tenant::delete(&devbox, &name).await;
    wait::until("the Tenant's own role is gone", Duration::from_secs(60), || async {
        let left = roles.get_opt(&tenant_reader(&name)).await?.is_some()
            || cluster_bindings.get_opt(&tenant_reader(&name)).await?.is_some();
        ensure!(!left, "it is left");
        Ok(())
    })
    .await;
    // Another Tenant of the same name has nothing of the old one.
    tenant::create(&devbox, &name, "").await.unwrap();
    let body = async {
        let new = tenant::active(&devbox, &name).await.status.unwrap();
        assert!(
            new.project_id != old.project_id && new.user_id != old.user_id,
            "{new:?}"
        );
        let bound = bindings
            .get("stackube-admin")
            .await
            .unwrap()
            .subjects
            .unwrap_or_default();
        let (project, former) = (new.project_id.unwrap(), old.project_id.unwrap());
        assert!(bound.iter().any(|subject| subject.name.contains(&project)), "{bound:?}");
        assert!(!bound.iter().any(|subject| subject.name.contains(&former)), "{bound:?}");
        devbox.log_in(&name, &name, &format!("initial-{name}")).await.unwrap();
    };
    always(body, tenant::delete(&devbox, &name)).await;
}
