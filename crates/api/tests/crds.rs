//! The checked-in CRD manifests are what the types say. `make generate` rewrites them.

use std::{env, fs, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use stackube_api::{Network, Port, Tenant};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../deployment/crds")
        .join(format!("{name}.yaml"))
}

fn crds() -> [(&'static str, CustomResourceDefinition); 3] {
    [
        ("networks", Network::crd()),
        ("ports", Port::crd()),
        ("tenants", Tenant::crd()),
    ]
}

#[test]
fn manifests_are_up_to_date() {
    for (name, crd) in crds() {
        let wanted = format!(
            "# Generated from crates/api by `make generate`.\n{}",
            serde_saphyr::to_string(&crd).unwrap()
        );
        if env::var_os("STACKUBE_GENERATE").is_some() {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), &wanted).unwrap();
        }
        let found = fs::read_to_string(path(name)).unwrap_or_default();
        assert_eq!(
            found,
            wanted,
            "{} is out of date: run `make generate`",
            path(name).display()
        );
    }
}

#[test]
fn the_operators_page_has_every_field_of_a_tenant() {
    let page = include_str!("../../../docs/operator/tenants.md");
    let schema = serde_json::to_value(&Tenant::crd().spec.versions[0].schema).unwrap();
    let fields = schema["openAPIV3Schema"]["properties"]["spec"]["properties"]
        .as_object()
        .unwrap();
    let missing: Vec<_> = fields
        .keys()
        .filter(|field| !page.contains(&format!("\n| `{field}` |")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/operator/tenants.md does not tell of {missing:?}"
    );
}

#[test]
fn every_field_has_a_description() {
    for (name, crd) in crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let mut missing = vec![];
        undescribed(&schema["openAPIV3Schema"]["properties"]["spec"], "spec", &mut missing);
        undescribed(
            &schema["openAPIV3Schema"]["properties"]["status"],
            "status",
            &mut missing,
        );
        assert!(
            missing.is_empty(),
            "{name}: no text for `kubectl explain` at {missing:?}"
        );
    }
}

fn undescribed(schema: &serde_json::Value, at: &str, missing: &mut Vec<String>) {
    if at.ends_with(".conditions") {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let here = format!("{at}.{name}");
        if property["description"].as_str().is_none_or(str::is_empty) {
            missing.push(here.clone());
        }
        undescribed(property, &here, missing);
        undescribed(&property["items"], &here, missing);
    }
}

#[test]
fn the_group_is_declared_as_unapproved() {
    for (_, crd) in crds() {
        let annotations = crd.metadata.annotations.unwrap();
        assert!(annotations["api-approved.kubernetes.io"].starts_with("unapproved"));
    }
}
