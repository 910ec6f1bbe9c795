//! How the Tenants are: one's own by name, and all for whoever may list them.

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use stackube_api::{Tenant, TenantState};

use super::{Finding, Report, sentence};

pub(super) async fn check(client: &Client, own: &[String], report: &mut Report) {
    let tenants: Api<Tenant> = Api::all(client.clone());
    for name in own {
        let finding = match tenants.get_opt(name).await {
            Ok(Some(tenant)) => judge(&tenant, Finding::Bad),
            Ok(None) => Finding::Bad(format!("the Tenant {name} is not there any more: ask the operator")),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                Finding::Unknown(format!("the kubeconfig's user is not one of the tenant {name}"))
            }
            Err(error) => Finding::Bad(sentence(error)),
        };
        report.add("your tenant", finding);
    }
    // Only operators may list them, and nobody else misses it.
    if let Ok(list) = tenants.list(&ListParams::default()).await {
        report.add("all tenants", all(&list.items));
    }
}

/// `wrong` makes the finding of a Tenant that is not Active.
fn judge(tenant: &Tenant, wrong: fn(String) -> Finding) -> Finding {
    let (name, status) = (tenant.name_any(), tenant.status.clone().unwrap_or_default());
    match status.state {
        Some(TenantState::Active) => Finding::Good(format!("{name} is Active")),
        state => {
            let state = state.map_or_else(
                || "not looked at by the controller yet".to_owned(),
                |state| format!("{state:?}"),
            );
            let message = status.message.as_deref().unwrap_or("nothing was said about it");
            wrong(format!(
                "{name} is {state}: {message}; see kubectl describe tenant {name}"
            ))
        }
    }
}

/// That one of many is not Active may be its own fault, or only a matter of time.
fn all(tenants: &[Tenant]) -> Finding {
    let doubts: Vec<String> = tenants
        .iter()
        .filter_map(|tenant| match judge(tenant, Finding::Doubtful) {
            Finding::Doubtful(text) => Some(text),
            _ => None,
        })
        .collect();
    if doubts.is_empty() {
        return Finding::Good(format!("{} Active", tenants.len()));
    }
    Finding::Doubtful(doubts.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tenant(name: &str, status: &serde_json::Value) -> Tenant {
        serde_json::from_value(json!({"apiVersion": "stackube.kubernetes.io/v1", "kind": "Tenant",
            "metadata": {"name": name}, "spec": {"username": name}, "status": status}))
        .unwrap()
    }

    #[test]
    fn says_of_a_tenant_that_is_not_active_why() {
        let good = tenant("a", &json!({"state": "Active"}));
        let failed = tenant("b", &json!({"state": "Failed", "message": "no RuntimeClass kata"}));
        let new = tenant("c", &json!({}));
        assert_eq!(judge(&good, Finding::Bad), Finding::Good("a is Active".to_owned()));
        assert!(
            matches!(judge(&failed, Finding::Bad), Finding::Bad(text) if text.contains("Failed: no RuntimeClass kata;"))
        );
        assert!(matches!(judge(&new, Finding::Bad), Finding::Bad(text) if text.contains("not looked at")));
        assert_eq!(all(std::slice::from_ref(&good)), Finding::Good("1 Active".to_owned()));
        assert!(
            matches!(all(&[good, failed, new]), Finding::Doubtful(text) if text.starts_with("b is Failed") && text.contains("; c is"))
        );
    }
}
