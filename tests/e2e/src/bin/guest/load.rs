//! Requests one after the other, as a program in a pod makes them, and how long they take.

use std::io::Result;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::ask::{tcp, udp};
use crate::{say, wrong};

/// The DNS server of every pod.
const DNS: ([u8; 4], u16) = ([10, 96, 0, 10], 53);
/// The API server of every pod.
const API: ([u8; 4], u16) = ([10, 96, 0, 1], 443);
const GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A question for the address of a name (RFC 1035 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x5c, 0x5c, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len().to_le_bytes()[0]);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Asks for the name, connects to the API server and gets the page of `address`, `count` times; prints `failed N p50 US p99 US`.
pub(crate) fn requests(count: &str, name: &str, address: &str) -> Result<()> {
    let count: usize = count.parse().map_err(|_| wrong("no number"))?;
    let address: SocketAddr = address.parse().map_err(|_| wrong("no address"))?;
    let question = question(name);
    let mut took: Vec<Duration> = vec![];
    let mut failed = 0;
    for _ in 0..count {
        let start = Instant::now();
        let answers = || {
            // RCODE 0 and at least one answer.
            let reply = udp(DNS.into(), &question).ok()?;
            (reply.get(3)? & 0xf == 0 && *reply.get(7)? > 0).then_some(())?;
            tcp(API.into(), b"").ok()?;
            tcp(address, GET).ok()?.starts_with(b"HTTP/1.").then_some(())
        };
        match answers() {
            Some(()) => took.push(start.elapsed()),
            None => failed += 1,
        }
    }
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).map_or(0, Duration::as_micros);
    say(&format!("failed {failed} p50 {} p99 {}", at(50), at(99)))
}
