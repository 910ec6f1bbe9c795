//! Answers from outside, kept for one network.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{LowerName, RData, Record, RecordType};
use lru::LruCache;

use crate::dns::message::Content;

/// Seconds that an answer is kept at most.
const TTL_MAX: u32 = 3600;

/// Seconds that the absence of an answer is kept at most (RFC 2308 section 5 suggests hours; names of services change).
const NEGATIVE_TTL_MAX: u32 = 300;

/// Seconds that a failure is kept: long enough to stop a storm (RFC 9520 section 3.2).
const FAILURE_TTL: u32 = 1;

/// Bytes of one answer, above which it is not kept: bounds the memory of a network.
const SIZE_MAX: usize = 4096;

/// A question as upstream servers see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) name: LowerName,
    pub(crate) rtype: RecordType,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

#[derive(Debug)]
struct Kept {
    content: Arc<Content>,
    at: Instant,
    ttl: u32,
}

/// The least recently used answers give way.
#[derive(Debug)]
pub(crate) struct Cache(Mutex<LruCache<Key, Kept>>);

impl Cache {
    pub(crate) fn new(size: usize) -> Self {
        let size = NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(size)))
    }

    /// An answer, with the time to live that is left of each record.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Content> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = cache.get(key)?;
        let age = now.saturating_duration_since(kept.at);
        if age >= Duration::from_secs(kept.ttl.into()) {
            cache.pop(key);
            return None;
        }
        let content = Arc::clone(&kept.content);
        drop(cache);
        Some(aged(&content, u32::try_from(age.as_secs()).unwrap_or(u32::MAX)))
    }

    /// Keeps an answer for as long as its records say.
    pub(crate) fn put(&self, key: Key, content: Arc<Content>, now: Instant) {
        let Some(ttl) = lifetime(&content).filter(|ttl| *ttl > 0) else {
            return;
        };
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key, Kept { content, at: now, ttl });
    }
}

fn aged(content: &Content, age: u32) -> Content {
    let mut content = content.clone();
    let sections = [&mut content.answers, &mut content.authorities, &mut content.additionals];
    for record in sections.into_iter().flatten() {
        record.ttl = record.ttl.saturating_sub(age);
    }
    content
}

/// Seconds that an answer may be kept; nothing if it says too little to tell (RFC 2308 section 5).
fn lifetime(content: &Content) -> Option<u32> {
    if content.size > SIZE_MAX {
        return None;
    }
    let shortest = |records: &[Record]| records.iter().map(|record| record.ttl).min();
    let negative = || {
        let soa = content.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
            _ => None,
        })?;
        Some(
            soa.min(NEGATIVE_TTL_MAX)
                .min(shortest(&content.answers).unwrap_or(u32::MAX)),
        )
    };
    match content.code {
        ResponseCode::NoError => {
            // A chain of aliases that ends in nothing is a negative answer with records.
            let alias = |record: &Record| record.record_type() == RecordType::CNAME;
            if content.answers.iter().all(alias) && content.authorities.iter().any(is_soa) {
                return negative();
            }
            let all = content
                .answers
                .iter()
                .chain(&content.additionals)
                .map(|record| record.ttl);
            Some(shortest(&content.answers)?.min(all.min()?).min(TTL_MAX))
        }
        ResponseCode::NXDomain => negative(),
        ResponseCode::ServFail => Some(FAILURE_TTL),
        _ => None,
    }
}

fn is_soa(record: &Record) -> bool {
    record.record_type() == RecordType::SOA
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{A, CNAME, SOA};
    use rstest::rstest;

    use super::*;

    fn name(name: &str) -> Name {
        Name::from_ascii(name).unwrap()
    }

    fn a(ttl: u32) -> Record {
        Record::from_rdata(name("a.example."), ttl, RData::A(A(Ipv4Addr::LOCALHOST)))
    }

    fn cname(ttl: u32) -> Record {
        Record::from_rdata(name("b.example."), ttl, RData::CNAME(CNAME(name("a.example."))))
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let data = SOA::new(name("ns.example."), name("me.example."), 1, 1, 1, 1, minimum);
        Record::from_rdata(name("example."), ttl, RData::SOA(data))
    }

    #[rstest]
    #[case::shortest(ResponseCode::NoError, vec![a(60), a(20)], vec![], Some(20))]
    #[case::zero(ResponseCode::NoError, vec![a(0)], vec![], Some(0))]
    #[case::long(ResponseCode::NoError, vec![a(90_000)], vec![], Some(3600))]
    #[case::nodata(ResponseCode::NoError, vec![], vec![soa(60, 30)], Some(30))]
    #[case::nodata_short_soa(ResponseCode::NoError, vec![], vec![soa(10, 30)], Some(10))]
    #[case::nodata_behind_alias(ResponseCode::NoError, vec![cname(5)], vec![soa(60, 30)], Some(5))]
    #[case::nxdomain(ResponseCode::NXDomain, vec![], vec![soa(9000, 9000)], Some(300))]
    #[case::nxdomain_without_soa(ResponseCode::NXDomain, vec![], vec![], None)]
    #[case::nodata_without_soa(ResponseCode::NoError, vec![], vec![], None)]
    #[case::failure(ResponseCode::ServFail, vec![], vec![], Some(1))]
    #[case::refused(ResponseCode::Refused, vec![], vec![], None)]
    fn lifetimes(
        #[case] code: ResponseCode,
        #[case] answers: Vec<Record>,
        #[case] authorities: Vec<Record>,
        #[case] want: Option<u32>,
    ) {
        let content = Content {
            code,
            answers,
            authorities,
            ..Content::default()
        };
        assert_eq!(lifetime(&content), want);
    }

    #[test]
    fn huge_answers_are_not_kept() {
        let content = Content {
            answers: vec![a(60)],
            size: SIZE_MAX + 1,
            ..Content::default()
        };
        assert_eq!(lifetime(&content), None);
    }

    #[test]
    fn ages_and_ends() {
        let cache = Cache::new(10);
        let key = Key {
            name: name("a.example.").into(),
            rtype: RecordType::A,
            dnssec_ok: false,
            checking_disabled: false,
        };
        let now = Instant::now();
        let content = Content {
            answers: vec![a(20)],
            ..Content::default()
        };
        cache.put(key.clone(), Arc::new(content), now);
        let kept = cache.get(&key, now + Duration::from_secs(7)).unwrap();
        assert_eq!(kept.answers[0].ttl, 13);
        assert_eq!(cache.get(&key, now + Duration::from_secs(20)), None);
    }
}
