//! Names of the cluster: the Kubernetes DNS specification 1.1, for what one client can see.
//!
//! <https://github.com/kubernetes/dns/blob/master/docs/specification.md>. Pure: a question and a view in, records out.

mod reverse;
mod service;
mod special;

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::{A, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::Ipv4Net;

use crate::dns::records::{View, dashed};

/// The version of the schema that `dns-version` announces.
const SCHEMA_VERSION: &str = "1.1.0";

/// The cluster's domain and what else is never asked of an upstream server.
#[derive(Debug)]
pub(crate) struct Zone {
    domain: Name,
    /// Seconds that clients may keep an answer, and a negative one.
    ttl: u32,
    service_address: Ipv4Addr,
    /// Ranges beside the private ones whose reverse names stay here: pods' and services'.
    ranges: Vec<Ipv4Net>,
}

/// What the cluster knows of a name.
#[derive(Debug, PartialEq)]
pub(crate) enum Lookup {
    /// Records of the type that was asked for.
    Found {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name stands for another one, to be looked up next.
    Alias { record: Box<Record>, target: Name },
    /// The name exists (perhaps only because longer names do), records of this type do not. With the zone's SOA.
    NoData(Box<Record>),
    /// No such name. With the zone's SOA.
    NxDomain(Box<Record>),
    /// Not a name of ours.
    Outside,
}

/// One question, with the name as it was asked and its lower-case labels, the top one last.
pub(super) struct Question<'a> {
    name: &'a Name,
    labels: &'a [&'a str],
    rtype: RecordType,
}

impl Zone {
    pub(crate) fn new(domain: &Name, ttl: u32, service_address: Ipv4Addr, ranges: Vec<Ipv4Net>) -> Self {
        let mut domain = domain.to_lowercase();
        domain.set_fqdn(true);
        Self {
            domain,
            ttl,
            service_address,
            ranges,
        }
    }

    /// Answers a question of class IN.
    pub(crate) fn lookup(&self, view: &View<'_>, name: &Name, rtype: RecordType) -> Lookup {
        let lower = name.to_lowercase();
        let labels: Vec<_> = lower.iter().map(|label| str::from_utf8(label).ok()).collect();
        // Labels of ours are letters, digits, dashes and underscores; nothing else can match one.
        let labels: Vec<_> = labels.into_iter().map(|label| label.unwrap_or("\u{0}")).collect();
        let question = |labels| Question { name, labels, rtype };
        if self.domain.zone_of(&lower) {
            let count = labels.len() - usize::from(self.domain.num_labels());
            return self.cluster(view, &question(&labels[..count]));
        }
        match labels.as_slice() {
            [rest @ .., "in-addr", "arpa"] => self.reverse(view, &question(rest)),
            [rest @ .., "ip6", "arpa"] => self.reverse_v6(&question(rest)),
            _ => self.special(&question(&labels)),
        }
    }

    fn cluster(&self, view: &View<'_>, question: &Question<'_>) -> Lookup {
        match question.labels {
            [] => self.apex(question),
            ["dns-version"] => {
                let text = TXT::new(vec![SCHEMA_VERSION.to_owned()]);
                self.only(question, vec![RData::TXT(text)])
            }
            ["dns" | "svc" | "pod"] => self.no_data(),
            ["ns", "dns"] => self.only(question, vec![RData::A(A(self.service_address))]),
            [namespace, "svc"] if view.has_namespace(namespace) => self.no_data(),
            [namespace, "pod"] if view.own_namespace(namespace) => self.no_data(),
            [pod, namespace, "pod"] => match undashed(pod) {
                Some(address) if view.has_pod(namespace, address) => self.only(question, vec![RData::A(A(address))]),
                _ => self.nx_domain(),
            },
            [rest @ .., service, namespace, "svc"] => match view.service(namespace, service) {
                Some(entry) => self.service(entry, question, rest),
                None => self.nx_domain(),
            },
            _ => self.nx_domain(),
        }
    }

    fn apex(&self, question: &Question<'_>) -> Lookup {
        match question.rtype {
            RecordType::SOA => found(vec![self.soa(&self.domain)]),
            RecordType::NS => match self.server() {
                Some(server) => Lookup::Found {
                    answers: vec![self.record(question.name, RData::NS(NS(server.clone())))],
                    additionals: vec![self.record(&server, RData::A(A(self.service_address)))],
                },
                None => self.no_data(),
            },
            _ => self.no_data(),
        }
    }

    /// Records that are all there is at this name: the answer if their type was asked for.
    fn only(&self, question: &Question<'_>, data: Vec<RData>) -> Lookup {
        match data.first() {
            Some(first) if first.record_type() == question.rtype => {
                found(data.into_iter().map(|data| self.record(question.name, data)).collect())
            }
            Some(_) => self.no_data(),
            None => self.nx_domain(),
        }
    }

    fn record(&self, name: &Name, data: RData) -> Record {
        Record::from_rdata(name.clone(), self.ttl, data)
    }

    fn no_data(&self) -> Lookup {
        Lookup::NoData(Box::new(self.soa(&self.domain)))
    }

    fn nx_domain(&self) -> Lookup {
        Lookup::NxDomain(Box::new(self.soa(&self.domain)))
    }

    /// The SOA of a zone of ours. It never changes: a serial would tell tenants of each other's changes.
    fn soa(&self, zone: &Name) -> Record {
        let [server, contact] = ["ns.dns", "hostmaster"].map(|host| {
            let host = Name::from_ascii(host).and_then(|host| host.append_domain(&self.domain));
            host.unwrap_or_else(|_| self.domain.clone())
        });
        let soa = SOA::new(server, contact, 1, 7200, 1800, 86400, self.ttl);
        Record::from_rdata(zone.clone(), self.ttl, RData::SOA(soa))
    }

    fn server(&self) -> Option<Name> {
        self.below(&["ns", "dns"])
    }

    /// A name in the cluster's domain. Nothing if it would be too long.
    fn below<L: AsRef<[u8]>>(&self, labels: &[L]) -> Option<Name> {
        let name = Name::from_labels(labels.iter().map(AsRef::as_ref)).ok()?;
        name.append_domain(&self.domain).ok()
    }
}

fn found(answers: Vec<Record>) -> Lookup {
    Lookup::Found {
        answers,
        additionals: Vec::new(),
    }
}

/// The address in a label like `10-0-0-7`, only in the form that [`dashed`] makes.
fn undashed(label: &str) -> Option<Ipv4Addr> {
    let address = label.replace('-', ".").parse().ok()?;
    (dashed(address) == label).then_some(address)
}
