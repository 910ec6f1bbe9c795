use rstest::rstest;
use stackube_openstack::Credentials;

use super::*;

/// The seed's ConfigMap, with what has to change today.
fn settings() -> BTreeMap<String, String> {
    [
        ("auth-url", "https://192.168.128.66/identity_admin/v2.0"),
        ("tenant-name", "stackube"),
        ("region", "RegionOne"),
        ("ext-net-id", "550370a3-4fc2-4494-919d-cae33f5b3de8"),
        ("plugin-name", "ovn"),
        ("integration-bridge", "br-int"),
        ("user-cidr", "10.244.0.0/16"),
        ("user-gateway", "10.244.0.1"),
        ("kubernetes-host", "192.168.0.33"),
        ("kubernetes-port", "6443"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// What the seed's ConfigMap says, for tests of what is configured.
pub(crate) fn config() -> Config {
    parse::parse(&settings(), &credentials()).unwrap().config
}

fn credentials() -> BTreeMap<String, String> {
    [("username", "stackube"), ("password", "hunter2")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn problems(changes: &[(&str, Option<&str>)]) -> Vec<String> {
    let mut settings = settings();
    for (key, value) in changes {
        match value {
            Some(value) => settings.insert((*key).to_owned(), (*value).to_owned()),
            None => settings.remove(*key),
        };
    }
    parse::parse(&settings, &credentials())
        .err()
        .map(|error| error.problems)
        .unwrap_or_default()
}

#[test]
fn the_seeds_configuration_is_understood() {
    let loaded = parse::parse(&settings(), &credentials()).unwrap();
    let config = loaded.config;
    assert_eq!(
        config.cloud.auth_url.to_string(),
        "https://192.168.128.66/identity_admin/v3/"
    );
    assert_eq!(config.cloud.region.as_deref(), Some("RegionOne"));
    assert!(matches!(config.cloud.credentials, Credentials::Password { .. }));
    assert_eq!(
        config.api_server,
        Some(ApiServer {
            host: "192.168.0.33".into(),
            port: 6443
        })
    );
    assert_eq!(config.user_subnet.range().to_string(), "10.244.0.0/16");
    assert_eq!(config.system_subnet.gateway().to_string(), "10.240.0.1");
    assert_eq!(config.drift_interval, Duration::from_secs(600));
    assert!(loaded.warnings.is_empty());
}

#[rstest]
#[case("auth-url", None, "auth-url: is missing")]
#[case("auth-url", Some("keystone"), "auth-url: ")]
#[case("tenant-name", None, "tenant-name: is missing")]
#[case("ext-net-id", None, "ext-net-id: is missing")]
#[case("ext-net-id", Some("public net"), "ext-net-id: ")]
#[case("username", Some("admin"), "username: does not belong into a ConfigMap")]
#[case("password", Some("admin"), "password: does not belong into a ConfigMap")]
#[case("plugin-name", Some("ovs"), "plugin-name: \"ovs\" is not supported")]
#[case("integration-bridge", Some("a-name-that-is-too-long"), "integration-bridge: ")]
#[case("user-cidr", Some("10.244.0.0/25"), "user-cidr: cidr 10.244.0.0/25 is too small")]
#[case("user-cidr", Some("10.240.0.0/16"), "the system network")]
#[case("user-cidr", Some("10.96.0.0/16"), "addresses of Services")]
#[case("user-gateway", Some("10.245.0.1"), "user-cidr: gateway 10.245.0.1 is outside")]
#[case("kubernetes-port", Some("0"), "kubernetes-port: ")]
#[case("kubernetes-host", None, "kubernetes-port: has no effect")]
#[case("kubernetes-host", Some("https://x/"), "kubernetes-host: ")]
#[case("longest-prefix", Some("29"), "longest-prefix: ")]
#[case("drift-interval", Some("often"), "drift-interval: ")]
#[case("drift-interval", Some("1s"), "drift-interval: ")]
#[case("reserved-cidrs", Some("10.0.0.0/8 office\nrubbish"), "reserved-cidrs: ")]
#[case(
    "default-runtime-class",
    Some("None"),
    "default-runtime-class: \"None\" is neither none nor"
)]
#[case("interface", Some("secret"), "interface")]
#[case("default-quota", Some("kubernetes: [1]"), "default-quota: ")]
#[case("default-quota", Some("unknown: {}"), "default-quota: ")]
#[case(
    "default-quota",
    Some("containerLimits: {cpu: 0m, memory: 1Gi}"),
    "default-quota: containerLimits.cpu may not be 0"
)]
#[case(
    "default-quota",
    Some("containerLimits: {cpu: 100m, memory: 0.0e1}"),
    "default-quota: containerLimits.memory may not be 0"
)]
#[case("userCidr", Some("10.244.0.0/16"), "userCidr: no such key")]
#[case("application-credential-id", Some("x"), "bound to one project")]
fn a_bad_value_is_one_clear_problem(#[case] key: &str, #[case] value: Option<&str>, #[case] expected: &str) {
    let found = problems(&[(key, value)]);
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}

#[test]
fn all_problems_are_named_at_once() {
    let found = problems(&[
        ("auth-url", None),
        ("user-cidr", Some("x")),
        ("plugin-name", Some("ovs")),
        ("nonsense", Some("1")),
    ]);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn the_authority_of_keystones_certificate_is_a_file() {
    assert_eq!(config().cloud.ca_file, None);
    let mut settings = settings();
    settings.insert("ca-file".into(), "/etc/openstack/ca.pem".into());
    let config = parse::parse(&settings, &credentials()).unwrap().config;
    assert_eq!(
        config.cloud.ca_file.as_deref(),
        Some(Path::new("/etc/openstack/ca.pem"))
    );
}

#[test]
fn missing_credentials_are_named() {
    let error = parse::parse(&settings(), &BTreeMap::new()).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
}

#[test]
fn the_keyring_of_the_seed_is_ignored_with_a_warning_that_does_not_show_it() {
    let mut settings = settings();
    settings.insert("keyring".into(), "AQBZU51Z/Z71EBAAJuC17RYjjqIUANs2QVn7pw==".into());
    let warnings = parse::parse(&settings, &credentials()).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("keyring: not used") && !warnings[0].contains("AQBZ"));
}

#[rstest]
#[case(None, DefaultRuntime::Sandbox)]
#[case(Some("none"), DefaultRuntime::OfNodes)]
#[case(Some("runc"), DefaultRuntime::Class("runc".into()))]
fn the_nodes_own_runtime_has_to_be_asked_for(#[case] value: Option<&str>, #[case] expected: DefaultRuntime) {
    let mut settings = settings();
    settings.extend(value.map(|value| ("default-runtime-class".to_owned(), value.to_owned())));
    let admission = parse::parse(&settings, &credentials()).unwrap().config.admission;
    assert_eq!(admission.default_runtime, expected);
}

#[test]
fn reserved_ranges_have_a_purpose() {
    let mut settings = settings();
    settings.insert(
        "reserved-cidrs".into(),
        "# ours\n10.77.0.0/24 management network\n192.168.0.0/16\n".into(),
    );
    let rules = parse::parse(&settings, &credentials()).unwrap().config.address_rules;
    let error = Subnet::new("10.77.0.0/24", None, &rules).unwrap_err().to_string();
    assert!(error.contains("management network"), "{error}");
    assert!(Subnet::new("192.168.7.0/24", None, &rules).is_err());
}

#[test]
fn quotas_that_are_left_out_keep_their_values() {
    let mut settings = settings();
    settings.insert(
        "default-quota".into(),
        "kubernetes:\n  pods: \"10\"\nnetwork:\n  ports: 50\n".into(),
    );
    let defaults = parse::parse(&settings, &credentials()).unwrap().config.defaults;
    assert_eq!(defaults.kubernetes["pods"], Quantity("10".into()));
    assert_eq!((defaults.kubernetes.len(), defaults.network.ports), (1, Some(50)));
    assert_eq!(defaults.container_limits, built_in_defaults().container_limits);
}

/// What Kubernetes makes for tenants of what they write, beside what they may create themselves.
const MADE_FOR_TENANTS: [&str; 1] = ["controllerrevisions.apps"];

/// Kinds that quotas have always known, by names of their own: these count what exists.
const KNOWN: [&str; 4] = ["configmaps", "persistentvolumeclaims", "secrets", "services"];

#[test]
fn whatever_a_tenant_can_create_is_counted() {
    let roles = include_str!("../../../../deployment/rbac/tenants.yaml");
    let roles: Vec<serde_json::Value> = serde_saphyr::from_multiple(roles).unwrap();
    let hard = built_in_defaults().kubernetes;
    let (mut seen, mut missing) = (0, vec![]);
    let strings = |value: &serde_json::Value| serde_json::from_value::<Vec<String>>(value.clone()).unwrap();
    for rule in roles.iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        let verbs = strings(&rule["verbs"]);
        assert!(!verbs.contains(&"*".to_owned()), "{rule}");
        if !verbs.contains(&"create".to_owned()) {
            continue;
        }
        for group in strings(&rule["apiGroups"]) {
            // What is created by way of a subresource (exec, eviction, a token) is not kept.
            for resource in strings(&rule["resources"]).iter().filter(|name| !name.contains('/')) {
                seen += 1;
                let name = [resource.as_str(), &group].join(".");
                missing.push(name.trim_end_matches('.').to_owned());
            }
        }
    }
    missing.extend(MADE_FOR_TENANTS.map(str::to_owned));
    missing.retain(|name| !hard.contains_key(&format!("count/{name}")));
    missing.retain(|name| !(KNOWN.contains(&name.as_str()) && hard.contains_key(name)));
    assert!(missing.is_empty(), "not counted by the default quota: {missing:?}");
    assert!(seen > 40, "only {seen} kinds were looked at");
}

#[test]
fn a_volume_is_read_as_kubelet_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("..2026_11_22");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("region"), "RegionOne\n").unwrap();
    std::os::unix::fs::symlink(&data, dir.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/region", dir.path().join("region")).unwrap();
    assert_eq!(
        files::read(dir.path()).unwrap(),
        [("region".to_owned(), "RegionOne".to_owned())].into()
    );
    let error = files::read(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(error.contains("is the ConfigMap or Secret mounted there?"), "{error}");
}

#[test]
fn every_key_is_documented() {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/operator/configuration.md"
    ))
    .unwrap();
    let missing: Vec<_> = keys::KNOWN
        .iter()
        .filter(|key| !page.contains(&format!("| `{key}` |")))
        .collect();
    assert!(missing.is_empty(), "docs/operator/configuration.md lacks {missing:?}");
}
