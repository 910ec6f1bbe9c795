//! kubelet's probes and hooks of tenants' pods, whatever their addresses; and no pod's way to its node.

use std::process::Stdio;

use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::create,
    devbox::Devbox,
    pods,
    tenant::{with_tenant, with_two_tenants_of},
    wait,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::shared;

/// What `web` says in its log when it starts, and when its `preStop` hook has reached it.
const STARTS: &str = "the container starts";
const LEAVES: &str = "the hook came";
/// How many seconds a container has for the answer that keeps it alive, on a machine where other tests run.
const PATIENCE: u32 = 10;

/// A pod that is started and ready only if every kind of probe reaches it, and that hooks have to reach as well; with the Secret that it
/// has its certificate from.
pub(crate) fn probed(namespace: &str, text: &str) -> Value {
    // kubelet believes any certificate.
    let issued = rcgen::generate_simple_self_signed(["probed".to_owned()]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web", "namespace": namespace},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [plain(text), grpc(), https()],
            "volumes": [{"name": "tls", "secret": {"secretName": "web"}}],
        },
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [secret, pod]})
}

/// The container that is asked by HTTP and TCP. Its shell ends it when it is told to: a hook runs only if there is time to wait for that.
fn plain(text: &str) -> Value {
    let http = json!({"path": "/", "port": 80});
    let script = format!(
        r"
echo {STARTS}
mkdir -p /tmp/www/cgi-bin
echo {text} >/tmp/www/index.html
cat >/tmp/www/cgi-bin/leave <<'END'
#!/bin/sh
echo {LEAVES} >/proc/1/fd/1
printf 'Content-Type: text/plain\n\n'
END
chmod +x /tmp/www/cgi-bin/leave
trap 'exit 0' TERM
httpd -f -p 80 -h /tmp/www &
wait"
    );
    json!({
        "name": "web", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
        "lifecycle": {
            // The next container begins when this one serves.
            "postStart": {"exec": {"command": ["sh", "-c", "until wget -q -O /dev/null http://127.0.0.1/; do sleep 0.2; done"]}},
            "preStop": {"httpGet": {"path": "/cgi-bin/leave", "port": 80}},
        },
        "startupProbe": {"httpGet": http, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": http, "periodSeconds": 2, "failureThreshold": 3, "timeoutSeconds": PATIENCE},
    })
}

fn grpc() -> Value {
    json!({
        "name": "health", "image": "stackube/agnhost", "imagePullPolicy": "IfNotPresent",
        "args": ["grpc-health-checking", "--port=5000", "--http-port=8081"],
        // One attempt: kubelet kills the container when it fails, and starts it again.
        "lifecycle": {"postStart": {"httpGet": {"path": "/", "port": 80}}},
        "readinessProbe": {"grpc": {"port": 5000}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["/agnhost", "help"]}, "periodSeconds": 10, "timeoutSeconds": PATIENCE},
    })
}

fn https() -> Value {
    let ask = json!({"path": "/", "port": 8443, "scheme": "HTTPS"});
    json!({
        "name": "secure", "image": "stackube/agnhost", "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", "--http-port=8443", "--udp-port=-1", "--tls-cert-file=/tls/tls.crt", "--tls-private-key-file=/tls/tls.key"],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": true}],
        "startupProbe": {"httpGet": ask, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"httpGet": ask, "periodSeconds": 1},
        "livenessProbe": {"httpGet": ask, "periodSeconds": 2, "failureThreshold": 3, "timeoutSeconds": PATIENCE},
    })
}

async fn restarts(devbox: &Devbox, namespace: &str) -> String {
    let path = "jsonpath={.status.containerStatuses[*].restartCount}";
    devbox
        .kubectl(&["-n", namespace, "get", "pod", "web", "-o", path], "")
        .await
        .unwrap()
}

/// Deletes `web` while somebody follows what its first container says; what that was, from its start to its end.
async fn said_until_deleted(devbox: &Devbox, namespace: &str) -> String {
    let logs = ["-n", namespace, "logs", "web", "--container=web", "--follow"];
    let mut follower = devbox
        .kubectl_command(&logs)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(follower.stdout.take().unwrap());
    let mut said = String::new();
    // Not before it is being followed: a pod that is gone has no log.
    output.read_line(&mut said).await.unwrap();
    assert!(said.contains(STARTS), "{said:?}");
    let delete = [
        "-n",
        namespace,
        "delete",
        "pod",
        "web",
        "--grace-period=60",
        "--wait=false",
    ];
    devbox.kubectl(&delete, "").await.unwrap();
    output.read_to_string(&mut said).await.unwrap();
    assert!(follower.wait().await.unwrap().success(), "{said:?}");
    said
}

async fn each_by_itself(class: &str) {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let spec = format!("runtimeClassName: {class}");
    with_two_tenants_of(&devbox, &format!("probe-{class}"), &spec, async |a, b| {
        let names = [a.name_any(), b.name_any()];
        for name in &names {
            create(&devbox, &probed(name, name)).await;
        }
        for name in &names {
            pods::ready(&devbox, name, "web").await;
        }
        // Who answers badly is found out, and only he. (The first process of a container cannot be killed from within.)
        pods::exec(&devbox, &names[0], "web", "rm /tmp/www/index.html")
            .await
            .unwrap();
        wait::until(
            "the pod that stopped answering is started again",
            pods::READY,
            || async {
                let count = restarts(&devbox, &names[0]).await;
                anyhow::ensure!(count.split(' ').any(|n| n != "0"), "{count}");
                Ok(())
            },
        )
        .await;
        pods::ready(&devbox, &names[0], "web").await;
        assert_eq!(restarts(&devbox, &names[1]).await, "0 0 0");

        // The same for hooks.
        let said = said_until_deleted(&devbox, &names[1]).await;
        assert!(
            said.contains(LEAVES),
            "the preStop hook of a pod that is deleted: {said:?}"
        );
        let logs = ["-n", &names[0], "logs", "web", "--container=web"];
        let others = devbox.kubectl(&logs, "").await.unwrap();
        assert!(!others.contains(LEAVES), "another tenant's hook: {others:?}");
    })
    .await;
}

#[tokio::test]
async fn pods_of_two_tenants_with_one_subnet_are_probed_each_by_itself() {
    each_by_itself("runc").await;
}

#[tokio::test]
async fn pods_of_two_tenants_with_one_subnet_are_probed_each_by_itself_on_gvisor() {
    each_by_itself("gvisor").await;
}

#[tokio::test]
async fn a_pod_reaches_no_port_of_its_node_by_the_link() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "link", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "client", "client").await;
        for address in ["169.254.77.1", "169.254.77.2", "169.254.128.1"] {
            for port in [22, 53, 6443, 9473, 10250] {
                pods::assert_cut_off(&devbox, &name, "client", address, port).await;
            }
        }
    })
    .await;
}
