//! Complete lists.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{Query, Resource};
use crate::error::Error;
use crate::request::Request;
use crate::service::Service;
use crate::session::Session;

/// Against a service that always answers with another page.
const MAX_PAGES: usize = 10_000;

/// How often a list is begun anew because the object between two pages was deleted.
const MAX_RESTARTS: usize = 5;

/// One page.
struct Page<R> {
    objects: Vec<R>,
    /// The last object, if another page follows it.
    next: Option<String>,
}

#[derive(Deserialize)]
struct Link {
    rel: String,
}

impl Session {
    /// All pages of a list. Neutron is asked for pages of the configured size and says whether another follows; Keystone's
    /// lists are not paged unless the operator limits them, and then it says so too.
    ///
    /// A page is asked for by the ID of the last object before it; Neutron sorts what it pages by ID, so objects that exist
    /// throughout are seen exactly once. If that object is deleted just then, Neutron answers 404 and the list is begun anew.
    pub(crate) async fn list<R: Resource>(&self, query: Query) -> Result<Vec<R>, Error> {
        let mut restarts = 0;
        loop {
            match self.list_once(&query).await {
                Err((Error::NotFound { .. }, Some(_))) if restarts < MAX_RESTARTS => restarts += 1,
                Err((error, _)) => return Err(error),
                Ok(all) => return Ok(all),
            }
        }
    }

    /// An error comes with the marker of the page that failed, unless it was the first.
    async fn list_once<R: Resource>(&self, query: &Query) -> Result<Vec<R>, (Error, Option<String>)> {
        let mut all = Vec::new();
        let mut marker = None;
        for number in 1.. {
            match self.page::<R>(query, marker.as_deref(), number).await {
                Err(error) => return Err((error, marker)),
                Ok(page) => {
                    all.extend(page.objects);
                    if page.next.is_none() {
                        break;
                    }
                    marker = page.next;
                }
            }
        }
        Ok(all)
    }

    async fn page<R: Resource>(&self, query: &Query, marker: Option<&str>, number: usize) -> Result<Page<R>, Error> {
        let mut query = query.clone();
        if R::SERVICE == Service::Network {
            query.push(("limit", self.page_size().to_string()));
        }
        query.extend(marker.map(|id| ("marker", id.to_owned())));
        let request = Request::new(R::SERVICE, Method::GET, R::COLLECTION, &[]).about(R::WHAT, "list");
        let reply = self.send(request.query(query)).await?;
        let objects: Vec<R> = reply.decode_key(R::KEYS)?;
        let last = objects.last().map(|object| object.id().to_owned());
        let next = last.filter(|_| has_next(R::SERVICE, R::KEYS, &reply.decode().unwrap_or_default()));
        if next.is_some() && (next.as_deref() == marker || number == MAX_PAGES) {
            return Err(reply.nonsense("the pages of this list do not end"));
        }
        Ok(Page { objects, next })
    }
}

/// Neutron: `"ports_links": [{"rel": "next", "href": "..."}]`. Keystone: `"links": {"next": "..."}`, and `"truncated": true`
/// where `list_limit` cut it.
fn has_next(service: Service, keys: &str, page: &Value) -> bool {
    match service {
        Service::Network => {
            let links = page.get(format!("{keys}_links")).cloned().unwrap_or_default();
            serde_json::from_value::<Vec<Link>>(links).is_ok_and(|links| links.iter().any(|link| link.rel == "next"))
        }
        Service::Identity => {
            page.pointer("/links/next").is_some_and(Value::is_string)
                || page.get("truncated") == Some(&Value::Bool(true))
        }
    }
}
