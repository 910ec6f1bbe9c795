use serde::Deserialize;

use crate::error::Error;
use crate::id::DomainId;
use crate::resource::{Resource, at_most_one};
use crate::service::Service;
use crate::session::Session;

/// A domain: a name space of projects, users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Domain {
    /// Its ID.
    pub id: DomainId,
    /// Its name, unique in the cloud.
    pub name: String,
    /// Users of a disabled domain cannot log in.
    pub enabled: bool,
}

impl Resource for Domain {
    const SERVICE: Service = Service::Identity;
    const WHAT: &'static str = "domain";
    const COLLECTION: &'static str = "domains";
    const MEMBER: &'static str = "domains/{}";
    const KEY: &'static str = "domain";
    const KEYS: &'static str = "domains";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Session {
    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_domain(&self, id: &DomainId) -> Result<Domain, Error> {
        self.get(id.as_str()).await
    }

    /// The domain of that name (compared as Keystone's database does, usually without regard to case).
    ///
    /// # Errors
    /// As for any request.
    pub async fn find_domain(&self, name: &str) -> Result<Option<Domain>, Error> {
        let found = self.list(vec![("name", name.to_owned())]).await?;
        at_most_one(Domain::WHAT, format!("name {name:?}"), found)
    }
}
