//! `guest COMMAND`: what tests do inside of pods, which have nothing but a shell: one static program that they bring along.
//!
//! | Command | Standard input | Prints |
//! | --- | --- | --- |
//! | `ask` | lines `udp`, `tcp` or `dns-tcp`, address and bytes in hex | what came of each, in their order |
//! | `send DEVICE` | frames in hex, one a line | how many were sent |
//! | `watch` | | `watching`, then name and bytes of each marked frame, to the one called `end` |
//! | `serve PORT` | | nothing: answers TCP and UDP with what it gets, `who` with the host's name, datagrams that begin with `hush` not at all |
//! | `requests COUNT NAME ADDRESS` | | failures and percentiles of COUNT times a question to DNS, a connection to the API server and a GET |
//! | `flood DEVICE` | one frame in hex | `flooding`; sends it from all ports in turn until it is ended |

#![expect(clippy::print_stdout, reason = "this program answers on standard output")]

mod ask;
mod frames;
mod load;
mod serve;

use std::io::{Result, Write};

/// An error with a text of our own.
fn wrong(text: impl Into<String>) -> std::io::Error {
    std::io::Error::other(text.into())
}

/// Bytes as hex digits; none at all are `-`.
fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = text.trim().trim_start_matches('-').as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.ok_or_else(|| wrong(format!("no hex digits: {text}")))
}

/// Prints a line at once, whatever standard output is.
fn say(line: &str) -> Result<()> {
    println!("{line}");
    std::io::stdout().flush()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["ask"] => ask::all(),
        ["send", device] => frames::send(device),
        ["watch"] => frames::watch(),
        ["flood", device] => frames::flood(device),
        ["serve", port] => serve::forever(port),
        ["requests", count, name, address] => load::requests(count, name, address),
        _ => Err(wrong("usage: see the source")),
    }
}
