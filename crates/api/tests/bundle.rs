//! What Stackube's own pods may do on their nodes, as deployment/stackube.yaml and deployment/stackube-proxy.yaml install them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use k8s_openapi::api::core::v1::{Capabilities, Container, PodSpec, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};

/// A Deployment or DaemonSet, as far as it matters here.
#[derive(Deserialize)]
struct Workload {
    metadata: ObjectMeta,
    spec: WorkloadSpec,
}

#[derive(Deserialize)]
struct WorkloadSpec {
    template: PodTemplateSpec,
}

/// Pods of the workloads in a manifest, by the workload's name.
fn pods(manifest: &str) -> BTreeMap<String, PodSpec> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../deployment")
        .join(manifest);
    let text = fs::read_to_string(path).unwrap();
    let mut pods = BTreeMap::new();
    for document in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        // Before the first object there are only comments.
        match object["kind"].as_str().unwrap_or_default() {
            "Deployment" | "DaemonSet" => {
                // Modes of files are octal, as kubectl reads them.
                let options = serde_saphyr::options! { legacy_octal_numbers: true };
                let workload: Workload = serde_saphyr::from_str_with_options(document, options).unwrap();
                pods.insert(workload.metadata.name.unwrap(), workload.spec.template.spec.unwrap());
            }
            kind => assert!(
                !["Pod", "ReplicaSet", "StatefulSet", "Job", "CronJob"].contains(&kind),
                "{manifest} has a {kind}, which this test does not look at"
            ),
        }
    }
    pods
}

fn all_pods() -> BTreeMap<String, PodSpec> {
    let mut all = pods("stackube.yaml");
    all.extend(pods("stackube-proxy.yaml"));
    all
}

/// What a pod has that another need not have.
#[derive(Debug, PartialEq)]
struct Rights {
    only_on_the_control_plane: bool,
    as_root: bool,
    capabilities: Vec<String>,
    secrets: Vec<String>,
    host_paths: Vec<String>,
}

impl Rights {
    fn of(pod: &PodSpec) -> Self {
        let [container] = &pod.containers[..] else {
            panic!("not one container");
        };
        let volumes = pod.volumes.as_deref().unwrap_or_default();
        let given = |pick: fn(&Volume) -> Option<String>| volumes.iter().filter_map(pick).collect();
        Self {
            only_on_the_control_plane: requires_control_plane(pod),
            as_root: pod.security_context.as_ref().and_then(|c| c.run_as_non_root) != Some(true),
            capabilities: capabilities(container, |c| c.add.clone()),
            secrets: given(|volume| volume.secret.as_ref().map(|s| s.secret_name.clone().unwrap())),
            host_paths: given(|volume| volume.host_path.as_ref().map(|p| p.path.clone())),
        }
    }
}

fn capabilities(container: &Container, pick: fn(&Capabilities) -> Option<Vec<String>>) -> Vec<String> {
    let context = container.security_context.as_ref();
    let capabilities = context.and_then(|context| context.capabilities.as_ref());
    capabilities.and_then(pick).unwrap_or_default()
}

/// Whether every term of a required node affinity, and there is one, asks for a control plane node.
fn requires_control_plane(pod: &PodSpec) -> bool {
    let affinity = serde_json::to_value(&pod.affinity).unwrap();
    let terms = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let wanted = json!({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"});
    let asks = |term: &Value| {
        let expressions = term["matchExpressions"].as_array();
        expressions.is_some_and(|expressions| expressions.contains(&wanted))
    };
    terms
        .as_array()
        .is_some_and(|terms| !terms.is_empty() && terms.iter().all(asks))
}

#[test]
fn each_pod_has_the_rights_that_it_needs_and_no_other() {
    let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
    let rights = |control_plane, as_root, capabilities: &[&str], secrets: &[&str], host_paths: &[&str]| Rights {
        only_on_the_control_plane: control_plane,
        as_root,
        capabilities: strings(capabilities),
        secrets: strings(secrets),
        host_paths: strings(host_paths),
    };
    // Who holds OpenStack's credentials, or answers the API server, never runs beside tenants' pods; who does run there has neither.
    let node = [
        "/sys/fs/bpf",
        "/sys/fs/cgroup",
        "/run/openvswitch",
        "/run/stackube",
        "/opt/cni/bin",
        "/etc/cni/net.d",
    ];
    let certificates = ["/etc/kubernetes/pki/stackube-auth", "/etc/ssl/certs"];
    let wanted = [
        (
            "stackube-controller",
            rights(true, false, &[], &["stackube-credentials"], &certificates[1..]),
        ),
        ("stackube-auth", rights(true, false, &[], &[], &certificates)),
        (
            "kubestack",
            rights(false, true, &["NET_ADMIN", "BPF", "PERFMON"], &[], &node),
        ),
        (
            "stackube-proxy",
            rights(false, true, &["BPF", "NET_BIND_SERVICE"], &[], &node[..1]),
        ),
    ];
    let found: BTreeMap<_, _> = all_pods()
        .into_iter()
        .map(|(name, pod)| (name, Rights::of(&pod)))
        .collect();
    let wanted: BTreeMap<_, _> = wanted.map(|(name, rights)| (name.to_owned(), rights)).into();
    assert_eq!(found, wanted);
}

#[test]
fn no_pod_needs_the_network_that_it_makes() {
    for (name, pod) in all_pods() {
        assert_eq!(pod.host_network, Some(true), "{name}");
        assert_eq!(pod.dns_policy.as_deref(), Some("Default"), "{name}");
    }
}

#[test]
fn no_pod_has_what_nobody_needs() {
    for (name, pod) in all_pods() {
        let shares = [pod.host_pid, pod.host_ipc, pod.share_process_namespace];
        assert!(
            shares.iter().all(|shared| shared.is_none()),
            "{name} shares namespaces: {shares:?}"
        );
        assert!(
            pod.init_containers.is_none(),
            "{name} has containers that are not looked at"
        );
        let text = serde_json::to_string(&pod).unwrap();
        for word in ["secretKeyRef", "secretRef", "projected", "privileged\"", "Unconfined"] {
            assert!(!text.contains(word), "{name} has {word}");
        }
        for container in &pod.containers {
            let context = container.security_context.as_ref().unwrap();
            let may = (context.allow_privilege_escalation, context.read_only_root_filesystem);
            assert_eq!(may, (Some(false), Some(true)), "{name}");
            assert_eq!(capabilities(container, |c| c.drop.clone()), ["ALL"], "{name}");
            let own = context.seccomp_profile.as_ref();
            let seccomp = own.or_else(|| pod.security_context.as_ref()?.seccomp_profile.as_ref());
            assert_eq!(
                seccomp.map(|profile| profile.type_.as_str()),
                Some("RuntimeDefault"),
                "{name}"
            );
        }
    }
}
