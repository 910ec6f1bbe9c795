//! The status of a Tenant while it is being made.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client, ResourceExt};
use stackube_api::conditions::{
    NAMESPACE_READY, NETWORK_READY, PROJECT_READY, QUOTA_READY, READY, ROLES_READY, USER_READY, Wanted, is_true, merge,
};
use stackube_api::{Network, NetworkState, ResourceUsage, Tenant, TenantState, TenantStatus};
use stackube_openstack::id::ProjectId;
use tokio::sync::Mutex;

use super::validate::Refusal;
use crate::status;
use crate::stop::{Stop, Verdict};

/// Every step; `Ready` sums them up.
const STEPS: [&str; 6] = [
    PROJECT_READY,
    USER_READY,
    ROLES_READY,
    QUOTA_READY,
    NAMESPACE_READY,
    NETWORK_READY,
];

/// Reason of [`ROLES_READY`] while a Tenant is being removed.
const REVOKED: &str = "Revoked";

/// The status, written as soon as something is known that must not be forgotten.
pub(super) struct Record<'a> {
    api: Api<Tenant>,
    tenant: &'a Tenant,
    inner: Mutex<Inner>,
}

struct Inner {
    saved: TenantStatus,
    now: TenantStatus,
}

impl<'a> Record<'a> {
    pub(super) fn new(client: Client, tenant: &'a Tenant) -> Self {
        let saved = tenant.status.clone().unwrap_or_default();
        Self {
            api: Api::all(client),
            tenant,
            inner: Mutex::new(Inner {
                now: saved.clone(),
                saved,
            }),
        }
    }

    /// Changes the status and writes it. What did not change is not written.
    pub(super) async fn save(&self, change: impl FnOnce(&mut TenantStatus)) -> Result<(), kube::Error> {
        let mut inner = self.inner.lock().await;
        change(&mut inner.now);
        status::write(&self.api, self.tenant, &inner.saved, &inner.now).await?;
        inner.saved = inner.now.clone();
        Ok(())
    }

    /// A step is done. Written with the next [`Record::save`].
    pub(super) async fn met(&self, step: &'static str, reason: &'static str) {
        let mut inner = self.inner.lock().await;
        set(&mut inner.now, self.tenant, &[Wanted::met(step, reason)]);
    }

    /// The project is known.
    pub(super) async fn project(&self, id: &str, reason: &'static str) -> Result<(), kube::Error> {
        self.save(|status| {
            status.project_id = Some(id.to_owned());
            set(status, self.tenant, &[Wanted::met(PROJECT_READY, reason)]);
        })
        .await
    }

    /// The user is known.
    pub(super) async fn user(&self, id: &str) -> Result<(), kube::Error> {
        self.save(|status| status.user_id = Some(id.to_owned())).await
    }

    /// The namespace is the tenant's.
    pub(super) async fn namespace(&self, name: &str) -> Result<(), kube::Error> {
        self.save(|status| status.namespace = Some(name.to_owned())).await
    }

    /// The end of a reconcile that did all it could: Active if the Network is.
    pub(super) async fn finish(&self, network: Option<&Network>) -> Result<bool, kube::Error> {
        let step = network_step(network);
        let active = step.status == Some(true);
        self.save(|status| {
            let message = if active { String::new() } else { step.message.clone() };
            let ready = summary(active, step.reason, &message);
            set(status, self.tenant, &[step, ready]);
            status.state = Some(if active {
                TenantState::Active
            } else {
                TenantState::Pending
            });
            status.message = (!message.is_empty()).then_some(message);
            status.observed_generation = self.tenant.metadata.generation;
        })
        .await?;
        Ok(active)
    }

    /// What is in use of the quotas; `None` leaves what was last counted.
    pub(super) async fn usage(&self, counted: Option<Vec<ResourceUsage>>) -> Result<(), kube::Error> {
        match counted {
            Some(counted) => self.save(|status| status.usage = counted).await,
            None => Ok(()),
        }
    }

    /// The project in the status.
    pub(super) async fn project_id(&self) -> Option<ProjectId> {
        let inner = self.inner.lock().await;
        inner.now.project_id.clone().and_then(|id| id.parse().ok())
    }

    /// The end of a reconcile that stopped at `step`.
    pub(super) async fn stopped(&self, step: &'static str, stop: &Stop) -> Result<(), kube::Error> {
        let (reason, message) = (stop.reason(), stop.sentence());
        let state = match stop.verdict() {
            Verdict::Refused => TenantState::Failed,
            Verdict::Waiting(_) | Verdict::Transient => TenantState::Pending,
        };
        self.unmet(step, reason, message, state).await
    }

    /// The Tenant cannot be made as asked.
    pub(super) async fn refused(&self, refusal: &Refusal) -> Result<(), kube::Error> {
        self.unmet(
            refusal.condition,
            refusal.reason,
            refusal.message.clone(),
            TenantState::Failed,
        )
        .await
    }

    /// The Tenant is being removed, and its users have no access any more.
    pub(super) async fn revoked(&self) -> Result<(), kube::Error> {
        let message = "the Tenant is being removed: its users have no access any more";
        self.save(|status| set(status, self.tenant, &[Wanted::unmet(ROLES_READY, REVOKED, message)]))
            .await
    }

    /// Whether [`Record::revoked`] was said before.
    pub(super) fn is_revoked(&self) -> bool {
        let conditions = self.tenant.status.iter().flat_map(|status| &status.conditions);
        conditions
            .filter(|condition| condition.type_ == ROLES_READY)
            .any(|condition| condition.reason == REVOKED)
    }

    /// The Tenant is being removed, and something is waited for; whether that is news.
    pub(super) async fn terminating(&self, reason: &'static str, message: String) -> Result<bool, kube::Error> {
        let (mut news, message) = (false, status::cut(message));
        self.save(|status| {
            news = status.message.as_ref() != Some(&message);
            set(status, self.tenant, &[summary(false, reason, &message)]);
            status.state = Some(TenantState::Terminating);
            status.message = Some(message);
        })
        .await?;
        Ok(news)
    }

    async fn unmet(
        &self,
        step: &'static str,
        reason: &'static str,
        message: String,
        state: TenantState,
    ) -> Result<(), kube::Error> {
        let message = status::cut(message);
        self.save(|status| {
            set(
                status,
                self.tenant,
                &[
                    Wanted::unmet(step, reason, message.clone()),
                    summary(false, reason, &message),
                ],
            );
            status.state = Some(state);
            status.message = Some(message);
            status.observed_generation = self.tenant.metadata.generation;
        })
        .await
    }

    /// The first sign of life of a new Tenant.
    pub(super) async fn begin(&self) -> Result<(), kube::Error> {
        if self.tenant.status.as_ref().is_some_and(|status| status.state.is_some()) {
            return Ok(());
        }
        self.save(|status| {
            let steps = STEPS.map(|type_| Wanted {
                type_,
                status: None,
                reason: "NotYet",
                message: String::new(),
            });
            set(status, self.tenant, &steps);
            status.state = Some(TenantState::Initializing);
        })
        .await
    }

    /// Whether the Tenant was Active before this reconcile.
    pub(super) fn was_ready(&self) -> bool {
        self.tenant
            .status
            .as_ref()
            .is_some_and(|status| is_true(&status.conditions, READY))
    }
}

fn summary(ready: bool, reason: &'static str, message: &str) -> Wanted {
    if ready {
        Wanted::met(READY, "Active")
    } else {
        Wanted::unmet(READY, reason, message)
    }
}

fn set(status: &mut TenantStatus, tenant: &Tenant, wanted: &[Wanted]) {
    let now = Time(Timestamp::now());
    status.conditions = merge(&status.conditions, wanted, tenant.metadata.generation, &now);
}

/// What the Network says about itself.
fn network_step(network: Option<&Network>) -> Wanted {
    let status = network.and_then(|network| network.status.as_ref());
    let message = status.and_then(|status| status.message.clone());
    match status.and_then(|status| status.state) {
        Some(NetworkState::Active) => Wanted::met(NETWORK_READY, "Active"),
        Some(NetworkState::Failed) => Wanted::unmet(NETWORK_READY, "NetworkFailed", named(network, "failed", message)),
        Some(NetworkState::Terminating) => Wanted::unmet(
            NETWORK_READY,
            "NetworkTerminating",
            named(network, "is being removed", message),
        ),
        Some(NetworkState::Pending) | None => Wanted::unmet(
            NETWORK_READY,
            "NetworkPending",
            named(network, "is being made", message),
        ),
    }
}

fn named(network: Option<&Network>, what: &str, message: Option<String>) -> String {
    let name = network.map(ResourceExt::name_any).unwrap_or_default();
    status::cut(match message.filter(|text| !text.is_empty()) {
        Some(message) => format!("Network {name} {what}: {message}"),
        None => format!("Network {name} {what}"),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use stackube_api::{NetworkSpec, NetworkStatus};

    use super::*;

    #[rstest]
    #[case(None, None, "NetworkPending", "Network test is being made")]
    #[case(
        Some(NetworkState::Pending),
        Some("router"),
        "NetworkPending",
        "Network test is being made: router"
    )]
    #[case(
        Some(NetworkState::Failed),
        Some("no quota"),
        "NetworkFailed",
        "Network test failed: no quota"
    )]
    #[case(Some(NetworkState::Active), None, "Active", "")]
    fn a_tenant_tells_what_its_network_says(
        #[case] state: Option<NetworkState>,
        #[case] message: Option<&str>,
        #[case] reason: &str,
        #[case] text: &str,
    ) {
        let spec = NetworkSpec {
            cidr: "10.244.0.0/16".into(),
            gateway: "10.244.0.1".into(),
            network_id: None,
        };
        let mut network = Network::new("test", spec);
        network.status = Some(NetworkStatus {
            state,
            message: message.map(Into::into),
            ..NetworkStatus::default()
        });
        let step = network_step(Some(&network));
        assert_eq!((step.reason, step.message.as_str()), (reason, text));
        assert_eq!(step.status == Some(true), state == Some(NetworkState::Active));
    }
}
