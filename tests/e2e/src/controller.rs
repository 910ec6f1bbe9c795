//! The controller's processes: which one leads, killing and stopping it, and instances beside it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::{Value, json};

use crate::{always::always, devbox::Devbox, wait};

/// From the end of a leader to the next one at work: the Lease, an instance that starts, its look at OpenStack.
const TAKEN_OVER: Duration = Duration::from_secs(120);

const NAMESPACE: &str = "stackube-system";
/// The port of the Deployment's own instance.
pub const PORT: u16 = 10350;

/// Name of the pod that has the Lease, whether it lives or not.
///
/// # Errors
/// When nobody has it.
pub async fn holder(devbox: &Devbox) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(devbox.kube.clone(), NAMESPACE);
    let spec = leases.get("stackube-controller").await?.spec.unwrap_or_default();
    spec.holder_identity.context("nobody has the Lease")
}

/// Waits until another instance than `old` leads; its name.
///
/// # Panics
/// When none takes over.
pub async fn other_leader(devbox: &Devbox, old: &str) -> String {
    wait::until("another instance leads", TAKEN_OVER, || async {
        let holder = holder(devbox).await?;
        ensure!(holder != old, "it is still {holder}");
        Ok::<_, anyhow::Error>(holder)
    })
    .await
}

/// Process of the instance `pod` on the host.
///
/// # Errors
/// When it has none.
pub async fn process(devbox: &Devbox, pod: &str) -> Result<u32> {
    // The kernel cuts names of processes at 15 characters.
    let script = format!(
        "for p in $(pgrep -x stackube-contro); do tr '\\0' '\\n' </proc/$p/environ | grep -qx POD_NAME={pod} && echo $p; done; true"
    );
    let found = devbox.host(&script).await?;
    found.trim().parse().with_context(|| format!("{pod} has no process"))
}

/// What the instance on `port` of the host answers.
///
/// # Errors
/// When nothing does.
pub async fn get(devbox: &Devbox, port: u16, path: &str) -> Result<String> {
    devbox.host(&format!("curl -s http://127.0.0.1:{port}/{path}")).await
}

/// Waits until a process other than `old` leads, lets it work for `life`, and kills it, as a crash would; its number. There may be no
/// instance but the Deployment's.
///
/// # Panics
/// When none leads in time.
pub async fn kill_next(devbox: &Devbox, old: Option<u32>, life: Duration) -> u32 {
    let (limit, old, life) = (TAKEN_OVER.as_secs(), old.unwrap_or_default(), life.as_secs_f64());
    // On the host itself, so that its life is as short as wanted.
    let script = format!(
        "for try in $(seq {limit}0); do
           new=$(pgrep -x stackube-contro) && [ \"$new\" != {old} ] \
             && curl -s http://127.0.0.1:{PORT}/metrics | grep -qx 'stackube_controller_leader 1' \
             && sleep {life} && kill -9 $new && echo $new && exit
           sleep 0.1
         done; echo no process leads after {limit} s >&2; exit 1"
    );
    let killed = devbox.host(&script).await;
    let killed = killed.expect("kubelet should start the controller again");
    killed.trim().parse().expect("one process")
}

/// Waits until the Deployment's own instance is ready.
///
/// # Panics
/// When it does not become so.
pub async fn ready(devbox: &Devbox) {
    let status = ["-n", NAMESPACE, "rollout", "status", "deployment/stackube-controller"];
    let arguments = [&status[..], &["--timeout=120s"]].concat();
    devbox
        .kubectl(&arguments, "")
        .await
        .expect("the controller should become ready again");
}

/// Runs an instance of the controller beside the Deployment's: a pod of the same template, as `change` leaves its spec, which listens
/// on `port` of the host. It is gone afterwards, whatever `body` does.
///
/// # Panics
/// When it cannot be made or removed, and when `body` panics.
pub async fn with_instance<T>(
    devbox: &Devbox,
    name: &str,
    port: u16,
    change: impl FnOnce(&mut Value),
    body: impl Future<Output = T>,
) -> T {
    let pod = instance(devbox, name, port, change)
        .await
        .expect("the Deployment should be there");
    // What a run that was killed left behind.
    remove(devbox, name).await;
    devbox
        .kubectl(&["create", "-f", "-"], &pod.to_string())
        .await
        .expect("the API server should accept another instance");
    always(body, remove(devbox, name)).await
}

async fn remove(devbox: &Devbox, name: &str) {
    let delete = [
        "-n",
        NAMESPACE,
        "delete",
        "pod",
        name,
        "--ignore-not-found",
        "--timeout=60s",
    ];
    devbox
        .kubectl(&delete, "")
        .await
        .expect("an instance should be removable");
}

async fn instance(devbox: &Devbox, name: &str, port: u16, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let get = [
        "-n",
        NAMESPACE,
        "get",
        "deployment",
        "stackube-controller",
        "-o",
        "json",
    ];
    let mut deployment: Value = serde_json::from_str(&devbox.kubectl(&get, "").await?)?;
    let mut spec = deployment["spec"]["template"]["spec"].take();
    let container = &mut spec["containers"][0];
    // In the host's network a port is taken once.
    container["ports"] = json!([]);
    for probe in ["livenessProbe", "readinessProbe"] {
        container[probe]["httpGet"]["port"] = port.into();
    }
    let listen = json!({"name": "STACKUBE_LISTEN", "value": format!("127.0.0.1:{port}")});
    let environment = container["env"]
        .as_array_mut()
        .context("the template has no environment")?;
    environment.push(listen);
    change(&mut spec);
    Ok(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec,
    }))
}
