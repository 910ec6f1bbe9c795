//! The real API server accepts good Tenants and Networks and refuses bad ones with a clear message, before any
//! controller sees them. All requests are dry runs: nothing is left behind.

use stackube_e2e::devbox::Devbox;

/// The Tenant of the user guide, as it stands there.
const GUIDE: &str = r#"
apiVersion: "stackube.kubernetes.io/v1"
kind: Tenant
metadata:
   name: test
spec:
   username: "test"
   password: "password"
"#;

fn tenant(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: stackube.kubernetes.io/v1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{username: u, {spec}}}\n"
    )
}

fn network(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: stackube.kubernetes.io/v1\nkind: Network\nmetadata: {{name: {name}, namespace: default}}\nspec: {{{spec}}}\n"
    )
}

async fn create(manifest: &str) -> anyhow::Result<String> {
    Devbox::connect()
        .await
        .kubectl(&["create", "--dry-run=server", "-f", "-"], manifest)
        .await
}

async fn refused(manifest: &str, message: &str) {
    match create(manifest).await {
        Ok(_) => panic!("accepted, although it should be refused with {message:?}:\n{manifest}"),
        Err(error) => assert!(
            format!("{error:#}").contains(message),
            "refused, but not with {message:?}: {error:#}"
        ),
    }
}

#[tokio::test]
async fn the_tenant_of_the_user_guide_is_accepted() {
    create(GUIDE).await.unwrap();
}

#[tokio::test]
async fn the_tenant_of_the_operators_page_is_accepted() {
    let page = include_str!("../../../../docs/operator/tenants.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    create(rest.split_once("```").unwrap().0).await.unwrap();
}

#[tokio::test]
async fn a_tenant_with_every_field_is_accepted() {
    let spec = "passwordSecretRef: {name: s}, tenantID: 0123456789abcdef0123456789abcdef, domain: Default, \
        members: [{user: u0123, role: edit}, {group: g4567, role: view}], openstackAccess: reader, \
        quota: {kubernetes: {pods: \"7\", requests.cpu: 500m}, network: {ports: 10, floatingIPs: 0}}, \
        runtimeClassName: gvisor, podSecurity: restricted, network: {cidr: 10.250.0.0/16, gateway: 10.250.0.1}";
    create(&tenant("every-field", spec)).await.unwrap();
}

#[tokio::test]
async fn reserved_names_are_refused() {
    for name in ["default", "kube-system", "kube-mine", "stackube-system"] {
        refused(&tenant(name, ""), "reserved").await;
    }
    for name in ["admin", "service"] {
        refused(&tenant(name, ""), "reserved by the operator").await;
    }
    refused(&tenant("a.b", ""), "lower-case letters, digits and hyphens").await;
    refused(&tenant(&"a".repeat(64), ""), "at most 63").await;
}

#[tokio::test]
async fn bad_addresses_are_refused() {
    for (network, message) in [
        ("cidr: not-a-range", "must be an IPv4 range"),
        ("cidr: \"fd00::/64\"", "must be an IPv4 range"),
        ("cidr: 10.244.0.5/16", "host bits"),
        ("cidr: 10.244.0.0/29", "between 8 and 28"),
        ("cidr: 10.244.0.0/26", "too small"),
        ("cidr: 10.96.0.0/16", "reserved range"),
        ("cidr: 10.0.0.0/8", "reserved range"),
        ("cidr: 169.254.0.0/16", "reserved range"),
        ("cidr: 10.244.0.0/16, gateway: 10.245.0.1", "outside of"),
        ("cidr: 10.244.0.0/16, gateway: \"fd00::1\"", "must be an IPv4 address"),
    ] {
        refused(&tenant("bad-addresses", &format!("network: {{{network}}}")), message).await;
    }
}

#[tokio::test]
async fn contradictions_are_refused() {
    refused(&tenant("both", "password: p, passwordSecretRef: {name: s}"), "not both").await;
    refused(
        &tenant("member", "members: [{user: a, group: b, role: edit}]"),
        "exactly one",
    )
    .await;
    refused(&tenant("member", "members: [{role: edit}]"), "exactly one").await;
    refused(
        &tenant("role", "members: [{user: a, role: owner}]"),
        "Unsupported value",
    )
    .await;
    refused(&tenant("access", "openstackAccess: admin"), "Unsupported value").await;
    refused(&tenant("level", "podSecurity: privileged"), "Unsupported value").await;
    refused(
        "apiVersion: stackube.kubernetes.io/v1\nkind: Tenant\nmetadata: {name: nobody}\nspec: {}\n",
        "username",
    )
    .await;
}

#[tokio::test]
async fn a_network_is_named_like_its_namespace() {
    create(&network("default", "cidr: 10.244.0.0/16, gateway: 10.244.0.1"))
        .await
        .unwrap();
    refused(
        &network("other", "cidr: 10.244.0.0/16, gateway: 10.244.0.1"),
        "named like the namespace",
    )
    .await;
    refused(
        &network("default", "cidr: 10.244.0.0/16, gateway: 10.245.0.1"),
        "outside of",
    )
    .await;
}

#[tokio::test]
async fn the_tenant_label_of_a_namespace_is_the_controllers() {
    let labelled =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: mine, labels: {stackube.kubernetes.io/tenant: mine}}\n";
    refused(labelled, "controller only").await;
}

#[tokio::test]
async fn every_field_is_explained() {
    let devbox = Devbox::connect().await;
    for resource in ["tenants", "networks", "ports"] {
        let text = devbox
            .kubectl(&["explain", "--recursive=false", &format!("{resource}.spec")], "")
            .await
            .unwrap();
        assert!(!text.contains("<no description>"), "{text}");
    }
}
