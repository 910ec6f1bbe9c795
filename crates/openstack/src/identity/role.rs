use http::Method;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Optional};
use crate::id::{DomainId, GroupId, ProjectId, RoleId, UserId, none_if_empty};
use crate::request::{Payload, Request};
use crate::resource::{Resource, absent_is_done, at_most_one};
use crate::service::Service;
use crate::session::Session;

mod assignment;

pub use assignment::{AssignmentScope, RoleAssignment};

/// A role: a word that the policies of the services give a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Role {
    /// Its ID.
    pub id: RoleId,
    /// Its name, unique among global roles or in its domain.
    pub name: String,
    /// `None` for a global role, the only kind that services know by name.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub domain_id: Option<DomainId>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
}

/// A global role to be made.
#[derive(Debug, Clone, Serialize)]
pub struct CreateRole {
    /// 1 to 255 characters, unique among global roles.
    pub name: String,
    /// Free text.
    pub description: String,
}

impl Payload for CreateRole {}

/// Who can have a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// A user.
    User(UserId),
    /// Every member of a group.
    Group(GroupId),
}

impl Resource for Role {
    const SERVICE: Service = Service::Identity;
    const WHAT: &'static str = "role";
    const COLLECTION: &'static str = "roles";
    const MEMBER: &'static str = "roles/{}";
    const KEY: &'static str = "role";
    const KEYS: &'static str = "roles";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Session {
    /// # Errors
    /// [`Error::Conflict`] if the name is taken; else as for any request.
    pub async fn create_role(&self, new: &CreateRole) -> Result<Role, Error> {
        self.create(new).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_role(&self, id: &RoleId) -> Result<Role, Error> {
        self.get(id.as_str()).await
    }

    /// All global roles.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_roles(&self) -> Result<Vec<Role>, Error> {
        self.list(Vec::new()).await
    }

    /// The global role of that name.
    ///
    /// # Errors
    /// As for any request.
    pub async fn find_role(&self, name: &str) -> Result<Option<Role>, Error> {
        let mut found: Vec<Role> = self.list(vec![("name", name.to_owned())]).await?;
        found.retain(|role| role.domain_id.is_none());
        at_most_one(Role::WHAT, format!("name {name:?}"), found)
    }

    /// Deletes it with all its assignments; absence is success.
    ///
    /// # Errors
    /// As for any request.
    pub async fn delete_role(&self, id: &RoleId) -> Result<(), Error> {
        self.delete::<Role>(id.as_str()).await
    }

    /// Gives a role in a project. Giving it twice is success.
    ///
    /// # Errors
    /// [`Error::NotFound`] if project, actor or role do not exist; else as for any request.
    pub async fn grant_role(&self, project: &ProjectId, actor: &Actor, role: &RoleId) -> Result<(), Error> {
        self.send(grant(Method::PUT, project, actor, role)).await.map(drop)
    }

    /// Takes a role away. Absence of the assignment, or of project, actor or role, is success.
    ///
    /// # Errors
    /// As for any request.
    pub async fn revoke_role(&self, project: &ProjectId, actor: &Actor, role: &RoleId) -> Result<(), Error> {
        absent_is_done(self.send(grant(Method::DELETE, project, actor, role)).await.map(drop))
    }

    /// Whether the actor itself (not through a group) was given the role in the project.
    ///
    /// # Errors
    /// As for any request.
    pub async fn has_role(&self, project: &ProjectId, actor: &Actor, role: &RoleId) -> Result<bool, Error> {
        Ok(self
            .send(grant(Method::HEAD, project, actor, role))
            .await
            .optional()?
            .is_some())
    }
}

fn grant(method: Method, project: &ProjectId, actor: &Actor, role: &RoleId) -> Request {
    let (route, actor) = match actor {
        Actor::User(id) => ("projects/{}/users/{}/roles/{}", id.as_str()),
        Actor::Group(id) => ("projects/{}/groups/{}/roles/{}", id.as_str()),
    };
    Request::new(
        Service::Identity,
        method,
        route,
        &[project.as_str(), actor, role.as_str()],
    )
    .about(
        "project, actor or role of assignment",
        format!("{project}/{actor}/{role}"),
    )
}
