use serde::Deserialize;

use crate::error::Error;
use crate::id::{DomainId, GroupId};
use crate::resource::{Resource, at_most_one};
use crate::service::Service;
use crate::session::Session;

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// Its ID.
    pub id: GroupId,
    /// Its name, unique in its domain.
    pub name: String,
    /// The domain that owns it.
    pub domain_id: DomainId,
}

impl Resource for Group {
    const SERVICE: Service = Service::Identity;
    const WHAT: &'static str = "group";
    const COLLECTION: &'static str = "groups";
    const MEMBER: &'static str = "groups/{}";
    const KEY: &'static str = "group";
    const KEYS: &'static str = "groups";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Session {
    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_group(&self, id: &GroupId) -> Result<Group, Error> {
        self.get(id.as_str()).await
    }

    /// # Errors
    /// As for any request.
    pub async fn find_group(&self, domain: &DomainId, name: &str) -> Result<Option<Group>, Error> {
        let mut found: Vec<Group> = self
            .list(vec![("domain_id", domain.to_string()), ("name", name.to_owned())])
            .await?;
        found.retain(|group| &group.domain_id == domain);
        at_most_one(Group::WHAT, format!("name {name:?} in domain {domain}"), found)
    }
}
