//! A private image: who has its registry's password in a Secret runs it, and nobody else, also when the node has it already.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{always::always, devbox::Devbox, pods, tenant::with_two_tenants, wait};

use crate::shared;

const REGISTRY: &str = "private.e2e.test";
const PASSWORD: &str = "of-the-registry";
/// `PASSWORD` by bcrypt, as the registry wants it.
const HASH: &str = "$2b$05$4e.dGoc1YuKiCQt/1p8bWO.Yyed92H2vCgize8vEynqS1ZyQNLQXG";

/// Starts another registry on the host with the images of the devbox's own, which wants a password. It is gone afterwards.
async fn with_private_registry(devbox: &Devbox, body: impl Future<Output = ()>) {
    let hosts = format!("/etc/containerd/certs.d/{REGISTRY}");
    let stop = format!("systemctl stop e2e-registry 2>/dev/null; rm -rf {hosts} /run/e2e-registry");
    let start = format!(
        "{stop}; set -e; mkdir -p {hosts} /run/e2e-registry; cd /run/e2e-registry; echo 'tenant:{HASH}' >passwords
         cat >config.yml <<end
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: /var/lib/devbox-registry}}, maintenance: {{readonly: {{enabled: true}}}}}}
auth: {{htpasswd: {{realm: private, path: /run/e2e-registry/passwords}}}}
http: {{addr: '127.0.0.1:5002'}}
end
         echo 'server = \"http://127.0.0.1:5002\"' >{hosts}/hosts.toml
         systemd-run --quiet --collect --unit=e2e-registry --setenv=OTEL_TRACES_EXPORTER=none /usr/local/bin/registry serve $PWD/config.yml"
    );
    devbox.host(&start).await.unwrap();
    let body = async {
        wait::until("the private registry asks", Duration::from_secs(20), || async {
            let ask = "curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5002/v2/";
            let status = devbox.host(ask).await?;
            ensure!(status == "401", "{status}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
        body.await;
    };
    always(body, async {
        devbox.host(&format!("{stop}; true")).await.unwrap();
    })
    .await;
}

/// Makes a Secret with a password for the registry.
async fn secret(devbox: &Devbox, namespace: &str, name: &str, password: &str) {
    let (server, password) = (
        format!("--docker-server={REGISTRY}"),
        format!("--docker-password={password}"),
    );
    let create = ["-n", namespace, "create", "secret", "docker-registry", name, &server];
    let create = [&create[..], &["--docker-username=tenant", &password]].concat();
    devbox.kubectl(&create, "").await.unwrap();
}

/// Makes a pod of the private image that names these Secrets.
async fn create(devbox: &Devbox, namespace: &str, name: &str, policy: &str, secrets: &[&str]) {
    let secrets: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "imagePullSecrets": secrets, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c",
            "image": format!("{REGISTRY}/library/busybox:latest"), "imagePullPolicy": policy, "command": ["sleep", "infinity"]}],
    }});
    let create = ["-n", namespace, "create", "-f", "-"];
    devbox.kubectl(&create, &pod.to_string()).await.unwrap();
}

/// Waits until the pod's container waits for one of these reasons.
async fn assert_waits(devbox: &Devbox, namespace: &str, pod: &str, reasons: &[&str]) {
    let field = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
    let get = ["-n", namespace, "get", "pod", pod, "-o", field];
    wait::until(&format!("pod {pod} is refused"), Duration::from_secs(90), || async {
        let reason = devbox.kubectl(&get, "").await?;
        ensure!(reasons.contains(&reason.as_str()), "{reason:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}

#[tokio::test]
async fn a_private_image_is_for_those_who_have_its_password() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "images", async |owner, other| {
        let (owner, other) = (owner.name_any(), other.name_any());
        with_private_registry(&devbox, async {
            let refused = ["ErrImagePull", "ImagePullBackOff"];
            create(&devbox, &other, "early", "IfNotPresent", &[]).await;
            assert_waits(&devbox, &other, "early", &refused).await;
            secret(&devbox, &owner, "private", PASSWORD).await;
            create(&devbox, &owner, "owner", "IfNotPresent", &["private"]).await;
            pods::ready(&devbox, &owner, "owner").await;

            // Now the node has it.
            secret(&devbox, &other, "wrong", "a-guess").await;
            for (pod, policy, secrets) in [
                ("present", "IfNotPresent", &[][..]),
                ("guessed", "IfNotPresent", &["wrong"]),
                ("theirs", "IfNotPresent", &["private"]),
                ("always", "Always", &[]),
            ] {
                create(&devbox, &other, pod, policy, secrets).await;
                assert_waits(&devbox, &other, pod, &refused).await;
            }
            create(&devbox, &other, "never", "Never", &[]).await;
            assert_waits(&devbox, &other, "never", &["ErrImageNeverPull"]).await;
            // Neither was everybody refused.
            secret(&devbox, &other, "bought", PASSWORD).await;
            create(&devbox, &other, "customer", "IfNotPresent", &["bought"]).await;
            pods::ready(&devbox, &other, "customer").await;
        })
        .await;
    })
    .await;
}
