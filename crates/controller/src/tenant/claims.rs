//! One Tenant for a project: which Tenant has taken which existing project.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use stackube_api::Tenant;

use crate::context::Context;

/// Projects that Tenants have taken in this process, by the UID of the Tenant. It decides between two Tenants that ask for one
/// project at the same moment; everything older is in the Tenants' status.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<HashMap<String, (String, String)>>);

impl Claims {
    /// Takes `project` for the Tenant; if another one has it, its name.
    fn take(&self, project: &str, uid: &str, name: &str) -> Option<String> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (owner, owner_name) = taken
            .entry(project.to_owned())
            .or_insert_with(|| (uid.to_owned(), name.to_owned()));
        (owner != uid).then(|| owner_name.clone())
    }

    /// The Tenant was refused: what it has not got may be another's. The project in its status it has.
    pub(super) fn refused(&self, tenant: &Tenant) {
        let uid = tenant.uid().unwrap_or_default();
        let has = tenant.status.as_ref().and_then(|status| status.project_id.as_deref());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|project, (owner, _)| *owner != uid || has == Some(project));
    }

    /// The Tenant is gone.
    pub(super) fn release(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, (owner, _)| owner != uid);
    }
}

/// Another Tenant that uses the project which this one wants to adopt.
pub(super) fn other_user(tenant: &Tenant, context: &Context) -> Option<String> {
    let project = tenant.spec.tenant_id.as_deref()?;
    let uid = tenant.uid().unwrap_or_default();
    let established = context.tenants.find(|other| {
        let status = other.status.as_ref().and_then(|status| status.project_id.as_deref());
        other.uid().as_deref() != Some(uid.as_str()) && status == Some(project)
    });
    match established {
        Some(other) => Some(other.name_any()),
        None => context.claims.take(project, &uid, &tenant.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tenant_keeps_a_project_until_it_is_gone() {
        let claims = Claims::default();
        assert_eq!(claims.take("p", "u1", "one"), None);
        assert_eq!(claims.take("p", "u1", "one"), None, "again is fine");
        assert_eq!(claims.take("p", "u2", "two"), Some("one".into()));
        claims.release("u1");
        assert_eq!(claims.take("p", "u2", "two"), None);
    }
}
