//! The installed plugin on the running node: called by the reference client, called late, killed; and what is somebody else's there.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::Value;
use stackube_e2e::{
    always::always,
    devbox::Devbox,
    pods::{self, assert_reaches},
    sandbox::{calls, devices, plugged, uid},
    tenant::{unique, with_tenant},
    wait,
};

use crate::{pods::bound_ports, shared};

/// A pod as the runtime names it to the plugin.
struct Target<'a> {
    devbox: &'a Devbox,
    namespace: &'a str,
    pod: &'a str,
    uid: &'a str,
}

impl Target<'_> {
    fn arguments(&self) -> String {
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_UID={}",
            self.namespace, self.pod, self.uid
        )
    }

    /// `cnitool` on the host, where the daemon has put its plugin and its configuration.
    async fn cnitool(&self, program: &str, command: &str, netns: &str) -> Result<String> {
        let arguments = self.arguments();
        let script = format!(
            "NETCONFPATH=/etc/cni/net.d CNI_PATH=/opt/cni/bin CNI_ARGS='{arguments}' {program} {command} stackube /run/netns/{netns}"
        );
        self.devbox.host(&script).await
    }

    /// The DEL that a runtime sends for a sandbox whose namespace is gone.
    async fn late_del(&self, container: &str) -> Result<String> {
        let list = self.devbox.host("cat /etc/cni/net.d/10-kubestack.conflist").await?;
        let list: Value = serde_json::from_str(&list)?;
        let mut plugin = list["plugins"][0].clone();
        plugin["cniVersion"] = list["cniVersion"].clone();
        plugin["name"] = list["name"].clone();
        let arguments = self.arguments();
        let script = format!(
            "echo '{plugin}' | CNI_COMMAND=DEL CNI_CONTAINERID={container} CNI_NETNS= CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin \
             CNI_ARGS='{arguments}' /opt/cni/bin/kubestack"
        );
        self.devbox.host(&script).await
    }

    /// Asserts that the pod is plugged in once, for `container`, and has nothing else on the host.
    async fn assert_plugged(&self, container: &str) {
        assert_eq!(plugged(self.devbox, self.uid).await.unwrap(), [container]);
        let devices = devices(self.devbox, self.uid).await.unwrap();
        assert_eq!(devices.len(), 1, "{devices:?}");
    }

    async fn assert_unplugged(&self) {
        assert!(plugged(self.devbox, self.uid).await.unwrap().is_empty());
        assert!(devices(self.devbox, self.uid).await.unwrap().is_empty());
    }
}

/// What looks like the pod's, and is somebody else's: a row on the integration bridge without the mark of a sandbox, and a veth pair
/// with a sandbox's alias.
struct Lookalikes {
    row: String,
    device: String,
}

impl Lookalikes {
    async fn make(&self, target: &Target<'_>, container: &str) {
        let Self { row, device } = self;
        let Target {
            namespace, pod, uid, ..
        } = target;
        let script = format!(
            "set -e; ovs-vsctl add-port br-int {row} -- set interface {row} type=internal external_ids:iface-id={row} \
               external_ids:stackube-pod-uid={uid} external_ids:stackube-pod-name={pod} external_ids:stackube-pod-namespace={namespace}; \
             ip link add {device} type veth peer name {device}p; \
             ip link set {device} alias 'stackube pod={uid} interface=eth0 container={container}'"
        );
        target.devbox.host(&script).await.unwrap();
    }

    async fn assert_there(&self, devbox: &Devbox) {
        let Self { row, device } = self;
        let script = format!("ovs-vsctl get interface {row} external_ids:stackube-pod-uid && ip link show {device}");
        devbox.host(&script).await.unwrap();
    }

    async fn remove(&self, devbox: &Devbox) {
        let Self { row, device } = self;
        let script = format!("ovs-vsctl --if-exists del-port br-int {row}; ip link delete {device} 2>/dev/null; true");
        devbox.host(&script).await.unwrap();
    }
}

#[tokio::test]
async fn a_late_del_of_an_old_sandbox_takes_nothing_from_a_newer_one() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let (netns, program) = (unique("netns"), format!("/tmp/{}", unique("cnitool")));
    let others = Lookalikes {
        row: unique("r"),
        device: unique("v"),
    };
    let body = with_tenant(&devbox, "cni", "", async |tenant| {
        let name = tenant.name_any();
        let address = pods::run(&devbox, &name, "web", "of-web").await;
        pods::run(&devbox, &name, "client", "client").await;
        let uid = uid(&devbox, &name, "web").await;
        let target = Target {
            devbox: &devbox,
            namespace: &name,
            pod: "web",
            uid: &uid,
        };
        let old = plugged(&devbox, &uid).await.unwrap().remove(0);
        others.make(&target, &old).await;
        let reference = devbox.clouds().with_file_name("bin/cnitool");
        devbox.put(&reference, &program).await.unwrap();
        devbox.host(&format!("ip netns add {netns}")).await.unwrap();
        by_the_reference_client(&target, &program, &netns, &old, &address).await;
        by_kubelet(&target, &old, &address).await;
    });
    let body = async {
        body.await;
        others.assert_there(&devbox).await;
    };
    always(body, async {
        let clean = format!("ip netns delete {netns} 2>/dev/null; rm -f {program}");
        devbox.host(&clean).await.unwrap();
        others.remove(&devbox).await;
    })
    .await;
}

/// The reference client's sandbox takes the pod over from the runtime's.
async fn by_the_reference_client(target: &Target<'_>, program: &str, netns: &str, old: &str, address: &str) {
    let made = target.cnitool(program, "add", netns).await.unwrap();
    let made: Value = serde_json::from_str(&made).unwrap();
    let given = made["ips"][0]["address"].as_str().unwrap();
    assert_eq!(given.split('/').next(), Some(address));
    let new = plugged(target.devbox, target.uid).await.unwrap().remove(0);
    assert_ne!(new, old);

    target.late_del(old).await.unwrap();
    target.assert_plugged(&new).await;
    target.cnitool(program, "check", netns).await.unwrap();
    let ping = format!("ping -c 1 -W 5 {address}");
    pods::exec(target.devbox, target.namespace, "client", &ping)
        .await
        .unwrap();

    target.cnitool(program, "del", netns).await.unwrap();
    target.assert_unplugged().await;
    // And again, as runtimes do.
    target.late_del(old).await.unwrap();
}

/// kubelet makes a new sandbox for one that has died.
async fn by_kubelet(target: &Target<'_>, old: &str, address: &str) {
    target
        .devbox
        .host(&format!("ctr -n k8s.io tasks kill -s SIGKILL {old}"))
        .await
        .unwrap();
    let new = wait::until("kubelet has made another sandbox", Duration::from_secs(90), || async {
        let mut containers = plugged(target.devbox, target.uid).await?;
        ensure!(containers.len() == 1, "{containers:?}");
        Ok(containers.remove(0))
    })
    .await;
    assert_ne!(new, old);
    // Until the container runs in it.
    wait::until("the newer sandbox serves", Duration::from_secs(60), || async {
        let answer = pods::fetch(target.devbox, target.namespace, "client", address).await?;
        ensure!(answer == "of-web", "{answer:?}");
        Ok(())
    })
    .await;
    target.late_del(old).await.unwrap();
    target.assert_plugged(&new).await;
    assert_reaches(target.devbox, target.namespace, "client", address, "of-web").await;
}

#[tokio::test]
async fn an_abandoned_add_leaves_nothing_and_is_tried_again() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    // One port is the router's, so that the second pod's ADD waits.
    with_tenant(&devbox, "ports", "quota: {network: {ports: 2}}", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "first", "x").await;
        pods::create(&devbox, &name, "second", "x").await.unwrap();
        wait::until("an Event about the quota", Duration::from_secs(60), || async {
            let shown = "custom-columns=R:.reason,M:.message";
            let events = devbox.kubectl(&["-n", &name, "get", "events", "-o", shown], "").await?;
            ensure!(events.to_lowercase().contains("quota"), "{events}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
        let uid = uid(&devbox, &name, "second").await;
        let first = wait::until("the plugin waits", Duration::from_secs(90), || async {
            let calls = calls(&devbox, &uid).await?;
            calls.into_iter().next().context("no call is under way")
        })
        .await;
        devbox.host(&format!("kill -9 {}", first.process)).await.unwrap();
        let next = wait::until("kubelet tries again", Duration::from_secs(90), || async {
            let calls = calls(&devbox, &uid).await?;
            let next = calls.into_iter().find(|call| call.container != first.container);
            next.context("no other call is under way")
        })
        .await;
        let patch = r#"{"spec":{"quota":{"network":{"ports":10}}}}"#;
        devbox
            .kubectl(&["patch", "tenant", &name, "--type=merge", "-p", patch], "")
            .await
            .unwrap();
        pods::ready(&devbox, &name, "second").await;
        let rows = plugged(&devbox, &uid).await.unwrap();
        assert!(
            rows.len() == 1 && rows[0] != first.container,
            "{first:?} {next:?} {rows:?}"
        );
        assert_eq!(devices(&devbox, &uid).await.unwrap().len(), 1);
        let ports = bound_ports(&devbox, &tenant).await;
        assert_eq!(
            ports.iter().filter(|port| port.device_id == uid).count(),
            1,
            "{ports:?}"
        );
    })
    .await;
}
