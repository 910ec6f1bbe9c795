//! Tenants of tests: created from YAML like a person would, removed whatever happens, and checked for what they leave.

use std::{collections::BTreeSet, future::Future, time::Duration};

use anyhow::{Context, Result, ensure};
use kube::{Api, ResourceExt, api::DeleteParams};
use stackube_api::names::{SYSTEM_NAMESPACE, password_secret, tenant_flow, tenant_reader};
use stackube_api::{Tenant, TenantState};
use stackube_openstack::id::ProjectId;

use crate::{always::always, cloud, devbox::Devbox, nodes, wait};

/// From `kubectl create` to Active. Router calls take seconds each, and tests run side by side.
pub const ACTIVE: Duration = Duration::from_secs(300);
/// From `kubectl delete` to gone.
pub const GONE: Duration = Duration::from_secs(300);

/// A name that no other test uses.
pub fn unique(test: &str) -> String {
    format!("e2e-{test}-{:06x}", rand::random::<u32>() & 0x00ff_ffff)
}

/// Creates a Tenant with `spec` (YAML flow mapping after the user name), gives it to `body` when it is Active, and deletes it
/// afterwards, also when `body` panics; then nothing of it may be left in Keystone and Neutron.
///
/// # Panics
/// When the Tenant does not become Active, `body` panics, or something is left.
pub async fn with_tenant<F: Future<Output = ()>>(
    devbox: &Devbox,
    test: &str,
    spec: &str,
    body: impl FnOnce(Tenant) -> F,
) {
    let name = unique(test);
    create(devbox, &name, spec)
        .await
        .expect("the API server should accept the Tenant");
    let body = async {
        let tenant = active(devbox, &name).await;
        let project = project_of(&tenant);
        body(tenant).await;
        project
    };
    let project = always(body, delete(devbox, &name)).await;
    cloud::assert_nothing_left(devbox, &project).await;
    assert_nothing_named(devbox, &name).await;
}

/// As [`with_tenant`], with two tenants of equal addresses.
///
/// # Panics
/// As [`with_tenant`].
pub async fn with_two_tenants<F: Future<Output = ()>>(
    devbox: &Devbox,
    test: &str,
    body: impl FnOnce(Tenant, Tenant) -> F,
) {
    with_two_tenants_of(devbox, test, "", body).await;
}

/// As [`with_two_tenants`], with `spec` for both.
///
/// # Panics
/// As [`with_tenant`].
pub async fn with_two_tenants_of<F: Future<Output = ()>>(
    devbox: &Devbox,
    test: &str,
    spec: &str,
    body: impl FnOnce(Tenant, Tenant) -> F,
) {
    with_tenant(devbox, &format!("{test}-a"), spec, async |a| {
        with_tenant(devbox, &format!("{test}-b"), spec, async |b| body(a, b).await).await;
    })
    .await;
}

/// `kubectl create` of a Tenant named `name`.
///
/// # Errors
/// What the API server refuses.
pub async fn create(devbox: &Devbox, name: &str, spec: &str) -> Result<String> {
    let manifest = format!(
        "apiVersion: stackube.kubernetes.io/v1\nkind: Tenant\nmetadata: {{name: {name}, labels: {{stackube.kubernetes.io/test: e2e}}}}\nspec: {{username: {name}, password: initial-{name}, {spec}}}\n"
    );
    devbox.kubectl(&["create", "-f", "-"], &manifest).await
}

/// Waits until the Tenant is Active.
///
/// # Panics
/// When it is not in time; the message is the Tenant's own.
pub async fn active(devbox: &Devbox, name: &str) -> Tenant {
    in_state(devbox, name, TenantState::Active, ACTIVE).await
}

/// Waits until the Tenant is in `state`, for the generation that it has now.
///
/// # Panics
/// When it is not in time; the message is the Tenant's own.
pub async fn in_state(devbox: &Devbox, name: &str, state: TenantState, limit: Duration) -> Tenant {
    let tenants: Api<Tenant> = Api::all(devbox.kube.clone());
    wait::until(&format!("Tenant {name} {state:?}"), limit, || async {
        let tenant = tenants.get(name).await?;
        let status = tenant.status.clone().unwrap_or_default();
        ensure!(
            status.state == Some(state) && status.observed_generation == tenant.metadata.generation,
            "state {:?}: {}",
            status.state,
            status.message.unwrap_or_default()
        );
        Ok(tenant)
    })
    .await
}

/// Deletes the Tenant and waits until it and its namespace are gone.
///
/// # Panics
/// When they are not in time; the message says what the Tenant waits for.
pub async fn delete(devbox: &Devbox, name: &str) {
    let tenants: Api<Tenant> = Api::all(devbox.kube.clone());
    let _ = tenants.delete(name, &DeleteParams::default()).await;
    wait::until(&format!("Tenant {name} gone"), GONE, || async {
        match tenants.get_opt(name).await? {
            None => Ok(()),
            Some(tenant) => {
                let status = tenant.status.unwrap_or_default();
                anyhow::bail!("{:?}: {}", status.state, status.message.unwrap_or_default())
            }
        }
    })
    .await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(devbox.kube.clone());
    assert!(
        namespaces.get_opt(name).await.ok().flatten().is_none(),
        "namespace {name} is left"
    );
}

/// Asserts that neither Keystone nor Kubernetes nor the test host has anything that a Tenant of this name, with a user of this name, is
/// given.
///
/// # Panics
/// With the list of what there is.
pub async fn assert_nothing_named(devbox: &Devbox, name: &str) {
    // What Kubernetes removes by itself after its owner takes a moment.
    wait::until(&format!("nothing named {name}"), Duration::from_secs(30), || async {
        let mut left = made_for(devbox, name).await?;
        left.extend(plugged_in(devbox, name).await?);
        ensure!(left.is_empty(), "{left:#?}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    assert_no_loose_device(devbox).await;
}

/// Interfaces of a namespace's pods that Open vSwitch has on the test hosts. A row without a sandbox's mark is not kubestackd's.
async fn plugged_in(devbox: &Devbox, namespace: &str) -> Result<Vec<String>> {
    let find = format!(
        "ovs-vsctl --bare --columns=name find interface external_ids:stackube-pod-namespace={namespace} \
           'external_ids:stackube-container!=\"\"'"
    );
    let mut found = vec![];
    for node in nodes::joined(devbox).await? {
        let names = node.shell(devbox, &find).await?;
        let names = names.split_whitespace();
        found.extend(names.map(|name| format!("interface {name} of {}", node.host)));
    }
    Ok(found)
}

/// Pods' devices on the test hosts that are not plugged in, of whatever namespace: a device does not tell.
async fn loose_devices(devbox: &Devbox) -> Result<BTreeSet<String>> {
    // Devices first: one that is made and plugged in meanwhile is not seen as loose.
    let list = "ls /sys/class/net | grep ^sk; echo --; ovs-vsctl --bare --columns=name list interface";
    let mut found = BTreeSet::new();
    for node in nodes::joined(devbox).await? {
        let text = node.shell(devbox, list).await?;
        let (devices, plugged) = text.split_once("--\n").context("the host lists no interfaces")?;
        let plugged: BTreeSet<&str> = plugged.split_whitespace().collect();
        let loose = devices.split_whitespace().filter(|device| !plugged.contains(device));
        found.extend(loose.map(|device| format!("{device} of {}", node.host)));
    }
    Ok(found)
}

/// Waits until the devices that are not plugged in now are gone, or have been plugged in: those of pods that end or start soon are.
async fn assert_no_loose_device(devbox: &Devbox) {
    let loose = wait::until("the host's devices", Duration::from_secs(30), || loose_devices(devbox)).await;
    if loose.is_empty() {
        return;
    }
    wait::until("no device without interface", Duration::from_secs(30), || async {
        let now = loose_devices(devbox).await?;
        let left: Vec<_> = loose.intersection(&now).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}

/// Whatever there is of what a Tenant of this name, with a user of this name, is given, beside its Neutron objects.
///
/// # Errors
/// When Keystone or the API server does not answer.
pub async fn made_for(devbox: &Devbox, name: &str) -> Result<Vec<String>> {
    let session = devbox.cloud.service();
    let domain = session.find_domain("Default").await?.context("no domain Default")?.id;
    let mut found = vec![];
    if let Some(project) = session.find_project(&domain, name).await? {
        found.push(format!("project {}", project.id));
    }
    if let Some(user) = session.find_user(&domain, name).await? {
        found.push(format!("user {}", user.id));
    }
    let own = format!(
        "namespace/{name} clusterrole/{r} clusterrolebinding/{r} flowschema/{f}",
        r = tenant_reader(name),
        f = tenant_flow(name)
    );
    let secret = format!("secret/{}", password_secret(name));
    for (namespace, objects) in [("default", own.as_str()), (SYSTEM_NAMESPACE, &secret)] {
        let mut call = vec!["-n", namespace, "get", "--ignore-not-found", "-o", "name"];
        call.extend(objects.split(' '));
        let shown = devbox.kubectl(&call, "").await?;
        found.extend(shown.lines().map(str::to_owned));
    }
    Ok(found)
}

/// Keystone project in the Tenant's status.
///
/// # Panics
/// When it has none.
pub fn project_of(tenant: &Tenant) -> ProjectId {
    let id = tenant.status.as_ref().and_then(|s| s.project_id.clone());
    let id = id
        .with_context(|| format!("{} has no project", tenant.name_any()))
        .expect("an Active Tenant has a project");
    ProjectId::new(id).expect("Keystone's IDs are valid")
}
