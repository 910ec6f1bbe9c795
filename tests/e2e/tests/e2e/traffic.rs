//! What goes through a Service's address, beside small requests by TCP: datagrams, fragments, packets about as large as the
//! network takes, errors, a pod's own requests to itself; and to which pods it goes. (SCTP, which neither the devbox's kernel nor
//! its Open vSwitch has, is tested with the datapath, in the emulated machine with sockets.)

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use etherparse::icmpv4::DestUnreachableHeader;
use etherparse::{Icmpv4Type, PacketBuilder};
use futures::future::join_all;
use futures::join;
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::create,
    devbox::Devbox,
    guest::{Answer, Guest, question},
    pods,
    services::cluster_ip,
    tenant::with_tenant,
    wait,
};

use crate::{GUEST, shared};

/// Each has a server on port 7, that echoes and says who it is.
pub(crate) const PODS: [&str; 3] = ["p0", "p1", "p2"];
/// Connections and datagrams that are to be spread over them.
const MANY: usize = 150;
/// IPv4 and UDP headers, bytes.
const HEADERS: usize = 28;

/// A Service of the pods with a label, on port 7 of TCP and UDP; its address.
async fn service(devbox: &Devbox, namespace: &str, name: &str, select: &str, affinity: &str) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {select: "yes"}, "sessionAffinity": affinity, "ports": [
            {"name": "stream", "port": 7}, {"name": "datagram", "port": 7, "protocol": "UDP"},
            // Nobody listens there.
            {"name": "closed", "port": 9, "protocol": "UDP"},
        ]},
    });
    create(devbox, &service).await;
    cluster_ip(devbox, namespace, name).await
}

/// Bytes that are nowhere twice the same.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|_| rand::random()).collect()
}

#[tokio::test]
async fn what_passes_through_a_service_arrives_whole_and_where_it_should() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "traffic", "", async |tenant| {
        let name = tenant.name_any();
        passes(&devbox, &name, PODS.map(|pod| pod_manifest(&name, pod))).await;
    })
    .await;
}

/// All of it, between pods of these manifests ([`pod_manifest`]).
pub(crate) async fn passes(devbox: &Devbox, name: &str, pods: [Value; 3]) {
    create(devbox, &json!({"apiVersion": "v1", "kind": "List", "items": pods})).await;
    let guests = join_all(PODS.map(|pod| async move {
        pods::ready(devbox, name, pod).await;
        let guest = Guest::bring(devbox, GUEST, name, pod).await;
        guest.serve(7).await;
        guest
    }))
    .await;
    let all = service(devbox, name, "all", "all", "None").await;
    let sticky = service(devbox, name, "sticky", "all", "ClientIP").await;
    spread(&guests[0], &all).await;
    affinity(&guests[0], &sticky).await;
    let other = service(devbox, name, "other", "p1", "None").await;
    let itself = service(devbox, name, "itself", "p0", "None").await;
    for (address, who) in [(&other, "p1"), (&itself, "p0")] {
        whole(&guests[0], address, who).await;
    }
    for address in [&other, &itself] {
        errors(&guests[0], address).await;
    }
    narrower(&guests[0], &guests[1], &other).await;
}

/// One of [`PODS`].
pub(crate) fn pod_manifest(namespace: &str, pod: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": pod, "namespace": namespace, "labels": {"all": "yes", pod: "yes"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "shell", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "86400"],
        }]},
    })
}

/// Who answers that many questions, and how often each.
async fn who(guest: &Guest<'_>, protocol: &str, address: &str, count: usize) -> BTreeMap<String, usize> {
    let asked = vec![question(protocol, &format!("{address}:7"), b"who"); count];
    let mut seen = BTreeMap::new();
    for answer in guest.ask(&asked).await {
        let name = match answer {
            Answer::Reply(name) => String::from_utf8(name).unwrap(),
            other => format!("{other:?}"),
        };
        *seen.entry(name).or_default() += 1;
    }
    seen
}

/// Until the node has the Service with all of its endpoints.
async fn programmed(guest: &Guest<'_>, address: &str, names: &[&str]) {
    wait::until(
        &format!("{address} leads to {names:?}"),
        Duration::from_secs(30),
        || async {
            let seen = who(guest, "udp", address, 30).await;
            ensure!(seen.keys().eq(names), "{seen:?}");
            Ok(())
        },
    )
    .await;
}

/// Each pod gets its part of what is new: half of the even share is four standard deviations away.
async fn spread(guest: &Guest<'_>, address: &str) {
    programmed(guest, address, &PODS).await;
    for protocol in ["tcp", "udp"] {
        let seen = who(guest, protocol, address, MANY).await;
        let few = MANY / PODS.len() / 2;
        assert!(
            seen.keys().eq(PODS) && seen.values().all(|count| *count >= few),
            "{protocol}: {seen:?}"
        );
    }
}

/// All that a pod asks goes to the same one.
async fn affinity(guest: &Guest<'_>, address: &str) {
    wait::until("the Service answers", Duration::from_secs(30), || async {
        let seen = who(guest, "tcp", address, 1).await;
        ensure!(seen.keys().all(|name| PODS.contains(&name.as_str())), "{seen:?}");
        Ok(())
    })
    .await;
    for protocol in ["tcp", "udp"] {
        let seen = who(guest, protocol, address, MANY).await;
        assert!(
            seen.len() == 1 && PODS.contains(&seen.keys().next().unwrap().as_str()),
            "{protocol}: {seen:?}"
        );
    }
}

/// Datagrams and streams of all sizes come back as they were sent.
async fn whole(guest: &Guest<'_>, address: &str, name: &str) {
    programmed(guest, address, &[name]).await;
    let mtu: usize = guest.shell("cat /sys/class/net/eth0/mtu").await.trim().parse().unwrap();
    let largest = mtu - HEADERS;
    let sent: Vec<(&str, Vec<u8>)> = [1, largest - 1, largest, largest + 1, 2 * largest, 9000, 32_000]
        .map(|size| ("udp", bytes(size)))
        .into_iter()
        // A segment has 12 bytes of options besides headers of 40; larger ones are cut by the pod or on the way.
        .chain([mtu - 53, mtu - 52, mtu - 51, mtu - 40, 300_000].map(|size| ("tcp", bytes(size))))
        .collect();
    let to = format!("{address}:7");
    let asked: Vec<_> = sent
        .iter()
        .map(|(protocol, bytes)| question(protocol, &to, bytes))
        .collect();
    for ((protocol, bytes), answer) in sent.iter().zip(guest.ask(&asked).await) {
        let whole = answer == Answer::Reply(bytes.clone());
        assert!(whole, "{} bytes by {protocol} to {name} at {address}", bytes.len());
    }
}

/// The pod behind a Service says that nobody listens there: an error about the pod's address, for the Service's.
async fn errors(guest: &Guest<'_>, address: &str) {
    let closed = question("udp", &format!("{address}:9"), b"anybody?");
    assert_eq!(
        guest.ask(&[closed]).await,
        [Answer::Refused],
        "port unreachable from {address}"
    );
}

/// Ethernet's header, bytes.
const ETHERNET: usize = 14;
/// What the narrow part of the way takes, bytes of IPv4. Open vSwitch's userspace datapath drops fragments below 1200 bytes.
const NARROW: u16 = 1300;
/// A datagram that fits elsewhere, bytes without headers.
const LARGE: usize = 1400;

/// Whatever is narrower on the way to a pod says so to whoever sends to its Service, and is heeded.
async fn narrower(from: &Guest<'_>, to: &Guest<'_>, address: &str) {
    let datagram = |text: &str| question("udp", &format!("{address}:7"), format!("{text:.<LARGE$}").as_bytes());
    let mut watcher = to.start(&["watch"], "").await;
    // While it waits for an answer, its socket is there for the error.
    let large = [datagram("hush stackube-frame:large.")];
    let asking = from.ask(&large);
    let answering = async {
        let (name, large) = watcher.frame().await.unwrap();
        assert!(name == "large" && large.len() > LARGE, "{name}: {} bytes", large.len());
        let packet = &large[ETHERNET..];
        let ends = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap();
        let macs: [[u8; 6]; 2] = [6, 0].map(|at| large[at..at + 6].try_into().unwrap());
        let icmp =
            Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: NARROW });
        let mut error = vec![];
        // RFC 792: the header that it is about, and eight bytes more.
        PacketBuilder::ethernet2(macs[1], macs[0])
            .ipv4(ends(16), ends(12), 64)
            .icmpv4(icmp)
            .write(&mut error, &packet[..28])
            .unwrap();
        to.send("eth0", &[error]).await;
    };
    let (answers, ()) = join!(asking, answering);
    assert_eq!(
        answers,
        [Answer::TooLarge],
        "an error about the pod, for who asked the Service"
    );
    for text in ["stackube-frame:narrow.", "stackube-frame:end."] {
        let whole = Answer::Reply(format!("{text:.<LARGE$}").into_bytes());
        assert_eq!(from.ask(&[datagram(text)]).await, [whole]);
    }
    for (name, frame) in watcher.frames().await.unwrap() {
        // The answers, which the watcher sees as well, go the other way.
        let is_answer = frame[ETHERNET + 20..][..2] == [0, 7];
        let limit = ETHERNET + usize::from(NARROW);
        assert!(is_answer || frame.len() <= limit, "{name}: {} bytes", frame.len());
    }
}
