//! Names of Services and of their endpoints.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::{A, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::{Lookup, Question, Zone};
use crate::dns::message::RECORDS_MAX;
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
                self.ports(question, entry.ports().iter(), rest, protocol, || {
                    // The target is the Service.
                    let target = parent(question.name);
                    let ports = entry.ports().iter().filter(|port| matches(port, rest, protocol));
                    let numbers: BTreeSet<u16> = ports.map(|port| port.number).collect();
                    let records = numbers.into_iter().take(RECORDS_MAX).map(|port| {
                        let srv = SRV::new(PRIORITY, WEIGHT, port, target.clone());
                        let address = self.record(&target, RData::A(A(*address)));
                        (self.record(question.name, RData::SRV(srv)), address)
                    });
                    records.unzip()
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
        match rest {
            // Without ready endpoints there is no such name (2.4.1).
            [] => self.addresses(question, entry.endpoints()),
            [host] if !host.starts_with('_') => {
                self.addresses(question, entry.endpoints().filter(|(hostname, _)| hostname == host))
            }
            [rest @ .., protocol] => self.ports(question, entry.endpoint_ports(), rest, protocol, || {
                self.targets(question, entry.serving(|port| matches(port, rest, protocol)))
            }),
        }
    }

    fn addresses<'e>(&self, question: &Question<'_>, endpoints: impl Iterator<Item = (&'e str, Ipv4Addr)>) -> Lookup {
        let mut seen = HashSet::new();
        let addresses = endpoints
            .map(|(_, address)| address)
            .filter(|address| seen.insert(*address));
        let addresses: BTreeSet<_> = addresses.take(RECORDS_MAX).collect();
        self.only(question, addresses.into_iter().map(|a| RData::A(A(a))).collect())
    }

    /// A record for each host name and port number, and its addresses: as many as a reply can hold.
    fn targets<'e>(
        &self,
        question: &Question<'_>,
        serving: impl Iterator<Item = (u16, &'e str, Ipv4Addr)>,
    ) -> (Vec<Record>, Vec<Record>) {
        let service = parent(question.name);
        let (mut answers, mut additionals) = (vec![], vec![]);
        let (mut seen, mut targets) = (HashSet::new(), HashSet::new());
        for found in serving {
            if answers.len() >= RECORDS_MAX {
                break;
            }
            let (number, hostname, address) = found;
            if !seen.insert(found) {
                continue;
            }
            let Ok(target) = service.prepend_label(hostname) else {
                continue;
            };
            if additionals.len() < RECORDS_MAX {
                additionals.push(self.record(&target, RData::A(A(address))));
            }
            // One host name with several addresses is one target.
            if targets.insert((number, hostname)) {
                let srv = SRV::new(PRIORITY, WEIGHT, number, target);
                answers.push(self.record(question.name, RData::SRV(srv)));
            }
        }
        (answers, additionals)
    }

    /// `_proto` exists if a port has that protocol; `_port._proto` has what `make` finds.
    fn ports<'p>(
        &self,
        question: &Question<'_>,
        mut ports: impl Iterator<Item = &'p Port>,
        rest: &[&str],
        protocol: &str,
        make: impl FnOnce() -> (Vec<Record>, Vec<Record>),
    ) -> Lookup {
        let exists = ports.any(|port| matches(port, rest, protocol));
        match (exists, rest, question.rtype) {
            (false, ..) | (true, [_, _, ..], _) => self.nx_domain(),
            (true, [_], RecordType::SRV) => {
                let (answers, additionals) = make();
                Lookup::Found { answers, additionals }
            }
            _ => self.no_data(),
        }
    }
}

/// The Service of `_port._proto.service`.
fn parent(name: &Name) -> Name {
    name.trim_to(usize::from(name.num_labels()).saturating_sub(2))
}

/// True if the port's protocol, and its name if one is given, are those of the labels.
fn matches(port: &Port, rest: &[&str], protocol: &str) -> bool {
    let is = |label: &str, value: &str| label.strip_prefix('_') == Some(value);
    is(protocol, &port.protocol) && rest.last().is_none_or(|name| is(name, &port.name))
}
