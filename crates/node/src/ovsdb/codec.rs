//! Framing of the OVSDB protocol: JSON objects one after the other, with nothing between them (RFC 7047 section 4).

use std::io;

use serde_json::Value;
use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// Largest message accepted, in bytes. The first dump of a node with a thousand pods stays below one MiB.
const MAX_MESSAGE: usize = 64 << 20;

/// Splits a byte stream into JSON objects. It looks at every byte once, however the stream is cut into pieces.
#[derive(Debug, Default)]
pub(super) struct JsonCodec {
    /// Bytes at the front of the buffer that have been looked at.
    scanned: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl JsonCodec {
    /// Takes one byte; true when it ends a message.
    fn ends_with(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl Decoder for JsonCodec {
    type Item = Value;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Value>> {
        if self.scanned == 0 {
            let blank = buffer.iter().take_while(|b| b.is_ascii_whitespace()).count();
            buffer.advance(blank);
            if buffer.first().is_some_and(|b| *b != b'{') {
                return Err(invalid("an OVSDB message does not begin with '{'"));
            }
        }
        while self.scanned < buffer.len() {
            let byte = buffer[self.scanned];
            self.scanned += 1;
            if self.ends_with(byte) {
                let message = buffer.split_to(self.scanned);
                *self = Self::default();
                return serde_json::from_slice(&message)
                    .map(Some)
                    .map_err(|e| invalid(e.to_string()));
            }
        }
        if buffer.len() > MAX_MESSAGE {
            return Err(invalid("an OVSDB message is larger than 64 MiB"));
        }
        Ok(None)
    }
}

impl Encoder<&Value> for JsonCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &Value, buffer: &mut BytesMut) -> io::Result<()> {
        buffer.extend_from_slice(&serde_json::to_vec(message)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decode_in_pieces(bytes: &[u8], cuts: &[usize]) -> io::Result<Vec<Value>> {
        let (mut codec, mut buffer, mut seen, mut start) = (JsonCodec::default(), BytesMut::new(), vec![], 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
        cuts.sort_unstable();
        for end in cuts.into_iter().chain([bytes.len()]) {
            buffer.extend_from_slice(&bytes[start..end]);
            start = end;
            while let Some(message) = codec.decode(&mut buffer)? {
                seen.push(message);
            }
        }
        Ok(seen)
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            r#"["\\{}\[\]]*"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..6).prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            bodies in prop::collection::vec(json_value(), 1..5),
            cuts in prop::collection::vec(any::<usize>(), 0..12),
            blanks in "[ \n\t]{0,3}",
        ) {
            let messages: Vec<Value> = bodies.into_iter().map(|b| json!({"id": b})).collect();
            let mut bytes = BytesMut::new();
            for message in &messages {
                bytes.extend_from_slice(blanks.as_bytes());
                JsonCodec::default().encode(message, &mut bytes).unwrap();
            }
            prop_assert_eq!(decode_in_pieces(&bytes, &cuts).unwrap(), messages);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..5)) {
            let _ = decode_in_pieces(&bytes, &cuts);
        }
    }

    #[test]
    fn garbage_is_an_error_and_not_a_wait() {
        assert!(decode_in_pieces(b"HTTP/1.1 400 Bad Request", &[]).is_err());
        assert!(decode_in_pieces(b"{]", &[]).is_ok_and(|m| m.is_empty()) || decode_in_pieces(b"{]", &[]).is_err());
        assert!(decode_in_pieces(b"{\"a\" 1}", &[]).is_err());
    }
}
