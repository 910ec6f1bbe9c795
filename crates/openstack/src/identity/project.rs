use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::{DomainId, ProjectId};
use crate::request::Payload;
use crate::resource::{Query, Resource, at_most_one, push};
use crate::service::Service;
use crate::session::Session;

/// A project: what owns networks, ports and volumes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// Its ID.
    pub id: ProjectId,
    /// Its name, unique in its domain.
    pub name: String,
    /// The domain that owns it.
    pub domain_id: DomainId,
    /// Nobody gets a token for a disabled project.
    pub enabled: bool,
    /// Free text. Keystone lets only administrators change it.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags. Keystone lets only administrators change them.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether this is a domain acting as a project.
    #[serde(default)]
    pub is_domain: bool,
}

/// A project to be made.
#[derive(Debug, Clone, Serialize)]
pub struct CreateProject {
    /// 1 to 64 characters, unique in the domain.
    pub name: String,
    /// The domain that will own it.
    pub domain_id: DomainId,
    /// Free text.
    pub description: String,
    /// At most 80 tags of 1 to 255 characters, without `/` and `,`.
    pub tags: Vec<String>,
    /// Whether tokens are issued for it.
    pub enabled: bool,
}

/// Changes of a project; `None` leaves as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateProject {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// All tags it shall have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Whether tokens are issued for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl Payload for CreateProject {}
impl Payload for UpdateProject {}

/// Which projects to list; what is set must hold.
#[derive(Debug, Clone, Default)]
pub struct ProjectFilter {
    /// In this domain.
    pub domain_id: Option<DomainId>,
    /// With this name.
    pub name: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
}

impl ProjectFilter {
    fn query(&self) -> Query {
        let mut query = Query::new();
        push(&mut query, "domain_id", self.domain_id.as_ref());
        push(&mut query, "name", self.name.as_ref());
        push(&mut query, "tags", (!self.tags.is_empty()).then(|| self.tags.join(",")));
        query
    }
}

impl Resource for Project {
    const SERVICE: Service = Service::Identity;
    const WHAT: &'static str = "project";
    const COLLECTION: &'static str = "projects";
    const MEMBER: &'static str = "projects/{}";
    const KEY: &'static str = "project";
    const KEYS: &'static str = "projects";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Session {
    /// # Errors
    /// [`Error::Conflict`] if the name is taken in the domain; else as for any request.
    pub async fn create_project(&self, new: &CreateProject) -> Result<Project, Error> {
        self.create(new).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_project(&self, id: &ProjectId) -> Result<Project, Error> {
        self.get(id.as_str()).await
    }

    /// # Errors
    /// As for any request.
    pub async fn list_projects(&self, filter: &ProjectFilter) -> Result<Vec<Project>, Error> {
        self.list(filter.query()).await
    }

    /// # Errors
    /// As for any request.
    pub async fn find_project(&self, domain: &DomainId, name: &str) -> Result<Option<Project>, Error> {
        let filter = ProjectFilter {
            domain_id: Some(domain.clone()),
            name: Some(name.to_owned()),
            ..ProjectFilter::default()
        };
        let mut found = self.list_projects(&filter).await?;
        found.retain(|project| &project.domain_id == domain && !project.is_domain);
        at_most_one(Project::WHAT, format!("name {name:?} in domain {domain}"), found)
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none, [`Error::Conflict`] if a new name is taken; else as for any request.
    pub async fn update_project(&self, id: &ProjectId, change: &UpdateProject) -> Result<Project, Error> {
        self.patch(id.as_str(), change).await
    }

    /// Deletes it with its role assignments; absence is success. Neutron and Cinder keep what the project owned.
    ///
    /// # Errors
    /// As for any request.
    pub async fn delete_project(&self, id: &ProjectId) -> Result<(), Error> {
        self.delete::<Project>(id.as_str()).await
    }
}
