use super::*;

fn refused(result: Result<Valid, Refusal>, reason: &str, words: &str) {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.reason, reason, "{}", refusal.message);
    assert!(
        refusal.message.contains(words),
        "{:?} does not contain {words:?}",
        refusal.message
    );
}

#[test]
fn the_guides_tenant_is_valid() {
    let valid = check(&tenant(json!({})), &nothing()).unwrap();
    assert_eq!(valid.subnet.range().to_string(), "10.244.0.0/16");
    assert!(!valid.adopted && valid.network.is_none() && valid.members.is_empty());
}

#[rstest]
#[case(json!({"network": {"cidr": "10.244.0.0/25"}}), "InvalidNetwork", "too small")]
#[case(json!({"network": {"cidr": "10.244.0.7/16"}}), "InvalidNetwork", "write 10.244.0.0/16")]
#[case(json!({"network": {"cidr": "10.96.4.0/24"}}), "InvalidNetwork", "reserved (addresses of Services)")]
#[case(json!({"network": {"cidr": "169.254.77.0/24"}}), "InvalidNetwork", "link-local")]
#[case(json!({"network": {"cidr": "fd00::/64"}}), "InvalidNetwork", "IPv6 is not supported")]
#[case(json!({"network": {"cidr": "rubbish"}}), "InvalidNetwork", "spec.network")]
#[case(json!({"network": {"cidr": "10.244.0.0/16", "gateway": "10.245.0.1"}}), "InvalidNetwork", "outside of")]
#[case(json!({"network": {"cidr": "10.244.0.0/16", "gateway": "10.244.255.255"}}), "InvalidNetwork", "broadcast")]
#[case(json!({"network": {"cidr": "10.244.0.0/16", "networkID": "n1"}}), "InvalidNetwork", "spec.tenantID as well")]
#[case(json!({"members": [{"user": "../../x", "role": "view"}]}), "InvalidMember", "is not a user ID")]
#[case(json!({"members": [{"role": "view"}]}), "InvalidMember", "exactly one")]
#[case(json!({"members": [{"user": "a", "group": "b", "role": "view"}]}), "InvalidMember", "exactly one")]
#[case(json!({"tenantID": "../admin"}), "InvalidTenantID", "is not a project ID")]
#[case(json!({"tenantID": "p9"}), "ProjectNotFound", "no project with the ID p9")]
#[case(json!({"password": ""}), "PasswordMissing", "write one into spec.password")]
#[case(json!({"password": null, "passwordSecretRef": {"name": "pw"}}), "PasswordMissing", "no Secret pw")]
fn bad_input_is_refused_with_what_to_do(#[case] spec: Value, #[case] reason: &str, #[case] words: &str) {
    refused(check(&tenant(spec), &nothing()), reason, words);
}

#[test]
fn a_range_that_is_reserved_later_does_not_stop_a_tenant_that_has_it() {
    let mut existing = tenant(json!({"network": {"cidr": "10.96.4.0/24"}}));
    refused(check(&existing, &nothing()), "InvalidNetwork", "reserved");
    existing.status.get_or_insert_default().namespace = Some("test".into());
    let valid = check(&existing, &nothing()).unwrap();
    assert_eq!(valid.subnet.range().to_string(), "10.96.4.0/24");
}

#[test]
fn a_domain_that_does_not_exist_is_refused() {
    let observed = Observed {
        domain: None,
        ..nothing()
    };
    refused(
        check(&tenant(json!({"domain": "nowhere"})), &observed),
        "DomainNotFound",
        "nowhere",
    );
}

#[test]
fn an_existing_project_of_that_name_is_not_taken() {
    let observed = Observed {
        project: Some(project("p7", &[])),
        ..nothing()
    };
    refused(check(&tenant(json!({})), &observed), "ProjectExists", "spec.tenantID");
    let other_owner = project("p7", &marks::project_tags(CLUSTER, "another-uid"));
    let observed = Observed {
        project: Some(other_owner),
        ..nothing()
    };
    refused(check(&tenant(json!({})), &observed), "ProjectExists", "p7");
    let other_cluster = project("p7", &marks::project_tags("another-cluster", UID));
    let observed = Observed {
        project: Some(other_cluster),
        ..nothing()
    };
    refused(check(&tenant(json!({})), &observed), "ProjectExists", "p7");
}

#[test]
fn a_project_that_was_made_before_a_crash_is_found_again() {
    let observed = Observed {
        project: Some(our_project()),
        ..nothing()
    };
    assert!(check(&tenant(json!({})), &observed).is_ok());
}

#[test]
fn a_project_that_was_deleted_outside_is_not_silently_replaced() {
    refused(
        check(&with_status(tenant(json!({})), "p1", "u1"), &nothing()),
        "ProjectGone",
        "delete the Tenant",
    );
}

#[test]
fn an_existing_user_is_never_taken_over() {
    let observed = Observed {
        user: Some(user("u7", "somebody")),
        ..nothing()
    };
    refused(check(&tenant(json!({})), &observed), "UserExists", "spec.members");
    let of_another_tenant = marks::user_description(CLUSTER, "other", "another-uid");
    let observed = Observed {
        user: Some(user("u7", &of_another_tenant)),
        ..nothing()
    };
    refused(check(&tenant(json!({})), &observed), "UserExists", "u7");
    let observed = Observed {
        user: Some(our_user()),
        ..nothing()
    };
    assert!(check(&tenant(json!({})), &observed).is_ok());
}

/// Else nobody would be taken off the list of members meanwhile.
#[rstest]
#[case::by_its_id(with_status(tenant(json!({"password": null, "passwordSecretRef": {"name": "pw"}})), "p1", "u1"))]
#[case::by_its_mark(tenant(json!({"password": null, "passwordSecretRef": {"name": "pw"}})))]
fn a_secret_that_is_gone_does_not_stop_a_tenant_with_a_user(#[case] tenant: Tenant) {
    let observed = Observed {
        project: Some(our_project()),
        user: Some(our_user()),
        assignments: vec![held(by_user("u4"), "stackube-edit")],
        ..nothing()
    };
    let valid = check(&tenant, &observed).unwrap();
    let refusal = valid.password_missing.unwrap();
    assert_eq!(refusal.reason, "PasswordMissing");
    assert!(refusal.message.contains("no Secret pw"), "{}", refusal.message);
    let plan = planned(&tenant, &observed);
    assert_eq!(plan.revocations, observed.assignments);
    assert_eq!(plan.user, UserStep::Keep(UserId::new("u1").unwrap()));
}

fn adopting(change: impl FnOnce(&mut Project)) -> (Tenant, Observed) {
    let mut existing = project("p1", &[]);
    change(&mut existing);
    (
        tenant(json!({"tenantID": existing.id})),
        Observed {
            project: Some(existing),
            ..nothing()
        },
    )
}

#[test]
fn a_plain_project_can_be_adopted() {
    let (tenant, observed) = adopting(|_| {});
    assert!(check(&tenant, &observed).unwrap().adopted);
}

#[test]
fn an_adopted_project_must_be_a_tenants() {
    let (tenant, observed) = adopting(|project| project.id = ProjectId::new("service-project").unwrap());
    refused(check(&tenant, &observed), "ProjectReserved", "of Stackube itself");
    let (tenant, observed) = adopting(|project| project.domain_id = DomainId::new("other").unwrap());
    refused(check(&tenant, &observed), "ForeignDomain", "other");
    let (tenant, observed) = adopting(|project| project.is_domain = true);
    refused(check(&tenant, &observed), "ForeignDomain", "domain");
    let (tenant, observed) = adopting(|project| project.enabled = false);
    refused(check(&tenant, &observed), "ProjectDisabled", "enable it");
    let (tenant, observed) = adopting(|_| {});
    refused(
        check_used(&tenant, &observed, Some("first")),
        "ProjectInUse",
        "Tenant first",
    );
}

#[rstest]
#[case("admin")]
#[case("service")]
fn a_project_of_a_service_or_operator_is_not_adopted(#[case] role: &str) {
    let (tenant, mut observed) = adopting(|_| {});
    observed.assignments = vec![held(by_user("neutron"), role)];
    refused(check(&tenant, &observed), "ProjectReserved", role);
    let running = with_status(tenant, "p1", "u1");
    assert!(
        check(&running, &observed).is_ok(),
        "later it is the operators' business"
    );
}

#[rstest]
#[case("default")]
#[case("kube-public")]
#[case("stackube-system")]
fn reserved_names_are_refused(#[case] name: &str) {
    let mut reserved = tenant(json!({}));
    reserved.metadata.name = Some(name.into());
    refused(check(&reserved, &nothing()), "NameReserved", name);
}

#[rstest]
#[case::nobodys(json!({}), json!({}), false, Some("NamespaceExists"))]
#[case::ours(json!({TENANT_LABEL: "test"}), json!({TENANT_UID_ANNOTATION: UID}), true, None)]
#[case::of_an_older_tenant(json!({TENANT_LABEL: "test"}), json!({TENANT_UID_ANNOTATION: "old"}), false, Some("NamespaceExists"))]
#[case::label_alone(json!({TENANT_LABEL: "test"}), json!({}), false, Some("NamespaceExists"))]
#[case::of_another_tenant(json!({TENANT_LABEL: "other"}), json!({ADOPT_ANNOTATION: "test"}), false, Some("NamespaceExists"))]
#[case::handed_over(json!({}), json!({ADOPT_ANNOTATION: "test"}), false, None)]
#[case::handed_over_with_pods(json!({}), json!({ADOPT_ANNOTATION: "test"}), true, Some("NamespaceHasPods"))]
#[case::handed_to_another(json!({}), json!({ADOPT_ANNOTATION: "other"}), false, Some("NamespaceExists"))]
#[case::pods_came_in_between(
    json!({TENANT_LABEL: "test"}), json!({TENANT_UID_ANNOTATION: UID, ADOPT_ANNOTATION: "test"}), true, Some("NamespaceHasPods")
)]
fn whose_a_namespace_is(
    #[case] labels: Value,
    #[case] annotations: Value,
    #[case] has_pods: bool,
    #[case] reason: Option<&str>,
) {
    let observed = Observed {
        namespace: Some(namespace(labels, annotations)),
        has_pods,
        ..nothing()
    };
    assert_eq!(
        check(&tenant(json!({})), &observed).err().map(|refusal| refusal.reason),
        reason
    );
}
