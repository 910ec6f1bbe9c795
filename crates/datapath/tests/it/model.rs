//! Random histories of services and packets, in both modes, against what a service is: a small model in plain Rust.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stackube_datapath::{Limits, Mode};

use crate::lab::kernel::{HAIRPIN, Kernel, Outcome, POD, backends, lock, service_key};
use crate::lab::packet::{Body, Packet, at};

/// The pod itself is one of them.
const BACKENDS: [&str; 4] = ["10.244.1.1:80", "10.244.1.2:80", "10.244.1.3:81", "10.244.0.5:80"];
const SERVICES: [&str; 3] = ["10.96.0.1:80", "10.96.0.2:80", "10.96.0.3:81"];

#[derive(Debug, Clone)]
enum Step {
    /// Gives a service these backends.
    Serve { service: usize, backends: Vec<usize> },
    /// Removes a service.
    Remove { service: usize },
    /// The pod sends to a service, or (from 3 on) to a backend itself. `None`: a datagram.
    Send {
        port: u16,
        target: usize,
        flags: Option<&'static str>,
    },
    /// What the last packet of a flow reached answers it.
    Answer { port: u16, target: usize, tcp: bool },
    /// Who got a flow's last packet sends an ICMP error about it: the backend, or (`late`) the pod about the answer.
    Error {
        port: u16,
        target: usize,
        tcp: bool,
        late: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let serve = (0..3usize, proptest::sample::subsequence(vec![0, 1, 2, 3], 0..=4))
        .prop_map(|(service, backends)| Step::Serve { service, backends });
    let remove = (0..3usize).prop_map(|service| Step::Remove { service });
    let flags = proptest::sample::select(vec![None, None, Some("S"), Some("S"), Some("A"), Some("FA")]);
    let send = (0..3u16, 0..6usize, flags).prop_map(|(port, target, flags)| Step::Send {
        port: 5000 + port,
        target,
        flags,
    });
    let answer = (0..3u16, 0..6usize, any::<bool>()).prop_map(|(port, target, tcp)| Step::Answer {
        port: 5000 + port,
        target,
        tcp,
    });
    let error = (0..3u16, 0..6usize, any::<bool>(), any::<bool>()).prop_map(|(port, target, tcp, late)| Step::Error {
        port: 5000 + port,
        target,
        tcp,
        late,
    });
    // Services come first: packets to none are soon told.
    let begin = proptest::collection::vec(serve.clone(), 3);
    let rest = proptest::collection::vec(
        prop_oneof![2 => serve, 1 => remove, 8 => send, 4 => answer, 4 => error],
        1..60,
    );
    (begin, rest).prop_map(|(begin, rest)| [begin, rest].concat())
}

/// A flow as the pod sees it.
type Key = (bool, u16, usize);

#[derive(Default)]
struct Model {
    services: HashMap<usize, HashSet<SocketAddrV4>>,
    /// Where the last packet of a flow went: the pod's port afterwards, and the backend.
    flows: HashMap<Key, (u16, SocketAddrV4)>,
}

fn address(target: usize) -> SocketAddrV4 {
    at(SERVICES.iter().chain(&BACKENDS).nth(target).unwrap())
}

impl Model {
    /// Checks one step; what came out is returned, to be compared with the other mode.
    fn step(&mut self, kernel: &mut Kernel, step: &Step) -> Option<Outcome> {
        match step {
            Step::Serve {
                service,
                backends: chosen,
            } => {
                let list: Vec<&str> = chosen.iter().map(|i| BACKENDS[*i]).collect();
                for protocol in ["tcp", "udp"] {
                    kernel.serve(&format!("{protocol} {}", SERVICES[*service]), &backends(&list));
                }
                self.services.insert(*service, list.into_iter().map(at).collect());
                None
            }
            Step::Remove { service } => {
                for protocol in ["tcp", "udp"] {
                    let key = service_key("demo", &format!("{protocol} {}", SERVICES[*service]));
                    kernel.services().remove(key).unwrap();
                }
                self.services.remove(service);
                None
            }
            Step::Send { port, target, flags } => Some(self.send(kernel, *port, *target, *flags)),
            Step::Answer { port, target, tcp } => self.answer(kernel, (*tcp, *port, *target)),
            Step::Error {
                port,
                target,
                tcp,
                late,
            } => self.error(kernel, (*tcp, *port, *target), *late),
        }
    }

    fn send(&mut self, kernel: &mut Kernel, port: u16, target: usize, flags: Option<&'static str>) -> Outcome {
        let (key, pod, to) = (
            (flags.is_some(), port, target),
            SocketAddrV4::new(POD, port),
            address(target),
        );
        let sent = flags.map_or_else(|| Packet::udp(pod, to), |flags| Packet::tcp(pod, to, flags));
        let outcome = kernel.pod_sends(&sent);
        let known = self.flows.get(&key).copied();
        let (source, destination) = match &outcome {
            Outcome::Redirected(packet) if *packet.source.ip() != HAIRPIN => {
                assert!(
                    matches!(packet.body, Body::Tcp { flags: "R" | "RA", .. } | Body::Error { .. }),
                    "{packet:?}"
                );
                assert!(target < 3, "a backend itself is never refused");
                assert!(
                    self.services.get(&target).is_none_or(HashSet::is_empty),
                    "refused though there is a backend"
                );
                assert!(
                    known.is_none() || flags.is_none_or(|flags| flags == "S"),
                    "a connection was cut"
                );
                self.flows.remove(&key);
                return outcome;
            }
            Outcome::Redirected(packet) | Outcome::Passed(packet) => (packet.source, packet.destination),
            Outcome::Dropped => panic!("dropped: {sent:?}"),
        };
        if let (Some(known), Some("A" | "FA")) = (known, flags) {
            assert_eq!(
                (source.port(), destination),
                known,
                "a connection changed its backend or port"
            );
        } else if target < 3 {
            assert!(
                self.services
                    .get(&target)
                    .is_some_and(|list| list.contains(&destination)),
                "{destination}"
            );
        } else {
            assert_eq!(destination, to);
        }
        let body = |packet: &Packet| (packet.body.clone(), packet.payload.clone());
        let (Outcome::Redirected(packet) | Outcome::Passed(packet)) = &outcome else {
            panic!()
        };
        assert_eq!(body(packet), body(&sent), "more than addresses changed");
        // A flow to a backend itself is noted only when it opens; nothing else can be told apart from what nobody opened.
        if target < 3 || flags.is_none_or(|flags| flags == "S") || known.is_some() {
            self.flows.insert(key, (source.port(), destination));
        }
        self.distinct();
        outcome
    }

    /// No two flows look the same to a backend.
    fn distinct(&self) {
        let mut seen = HashSet::new();
        for ((tcp, _, target), (port, backend)) in &self.flows {
            // What the pod sends to its own address never leaves it; only through a service does it meet the programs.
            let itself = *backend.ip() == POD;
            assert!(
                itself && *target > 2 || seen.insert((*tcp, *port, *backend, itself)),
                "{:?}",
                self.flows
            );
        }
    }

    fn answer(&self, kernel: &mut Kernel, key: Key) -> Option<Outcome> {
        let (tcp, port, target) = key;
        let (source_port, backend) = *self.flows.get(&key)?;
        let itself = *backend.ip() == POD;
        if itself && target > 2 {
            return None;
        }
        let to = SocketAddrV4::new(if itself { HAIRPIN } else { POD }, source_port);
        let answer = if tcp {
            Packet::tcp(backend, to, "SA")
        } else {
            Packet::udp(backend, to)
        };
        let outcome = if itself {
            kernel.pod_sends(&answer)
        } else {
            kernel.pod_gets(&answer)
        };
        let (Outcome::Redirected(packet) | Outcome::Passed(packet)) = &outcome else {
            panic!("the answer of {backend} was dropped")
        };
        assert_eq!(
            (packet.source, packet.destination),
            (address(target), SocketAddrV4::new(POD, port))
        );
        Some(outcome)
    }

    /// An error tells its receiver of the packet as that one had sent it.
    fn error(&self, kernel: &mut Kernel, key: Key, late: bool) -> Option<Outcome> {
        let (tcp, port, target) = key;
        let (source_port, backend) = *self.flows.get(&key)?;
        let itself = *backend.ip() == POD;
        if itself && target > 2 {
            return None;
        }
        let (client, service) = (SocketAddrV4::new(POD, port), address(target));
        let seen = SocketAddrV4::new(if itself { HAIRPIN } else { POD }, source_port);
        // The packet as it arrived, and as it was sent.
        let (arrived, sent) = if late {
            ((service, client), (backend, seen))
        } else {
            ((seen, backend), (client, service))
        };
        let packet = |(from, to)| {
            if tcp {
                Packet::tcp(from, to, "A")
            } else {
                Packet::udp(from, to)
            }
        };
        let error = Packet::error(*arrived.1.ip(), *arrived.0.ip(), packet(arrived));
        let outcome = if itself || late {
            kernel.pod_sends(&error)
        } else {
            kernel.pod_gets(&error)
        };
        let (Outcome::Redirected(out) | Outcome::Passed(out)) = &outcome else {
            panic!("an error about {arrived:?} was dropped")
        };
        let Body::Error { quoted, .. } = &out.body else {
            panic!("{out:?}")
        };
        assert_eq!((quoted.source, quoted.destination), sent);
        assert_eq!(
            (out.source.ip(), out.destination.ip()),
            (sent.1.ip(), sent.0.ip()),
            "an error goes back to where the packet came from"
        );
        assert_eq!(matches!(outcome, Outcome::Redirected(_)), itself);
        Some(outcome)
    }
}

#[test]
fn whatever_happens_a_flow_has_one_backend_and_its_answers_come_back() {
    let (mut xdp, mut tcx) = (lock(Mode::Xdp), lock(Mode::Tcx));
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let run = |kernel: &mut Kernel, steps: &[Step]| -> Vec<Option<Outcome>> {
        kernel.reset(Limits {
            refusals: (1_000_000, 1_000_000),
            ..Limits::default()
        });
        kernel.synced();
        let mut model = Model::default();
        let outcomes = steps.iter().map(|step| model.step(kernel, step)).collect();
        let flows = kernel.flows();
        let counted: u64 = flows.iter().map(|(_, flow)| u64::from(flow.weight)).sum();
        assert_eq!(kernel.added(), counted, "the pod's entries are counted right");
        outcomes
    };
    let (xdp, tcx) = (std::cell::RefCell::new(&mut *xdp), std::cell::RefCell::new(&mut *tcx));
    runner
        .run(&steps(), |steps| {
            let both = (run(&mut xdp.borrow_mut(), &steps), run(&mut tcx.borrow_mut(), &steps));
            prop_assert_eq!(both.0, both.1);
            Ok(())
        })
        .unwrap();
}
