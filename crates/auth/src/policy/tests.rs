use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// A token of user u1 with role r1 in project p1, changed as a case needs it.
fn token(change: &Value) -> TokenDetails {
    let mut token = json!({
        "issued_at": "2026-11-22T07:25:06.000000Z", "expires_at": "2026-11-22T08:25:06.000000Z",
        "user": {"id": "u1", "name": "ann", "domain": {"id": "d1", "name": "Customers"}},
        "project": {"id": "p1", "name": "acme", "domain": {"id": "d2", "name": "Projects"}},
        "roles": [{"id": "r1", "name": "stackube-admin"}, {"id": "r2", "name": "reader"}],
    });
    for (key, value) in change.as_object().unwrap() {
        match value {
            Value::Null => token.as_object_mut().unwrap().remove(key),
            value => token.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    serde_json::from_value(token).unwrap()
}

fn tenants() -> Tenants {
    Tenants::fixed([("acme", "p1"), ("other", "p2")])
}

fn policy() -> Policy {
    Policy {
        operators: vec!["r9@project:p9".parse().unwrap(), "r9@domain:d9".parse().unwrap()],
        user_domains: vec![],
    }
}

#[test]
fn a_user_is_made_of_identifiers() {
    let user = policy().judge(&token(&json!({})), &tenants()).unwrap();
    assert_eq!((user.username.as_str(), user.uid.as_str()), ("keystone:user:u1", "u1"));
    assert_eq!(
        user.groups,
        [
            "keystone:project:p1:r1",
            "keystone:project:p1:r2",
            "keystone:project:p1:user:u1"
        ]
    );
    let extra = |key: &str| user.extra[format!("stackube.kubernetes.io/{key}").as_str()].clone();
    assert_eq!(extra("tenant"), ["acme"]);
    assert_eq!(extra("project-id"), ["p1"]);
    assert_eq!(extra("user-name"), ["ann"]);
    assert_eq!(extra("roles"), ["stackube-admin", "reader"]);
    assert!(
        !user
            .extra
            .contains_key("stackube.kubernetes.io/application-credential-id")
    );
}

#[rstest]
#[case::trust(json!({"OS-TRUST:trust": {"id": "t"}}), Refusal::Delegated)]
#[case::oauth(json!({"OS-OAUTH1": {"access_token_id": "t"}}), Refusal::Delegated)]
#[case::rules(json!({"application_credential": {"id": "a", "access_rules": [{"service": "network"}]}}), Refusal::AccessRules)]
#[case::unscoped(json!({"project": null, "roles": null}), Refusal::Scope("unscoped"))]
#[case::domain(json!({"project": null, "domain": {"id": "d1", "name": "D"}}), Refusal::Scope("scoped to a domain"))]
#[case::system(json!({"project": null, "system": {"all": true}}), Refusal::Scope("scoped to the system"))]
#[case::no_tenant(json!({"project": {"id": "p3", "name": "acme", "domain": {"id": "d2"}}}), Refusal::NoTenant("p3".parse().unwrap()))]
#[case::no_roles(json!({"roles": []}), Refusal::NoRoles)]
// The operator's role elsewhere, and another role in the operators' project.
#[case::role_elsewhere(json!({"project": {"id": "p8", "name": "x", "domain": {"id": "d9"}}, "roles": [{"id": "r9", "name": "admin"}]}), Refusal::NoTenant("p8".parse().unwrap()))]
#[case::other_role(json!({"project": {"id": "p9", "name": "x", "domain": {"id": "d9"}}, "roles": [{"id": "r1", "name": "admin"}]}), Refusal::NoTenant("p9".parse().unwrap()))]
#[case::system_of_operator(json!({"project": null, "system": {"all": true}, "roles": [{"id": "r9", "name": "admin"}]}), Refusal::Scope("scoped to the system"))]
fn refuses(#[case] change: Value, #[case] expected: Refusal) {
    assert_eq!(policy().judge(&token(&change), &tenants()).unwrap_err(), expected);
}

#[rstest]
#[case(json!({"project": {"id": "p9", "name": "x", "domain": {"id": "d"}}, "roles": [{"id": "r9", "name": "x"}]}), true)]
#[case(json!({"project": null, "domain": {"id": "d9", "name": "D"}, "roles": [{"id": "r9", "name": "x"}]}), true)]
#[case(json!({"roles": [{"id": "r9", "name": "x"}]}), false)]
fn knows_operators_by_role_and_place(#[case] change: Value, #[case] expected: bool) {
    let user = policy().judge(&token(&change), &tenants()).unwrap();
    assert_eq!(user.groups.iter().any(|group| group == OPERATORS_GROUP), expected);
}

#[test]
fn before_the_first_list_only_operators_come_in() {
    let unknown = Tenants::default();
    assert_eq!(
        policy().judge(&token(&json!({})), &unknown).unwrap_err(),
        Refusal::NotReady
    );
    let operator =
        json!({"project": {"id": "p9", "name": "x", "domain": {"id": "d"}}, "roles": [{"id": "r9", "name": "x"}]});
    assert!(policy().judge(&token(&operator), &unknown).is_ok());
}

#[test]
fn user_domains_are_a_list_of_those_let_in() {
    let mut policy = policy();
    policy.user_domains = vec!["d1".parse().unwrap()];
    assert!(policy.judge(&token(&json!({})), &tenants()).is_ok());
    policy.user_domains = vec!["d2".parse().unwrap()];
    let refusal = policy.judge(&token(&json!({})), &tenants()).unwrap_err();
    assert_eq!(refusal, Refusal::Domain("d1".parse().unwrap()));
}

#[test]
fn application_credentials_without_rules_come_in_and_are_named() {
    let change = json!({"application_credential": {"id": "a1", "name": "n", "restricted": true}});
    let user = policy().judge(&token(&change), &tenants()).unwrap();
    assert_eq!(user.extra["stackube.kubernetes.io/application-credential-id"], ["a1"]);
    // What somebody bound to the user is not the credential's.
    assert_eq!(user.groups, ["keystone:project:p1:r1", "keystone:project:p1:r2"]);
}

proptest::proptest! {
    /// Whatever people and projects are called: no name of Kubernetes' own is ever answered.
    #[test]
    fn no_name_becomes_an_identity(name in "(system:(masters|nodes|admin)|cluster-admin|stackube:operators|.{0,40})") {
        let named = |id: &str| json!({"id": id, "name": name, "domain": {"id": "d1", "name": name}});
        let change = json!({"user": named("u1"), "project": named("p1"), "roles": [{"id": "r1", "name": name}]});
        let user = policy().judge(&token(&change), &tenants()).unwrap();
        proptest::prop_assert_eq!(user.username, "keystone:user:u1");
        proptest::prop_assert_eq!(user.groups, ["keystone:project:p1:r1", "keystone:project:p1:user:u1"]);
    }
}
