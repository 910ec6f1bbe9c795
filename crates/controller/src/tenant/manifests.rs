//! The Kubernetes objects of a Tenant. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::{Map, Value, json};
use stackube_api::names::{
    CONTROLLER_FINALIZER, MANAGED_BY, MANAGED_BY_LABEL, PROJECT_ANNOTATION, RUNTIME_LABEL, TENANT_LABEL,
    TENANT_UID_ANNOTATION,
};
use stackube_api::{Network, NetworkSpec, PodSecurity, Tenant};
use stackube_openstack::id::ProjectId;

use super::validate::Valid;
use crate::config::Defaults;

/// Name of the ResourceQuota and of the LimitRange.
pub(super) const LIMITS: &str = "stackube";

pub(super) fn managed() -> BTreeMap<String, String> {
    [(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into()
}

/// Labels by which the API server decides about pods of the namespace, and ours.
fn namespace_labels(tenant: &Tenant, runtime_class: Option<&str>) -> BTreeMap<String, String> {
    let level = match tenant.spec.pod_security {
        PodSecurity::Baseline => "baseline",
        PodSecurity::Restricted => "restricted",
    };
    let mut labels = managed();
    labels.insert(TENANT_LABEL.to_owned(), tenant.name_any());
    labels.extend(runtime_class.map(|name| (RUNTIME_LABEL.to_owned(), name.to_owned())));
    for mode in ["enforce", "warn"] {
        labels.insert(format!("pod-security.kubernetes.io/{mode}"), level.to_owned());
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}-version"),
            "latest".to_owned(),
        );
    }
    labels
}

/// Whose it is. The project is not known before it is made.
fn namespace_annotations(tenant: &Tenant, project: Option<&ProjectId>) -> BTreeMap<String, String> {
    let project = project.map(|project| (PROJECT_ANNOTATION.to_owned(), project.to_string()));
    let uid = (TENANT_UID_ANNOTATION.to_owned(), tenant.uid().unwrap_or_default());
    project.into_iter().chain([uid]).collect()
}

/// The namespace with everything that decides about it in the call that creates it, but for the project, which may be as new.
pub(super) fn namespace(tenant: &Tenant, runtime_class: Option<&str>) -> Namespace {
    Namespace {
        metadata: ObjectMeta {
            name: Some(tenant.name_any()),
            labels: Some(namespace_labels(tenant, runtime_class)),
            annotations: Some(namespace_annotations(tenant, None)),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    }
}

/// A merge patch that gives a namespace the labels and annotations that it lacks, on the version that was read.
pub(super) fn namespace_change(
    tenant: &Tenant,
    namespace: &Namespace,
    runtime_class: Option<&str>,
    project: Option<&ProjectId>,
) -> Option<Value> {
    let missing = |wanted: BTreeMap<String, String>, present: &BTreeMap<String, String>| -> Map<String, Value> {
        wanted
            .into_iter()
            .filter(|(key, value)| present.get(key) != Some(value))
            .map(|(k, v)| (k, json!(v)))
            .collect()
    };
    let labels = missing(namespace_labels(tenant, runtime_class), namespace.labels());
    let annotations = missing(namespace_annotations(tenant, project), namespace.annotations());
    (!labels.is_empty() || !annotations.is_empty()).then(|| {
        json!({"metadata": {
            "labels": labels,
            "annotations": annotations,
            "resourceVersion": namespace.resource_version(),
        }})
    })
}

/// What the tenant may use in all.
pub(super) fn resource_quota(tenant: &Tenant, defaults: &Defaults) -> ResourceQuota {
    let mut hard = defaults.kubernetes.clone();
    hard.extend(tenant.spec.quota.kubernetes.clone());
    ResourceQuota {
        metadata: in_namespace(tenant),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard),
            ..ResourceQuotaSpec::default()
        }),
        ..ResourceQuota::default()
    }
}

/// What a container gets that names nothing: without it the quota would refuse a plain `kubectl run`.
pub(super) fn limit_range(tenant: &Tenant, defaults: &Defaults) -> LimitRange {
    let item = LimitRangeItem {
        type_: "Container".to_owned(),
        default_request: Some(defaults.container_requests.clone()),
        default: Some(defaults.container_limits.clone()),
        ..LimitRangeItem::default()
    };
    LimitRange {
        metadata: in_namespace(tenant),
        spec: Some(LimitRangeSpec { limits: vec![item] }),
    }
}

fn in_namespace(tenant: &Tenant) -> ObjectMeta {
    ObjectMeta {
        name: Some(LIMITS.to_owned()),
        namespace: Some(tenant.name_any()),
        labels: Some(managed()),
        ..ObjectMeta::default()
    }
}

/// The tenant's one Network, named like its namespace. It is born with the finalizer, since nothing may be made for it before.
pub(super) fn network(tenant: &Tenant, valid: &Valid) -> Network {
    let spec = NetworkSpec {
        cidr: valid.subnet.range().to_string(),
        gateway: valid.subnet.gateway().to_string(),
        network_id: valid.network.as_ref().map(ToString::to_string),
    };
    let mut network = Network::new(&tenant.name_any(), spec);
    network.metadata.namespace = Some(tenant.name_any());
    network.metadata.labels = Some(managed());
    network.metadata.finalizers = Some(vec![CONTROLLER_FINALIZER.to_owned()]);
    network
}
