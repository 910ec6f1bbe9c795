//! Which Keystone projects are tenants': what the Tenants' status says, which only the controller writes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt};
use stackube_api::Tenant;
use stackube_openstack::id::ProjectId;

/// The projects of all tenants. Clones share them. Until the first list is complete it knows that it knows nothing.
#[derive(Debug, Clone, Default)]
pub struct Tenants(Arc<RwLock<Index>>);

#[derive(Debug, Default)]
struct Index {
    /// Project of each Tenant.
    projects: HashMap<String, ProjectId>,
    /// What a list that is under way has brought so far.
    arriving: HashMap<String, ProjectId>,
    complete: bool,
}

impl Tenants {
    /// Tenants that never change, as (name, project ID), for tests.
    ///
    /// # Panics
    /// Never: pairs whose project is no ID are left out.
    pub fn fixed<'a>(tenants: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let projects = tenants
            .into_iter()
            .filter_map(|(name, project)| Some((name.to_owned(), project.parse().ok()?)));
        Self(Arc::new(RwLock::new(Index {
            projects: projects.collect(),
            arriving: HashMap::new(),
            complete: true,
        })))
    }

    /// Names of the Tenants whose project it is, usually one or none; `None` before the first list is complete.
    pub(crate) fn of(&self, project: &ProjectId) -> Option<Vec<String>> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let names = |(name, of): (&String, &ProjectId)| (of == project).then(|| name.clone());
        index
            .complete
            .then(|| index.projects.iter().filter_map(names).collect())
    }

    /// How many Tenants have a project; `None` before the first list is complete.
    pub(crate) fn count(&self) -> Option<usize> {
        let index = self.0.read().unwrap_or_else(PoisonError::into_inner);
        index.complete.then_some(index.projects.len())
    }

    /// Follows the API server, for ever. While it does not answer, what was known stays.
    pub(crate) async fn follow(self, client: Client) {
        let events = watcher(Api::<Tenant>::all(client), watcher::Config::default()).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.0.write().unwrap_or_else(PoisonError::into_inner).take(event),
                Err(error) => tracing::warn!(%error, "cannot watch Tenants; trying again"),
            }
        }
    }
}

impl Index {
    fn take(&mut self, event: Event<Tenant>) {
        match event {
            Event::Init => self.arriving.clear(),
            Event::InitApply(tenant) => note(&mut self.arriving, &tenant),
            Event::InitDone => {
                self.projects = std::mem::take(&mut self.arriving);
                self.complete = true;
            }
            Event::Apply(tenant) => note(&mut self.projects, &tenant),
            Event::Delete(tenant) => {
                self.projects.remove(&tenant.name_any());
            }
        }
    }
}

fn note(projects: &mut HashMap<String, ProjectId>, tenant: &Tenant) {
    let project = tenant.status.as_ref().and_then(|status| status.project_id.as_deref());
    match project.and_then(|id| id.parse().ok()) {
        Some(id) => projects.insert(tenant.name_any(), id),
        None => projects.remove(&tenant.name_any()),
    };
}

#[cfg(test)]
mod tests {
    use stackube_api::{TenantSpec, TenantStatus};

    use super::*;

    fn tenant(name: &str, project: Option<&str>) -> Tenant {
        let mut tenant = Tenant::new(name, TenantSpec::default());
        tenant.status = Some(TenantStatus {
            project_id: project.map(str::to_owned),
            ..TenantStatus::default()
        });
        tenant
    }

    fn of(index: &Tenants, project: &str) -> Option<Vec<String>> {
        index.of(&project.parse().unwrap())
    }

    #[test]
    fn knows_nothing_before_the_first_list_and_keeps_the_old_one_during_the_next() {
        let tenants = Tenants::default();
        let take = |event| tenants.0.write().unwrap().take(event);
        take(Event::Init);
        take(Event::InitApply(tenant("a", Some("p1"))));
        assert_eq!((of(&tenants, "p1"), tenants.count()), (None, None));
        take(Event::InitDone);
        assert_eq!(of(&tenants, "p1"), Some(vec!["a".to_owned()]));
        take(Event::Init);
        assert_eq!(of(&tenants, "p1"), Some(vec!["a".to_owned()]));
        take(Event::InitApply(tenant("b", Some("p2"))));
        take(Event::InitDone);
        assert_eq!((of(&tenants, "p1"), tenants.count()), (Some(vec![]), Some(1)));
    }

    #[test]
    fn follows_changes() {
        let tenants = Tenants::fixed([]);
        let take = |event| tenants.0.write().unwrap().take(event);
        take(Event::Apply(tenant("a", None)));
        assert_eq!(of(&tenants, "p1"), Some(vec![]));
        take(Event::Apply(tenant("a", Some("p1"))));
        assert_eq!(of(&tenants, "p1"), Some(vec!["a".to_owned()]));
        take(Event::Apply(tenant("a", Some("no id: at all"))));
        assert_eq!(of(&tenants, "p1"), Some(vec![]));
        take(Event::Apply(tenant("a", Some("p1"))));
        take(Event::Delete(tenant("a", Some("p1"))));
        assert_eq!(of(&tenants, "p1"), Some(vec![]));
    }
}
