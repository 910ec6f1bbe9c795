use serde::{Deserialize, Serialize};

use super::tags::{Tagged, push_tags};
use crate::error::Error;
use crate::id::{ProjectId, SecurityGroupId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Owned, Query, Resource, push};
use crate::service::Service;
use crate::session::Session;

mod rule;

pub use rule::{CreateSecurityGroupRule, Direction, EtherType, SecurityGroupRule};

/// A security group: what its ports may receive and send. The rules of all of a port's groups add up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecurityGroup {
    /// Its ID.
    pub id: SecurityGroupId,
    /// For display; `default` is the one that Neutron makes in every project.
    pub name: String,
    /// The owner.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// Whether answers to what was let through are let through.
    #[serde(default)]
    pub stateful: Option<bool>,
    /// Its rules.
    #[serde(default)]
    pub security_group_rules: Vec<SecurityGroupRule>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Grows with each change.
    #[serde(default)]
    pub revision_number: u64,
}

/// A security group to be made. Neutron adds rules that let everything out, and whatever the operator's default rules say.
#[derive(Debug, Clone, Serialize)]
pub struct CreateSecurityGroup {
    /// The owner.
    pub project_id: ProjectId,
    /// For display; not `default`.
    pub name: String,
    /// Free text, at most 255 characters. The one mark that is there from the beginning.
    pub description: String,
    /// At most 50 tags of 1 to 255 characters, put on by a second call.
    #[serde(skip)]
    pub tags: Vec<String>,
}

/// Changes of a security group; `None` leaves as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateSecurityGroup {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Payload for CreateSecurityGroup {}
impl Payload for UpdateSecurityGroup {}

/// Which security groups to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct SecurityGroupFilter {
    /// With this name.
    pub name: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// With exactly this description.
    pub description: Option<String>,
}

impl SecurityGroupFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "name", self.name.as_ref());
        push(&mut query, "description", self.description.as_ref());
        push_tags(&mut query, &self.tags);
        query
    }
}

impl Resource for SecurityGroup {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "security group";
    const COLLECTION: &'static str = "security-groups";
    const MEMBER: &'static str = "security-groups/{}";
    const KEY: &'static str = "security_group";
    const KEYS: &'static str = "security_groups";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Tagged for SecurityGroup {
    const TAGS: &'static str = "security-groups/{}/tags";

    fn tags_mut(&mut self) -> &mut Vec<String> {
        &mut self.tags
    }
}

impl Owned for SecurityGroup {
    /// Neutron answers a list by project with a new `default` group if the project has none, even if the project is gone.
    const LISTED_BY_PROJECT: bool = false;

    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// Makes it, then puts its tags on. If the second call fails, that is logged and the result has no tags.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`]; else as for any request.
    pub async fn create_security_group(&self, new: &CreateSecurityGroup) -> Result<SecurityGroup, Error> {
        Ok(self.tagged(self.create(new).await?, &new.tags).await)
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_security_group(&self, id: &SecurityGroupId) -> Result<SecurityGroup, Error> {
        self.get(id.as_str()).await
    }

    /// The security groups that the project owns. Neutron gives the project *of the session* a `default` group if it has none,
    /// so the last look at a tenant's groups is the service session's. That one reads those of all projects: filter.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_security_groups(
        &self,
        project: &ProjectId,
        filter: &SecurityGroupFilter,
    ) -> Result<Vec<SecurityGroup>, Error> {
        self.list_owned(project, filter.query()).await
    }

    /// The security groups that this session may see, whoever owns them.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_security_groups_all_projects(
        &self,
        filter: &SecurityGroupFilter,
    ) -> Result<Vec<SecurityGroup>, Error> {
        self.list(filter.query()).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn update_security_group(
        &self,
        id: &SecurityGroupId,
        change: &UpdateSecurityGroup,
    ) -> Result<SecurityGroup, Error> {
        self.put(id.as_str(), change, None).await
    }

    /// Deletes it with its rules; absence is success. A project's `default` group can only be deleted by an administrator.
    ///
    /// # Errors
    /// [`Error::Conflict`] (`SecurityGroupInUse`) while ports have it; else as for any request.
    pub async fn delete_security_group(&self, id: &SecurityGroupId) -> Result<(), Error> {
        self.delete::<SecurityGroup>(id.as_str()).await
    }
}
