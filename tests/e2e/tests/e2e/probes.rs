//! kubelet's probes and hooks of tenants' pods, whatever their addresses; and no pod's way to its node.

use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    devbox::Devbox,
    pods,
    tenant::{with_tenant, with_two_tenants},
    wait,
};

use crate::shared;

/// A pod that is started and ready only if every kind of probe reaches it, and that a hook has to reach as well.
pub(crate) fn probed(namespace: &str, text: &str) -> Value {
    let http = json!({"path": "/", "port": 80});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {
                "name": "web", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", format!("mkdir /tmp/www && echo {text} > /tmp/www/index.html && exec httpd -f -p 80 -h /tmp/www")],
                // The next container begins when this one serves.
                "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "until wget -q -O /dev/null http://127.0.0.1/; do sleep 0.2; done"]}}},
                "startupProbe": {"httpGet": http, "periodSeconds": 1, "failureThreshold": 60},
                "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1},
                "livenessProbe": {"httpGet": http, "periodSeconds": 2, "failureThreshold": 3},
            },
            {
                "name": "health", "image": "stackube/agnhost", "imagePullPolicy": "IfNotPresent",
                "args": ["grpc-health-checking", "--port=5000", "--http-port=8081"],
                // One attempt: kubelet kills the container when it fails, and starts it again.
                "lifecycle": {"postStart": {"httpGet": http}},
                "readinessProbe": {"grpc": {"port": 5000}, "periodSeconds": 1},
                "livenessProbe": {"exec": {"command": ["/agnhost", "help"]}, "periodSeconds": 10, "timeoutSeconds": 10},
            },
        ]},
    })
}

async fn restarts(devbox: &Devbox, namespace: &str) -> String {
    let path = "jsonpath={.status.containerStatuses[*].restartCount}";
    devbox
        .kubectl(&["-n", namespace, "get", "pod", "web", "-o", path], "")
        .await
        .unwrap()
}

#[tokio::test]
async fn pods_of_two_tenants_with_one_subnet_are_probed_each_by_itself() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "probe", async |a, b| {
        let names = [a.name_any(), b.name_any()];
        for name in &names {
            let pod = probed(name, name).to_string();
            devbox.kubectl(&["create", "-f", "-"], &pod).await.unwrap();
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
        assert_eq!(restarts(&devbox, &names[1]).await, "0 0");
    })
    .await;
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
