//! Which Tenant has a project that existed before.

use super::*;
use crate::context::fake::{ApiServer, context};
use crate::port::fake::Fake;
use crate::tenant::judge;

fn named(name: &str, spec: Value) -> Tenant {
    let mut tenant = tenant(spec);
    tenant.metadata.name = Some(name.into());
    tenant.metadata.uid = Some(format!("uid-of-{name}"));
    tenant
}

fn taken_by(name: &str, with: Value) -> Tenant {
    let mut spec = json!({"tenantID": "p1"});
    spec.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    named(name, spec)
}

fn existing() -> Observed {
    Observed {
        project: Some(project("p1", &[])),
        ..nothing()
    }
}

#[rstest]
#[case::for_its_network(taken_by("first", json!({"network": {"cidr": "rubbish"}})), "InvalidNetwork")]
#[case::for_its_password(taken_by("first", json!({"password": null})), "PasswordMissing")]
#[case::for_its_name(taken_by("kube-system", json!({})), "NameReserved")]
#[tokio::test]
async fn a_tenant_that_is_refused_leaves_the_project_to_others(#[case] first: Tenant, #[case] reason: &str) {
    let (_, client) = ApiServer::new("/none", json!({}));
    let context = context(client, &Fake::start().await.cloud, vec![], vec![]);
    assert_eq!(judge(&first, &existing(), &context).unwrap_err().reason, reason);
    judge(&taken_by("second", json!({})), &existing(), &context).unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_refused_later_keeps_its_project() {
    let (_, client) = ApiServer::new("/none", json!({}));
    let context = context(client, &Fake::start().await.cloud, vec![], vec![]);
    judge(&taken_by("first", json!({})), &existing(), &context).unwrap();
    // The status is in the object that was read, and not yet where the other Tenants are looked for.
    let spoilt = with_status(taken_by("first", json!({"password": null})), "p1", "u1");
    assert_eq!(
        judge(&spoilt, &existing(), &context).unwrap_err().reason,
        "PasswordMissing"
    );
    let second = judge(&taken_by("second", json!({})), &existing(), &context).unwrap_err();
    assert_eq!(second.reason, "ProjectInUse");
    assert!(second.message.contains("the Tenant first"), "{}", second.message);
}
