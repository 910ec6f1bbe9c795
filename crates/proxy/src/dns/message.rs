//! Requests and replies on the wire: RFC 1035, EDNS (RFC 6891), truncation (RFC 2181 section 9).

use hickory_proto::op::emit_message_parts;
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::HINFO;
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncoder;

/// The UDP payload that we send and take: fits an Ethernet frame with every tunnel around it (DNS flag day 2020).
pub(crate) const PAYLOAD: u16 = 1232;

/// Bytes of a header.
const HEADER: usize = 12;

/// Bytes of an OPT record without options.
const OPT: u16 = 11;

/// More records than any reply can hold: the shortest, an address, takes 16 of at most 65535 bytes. An answer that is cut off here
/// does not fit, so TC says that there is more.
pub(crate) const RECORDS_MAX: usize = 1 << 12;

/// Smallest UDP payload that every client takes.
const PAYLOAD_MIN: u16 = 512;

/// How a request came, and so how long its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A question that can be answered.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    metadata: Metadata,
    question: Query,
    edns: Option<Ask>,
    transport: Transport,
}

/// The client's EDNS.
#[derive(Clone, Copy, Debug)]
struct Ask {
    payload: u16,
    dnssec_ok: bool,
}

/// What bytes turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    Request(Box<Request>),
    /// A request that is refused whoever asks: the reply.
    Refused(Vec<u8>, ResponseCode),
    /// Not a request; answering could start a loop.
    Nothing,
}

/// The content of a reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) code: ResponseCode,
    pub(crate) authoritative: bool,
    pub(crate) authentic: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

impl Content {
    /// A reply that is only a code.
    pub(crate) fn code(code: ResponseCode) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// A message of it that asks and answers nobody; [`Content::from`] reads it again. Nothing if it has no form on the wire.
    pub(crate) fn to_wire(&self) -> Option<Vec<u8>> {
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = self.code;
        message.metadata.authentic_data = self.authentic;
        message.answers.clone_from(&self.answers);
        message.authorities.clone_from(&self.authorities);
        message.additionals.clone_from(&self.additionals);
        message.to_vec().ok()
    }
}

/// What another server says.
impl From<Message> for Content {
    fn from(message: Message) -> Self {
        Self {
            code: message.metadata.response_code,
            authoritative: false,
            authentic: message.metadata.authentic_data,
            answers: message.answers,
            authorities: message.authorities,
            additionals: message.additionals,
        }
    }
}

/// Reads a request. Never fails: what cannot be answered is refused or nothing.
pub(crate) fn parse(bytes: &[u8], transport: Transport) -> Parsed {
    let Some(header) = bytes.get(..HEADER) else {
        return Parsed::Nothing;
    };
    if header[2] & 0x80 != 0 {
        return Parsed::Nothing;
    }
    let Ok(message) = Message::from_vec(bytes) else {
        let id = u16::from_be_bytes([header[0], header[1]]);
        let opcode = OpCode::from_u8((header[2] >> 3) & 0x0f);
        return refuse(&Message::error_msg(id, opcode, ResponseCode::FormErr));
    };
    let edns = message.edns.as_ref();
    let code = match (message.metadata.op_code, message.queries.as_slice()) {
        (OpCode::Query, _) if edns.is_some_and(|edns| edns.version() > 0) => ResponseCode::BADVERS,
        (OpCode::Query, [question]) => match (question.query_class(), question.query_type()) {
            (_, RecordType::OPT | RecordType::TSIG | RecordType::SIG | RecordType::ZERO) => ResponseCode::FormErr,
            (_, RecordType::AXFR | RecordType::IXFR) => ResponseCode::Refused,
            (DNSClass::IN, _) => {
                return Parsed::Request(Box::new(Request {
                    metadata: message.metadata,
                    question: question.clone(),
                    edns: edns.map(|edns| Ask {
                        payload: edns.max_payload(),
                        dnssec_ok: edns.flags().dnssec_ok,
                    }),
                    transport,
                }));
            }
            _ => ResponseCode::Refused,
        },
        (OpCode::Query, _) => ResponseCode::FormErr,
        _ => ResponseCode::NotImp,
    };
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
    reply.metadata = Metadata::response_from_request(&message.metadata);
    reply.metadata.response_code = code;
    reply.queries = message.queries.into_iter().take(1).collect();
    reply.edns = message.edns.map(|_| our_edns(false));
    refuse(&reply)
}

fn refuse(reply: &Message) -> Parsed {
    match reply.to_vec() {
        Ok(bytes) => Parsed::Refused(bytes, reply.metadata.response_code),
        Err(_) => Parsed::Nothing,
    }
}

fn our_edns(dnssec_ok: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD).set_dnssec_ok(dnssec_ok);
    edns
}

/// A query of our own to an upstream server, with a random ID.
pub(crate) fn query(question: Query, dnssec_ok: bool, checking_disabled: bool) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = checking_disabled;
    message.add_query(question);
    message.edns = Some(our_edns(dnssec_ok));
    message
}

impl Request {
    pub(crate) fn question(&self) -> &Query {
        &self.question
    }

    pub(crate) fn recursion_desired(&self) -> bool {
        self.metadata.recursion_desired
    }

    pub(crate) fn checking_disabled(&self) -> bool {
        self.metadata.checking_disabled
    }

    pub(crate) fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The longest reply that the client takes, in bytes.
    fn limit(&self) -> u16 {
        match (self.transport, self.edns) {
            (Transport::Tcp, _) => u16::MAX,
            (Transport::Udp, None) => PAYLOAD_MIN,
            (Transport::Udp, Some(edns)) => edns.payload.clamp(PAYLOAD_MIN, PAYLOAD),
        }
    }

    /// Encodes a reply. What does not fit is left out, and TC says so unless only additional records are missing.
    pub(crate) fn reply(&self, content: Content) -> Vec<u8> {
        let mut message = Message::response(self.metadata.id, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.response_code = content.code;
        message.metadata.authoritative = content.authoritative;
        message.metadata.authentic_data = content.authentic && (self.dnssec_ok() || self.metadata.authentic_data);
        message.metadata.recursion_available = true;
        message.queries = vec![self.question.clone()];
        message.answers = content.answers;
        message.authorities = content.authorities;
        message.additionals = content.additionals;
        message.edns = self.edns.map(|edns| our_edns(edns.dnssec_ok));
        let limit = self.limit();
        match message.to_vec() {
            Ok(bytes) if bytes.len() <= usize::from(limit) => bytes,
            _ => shorten(message, limit).unwrap_or_else(|| self.failure()),
        }
    }

    /// The reply if a reply cannot be encoded. Shorter than the request was.
    fn failure(&self) -> Vec<u8> {
        let mut message = Message::error_msg(self.metadata.id, OpCode::Query, ResponseCode::ServFail);
        message.queries = vec![self.question.clone()];
        message.to_vec().unwrap_or_default()
    }
}

/// Encodes as many records as fit into `limit` bytes beside the OPT record.
fn shorten(mut message: Message, limit: u16) -> Option<Vec<u8>> {
    let mut buffer = Vec::with_capacity(usize::from(limit));
    let mut encoder = BinEncoder::new(&mut buffer);
    encoder.set_max_size(limit - OPT);
    let header = emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut message.answers.iter(),
        &mut message.authorities.iter(),
        &mut message.additionals.iter(),
        None,
        None,
        &mut encoder,
    )
    .ok()?;
    let fits = |count: u16, records: &Vec<Record>| usize::from(count) >= records.len();
    let counts = header.counts;
    message.metadata.truncation =
        !fits(counts.answers, &message.answers) || !fits(counts.authorities, &message.authorities);
    message.answers.truncate(counts.answers.into());
    message.authorities.truncate(counts.authorities.into());
    message.additionals.truncate(counts.additionals.into());
    message.to_vec().ok()
}

/// True if the client asked for any type: RFC 8482 allows one record for all.
pub(crate) fn any(question: &Query) -> Option<Record> {
    (question.query_type() == RecordType::ANY).then(|| {
        let data = HINFO::new("RFC8482".to_owned(), String::new());
        Record::from_rdata(question.name().clone(), 3600, RData::HINFO(data))
    })
}
