//! What a pod can do to others with all that a container may have: raw frames, every address, floods. Nothing of it may
//! work, and all of it would if nobody forbade it.

mod flood;
mod frames;
mod names;
mod tracking;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use futures::join;
use hickory_proto::rr::RecordType;
use kube::ResourceExt;
use serde_json::json;
use stackube_e2e::{
    admin::create,
    devbox::Devbox,
    guest::{Answer, Guest, hex, question},
    pods,
    services::{cluster_ip, label},
    tenant::with_two_tenants,
};

use crate::dns::wire::{How, query};
use crate::{GUEST, shared};
use frames::End;

/// A pod of the test, with a server on port 7 beside the one on port 80.
struct Pod<'a> {
    guest: Guest<'a>,
    end: End,
}

async fn pod<'a>(devbox: &'a Devbox, namespace: &str, name: &str) -> Pod<'a> {
    let address = pods::ready(devbox, namespace, name).await;
    label(devbox, namespace, name, name).await;
    let guest = Guest::bring(devbox, GUEST, namespace, name).await;
    guest.serve(7).await;
    let end = End {
        mac: guest.mac().await,
        address: address.parse().unwrap(),
    };
    Pod { guest, end }
}

/// What two tenants have: each a Service of its own pod.
struct Scene<'a> {
    devbox: &'a Devbox,
    attackers_namespace: String,
    attacker: Pod<'a>,
    /// The router of the attacker's network.
    router: End,
    neighbour: Pod<'a>,
    /// Of the attacker's own tenant.
    service: String,
    victim: Pod<'a>,
    victims_friend: Pod<'a>,
    victims_service: String,
    victims_name: String,
}

#[tokio::test]
async fn nothing_that_a_pod_sends_harms_others() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "adversary", async |a, b| {
        let (a, b) = (a.name_any(), b.name_any());
        for (namespace, names) in [(&a, ["attacker", "neighbour"]), (&b, ["victim", "friend"])] {
            let names = names.map(str::to_owned);
            pods::create_all(&devbox, namespace, &names).await.unwrap();
        }
        let (attacker, neighbour, victim, victims_friend) = join!(
            pod(&devbox, &a, "attacker"),
            pod(&devbox, &a, "neighbour"),
            pod(&devbox, &b, "victim"),
            pod(&devbox, &b, "friend"),
        );
        let (address, mac) = attacker.guest.gateway().await;
        let scene = Scene {
            devbox: &devbox,
            attackers_namespace: a.clone(),
            attacker,
            router: End { mac, address },
            neighbour,
            victim,
            victims_friend,
            service: expose_both(&devbox, &a, "neighbour").await,
            victims_service: expose_both(&devbox, &b, "victim").await,
            victims_name: format!("victim.{b}.svc.cluster.local"),
        };
        scene.pretend().await;
        scene.knock().await;
        scene.resolve().await;
        scene.fill_tracking().await;
        scene.flood().await;
    })
    .await;
}

/// A Service on the two ports that every pod of the test serves; its address.
async fn expose_both(devbox: &Devbox, namespace: &str, name: &str) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"run": name}, "ports": [
            {"name": "http", "port": 80}, {"name": "echo", "port": 7, "protocol": "UDP"},
        ]},
    });
    create(devbox, &service).await;
    cluster_ip(devbox, namespace, name).await
}

/// Asserts that no question has a reply, and that connections to `refused` are refused: so do the programs, at once (a segment beyond their rate
/// is sent again), while whatever else is in the way keeps silent.
fn assert_nothing_answers(questions: &[String], answers: &[Answer], refused: &[&str]) {
    for (question, answer) in questions.iter().zip(answers) {
        let is_refused = refused
            .iter()
            .any(|address| question.starts_with(&format!("tcp {address}:")));
        assert!(
            !matches!(answer, Answer::Reply(_))
                && (!is_refused || matches!(answer, Answer::Refused | Answer::Unreachable)),
            "{question} was answered: {answer:?}"
        );
    }
}

fn names(frames: &[(String, Vec<u8>)]) -> BTreeSet<&str> {
    frames.iter().map(|(name, _)| name.as_str()).collect()
}

impl Scene<'_> {
    /// Frames with others' addresses, tags and protocols reach nobody.
    async fn pretend(&self) {
        let (own, neighbour, victim) = (self.attacker.end, self.neighbour.end, self.victim.end);
        let outside: Vec<(&str, Ipv4Addr)> = [
            ("nobodys", "10.244.255.254"),
            ("others", &victim.address.to_string()),
            ("services", &self.service),
            ("kubelets", "169.254.77.1"),
            ("nodes", "10.77.0.11"),
            ("outsides", "172.24.4.1"),
            ("loopbacks", "127.0.0.1"),
        ]
        .map(|(whose, address)| (whose, address.parse().unwrap()))
        .into();
        let honest = frames::honest(own, neighbour);
        let forbidden = frames::forbidden(own, neighbour, self.router, &outside);
        let to_others = frames::honest(own, victim);
        let mut sent: Vec<_> = honest
            .iter()
            .chain(&forbidden)
            .map(|(_, frame)| frame.clone())
            .collect();
        sent.extend(to_others.into_iter().map(|(_, frame)| frame));

        self.would_arrive(&sent, &forbidden).await;
        let last = frames::end(own, neighbour);
        self.neighbour.guest.gateway().await;
        let watchers = [
            self.neighbour.guest.start(&["watch"], "").await,
            self.victim.guest.start(&["watch"], "").await,
        ];
        // Twice: when the last of the second round is there, all of the first have had their time.
        self.attacker
            .guest
            .send("eth0", &[sent.clone(), sent, vec![last]].concat())
            .await;
        let [at_neighbour, at_victim] = watchers;
        let seen = at_neighbour.frames().await.unwrap();
        let allowed: BTreeSet<&str> = names(&honest).into_iter().chain(["end"]).collect();
        assert_eq!(names(&seen), allowed, "what a neighbour sees of a pod's frames");
        // Whom the neighbour knows, it knows rightly.
        let known = self.neighbour.guest.known().await;
        for (address, mac) in &known {
            let right = [self.router, own].into_iter().find(|end| end.address == *address);
            assert_eq!(Some(*mac), right.map(|end| end.mac), "{address} in {known:?}");
        }
        assert!(known.contains_key(&self.router.address), "{known:?}");
        // The other tenant's watcher ends by its own.
        let last = frames::end(self.victims_friend.end, victim);
        self.victims_friend.guest.send("eth0", &[last]).await;
        let seen = at_victim.frames().await.unwrap();
        assert_eq!(
            names(&seen),
            ["end"].into(),
            "what another tenant sees of a pod's frames"
        );
    }

    /// Where nobody forbids anything every frame arrives: it is seen when it is sent, and when it comes back in.
    async fn would_arrive(&self, sent: &[Vec<u8>], forbidden: &[(String, Vec<u8>)]) {
        let watcher = self.attacker.guest.start(&["watch"], "").await;
        let last = frames::end(self.attacker.end, self.neighbour.end);
        self.attacker.guest.send("lo", &[sent, &[last]].concat()).await;
        let seen = watcher.frames().await.unwrap();
        for (name, frame) in forbidden {
            let times = seen.iter().filter(|(other, _)| other == name).count();
            assert!(times >= 2, "{name} {} was seen {times} times", hex(frame));
        }
    }

    /// Of the node, the infrastructure and other tenants no address answers on any port.
    async fn knock(&self) {
        let own = [
            question("tcp", &format!("{}:80", self.service), b""),
            question("tcp", &format!("{}:7", self.neighbour.end.address), b"who"),
            question("udp", &format!("{}:7", self.neighbour.end.address), b"who"),
        ];
        let mut asked = own.to_vec();
        let victim = self.victim.end.address;
        let mut targets: Vec<String> = [80, 7].map(|port| format!("{victim}:{port}")).into();
        targets.extend([80, 7].map(|port| format!("{}:{port}", self.victims_service)));
        let listening = self.devbox.host("ss -H -l -n -t -u | awk '{print $5}'").await.unwrap();
        let ports: BTreeSet<u16> = listening
            .lines()
            .filter_map(|line| line.rsplit(':').next()?.parse().ok())
            // Those above are of single processes, for a while.
            .filter(|port| *port < 32_768)
            .collect();
        assert!(
            ports.is_superset(&[22, 53, 2379, 3306, 6443, 9696, 10250].into()),
            "{ports:?}"
        );
        let held = self.devbox.host("hostname -I").await.unwrap();
        let mut addresses: Vec<&str> = held.split_whitespace().filter(|a| !a.contains(':')).collect();
        assert!(addresses.contains(&"10.77.0.11"), "{addresses:?}");
        // The link's other addresses, an alias, and where clouds keep what their machines may know.
        addresses.extend(["169.254.77.1", "169.254.77.2", "169.254.128.1", "169.254.169.254"]);
        for address in &addresses {
            targets.extend(ports.iter().map(|port| format!("{address}:{port}")));
        }
        // Whatever echoes answers it, and so does a DNS server.
        let datagram = query("kubernetes.default.svc.cluster.local.", RecordType::A, How::Udp);
        for target in &targets {
            asked.push(question("tcp", target, b""));
            asked.push(question("udp", target, &datagram));
        }
        let pings: String = addresses
            .iter()
            .map(|address| format!("(ping -c 1 -W 2 {address} >/dev/null && echo {address}) & "))
            .collect();
        let pings = format!(
            "ping -c 1 -W 2 {} >/dev/null && echo peer; {pings} wait",
            self.neighbour.end.address
        );
        let (answers, pings) = join!(self.attacker.guest.ask(&asked), self.attacker.guest.shell(&pings));
        assert_eq!(pings.trim(), "peer", "what answers a pod's ping");
        let (controls, forbidden) = answers.split_at(own.len());
        let neighbour = Answer::Reply(b"neighbour".to_vec());
        assert_eq!(controls, [Answer::Reply(vec![]), neighbour.clone(), neighbour]);
        let own_port = pods::own_port(self.devbox).await;
        // The node's own port keeps silent, and so does the address by which a pod reaches itself, where it has not asked itself anything.
        addresses.retain(|address| ![&*own_port, "169.254.77.2"].contains(address));
        assert_nothing_answers(&asked[own.len()..], forbidden, &addresses);
        // Whoever has a way there is answered: the programs listen, and the other tenant's Service works.
        for port in [22, 2379, 3306, 6443, 9696, 10250] {
            tokio::net::TcpStream::connect(("10.77.0.11", port)).await.unwrap();
        }
        let to_victim = question("tcp", &format!("{}:80", self.victims_service), b"");
        assert_eq!(
            self.victims_friend.guest.ask(&[to_victim]).await,
            [Answer::Reply(vec![])]
        );
    }
}
