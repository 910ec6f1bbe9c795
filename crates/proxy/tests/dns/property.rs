//! Whatever is asked: no panic, a well-formed reply or none, and nothing of other tenants.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{Name, RecordType};
use prometheus_client::registry::Registry;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use stackube_proxy::dns::{Config, Metrics, Offline, Store};

use crate::cluster::{self, BANK, NOBODY, Pods, SHOP_POD};
use crate::support::{config, query};

/// The longest datagram that is sent.
const DATAGRAM_MAX: usize = 1232;

/// Labels that mean something somewhere, beside arbitrary ones.
const LABELS: [&str; 28] = [
    "nginx",
    "db",
    "db-0",
    "db-9",
    "vault",
    "web",
    "nosy",
    "inner",
    "shop",
    "bank",
    "svc",
    "pod",
    "cluster",
    "local",
    "_http",
    "_tcp",
    "_pg",
    "10-0-0-31",
    "10-0-0-30",
    "default",
    "kubernetes",
    "infra",
    "registry",
    "in-addr",
    "arpa",
    "10",
    "96",
    "2",
];

fn offline(store: Store) -> Offline {
    let config = Config {
        pod_rate: u32::MAX,
        pod_burst: u32::MAX,
        ..config()
    };
    let metrics = Metrics::register(&mut Registry::default());
    Offline::new(&config, Arc::new(store), Arc::new(Pods), metrics).unwrap()
}

static WITH_BANK: LazyLock<Offline> = LazyLock::new(|| cluster(true));
static WITHOUT_BANK: LazyLock<Offline> = LazyLock::new(|| cluster(false));

/// A cluster with `shop`, and with `bank` or only its empty network.
fn cluster(with_bank: bool) -> Offline {
    let store = Store::default();
    cluster::shop(&store);
    cluster::system(&store);
    if with_bank {
        cluster::bank(&store);
    } else {
        store.set_namespace("other", BANK, "other");
    }
    offline(store)
}

/// A reply without what is random: the ID and the order of records.
fn essence(reply: Option<Vec<u8>>) -> Option<(String, usize, Vec<String>)> {
    let reply = reply?;
    let message = Message::from_vec(&reply).unwrap();
    let sections = [&message.answers, &message.authorities, &message.additionals];
    let mut records: Vec<_> = sections.into_iter().flatten().map(ToString::to_string).collect();
    records.sort();
    Some((message.metadata.response_code.to_string(), reply.len(), records))
}

/// What every reply must be, whatever was asked.
fn check(request: &[u8], reply: Option<Vec<u8>>, max: usize) {
    let Some(reply) = reply else { return };
    assert!(reply.len() <= max, "{} bytes", reply.len());
    let message = Message::from_vec(&reply).unwrap();
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert_eq!(message.metadata.id.to_be_bytes(), request[..2]);
    // Only requests are answered, so that two servers can never talk to each other.
    assert_eq!(request[2] & 0x80, 0);
}

fn check_all(server: &Offline, request: &[u8]) {
    for source in [SHOP_POD, NOBODY] {
        check(request, server.datagram(source, request), DATAGRAM_MAX);
        check(request, server.message(source, request), usize::from(u16::MAX));
    }
}

fn label() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => select(&LABELS[..]).prop_map(|label| label.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..=63),
    ]
}

fn name() -> impl Strategy<Value = Name> {
    let labels = vec(label(), 0..8);
    let suffix = select(vec![
        vec![],
        vec!["cluster", "local"],
        vec!["bank", "svc", "cluster", "local"],
        vec!["shop", "svc", "cluster", "local"],
        vec!["in-addr", "arpa"],
    ]);
    (labels, suffix).prop_filter_map("too long", |(mut labels, suffix)| {
        labels.extend(suffix.iter().map(|label| label.as_bytes().to_vec()));
        let mut name = Name::from_labels(labels).ok()?;
        name.set_fqdn(true);
        Some(name)
    })
}

fn rtype() -> impl Strategy<Value = RecordType> {
    use RecordType::{A, AAAA, ANY, CNAME, NS, PTR, SOA, SRV, TXT};
    select(vec![A, AAAA, ANY, CNAME, NS, PTR, SOA, SRV, TXT])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(request in vec(any::<u8>(), 0..600)) {
        check_all(&WITH_BANK, &request);
    }

    #[test]
    fn damaged_queries_never_panic(name in name(), rtype in rtype(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut message = query(".", rtype);
        message.queries[0].set_name(name);
        let mut request = message.to_vec().unwrap();
        let at = at.index(request.len());
        request[at] = value;
        check_all(&WITH_BANK, &request);
    }

    /// What `bank` has changes nothing that `shop` can see: not the code, not a record, not the length.
    #[test]
    fn another_tenant_changes_nothing(name in name(), rtype in rtype()) {
        let mut message = query(".", rtype);
        message.queries[0].set_name(name);
        let request = message.to_vec().unwrap();
        let (with, without) = (&*WITH_BANK, &*WITHOUT_BANK);
        let pod = Ipv4Addr::new(127, 0, 1, 9);
        prop_assert_eq!(essence(with.datagram(pod, &request)), essence(without.datagram(pod, &request)));
        prop_assert_eq!(essence(with.message(pod, &request)), essence(without.message(pod, &request)));
    }
}

/// What fuzzing found worth keeping, each file also cut short at every length and with every byte changed.
#[test]
fn corpus_of_the_fuzzer() {
    let server = cluster(true);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/dns_message");
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let request = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        for length in 0..=request.len() {
            check_all(&server, &request[..length]);
        }
        for at in 0..request.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = request.clone();
                damaged[at] ^= flip;
                check_all(&server, &damaged);
            }
        }
    }
    assert!(files >= 10, "only {files} files in the corpus");
}
