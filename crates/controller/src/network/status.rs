//! The status of a Network while it is being made.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client, ResourceExt};
use stackube_api::conditions::{READY, Wanted, is_true, merge};
use stackube_api::{Network, NetworkState, NetworkStatus};
use stackube_openstack::id::ProjectId;

use super::observed::Observed;
use crate::status;
use crate::stop::{Stop, Verdict};

/// The status, written as soon as something is known that must not be forgotten.
pub(super) struct Record<'a> {
    api: Api<Network>,
    network: &'a Network,
    saved: NetworkStatus,
    now: NetworkStatus,
}

impl<'a> Record<'a> {
    pub(super) fn new(client: Client, network: &'a Network) -> Self {
        let saved = network.status.clone().unwrap_or_default();
        let api = Api::namespaced(client, &network.namespace().unwrap_or_default());
        Self {
            api,
            network,
            now: saved.clone(),
            saved,
        }
    }

    /// The status as it is now.
    pub(super) fn status(&self) -> &NetworkStatus {
        &self.now
    }

    /// Whether the Network was Active before this reconcile, in its present generation.
    pub(super) fn was_ready(&self) -> bool {
        let status = self.network.status.as_ref();
        status.is_some_and(|status| {
            is_true(&status.conditions, READY) && status.observed_generation == self.network.metadata.generation
        })
    }

    /// The project, before anything is made in it.
    pub(super) async fn project(&mut self, project: &ProjectId) -> Result<(), kube::Error> {
        self.now.project_id = Some(project.to_string());
        if self.now.state.is_none() {
            self.now.state = Some(NetworkState::Pending);
        }
        self.save().await
    }

    /// What exists. An object that is gone loses its ID, so that another one is looked for by tags before it is made again.
    pub(super) async fn known(&mut self, observed: &Observed) -> Result<(), kube::Error> {
        self.now.network_id = observed.network.as_ref().map(|network| network.id.to_string());
        self.now.subnet_id = observed.subnet.as_ref().map(|subnet| subnet.id.to_string());
        self.now.router_id = observed.router.as_ref().map(|router| router.id.to_string());
        self.now.security_group_id = observed.group.as_ref().map(|group| group.id.to_string());
        self.now.mtu = observed
            .network
            .as_ref()
            .and_then(|network| i32::try_from(network.mtu?).ok());
        self.save().await
    }

    /// Everything is as wanted.
    pub(super) async fn active(&mut self) -> Result<(), kube::Error> {
        self.set(NetworkState::Active, Wanted::met(READY, "Active"), None).await
    }

    /// The reconcile stopped. A Network that works goes on working while Neutron cannot be asked about it: only its message
    /// tells. Else no pod would start on it meanwhile, and its pool would be emptied.
    pub(super) async fn stopped(&mut self, stop: &Stop) -> Result<(), kube::Error> {
        let works = self.was_ready() && has_all(&self.now);
        let message = status::cut(stop.sentence());
        match state_after(stop.verdict(), works) {
            NetworkState::Active => {
                self.now.message = Some(message);
                self.save().await
            }
            state => self.unmet(state, stop.reason(), message).await,
        }
    }

    /// The Network is being removed, and something is waited for; whether that is news.
    pub(super) async fn terminating(&mut self, stop: &Stop) -> Result<bool, kube::Error> {
        let message = status::cut(stop.sentence());
        let news = self.now.message.as_ref() != Some(&message);
        self.unmet(NetworkState::Terminating, stop.reason(), message).await?;
        Ok(news)
    }

    async fn unmet(&mut self, state: NetworkState, reason: &'static str, message: String) -> Result<(), kube::Error> {
        self.set(state, Wanted::unmet(READY, reason, message.clone()), Some(message))
            .await
    }

    async fn set(&mut self, state: NetworkState, ready: Wanted, message: Option<String>) -> Result<(), kube::Error> {
        let generation = self.network.metadata.generation;
        self.now.conditions = merge(&self.now.conditions, &[ready], generation, &Time(Timestamp::now()));
        self.now.state = Some(state);
        self.now.message = message;
        self.now.observed_generation = generation;
        self.save().await
    }

    async fn save(&mut self) -> Result<(), kube::Error> {
        status::write(&self.api, self.network, &self.saved, &self.now).await?;
        self.saved = self.now.clone();
        Ok(())
    }
}

/// Whether everything that pods need of it is there, as far as is known.
fn has_all(status: &NetworkStatus) -> bool {
    status.network_id.is_some()
        && status.subnet_id.is_some()
        && status.router_id.is_some()
        && status.security_group_id.is_some()
}

/// The state of a Network whose reconcile stopped; `works` if it was Active and lacks nothing.
fn state_after(verdict: Verdict, works: bool) -> NetworkState {
    match verdict {
        Verdict::Refused => NetworkState::Failed,
        Verdict::Transient if works => NetworkState::Active,
        Verdict::Waiting(_) | Verdict::Transient => NetworkState::Pending,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stackube_api::NetworkSpec;

    use super::*;
    use crate::context::fake::ApiServer;

    #[tokio::test]
    async fn a_long_message_of_a_network_is_cut() {
        let spec = NetworkSpec {
            cidr: "10.244.0.0/16".into(),
            gateway: "10.244.0.1".into(),
            network_id: None,
        };
        let mut network = Network::new("test", spec);
        network.metadata.namespace = Some("test".into());
        let path = "/apis/stackube.kubernetes.io/v1/namespaces/test/networks/test";
        let (server, client) = ApiServer::new(path, serde_json::to_value(&network).unwrap());
        let mut record = Record::new(client, &network);
        let stop = Stop::refused("InUse", "ä".repeat(10_000));
        let told = || {
            let status = server.kept().object["status"].clone();
            let message = status["message"].as_str().unwrap().chars().count();
            (status["state"].clone(), message)
        };
        assert!(record.terminating(&stop).await.unwrap());
        assert_eq!(told(), (json!("Terminating"), 4096));
        assert!(!record.terminating(&stop).await.unwrap(), "told once");
        record.stopped(&stop).await.unwrap();
        assert_eq!(told(), (json!("Failed"), 4096));
    }

    #[test]
    fn a_network_that_works_stays_active_while_neutron_cannot_be_asked() {
        let whole = NetworkStatus {
            network_id: Some("n".into()),
            subnet_id: Some("s".into()),
            router_id: Some("r".into()),
            security_group_id: Some("g".into()),
            ..NetworkStatus::default()
        };
        let no_router = NetworkStatus {
            router_id: None,
            ..whole.clone()
        };
        assert!(has_all(&whole) && !has_all(&no_router));
        assert_eq!(state_after(Verdict::Transient, true), NetworkState::Active);
        assert_eq!(state_after(Verdict::Transient, false), NetworkState::Pending);
        assert_eq!(state_after(Verdict::Refused, true), NetworkState::Failed);
    }
}
