//! Names that have a meaning of their own everywhere and are not asked about outside (RFC 6761, RFC 7686).

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record};

use super::{Lookup, Question, Zone};

impl Zone {
    pub(super) fn special(&self, question: &Question<'_>) -> Lookup {
        match question.labels {
            [.., "localhost"] => match self.only(question, vec![RData::A(A(Ipv4Addr::LOCALHOST))]) {
                Lookup::NoData(_) => Lookup::NoData(self.top(question)),
                other => other,
            },
            [.., "invalid" | "onion"] => Lookup::NxDomain(self.top(question)),
            _ => Lookup::Outside,
        }
    }

    /// The SOA of the top-level domain of the question.
    fn top(&self, question: &Question<'_>) -> Box<Record> {
        let mut top: Name = question.name.trim_to(1).to_lowercase();
        top.set_fqdn(true);
        Box::new(self.soa(&top))
    }
}
