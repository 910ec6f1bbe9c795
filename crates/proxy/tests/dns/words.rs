//! What a DNS server said, for comparing with what it should. The end-to-end tests have this file, too.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

/// A reply in words: the answers, sorted, as `type data`; `NXDOMAIN` and `NODATA` if they come with the SOA that says for how long.
pub(crate) fn words(reply: &Message) -> String {
    let soa = reply
        .authorities
        .iter()
        .any(|record| record.record_type() == RecordType::SOA);
    let mut answers: Vec<_> = reply
        .answers
        .iter()
        .map(|record| format!("{} {}", record.record_type(), record.data))
        .collect();
    answers.sort();
    let answers = answers.join(", ");
    match (reply.metadata.response_code, answers.is_empty()) {
        (ResponseCode::NoError, true) if soa => "NODATA".to_owned(),
        (ResponseCode::NXDomain, true) if soa => "NXDOMAIN".to_owned(),
        (ResponseCode::NXDomain, false) if soa => format!("{answers}, NXDOMAIN"),
        (ResponseCode::NoError, false) => answers,
        (code, _) => format!("{code:?} {answers}").trim().to_owned(),
    }
}
