use serde::Deserialize;

use crate::error::Error;
use crate::id::{ProjectId, RbacPolicyId, none_if_empty};
use crate::resource::{Owned, Resource};
use crate::service::Service;
use crate::session::Session;

/// That an object of one project is shared with another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RbacPolicy {
    /// Its ID.
    pub id: RbacPolicyId,
    /// The owner of the object.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// `network`, `security_group`, and so on.
    pub object_type: String,
    /// The ID of the object.
    pub object_id: String,
    /// `access_as_shared` or `access_as_external`.
    pub action: String,
    /// The ID of the project it is shared with, or `*` for all.
    #[serde(alias = "target_project")]
    pub target_tenant: String,
}

impl Resource for RbacPolicy {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "RBAC policy";
    const COLLECTION: &'static str = "rbac-policies";
    const MEMBER: &'static str = "rbac-policies/{}";
    const KEY: &'static str = "rbac_policy";
    const KEYS: &'static str = "rbac_policies";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Owned for RbacPolicy {
    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// What the project shares with others.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_rbac_policies(&self, project: &ProjectId) -> Result<Vec<RbacPolicy>, Error> {
        self.list_owned(project, Vec::new()).await
    }

    /// Ends the sharing; absence is success.
    ///
    /// # Errors
    /// [`Error::Conflict`] while the other project uses the object; else as for any request.
    pub async fn delete_rbac_policy(&self, id: &RbacPolicyId) -> Result<(), Error> {
        self.delete::<RbacPolicy>(id.as_str()).await
    }
}
