//! Names outside of the cluster, of the server in `dns-upstreams`: one that runs on the node while the test does.

use std::time::Duration;

use anyhow::ensure;
use hickory_proto::rr::RecordType::A;
use kube::ResourceExt;
use stackube_e2e::{
    always::always,
    devbox::Devbox,
    guest::Guest,
    nodes, pods,
    tenant::{unique, with_tenant},
    wait,
};

use super::wire::{How, ask, words};
use crate::{GUEST, shared};

const SERVER: &str = include_str!("upstream.py");
/// The same on a node, and what it has been asked.
const THERE: &str = "/run/e2e-upstream.py";
const LOG: &str = "/run/e2e-upstream.log";
/// As in devbox/stackube/configuration.yaml.
const PORT: u16 = 5300;

/// Runs a command on each node; what all print. The pod runs on one of them.
async fn everywhere(devbox: &Devbox, script: &str) -> String {
    let mut printed = String::new();
    for node in nodes::joined(devbox).await.unwrap() {
        printed += &node.shell(devbox, script).await.unwrap();
    }
    printed
}

#[tokio::test]
async fn outside_names_are_asked_of_the_upstream_server_and_remembered() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let stop = format!("systemctl stop e2e-upstream 2>/dev/null; rm -f {THERE} {LOG}");
    let start = format!(
        "{stop}; touch {LOG}; cat >{THERE} <<'END'\n{SERVER}END\n\
         systemd-run --quiet --collect --unit=e2e-upstream python3 {THERE} {PORT} {LOG}"
    );
    everywhere(&devbox, &start).await;
    let body = with_tenant(&devbox, "outside-names", "", async |tenant| {
        let tenant = tenant.name_any();
        pods::run(&devbox, &tenant, "client", "client").await;
        let guest = Guest::bring(&devbox, GUEST, &tenant, "client").await;
        let host = format!("{}.upstream.test", unique("www"));
        let name = format!("{host}.");
        wait::until("the server answers", Duration::from_secs(30), || async {
            let replies = ask(&guest, &[(&name, A, How::Udp)]).await;
            ensure!(words(&replies[0].0) == "A 192.0.2.53", "{:?}", replies[0].0);
            Ok(())
        })
        .await;
        let replies = ask(&guest, &[(&name, A, How::Tcp), (&name, A, How::Edns(1232))]).await;
        for (reply, _) in replies {
            assert_eq!(words(&reply), "A 192.0.2.53");
            assert!(!reply.metadata.authoritative, "{reply:?}");
        }
        // By the search path, whose names are the cluster's.
        let script = format!("ping -c 1 -W 1 {host} || true");
        let seen = pods::exec(&devbox, &tenant, "client", &script).await.unwrap();
        assert!(seen.contains("(192.0.2.53)"), "{seen}");
        let asked = everywhere(&devbox, &format!("cat {LOG}")).await;
        let questions = asked.lines().filter(|line| *line == format!("1 {host}")).count();
        assert_eq!(questions, 1, "the rest is for the cache: {asked}");
        let inner = asked.lines().find(|line| line.contains("cluster.local"));
        assert_eq!(inner, None, "names of the cluster are nobody else's");
    });
    always(body, async { drop(everywhere(&devbox, &stop).await) }).await;
}
