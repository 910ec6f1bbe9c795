//! The password of a tenant's user: moved out of the Tenant, kept in a Secret, applied once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use stackube_api::Tenant;
use stackube_api::names::{MANAGED_BY, MANAGED_BY_LABEL, SYSTEM_NAMESPACE, TENANT_UID_ANNOTATION, password_secret};

/// Key of the password, in the controller's own Secrets and in those that `passwordSecretRef` names.
pub(crate) const PASSWORD: &str = "password";
/// Key of the digest of the password that Keystone was last given.
const APPLIED: &str = "applied";

/// What a Secret of ours holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// The password, unless it comes from somewhere else.
    pub(crate) password: Option<SecretString>,
    /// Digest of the password that Keystone was last given.
    pub(crate) applied: Option<String>,
}

/// A password that Keystone should know, and whether it does.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The password.
    pub(crate) password: SecretString,
    /// Its digest.
    pub(crate) digest: String,
    /// Keystone was given this one. The user may have changed it there since; that is left alone.
    pub(crate) applied: bool,
}

/// Reads the Secret of the Tenant with this UID; what a former Tenant of the same name left counts for nothing.
pub(crate) fn kept(secret: &Secret, uid: &str) -> Kept {
    if secret
        .annotations()
        .get(TENANT_UID_ANNOTATION)
        .is_none_or(|owner| owner != uid)
    {
        return Kept::default();
    }
    Kept {
        password: value(secret, PASSWORD).map(SecretString::from),
        applied: value(secret, APPLIED),
    }
}

/// The password in a Secret that `passwordSecretRef` names.
pub(crate) fn referenced(secret: &Secret) -> Option<SecretString> {
    value(secret, PASSWORD).map(SecretString::from)
}

fn value(secret: &Secret, key: &str) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    String::from_utf8(bytes.clone()).ok().filter(|text| !text.is_empty())
}

/// The password that holds: of the referenced Secret, else what the spec says anew, else what was kept.
pub(crate) fn wanted(tenant: &Tenant, referenced: Option<&SecretString>, kept: &Kept) -> Option<Wanted> {
    let written = tenant
        .spec
        .password
        .as_ref()
        .filter(|password| !password.is_empty())
        .map(|p| p.secret());
    let password = match (&tenant.spec.password_secret_ref, written) {
        (Some(_), _) => referenced,
        (None, Some(written)) => Some(written),
        (None, None) => kept.password.as_ref(),
    }?;
    let digest = digest(&tenant.uid().unwrap_or_default(), password);
    let applied = kept.applied.as_deref() == Some(digest.as_str());
    Some(Wanted {
        password: password.clone(),
        digest,
        applied,
    })
}

/// Salted with the Tenant's UID, so that equal passwords of two tenants do not show. It lies beside the password itself (or
/// instead of it, when a Secret is referenced), readable only by who can read that.
fn digest(uid: &str, password: &SecretString) -> String {
    let mut hash = Sha256::new();
    hash.update(uid.as_bytes());
    hash.update([0]);
    hash.update(password.expose_secret().as_bytes());
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The controller's Secret of a tenant. `password` is left out when it lives in another Secret.
pub(crate) fn secret(tenant: &Tenant, password: Option<&SecretString>, applied: Option<&str>) -> Secret {
    let mut data = BTreeMap::new();
    data.extend(password.map(|text| {
        (
            PASSWORD.to_owned(),
            ByteString(text.expose_secret().as_bytes().to_vec()),
        )
    }));
    data.extend(applied.map(|text| (APPLIED.to_owned(), ByteString(text.as_bytes().to_vec()))));
    Secret {
        metadata: ObjectMeta {
            name: Some(password_secret(&tenant.name_any())),
            namespace: Some(SYSTEM_NAMESPACE.into()),
            labels: Some([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())].into()),
            annotations: Some([(TENANT_UID_ANNOTATION.to_owned(), tenant.uid().unwrap_or_default())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        type_: Some("stackube.kubernetes.io/tenant".into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use stackube_api::{PlainPassword, SecretReference, TenantSpec};

    use super::*;

    fn tenant(password: Option<&str>, reference: bool) -> Tenant {
        let password_secret_ref = reference.then(|| SecretReference {
            name: "elsewhere".into(),
        });
        let spec = TenantSpec {
            username: "test".into(),
            password: password.map(PlainPassword::from),
            password_secret_ref,
            ..TenantSpec::default()
        };
        let mut tenant = Tenant::new("test", spec);
        tenant.metadata.uid = Some("uid-1".into());
        tenant
    }

    fn round_trip(tenant: &Tenant, wanted: &Wanted) -> Kept {
        kept(&secret(tenant, Some(&wanted.password), Some(&wanted.digest)), "uid-1")
    }

    #[test]
    fn what_a_former_tenant_of_the_same_name_left_is_not_used() {
        let old = tenant(Some("first"), false);
        let first = wanted(&old, None, &Kept::default()).unwrap();
        let kept = kept(&secret(&old, Some(&first.password), Some(&first.digest)), "uid-2");
        assert!(kept.password.is_none() && kept.applied.is_none());
    }

    #[test]
    fn a_password_is_applied_once() {
        let new = tenant(Some("first"), false);
        let first = wanted(&new, None, &Kept::default()).unwrap();
        assert!(!first.applied);
        let kept = round_trip(&new, &first);
        let blanked = wanted(&tenant(None, false), None, &kept).unwrap();
        assert!(blanked.applied, "blanking the spec changes nothing");
        assert!(
            wanted(&new, None, &kept).unwrap().applied,
            "`kubectl apply` of the same file changes nothing"
        );
        let changed = wanted(&tenant(Some("second"), false), None, &kept).unwrap();
        assert!(!changed.applied);
        assert_eq!(changed.password.expose_secret(), "second");
    }

    #[test]
    fn a_referenced_secret_decides_alone() {
        let kept = Kept {
            password: Some("old".into()),
            applied: None,
        };
        assert!(
            wanted(&tenant(None, true), None, &kept).is_none(),
            "never falls back to what was kept"
        );
        let found = wanted(&tenant(None, true), Some(&"new".into()), &kept).unwrap();
        assert_eq!(found.password.expose_secret(), "new");
    }

    #[test]
    fn no_password_anywhere_is_none() {
        assert!(wanted(&tenant(None, false), None, &Kept::default()).is_none());
        assert!(
            wanted(&tenant(Some(""), false), None, &Kept::default()).is_none(),
            "blank means moved"
        );
    }

    #[test]
    fn equal_passwords_of_two_tenants_do_not_show() {
        assert_ne!(digest("uid-1", &"same".into()), digest("uid-2", &"same".into()));
    }
}
