//! Names of addresses.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData};
use ipnet::Ipv4Net;

use super::{Lookup, Question, Zone};
use crate::dns::records::{Pointer, View};

/// Ranges that mean something else in every network: RFC 6303 section 4, RFC 6598, and number of labels of their zones.
const PRIVATE: [(Ipv4Addr, u8, usize); 8] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, 1),
    (Ipv4Addr::new(10, 0, 0, 0), 8, 1),
    (Ipv4Addr::new(100, 64, 0, 0), 10, 2),
    (Ipv4Addr::new(127, 0, 0, 0), 8, 1),
    (Ipv4Addr::new(169, 254, 0, 0), 16, 2),
    (Ipv4Addr::new(172, 16, 0, 0), 12, 2),
    (Ipv4Addr::new(192, 168, 0, 0), 16, 2),
    (Ipv4Addr::new(255, 255, 255, 255), 32, 4),
];

impl Zone {
    /// Answers below `in-addr.arpa`.
    pub(super) fn reverse(&self, view: &View<'_>, question: &Question<'_>) -> Lookup {
        // The labels are the octets, the first one last.
        let octets: Option<Vec<u8>> = question.labels.iter().rev().map(|label| octet(label)).collect();
        let Some(octets) = octets.filter(|octets| octets.len() <= 4) else {
            return self.unknown(question, &[]);
        };
        let Ok(full) = <[u8; 4]>::try_from(octets.as_slice()) else {
            // Part of an address. Names may lie below whatever exists, so it is never denied.
            return match self.local(&octets) {
                Some(zone) => Lookup::NoData(Box::new(self.soa(&zone))),
                None => Lookup::Outside,
            };
        };
        let names = view.reverse(Ipv4Addr::from(full));
        if names.is_empty() {
            return self.unknown(question, &octets);
        }
        let names = names.iter().filter_map(|name| self.pointer(name));
        self.only(question, names.map(|name| RData::PTR(PTR(name))).collect())
    }

    /// Answers below `ip6.arpa`: no pod has an IPv6 address, but private ranges are not asked about outside.
    pub(super) fn reverse_v6(&self, question: &Question<'_>) -> Lookup {
        let nibbles: Vec<_> = question.labels.iter().rev().copied().collect();
        let cut = match nibbles.as_slice() {
            ["f", "c" | "d", ..] => 2,
            ["f", "e", "8" | "9" | "a" | "b", ..] => 3,
            nibbles if nibbles.len() == 32 && nibbles[..31].iter().all(|nibble| *nibble == "0") => 32,
            _ => return Lookup::Outside,
        };
        // `ip6.arpa` itself and the nibbles of the range.
        Lookup::NxDomain(Box::new(self.soa(&question.name.trim_to(cut + 2).to_lowercase())))
    }

    fn unknown(&self, question: &Question<'_>, octets: &[u8]) -> Lookup {
        let local = match octets {
            // Not an address. What lies below a private range still stays here.
            [] => {
                let top: Vec<u8> = question
                    .labels
                    .iter()
                    .rev()
                    .map_while(|label| octet(label))
                    .take(4)
                    .collect();
                self.local(&top)
            }
            octets => self.local(octets),
        };
        match local {
            Some(zone) => Lookup::NxDomain(Box::new(self.soa(&zone))),
            None => Lookup::Outside,
        }
    }

    /// The reverse zone of the range around `octets` (one to four) that is never asked about outside.
    fn local(&self, octets: &[u8]) -> Option<Name> {
        let mut full = [0; 4];
        for (to, from) in full.iter_mut().zip(octets) {
            *to = *from;
        }
        let address = Ipv4Addr::from(full);
        let within = |range: Ipv4Net, cut: usize| octets.len() >= cut && range.contains(&address);
        let private = PRIVATE.iter().find_map(|(start, length, cut)| {
            let range = Ipv4Net::new(*start, *length).ok()?;
            within(range, *cut).then_some(*cut)
        });
        let configured = || {
            let mut cuts = self
                .ranges
                .iter()
                .map(|range| (range, usize::from(range.prefix_len()).div_ceil(8).max(1)));
            cuts.find_map(|(range, cut)| within(*range, cut).then_some(cut))
        };
        let cut = private.or_else(configured)?;
        let labels: Vec<_> = full[..cut].iter().rev().map(u8::to_string).collect();
        let labels = labels.iter().map(String::as_str).chain(["in-addr", "arpa"]);
        Name::from_labels(labels.map(str::as_bytes)).ok()
    }

    fn pointer(&self, name: &Pointer) -> Option<Name> {
        let labels = name.hostname.iter().map(String::as_str);
        let labels: Vec<_> = labels
            .chain([name.service.as_str(), name.namespace.as_str(), "svc"])
            .collect();
        self.below(&labels)
    }
}

/// A label that is one octet, written without needless zeros.
fn octet(label: &str) -> Option<u8> {
    let value: u8 = label.parse().ok()?;
    (value.to_string() == label).then_some(value)
}
