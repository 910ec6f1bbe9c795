//! What Tenants say while no instance of the controller can work, because OpenStack cannot be used.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};
use stackube_api::conditions::{PROJECT_READY, READY, is_true};
use stackube_api::names::SYSTEM_NAMESPACE;
use stackube_api::{Tenant, TenantState};
use tracing::warn;

use super::status::Record;
use crate::events::Events;
use crate::leader::{self, LEASE};
use crate::stop::{OPENSTACK_UNAVAILABLE, Stop};

/// When a controller that stopped would look again. Only the reason and the sentence of the [`Stop`] are used here.
const LATER: Duration = Duration::from_secs(5);

/// Tells the Tenants that wait why nothing happens to them.
pub(crate) struct Unserved {
    kube: Client,
    events: Events,
    identity: String,
}

impl Unserved {
    /// `identity` is the one in the Lease.
    pub(crate) fn new(kube: Client, identity: String) -> Self {
        Self {
            events: Events::new(kube.clone(), identity.clone()),
            kube,
            identity,
        }
    }

    /// Writes `why` into every Tenant that waits, unless another instance leads: that one knows better. Never fails.
    pub(crate) async fn tell(&self, why: &str) {
        if let Err(error) = self.try_to_tell(why).await {
            warn!("Tenants cannot be told why they wait: {error}");
        }
    }

    async fn try_to_tell(&self, why: &str) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.kube.clone(), SYSTEM_NAMESPACE);
        let lease = leases.get_opt(LEASE).await?;
        if lease.is_some_and(|lease| leader::is_another_leading(&lease, &self.identity, Timestamp::now())) {
            return Ok(());
        }
        let tenants = Api::<Tenant>::all(self.kube.clone())
            .list(&ListParams::default())
            .await?;
        for tenant in tenants.items.iter().filter(|tenant| waits(tenant)) {
            if !says(tenant, why) {
                self.write(tenant, why).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, tenant: &Tenant, why: &str) -> Result<(), kube::Error> {
        let record = Record::new(self.kube.clone(), tenant);
        let stop = Stop::waiting(OPENSTACK_UNAVAILABLE, why, LATER);
        let written = if tenant.metadata.deletion_timestamp.is_some() {
            record.terminating(stop.reason(), stop.sentence()).await.map(drop)
        } else {
            record.stopped(PROJECT_READY, &stop).await
        };
        match written {
            // Gone meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            written => written?,
        }
        self.events
            .warning(tenant, "Reconcile", OPENSTACK_UNAVAILABLE, why)
            .await;
        Ok(())
    }
}

/// Whether something is to be done for it. One that is Active or refused stays as it is: it needs nothing, or a person.
fn waits(tenant: &Tenant) -> bool {
    if tenant.metadata.deletion_timestamp.is_some() {
        return true;
    }
    let Some(status) = &tenant.status else { return true };
    let is_settled = is_true(&status.conditions, READY) || status.state == Some(TenantState::Failed);
    !is_settled || status.observed_generation != tenant.metadata.generation
}

fn says(tenant: &Tenant, why: &str) -> bool {
    let status = tenant.status.as_ref();
    status.is_some_and(|status| {
        status.message.as_deref() == Some(why)
            && (tenant.metadata.deletion_timestamp.is_some()
                || status.observed_generation == tenant.metadata.generation)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn tenant(metadata: &Value, status: &Value) -> Tenant {
        let mut tenant = json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Tenant",
            "metadata": {"name": "test", "generation": 2}, "spec": {"username": "test"},
        });
        for (name, value) in metadata.as_object().unwrap() {
            tenant["metadata"][name] = value.clone();
        }
        if !status.is_null() {
            tenant["status"] = status.clone();
        }
        serde_json::from_value(tenant).unwrap()
    }

    fn ready(value: &str) -> Value {
        json!([{"type": "Ready", "status": value, "reason": "r", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    }

    #[rstest]
    #[case::new(json!({}), Value::Null, true)]
    #[case::being_made(json!({}), json!({"state": "Initializing", "observedGeneration": 2}), true)]
    #[case::active(json!({}), json!({"state": "Active", "conditions": ready("True"), "observedGeneration": 2}), false)]
    #[case::changed(json!({}), json!({"state": "Active", "conditions": ready("True"), "observedGeneration": 1}), true)]
    #[case::refused(json!({}), json!({"state": "Failed", "conditions": ready("False"), "observedGeneration": 2}), false)]
    #[case::deleted(
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        json!({"state": "Active", "conditions": ready("True"), "observedGeneration": 2}),
        true
    )]
    fn only_who_waits_is_told(#[case] metadata: Value, #[case] status: Value, #[case] expected: bool) {
        assert_eq!(waits(&tenant(&metadata, &status)), expected);
    }

    #[test]
    fn the_same_is_not_written_twice() {
        let told = json!({"state": "Pending", "message": "away", "observedGeneration": 2});
        assert!(says(&tenant(&json!({}), &told), "away"));
        assert!(!says(&tenant(&json!({}), &told), "something else"));
        let older = json!({"state": "Pending", "message": "away", "observedGeneration": 1});
        assert!(!says(&tenant(&json!({}), &older), "away"));
    }
}
