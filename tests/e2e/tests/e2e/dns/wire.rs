//! DNS messages, as pods send and get them.

#[path = "../../../../../crates/proxy/tests/dns/words.rs"]
mod words;

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use stackube_e2e::guest::{Answer, Guest, question};
pub(crate) use words::words;

/// The DNS server of every pod.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Udp,
    /// With this size offered for the reply, bytes.
    Edns(u16),
    Tcp,
}

/// The bytes of a question.
pub(crate) fn query(name: &str, kind: RecordType, how: How) -> Vec<u8> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let How::Edns(size) = how {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.edns = Some(edns);
    }
    message.to_vec().unwrap()
}

/// What the server says to each question, with the size of the reply in bytes.
pub(crate) async fn ask(guest: &Guest<'_>, questions: &[(&str, RecordType, How)]) -> Vec<(Message, usize)> {
    let server = format!("{SERVER}:53");
    let asked: Vec<String> = questions
        .iter()
        .map(|(name, kind, how)| {
            let protocol = if *how == How::Tcp { "dns-tcp" } else { "udp" };
            question(protocol, &server, &query(name, *kind, *how))
        })
        .collect();
    let answers = guest.ask(&asked).await;
    answers
        .into_iter()
        .zip(questions)
        .map(|(answer, question)| match answer {
            Answer::Reply(bytes) => (Message::from_vec(&bytes).unwrap(), bytes.len()),
            other => panic!("{question:?}: {other:?}"),
        })
        .collect()
}

/// The name under which an address has its PTR record.
pub(crate) fn reverse(address: &str) -> String {
    let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
}
