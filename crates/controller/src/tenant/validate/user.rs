//! Whether the Tenant can have its user.

use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_api::conditions::USER_READY;
use stackube_openstack::identity::User;

use super::{Refusal, Rules, refuse};
use crate::tenant::dereference::Observed;
use crate::tenant::{marks, password};

/// A user that is to be made needs a password. One that is there has its own: that the Secret with it is missing is returned, not
/// refused, so that roles are taken away all the same.
pub(super) fn judge(
    tenant: &Tenant,
    observed: &Observed,
    password: Option<&password::Wanted>,
    rules: &Rules<'_>,
) -> Result<Option<Refusal>, Refusal> {
    let known = tenant.status.as_ref().and_then(|status| status.user_id.as_deref());
    match &observed.user {
        Some(user) if known == Some(user.id.as_str()) || is_ours(user, tenant, rules) => {
            let reference = tenant.spec.password_secret_ref.is_some();
            Ok((reference && password.is_none()).then(|| no_password(tenant)))
        }
        Some(user) => refuse(
            USER_READY,
            "UserExists",
            format!(
                "Keystone has a user named {:?} in this domain already ({}), which Stackube did not make for this Tenant: it is \
                 never taken over. Make the Tenant anew with another spec.username and give that user a role by spec.members",
                user.name, user.id
            ),
        ),
        None if password.is_none() => Err(no_password(tenant)),
        None => Ok(None),
    }
}

fn no_password(tenant: &Tenant) -> Refusal {
    let message = match &tenant.spec.password_secret_ref {
        Some(reference) => format!(
            "there is no Secret {} with the key `password` in namespace stackube-system: create it",
            reference.name
        ),
        None => "the user has no password: write one into spec.password or name a Secret".to_owned(),
    };
    Refusal {
        condition: USER_READY,
        reason: "PasswordMissing",
        message,
    }
}

fn is_ours(user: &User, tenant: &Tenant, rules: &Rules<'_>) -> bool {
    let owner = marks::owner_of_user(user.description.as_deref().unwrap_or_default(), &rules.identity.cluster);
    owner.is_some() && owner == tenant.uid().as_deref()
}
