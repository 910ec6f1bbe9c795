use http::Method;
use serde::Deserialize;

use super::Actor;
use crate::error::Error;
use crate::id::{DomainId, GroupId, ProjectId, RoleId, UserId};
use crate::request::Request;
use crate::service::Service;
use crate::session::Session;

/// Where a role holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssignmentScope {
    /// In one project.
    Project(ProjectId),
    /// In a domain (not in its projects).
    Domain(DomainId),
    /// In the whole cloud.
    System,
}

/// That somebody has a role somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleAssignment {
    /// The role.
    pub role: RoleId,
    /// Who has it.
    pub actor: Actor,
    /// Where.
    pub scope: AssignmentScope,
    /// Whether it holds not there but in the projects below (`OS-INHERIT`).
    pub inherited: bool,
}

#[derive(Deserialize)]
struct Page {
    role_assignments: Vec<Body>,
}

#[derive(Deserialize)]
struct Body {
    role: Reference<RoleId>,
    user: Option<Reference<UserId>>,
    group: Option<Reference<GroupId>>,
    scope: Scope,
}

#[derive(Deserialize)]
struct Reference<T> {
    id: T,
}

#[derive(Deserialize)]
struct Scope {
    project: Option<Reference<ProjectId>>,
    domain: Option<Reference<DomainId>>,
    #[serde(rename = "OS-INHERIT:inherited_to")]
    inherited_to: Option<String>,
}

impl Body {
    /// `None` if it is not clear who has it or where.
    fn understand(self) -> Option<RoleAssignment> {
        let actor = match (self.user, self.group) {
            (Some(user), None) => Actor::User(user.id),
            (None, Some(group)) => Actor::Group(group.id),
            _ => return None,
        };
        let inherited = self.scope.inherited_to.is_some();
        let scope = match (self.scope.project, self.scope.domain) {
            (Some(project), None) => AssignmentScope::Project(project.id),
            (None, Some(domain)) => AssignmentScope::Domain(domain.id),
            (None, None) => AssignmentScope::System,
            (Some(_), Some(_)) => return None,
        };
        Some(RoleAssignment {
            role: self.role.id,
            actor,
            scope,
            inherited,
        })
    }
}

impl Session {
    /// Who was given which role in the project itself.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_role_assignments_of_project(&self, project: &ProjectId) -> Result<Vec<RoleAssignment>, Error> {
        self.role_assignments("scope.project.id", project.as_str()).await
    }

    /// What the actor itself (not through groups) was given, anywhere.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_role_assignments_of_actor(&self, actor: &Actor) -> Result<Vec<RoleAssignment>, Error> {
        match actor {
            Actor::User(id) => self.role_assignments("user.id", id.as_str()).await,
            Actor::Group(id) => self.role_assignments("group.id", id.as_str()).await,
        }
    }

    async fn role_assignments(&self, filter: &'static str, id: &str) -> Result<Vec<RoleAssignment>, Error> {
        let request = Request::new(Service::Identity, Method::GET, "role_assignments", &[])
            .about("role assignment", "list")
            .query([(filter, id.to_owned())]);
        let reply = self.send(request).await?;
        let page: Page = reply.decode()?;
        let complete: Option<Vec<_>> = page.role_assignments.into_iter().map(Body::understand).collect();
        complete.ok_or_else(|| reply.nonsense("a role assignment without a clear actor and scope"))
    }
}
