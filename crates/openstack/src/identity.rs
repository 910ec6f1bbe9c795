//! Keystone v3: domains, projects, users, groups, roles and who has which.
//!
//! Names are looked up once and turned into IDs; nothing else here takes a name.

mod domain;
mod group;
mod project;
mod role;
mod user;

pub use domain::Domain;
pub use group::Group;
pub use project::{CreateProject, Project, ProjectFilter, UpdateProject};
pub use role::{Actor, AssignmentScope, CreateRole, Role, RoleAssignment};
pub use user::{CreateUser, UpdateUser, User};
