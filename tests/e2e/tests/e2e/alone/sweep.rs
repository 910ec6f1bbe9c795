//! The sweeper: what belongs to nothing is reported, and deleted only if the operator says so and it is provably ours.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::json;
use stackube_api::names::{cluster_tag, owner_tag};
use stackube_e2e::{always::always, devbox::Devbox, tenant, wait};
use stackube_openstack::{
    Optional,
    id::{NetworkId, ProjectId},
    identity::CreateProject,
    network::{CreateNetwork, Taggable},
};

use crate::alone;

/// A project with a network, both with these tags.
async fn stray(devbox: &Devbox, tags: &[String], of_project: &[String]) -> (ProjectId, NetworkId) {
    let session = devbox.cloud.service();
    let domain = session.find_domain("Default").await.unwrap().unwrap().id;
    let project = CreateProject {
        name: tenant::unique("stray"),
        domain_id: domain,
        description: String::new(),
        tags: of_project.to_vec(),
        enabled: true,
    };
    let project = session.create_project(&project).await.unwrap().id;
    let network = network(devbox, &project, "").await;
    session
        .replace_tags(&Taggable::Network(network.clone()), tags)
        .await
        .unwrap();
    (project, network)
}

/// A network without tags.
async fn network(devbox: &Devbox, project: &ProjectId, description: &str) -> NetworkId {
    let network = CreateNetwork {
        project_id: project.clone(),
        name: tenant::unique("stray"),
        description: description.into(),
        tags: vec![],
        mtu: None,
    };
    devbox.cloud.service().create_network(&network).await.unwrap().id
}

/// Waits until Events tell of all these.
async fn reported(devbox: &Devbox, ids: &[&str]) {
    wait::until("every stray is reported", Duration::from_secs(240), || async {
        let shown = "custom-columns=R:.reason,M:.message";
        let events = devbox.kubectl(&["get", "events", "-A", "-o", shown], "").await?;
        for id in ids {
            let told = events
                .lines()
                .any(|line| line.starts_with("StrayFound") && line.contains(id));
            ensure!(told, "{id} is not reported:\n{events}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn strays_are_reported_and_deleted_only_if_ours_and_wanted() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    let session = devbox.cloud.service();
    let system = Api::<Namespace>::all(devbox.kube.clone())
        .get("kube-system")
        .await
        .unwrap();
    let (cluster, owner) = (system.uid().unwrap(), "00000000-0000-4000-8000-00000000dead");
    let tags = [cluster_tag(&cluster), owner_tag(owner)];
    // As after a Tenant whose finalizer somebody has removed; and what a member of another project writes.
    let (ours, tagged) = stray(&devbox, &tags, &tags).await;
    let (foreign, forged) = stray(&devbox, &tags, &[]).await;
    // As a request leaves it whose sender was killed: tags would have followed.
    let description = format!("Network gone/gone ({owner}) of Kubernetes {cluster}, made by Stackube");
    let untagged = network(&devbox, &ours, &description).await;

    let body = async {
        devbox
            .configure(&json!({"sweep-interval": "5s", "sweep-grace": "5s", "sweep-delete": "false"}))
            .await
            .unwrap();
        let strays = [ours.as_str(), tagged.as_str(), untagged.as_str(), forged.as_str()];
        reported(&devbox, &strays).await;
        // Reporting is all that has happened, for longer than the grace that deletion would have had.
        assert!(
            session.get_network(&tagged).await.is_ok() && session.get_network(&untagged).await.is_ok(),
            "deleted without being asked to"
        );

        devbox.configure(&json!({"sweep-delete": "true"})).await.unwrap();
        wait::until("what is ours is gone", Duration::from_secs(240), || async {
            let (project, tagged, untagged) = (
                session.get_project(&ours).await.optional()?,
                session.get_network(&tagged).await.optional()?,
                session.get_network(&untagged).await.optional()?,
            );
            ensure!(
                project.is_none() && tagged.is_none() && untagged.is_none(),
                "still there"
            );
            Ok(())
        })
        .await;
        session
            .get_network(&forged)
            .await
            .expect("what is not provably ours must stay, whatever its tags say");
    };
    always(body, async {
        devbox
            .configure(&json!({"sweep-interval": null, "sweep-grace": null, "sweep-delete": null}))
            .await
            .unwrap();
        for network in [&tagged, &untagged, &forged] {
            let _ = session.delete_network(network).await;
        }
        for project in [&ours, &foreign] {
            let _ = session.delete_project(project).await;
        }
    })
    .await;
}
