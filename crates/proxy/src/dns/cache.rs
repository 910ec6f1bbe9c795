//! Answers from outside, kept for one network.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{LowerName, RData, Record, RecordType};
use lru::LruCache;

use crate::dns::message::Content;

/// Seconds that an answer is kept at most.
const TTL_MAX: u32 = 3600;

/// Seconds that the absence of an answer is kept at most (RFC 2308 section 5 suggests hours; names of services change).
const NEGATIVE_TTL_MAX: u32 = 300;

/// Seconds that a failure is kept: long enough to stop a storm (RFC 9520 section 3.2).
const FAILURE_TTL: u32 = 1;

/// Bytes of one answer, above which it is not kept.
const SIZE_MAX: usize = 4096;

/// Bytes of all that is kept: bounds the memory of a network. Usual answers have 100 to 300.
const BYTES_MAX: usize = 1 << 20;

/// Bytes that an answer takes beside those of its name and of itself.
const OVERHEAD: usize = size_of::<(Key, Kept)>() + 64;

/// A question as upstream servers see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) name: LowerName,
    pub(crate) rtype: RecordType,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

/// An answer as it is on the wire: read, it can take a hundred times as much, if its sender wants that.
#[derive(Debug)]
struct Kept {
    wire: Box<[u8]>,
    at: Instant,
    ttl: u32,
}

/// The least recently used answers give way.
#[derive(Debug)]
pub(crate) struct Cache(Mutex<Answers>);

#[derive(Debug)]
struct Answers {
    kept: LruCache<Key, Kept>,
    bytes: usize,
}

impl Answers {
    fn put(&mut self, key: Key, kept: Kept) {
        self.bytes += cost(&key, &kept);
        if let Some((key, kept)) = self.kept.push(key, kept) {
            self.bytes -= cost(&key, &kept);
        }
        while self.bytes > BYTES_MAX
            && let Some((key, kept)) = self.kept.pop_lru()
        {
            self.bytes -= cost(&key, &kept);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(kept) = self.kept.pop(key) {
            self.bytes -= cost(key, &kept);
        }
    }
}

fn cost(key: &Key, kept: &Kept) -> usize {
    key.name.len() + kept.wire.len() + OVERHEAD
}

impl Cache {
    pub(crate) fn new(size: usize) -> Self {
        let size = NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN);
        let kept = LruCache::new(size);
        Self(Mutex::new(Answers { kept, bytes: 0 }))
    }

    /// An answer, with the time to live that is left of each record.
    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<Content> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = answers.kept.get(key)?;
        let age = now.saturating_duration_since(kept.at);
        if age >= Duration::from_secs(kept.ttl.into()) {
            answers.remove(key);
            return None;
        }
        let content = Content::from(Message::from_vec(&kept.wire).ok()?);
        drop(answers);
        Some(aged(content, u32::try_from(age.as_secs()).unwrap_or(u32::MAX)))
    }

    /// Keeps an answer for as long as its records say.
    pub(crate) fn put(&self, key: Key, content: &Content, now: Instant) {
        let Some(ttl) = lifetime(content).filter(|ttl| *ttl > 0) else {
            return;
        };
        let Some(wire) = content.to_wire().filter(|wire| wire.len() <= SIZE_MAX) else {
            return;
        };
        let kept = Kept {
            wire: wire.into(),
            at: now,
            ttl,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(key, kept);
    }
}

fn aged(mut content: Content, age: u32) -> Content {
    let sections = [&mut content.answers, &mut content.authorities, &mut content.additionals];
    for record in sections.into_iter().flatten() {
        record.ttl = record.ttl.saturating_sub(age);
    }
    content
}

/// Seconds that an answer may be kept; nothing if it says too little to tell (RFC 2308 section 5).
fn lifetime(content: &Content) -> Option<u32> {
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

    fn key(label: &str) -> Key {
        Key {
            name: name(label).into(),
            rtype: RecordType::A,
            dnssec_ok: false,
            checking_disabled: false,
        }
    }

    #[test]
    fn huge_answers_are_not_kept() {
        let cache = Cache::new(10);
        let now = Instant::now();
        for (count, is_kept) in [(1, true), (100, true), (300, false)] {
            let content = Content {
                answers: vec![a(60); count],
                ..Content::default()
            };
            let key = key(&format!("of{count}.example."));
            cache.put(key.clone(), &content, now);
            assert_eq!(cache.get(&key, now).is_some(), is_kept, "{count}");
        }
    }

    #[test]
    fn a_network_has_a_share_of_memory() {
        let cache = Cache::new(2000);
        let now = Instant::now();
        let content = Content {
            answers: vec![a(60); 100],
            ..Content::default()
        };
        let keys: Vec<_> = (0..2000).map(|number| key(&format!("of{number}.example."))).collect();
        for key in keys.iter().chain(&keys[..10]) {
            cache.put(key.clone(), &content, now);
        }
        let kept = keys.iter().filter(|key| cache.get(key, now).is_some()).count();
        assert!((400..650).contains(&kept), "{kept}");
        let later = now + Duration::from_secs(60);
        assert!(keys.iter().all(|key| cache.get(key, later).is_none()));
        assert_eq!(
            cache.0.lock().unwrap().bytes,
            0,
            "what is counted has gone with what was kept"
        );
    }

    #[test]
    fn ages_and_ends() {
        let cache = Cache::new(10);
        let key = key("a.example.");
        let now = Instant::now();
        let content = Content {
            answers: vec![a(20)],
            ..Content::default()
        };
        cache.put(key.clone(), &content, now);
        let kept = cache.get(&key, now + Duration::from_secs(7)).unwrap();
        assert_eq!(kept.answers[0].ttl, 13);
        assert_eq!(cache.get(&key, now + Duration::from_secs(20)), None);
    }
}
