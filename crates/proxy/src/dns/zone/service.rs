//! Names of Services and of their endpoints.

use std::collections::BTreeSet;

use hickory_proto::rr::rdata::{A, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::{Lookup, Question, Zone};
use crate::dns::records::{Entry, Kind, Port};

/// All records of a kind weigh the same; the specification leaves the numbers open.
const PRIORITY: u16 = 0;
const WEIGHT: u16 = 100;

impl Zone {
    /// Answers for `rest` below a Service: nothing (the Service itself), `host`, `_proto` or `_port._proto`.
    pub(super) fn service(&self, entry: &Entry, question: &Question<'_>, rest: &[&str]) -> Lookup {
        match (entry.kind(), rest) {
            (Some(Kind::External(target)), []) => self.external(question, target),
            (Some(Kind::Cluster(address)), []) => self.only(question, vec![RData::A(A(*address))]),
            (Some(Kind::Cluster(address)), [rest @ .., protocol]) => {
                let ports = entry.ports();
                self.ports(question, ports.iter(), rest, protocol, |port, answers, additionals| {
                    // The target is the Service: what was asked, less `_port._proto`.
                    let target = question
                        .name
                        .trim_to(usize::from(question.name.num_labels()).saturating_sub(2));
                    additionals.push(self.record(&target, RData::A(A(*address))));
                    let srv = SRV::new(PRIORITY, WEIGHT, port, target);
                    answers.push(self.record(question.name, RData::SRV(srv)));
                })
            }
            (Some(Kind::Headless), rest) => self.headless(entry, question, rest),
            (Some(Kind::External(_)) | None, _) => self.nx_domain(),
        }
    }

    fn external(&self, question: &Question<'_>, target: &Name) -> Lookup {
        let record = self.record(question.name, RData::CNAME(CNAME(target.clone())));
        match question.rtype {
            RecordType::CNAME => super::found(vec![record]),
            _ => Lookup::Alias {
                record: Box::new(record),
                target: target.clone(),
            },
        }
    }

    fn headless(&self, entry: &Entry, question: &Question<'_>, rest: &[&str]) -> Lookup {
        let endpoints = entry.endpoints();
        match rest {
            // Without ready endpoints there is no such name (2.4.1).
            [] => {
                let addresses: BTreeSet<_> = endpoints.keys().map(|(_, address)| *address).collect();
                self.only(question, addresses.into_iter().map(|a| RData::A(A(a))).collect())
            }
            [host] if !host.starts_with('_') => {
                let addresses = endpoints.keys().filter(|(hostname, _)| hostname == host);
                self.only(question, addresses.map(|(_, address)| RData::A(A(*address))).collect())
            }
            [rest @ .., protocol] => {
                let ports = endpoints.values().flatten().copied();
                let mut seen = BTreeSet::new();
                self.ports(question, ports, rest, protocol, |number, answers, additionals| {
                    for ((hostname, address), ports) in &endpoints {
                        let serves = |port: &&Port| port.number == number && matches(port, rest, protocol);
                        if !ports.iter().any(serves) || !seen.insert((number, *hostname, *address)) {
                            continue;
                        }
                        let service = question
                            .name
                            .trim_to(usize::from(question.name.num_labels()).saturating_sub(2));
                        let Ok(target) = service.prepend_label(*hostname) else {
                            continue;
                        };
                        additionals.push(self.record(&target, RData::A(A(*address))));
                        let srv = self.record(question.name, RData::SRV(SRV::new(PRIORITY, WEIGHT, number, target)));
                        // One host name with several addresses is one target.
                        if !answers.contains(&srv) {
                            answers.push(srv);
                        }
                    }
                })
            }
        }
    }

    /// `_proto` exists if a port has that protocol; `_port._proto` has what `make` adds for each of its numbers.
    fn ports<'p>(
        &self,
        question: &Question<'_>,
        ports: impl Iterator<Item = &'p Port>,
        rest: &[&str],
        protocol: &str,
        mut make: impl FnMut(u16, &mut Vec<Record>, &mut Vec<Record>),
    ) -> Lookup {
        let numbers: BTreeSet<u16> = ports
            .filter(|port| matches(port, rest, protocol))
            .map(|port| port.number)
            .collect();
        match (numbers.is_empty(), rest, question.rtype) {
            (true, ..) | (false, [_, _, ..], _) => self.nx_domain(),
            (false, [_], RecordType::SRV) => {
                let (mut answers, mut additionals) = (Vec::new(), Vec::new());
                for number in numbers {
                    make(number, &mut answers, &mut additionals);
                }
                Lookup::Found { answers, additionals }
            }
            _ => self.no_data(),
        }
    }
}

/// True if the port's protocol, and its name if one is given, are those of the labels.
fn matches(port: &Port, rest: &[&str], protocol: &str) -> bool {
    let is = |label: &str, value: &str| label.strip_prefix('_') == Some(value);
    is(protocol, &port.protocol) && rest.last().is_none_or(|name| is(name, &port.name))
}
