//! The calls that all kinds of objects have in common: create, get, list, update, delete.

use http::{HeaderValue, Method, header};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::id::ProjectId;
use crate::request::{Payload, Request};
use crate::service::Service;
use crate::session::Session;

mod paging;

/// A kind of object that has a collection of its own.
pub(crate) trait Resource: DeserializeOwned {
    const SERVICE: Service;
    /// For people: `security group`.
    const WHAT: &'static str;
    /// The path of the collection: `security-groups`.
    const COLLECTION: &'static str;
    /// The path of one: `security-groups/{}`.
    const MEMBER: &'static str;
    /// The key of one in a body: `security_group`.
    const KEY: &'static str;
    /// The key of many in a body: `security_groups`.
    const KEYS: &'static str;

    fn id(&self) -> &str;
}

/// A kind of object that belongs to a project.
pub(crate) trait Owned: Resource {
    /// Whether a list may be asked for by project. If not, all of it is read and what other projects own is left out here.
    const LISTED_BY_PROJECT: bool = true;

    fn project(&self) -> Option<&ProjectId>;
}

/// Filters of a list, as query parameters.
pub(crate) type Query = Vec<(&'static str, String)>;

/// Adds `name=value` where there is a value.
pub(crate) fn push(query: &mut Query, name: &'static str, value: Option<impl ToString>) {
    query.extend(value.map(|value| (name, value.to_string())));
}

impl Session {
    pub(crate) async fn create<R: Resource>(&self, new: &impl Payload) -> Result<R, Error> {
        let request = Request::new(R::SERVICE, Method::POST, R::COLLECTION, &[]).about(R::WHAT, "(new)");
        self.send(request.keyed(R::KEY, new)).await?.decode_key(R::KEY)
    }

    pub(crate) async fn get<R: Resource>(&self, id: &str) -> Result<R, Error> {
        let request = Request::new(R::SERVICE, Method::GET, R::MEMBER, &[id]).about(R::WHAT, id);
        self.send(request).await?.decode_key(R::KEY)
    }

    /// Keystone's way: PATCH.
    pub(crate) async fn patch<R: Resource>(&self, id: &str, change: &impl Payload) -> Result<R, Error> {
        let request = Request::new(R::SERVICE, Method::PATCH, R::MEMBER, &[id]).about(R::WHAT, id);
        self.send(request.keyed(R::KEY, change)).await?.decode_key(R::KEY)
    }

    /// Neutron's way: PUT, if wanted only on the revision that was read.
    pub(crate) async fn put<R: Resource>(
        &self,
        id: &str,
        change: &impl Payload,
        if_revision: Option<u64>,
    ) -> Result<R, Error> {
        let revision = if_revision.and_then(|n| HeaderValue::try_from(format!("revision_number={n}")).ok());
        let request = Request::new(R::SERVICE, Method::PUT, R::MEMBER, &[id])
            .about(R::WHAT, id)
            .header(header::IF_MATCH, revision)
            .keyed(R::KEY, change);
        self.send(request).await?.decode_key(R::KEY)
    }

    /// Absence is success, so deleting twice is.
    pub(crate) async fn delete<R: Resource>(&self, id: &str) -> Result<(), Error> {
        let request = Request::new(R::SERVICE, Method::DELETE, R::MEMBER, &[id]).about(R::WHAT, id);
        absent_is_done(self.send(request).await.map(drop))
    }

    /// What a project owns. Objects of other projects that the service lists all the same (shared networks, its own
    /// mistakes) are left out.
    pub(crate) async fn list_owned<R: Owned>(&self, project: &ProjectId, mut query: Query) -> Result<Vec<R>, Error> {
        if R::LISTED_BY_PROJECT {
            query.push(("project_id", project.to_string()));
        }
        let mut found: Vec<R> = self.list(query).await?;
        found.retain(|object| object.project() == Some(project));
        Ok(found)
    }
}

pub(crate) fn absent_is_done(result: Result<(), Error>) -> Result<(), Error> {
    result.or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })
}

/// The only one of `found`, if any.
///
/// # Errors
/// [`Error::Ambiguous`] if there are several: none is chosen.
pub(crate) fn at_most_one<T>(what: &'static str, by: String, mut found: Vec<T>) -> Result<Option<T>, Error> {
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => Err(Error::Ambiguous { what, by, count }),
    }
}
