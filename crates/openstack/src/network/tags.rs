//! Tags. Neutron (29, 2026.1) takes them in the POST for ports only, and keeps them there only with the ML2 extension driver
//! `tag_ports_during_bulk_creation`: without it they are dropped without a word, and whether it is on cannot be asked (ML2/OVN
//! leaves its alias out of the list of extensions). So the answer is looked at. Everything else is tagged by a second call
//! (which raises the object's `revision_number`: read it again before an update that depends on it).
//!
//! Between the two calls, or after a crash there, `description` is what tells whose an object is: it is in the POST and can
//! be asked for in lists.

use http::Method;
use serde_json::json;

use crate::error::Error;
use crate::id::{NetworkId, PortId, RouterId, SecurityGroupId, SubnetId};
use crate::request::Request;
use crate::resource::{Query, Resource};
use crate::service::Service;
use crate::session::Session;

/// An object that carries tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taggable {
    /// A network.
    Network(NetworkId),
    /// A subnet.
    Subnet(SubnetId),
    /// A router.
    Router(RouterId),
    /// A port.
    Port(PortId),
    /// A security group.
    SecurityGroup(SecurityGroupId),
}

impl Taggable {
    fn route(&self) -> (&'static str, &'static str, &str) {
        match self {
            Self::Network(id) => ("networks/{}/tags", "network", id.as_str()),
            Self::Subnet(id) => ("subnets/{}/tags", "subnet", id.as_str()),
            Self::Router(id) => ("routers/{}/tags", "router", id.as_str()),
            Self::Port(id) => ("ports/{}/tags", "port", id.as_str()),
            Self::SecurityGroup(id) => ("security-groups/{}/tags", "security group", id.as_str()),
        }
    }
}

impl Session {
    /// Makes `tags` all the tags of an object.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the object does not exist; else as for any request.
    pub async fn replace_tags(&self, object: &Taggable, tags: &[String]) -> Result<(), Error> {
        let (route, what, id) = object.route();
        self.put_tags(route, what, id, tags).await
    }

    async fn put_tags(&self, route: &'static str, what: &'static str, id: &str, tags: &[String]) -> Result<(), Error> {
        let request = Request::new(Service::Network, Method::PUT, route, &[id]).about(what, id);
        self.send(request.json(&json!({"tags": tags}))).await.map(drop)
    }

    /// Puts on the tags that `made` should have but has not. What was made is returned even if it could not be tagged: its
    /// ID must not be lost, and whoever compares tags with what they should be puts them on later.
    pub(super) async fn tagged<R: Tagged>(&self, mut made: R, tags: &[String]) -> R {
        if tags.iter().all(|tag| made.tags_mut().contains(tag)) {
            return made;
        }
        match self.put_tags(R::TAGS, R::WHAT, made.id(), tags).await {
            Ok(()) => *made.tags_mut() = tags.to_vec(),
            Err(error) => tracing::warn!(%error, what = R::WHAT, id = made.id(), "made, but not tagged"),
        }
        made
    }
}

/// A kind of object that carries tags.
pub(super) trait Tagged: Resource {
    /// The path of its tags.
    const TAGS: &'static str;

    fn tags_mut(&mut self) -> &mut Vec<String>;
}

/// Neutron's `tags` filter: all of these.
pub(super) fn push_tags(query: &mut Query, tags: &[String]) {
    if !tags.is_empty() {
        query.push(("tags", tags.join(",")));
    }
}
