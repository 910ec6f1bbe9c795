//! Quotas: where they arrive, what a tenant uses of them, what a breach says.

use std::collections::BTreeSet;

use stackube_api::names::password_secret;
use stackube_e2e::events::told;
use stackube_openstack::{
    identity::CreateProject,
    network::{QuotaChange, SecurityGroupFilter},
};

use super::*;

#[tokio::test]
async fn quotas_reach_kubernetes_and_neutron() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(
        &devbox,
        "quota",
        "quota: {kubernetes: {pods: \"3\"}, network: {ports: 7}}",
        async |tenant| {
            let name = tenant.name_any();
            let project = tenant::project_of(&tenant);
            let expect = async |pods: &str, ports: i32| {
                wait::until(
                    &format!("quota {pods} pods {ports} ports"),
                    Duration::from_secs(60),
                    || async {
                        let quotas: Api<ResourceQuota> = Api::namespaced(devbox.kube.clone(), &name);
                        let hard = quotas.list(&Default::default()).await?.items[0]
                            .spec
                            .clone()
                            .and_then(|s| s.hard)
                            .unwrap_or_default();
                        ensure!(hard.get("pods").is_some_and(|q| q.0 == pods), "{hard:?}");
                        let quota = devbox.cloud.service().get_quota(&project).await?;
                        ensure!(quota.port == ports && quota.rbac_policy == 0, "{quota:?}");
                        Ok(())
                    },
                )
                .await;
            };
            expect("3", 7).await;
            let change = async |pods: &str, ports: i32| {
                let quota = json!({"kubernetes": {"pods": pods}, "network": {"ports": ports}});
                let patch = json!({"spec": {"quota": quota}}).to_string();
                let call = ["patch", "tenant", &name, "--type=merge", "-p", &patch];
                devbox.kubectl(&call, "").await.unwrap();
                expect(pods, ports).await;
            };
            // The leg of the router is one already.
            change("1", 1).await;
            pods::create(&devbox, &name, "counted", "counted").await.unwrap();
            let who = Identity::in_project(&devbox, &project, "stackube-edit").await;
            assert_missing_ports_are_told(&devbox, &name, &who).await;
            change("1", 9).await;
            pods::ready(&devbox, &name, "counted").await;
            wait::until("the Tenant says what is in use", Duration::from_secs(90), || async {
                let path = "jsonpath={range .status.usage[*]}{.resource}={.used}/{.hard} {end}";
                let shown = devbox.kubectl(&["get", "tenant", &name, "-o", path], "").await?;
                ensure!(shown.contains("pods=1/1 "), "{shown}");
                // The pod's port is one of them.
                let ports = shown
                    .split_whitespace()
                    .find_map(|usage| usage.strip_prefix("network.ports="));
                let used = ports.and_then(|ports| ports.strip_suffix("/9")).map(str::parse::<u32>);
                ensure!(matches!(used, Some(Ok(1..=9))), "{shown}");
                Ok(())
            })
            .await;
            assert_a_breach_is_told(&devbox, &name, &who).await;
        },
    )
    .await;
}

/// Asserts that a user reads why its pod gets no address, and what to do: from the controller, and from kubelet, which has been told by
/// the plugin and makes another sandbox by itself.
async fn assert_missing_ports_are_told(devbox: &Devbox, name: &str, who: &Identity) {
    let flags = who.flags();
    let mut call: Vec<&str> = flags.iter().map(String::as_str).collect();
    call.extend([
        "-n",
        name,
        "get",
        "events",
        "-o",
        "custom-columns=O:.involvedObject.name,R:.reason,M:.message",
    ]);
    wait::until("an Event about Neutron's quota", Duration::from_secs(60), || async {
        let events = devbox.kubectl(&call, "").await?;
        let told = events.lines().any(|line| {
            let words = ["counted ", " QuotaExceeded ", "raise quota.network.ports of the Tenant"];
            words.iter().all(|word| line.contains(word))
        });
        ensure!(told, "{events}");
        Ok(())
    })
    .await;
    let reason = ["no network for the pod", "raise quota.network.ports of the Tenant"];
    let limit = Duration::from_secs(120);
    told(devbox, name, Some("counted"), "FailedCreatePodSandBox", &reason, limit).await;
}

/// Asserts that a user reads why pods are not made, for one of its own and for those of a Deployment.
async fn assert_a_breach_is_told(devbox: &Devbox, name: &str, who: &Identity) {
    let flags = who.flags();
    let kubectl = async |arguments: &[&str]| {
        let flags = flags.iter().map(String::as_str).chain(["-n", name]);
        let all: Vec<&str> = flags.chain(arguments.iter().copied()).collect();
        devbox.kubectl(&all, "").await
    };
    kubectl(&["create", "deployment", "web", "--image=busybox"])
        .await
        .unwrap();
    let refused = kubectl(&["run", "one", "--image=busybox"]).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("exceeded quota: stackube"),
        "{refused:#}"
    );
    wait::until("an Event about the quota", Duration::from_secs(60), || async {
        let shown = "custom-columns=K:.involvedObject.kind,R:.reason,M:.message";
        let events = kubectl(&["get", "events", "-o", shown]).await?;
        let told = events.lines().any(|line| {
            [
                "ReplicaSet",
                "FailedCreate",
                "exceeded quota: stackube",
                "limited: pods=1",
            ]
            .iter()
            .all(|words| line.contains(words))
        });
        ensure!(told, "{events}");
        Ok(())
    })
    .await;
}

/// A second Tenant does not get the project of the Tenant `owner`, nor anything else.
async fn assert_taken(devbox: &Devbox, project: &ProjectId, owner: &str) {
    let thief = tenant::unique("thief");
    let session = devbox.cloud.service();
    let holders = async || {
        let held = session.list_role_assignments_of_project(project).await.unwrap();
        held.iter().map(|held| format!("{held:?}")).collect::<BTreeSet<_>>()
    };
    let before = holders().await;
    let spec = format!("tenantID: \"{project}\"");
    tenant::create(devbox, &thief, &spec).await.unwrap();
    let refused = tenant::in_state(devbox, &thief, TenantState::Failed, Duration::from_secs(60)).await;
    let message = status(&refused).message.unwrap();
    assert!(message.contains(owner), "{message:?} should name the other Tenant");
    let secret = format!("secret/{}", password_secret(&thief));
    assert_eq!(tenant::made_for(devbox, &thief).await.unwrap(), [secret]);
    assert_eq!(holders().await, before);
    tenant::delete(devbox, &thief).await;
    tenant::assert_nothing_named(devbox, &thief).await;
}

#[tokio::test]
async fn an_adopted_project_stays_with_its_quota_and_what_its_owner_has() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let session = devbox.cloud.service();
    let domain = session.find_domain("Default").await.unwrap().unwrap().id;
    let name = tenant::unique("adopted");
    let project = session
        .create_project(&CreateProject {
            name: format!("{name}-project"),
            domain_id: domain,
            description: String::new(),
            tags: vec![],
            enabled: true,
        })
        .await
        .unwrap();
    let quota = QuotaChange {
        port: Some(42),
        ..Default::default()
    };
    session.set_quota(&project.id, &quota).await.unwrap();

    tenant::create(&devbox, &name, &format!("tenantID: \"{}\"", project.id))
        .await
        .unwrap();
    let tenant = tenant::active(&devbox, &name).await;
    assert_eq!(tenant::project_of(&tenant), project.id);
    assert_taken(&devbox, &project.id, &name).await;
    guests::assert_survive(&devbox, &name, &project.id).await;
    let kept = session
        .get_project(&project.id)
        .await
        .expect("an adopted project must stay");
    assert_eq!(kept.name, project.name);
    assert_eq!(session.get_quota(&project.id).await.unwrap().port, 42);
    let left = session.list_role_assignments_of_project(&project.id).await.unwrap();
    assert!(left.is_empty(), "left on the adopted project: {left:#?}");
    session.delete_quota(&project.id).await.unwrap();
    // Neutron makes the group `default` for every project that it has seen; it is not Stackube's to remove from this one.
    for group in session
        .list_security_groups_all_projects(&SecurityGroupFilter::default())
        .await
        .unwrap()
    {
        if group.project_id.as_ref() == Some(&project.id) && group.name == "default" {
            session.delete_security_group(&group.id).await.unwrap();
        }
    }
    let left = cloud::network_leftovers(&session, &project.id).await.unwrap();
    session.delete_project(&project.id).await.unwrap();
    assert!(left.is_empty(), "{left:#?}");
}
