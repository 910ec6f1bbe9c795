//! Questions by UDP and TCP, all side by side.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::{hex, say, unhex, wrong};

/// How long an answer may take: what is forbidden is refused at once, or never answered.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// The same of what the server does not answer: somebody else has an error sent meanwhile, by a program yet to be started.
const LONG: Duration = Duration::from_secs(60);
/// What an ICMP error about the size of a datagram comes to (EMSGSIZE of Linux).
const TOO_LARGE: i32 = 90;
/// More than any datagram.
const LARGEST: usize = 65_535;

/// Answers standard input, line by line: `reply HEX`, `refused`, `nothing`, `too-large`, or `error TEXT`.
pub(crate) fn all() -> Result<()> {
    let input = std::io::read_to_string(std::io::stdin())?;
    let asked: Vec<_> = input
        .lines()
        .map(|line| {
            let line = line.to_owned();
            std::thread::spawn(move || one(&line))
        })
        .collect();
    for answer in asked {
        let answer = answer.join().map_err(|_| wrong("a question panicked"))?;
        say(&match answer {
            Ok(reply) => format!("reply {}", hex(&reply)),
            Err(error) if error.raw_os_error() == Some(TOO_LARGE) => "too-large".to_owned(),
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => "refused".to_owned(),
                ErrorKind::ConnectionReset => "reset".to_owned(),
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => "nothing".to_owned(),
                _ => format!("error {error}"),
            },
        })?;
    }
    Ok(())
}

fn one(line: &str) -> Result<Vec<u8>> {
    let mut words = line.split_whitespace();
    let (Some(how), Some(address), Some(bytes)) = (words.next(), words.next(), words.next()) else {
        return Err(wrong(format!("not a question: {line}")));
    };
    let address: SocketAddr = address.parse().map_err(|_| wrong(format!("no address: {address}")))?;
    let bytes = unhex(bytes)?;
    match how {
        "udp" => udp(address, &bytes),
        "tcp" => tcp(address, &bytes),
        "dns-tcp" => dns_tcp(address, &bytes),
        _ => Err(wrong(format!("no such protocol: {how}"))),
    }
}

/// One datagram, and the one that answers it.
pub(crate) fn udp(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(address)?;
    let hushed = bytes.starts_with(crate::serve::HUSH);
    socket.set_read_timeout(Some(if hushed { LONG } else { PATIENCE }))?;
    socket.send(bytes)?;
    let mut reply = vec![0; LARGEST];
    let length = socket.recv(&mut reply)?;
    reply.truncate(length);
    Ok(reply)
}

/// Everything that the other side says to bytes, until it ends the connection; nothing to no bytes.
pub(crate) fn tcp(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    let mut reply = vec![];
    if bytes.is_empty() {
        return Ok(reply);
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let bytes = bytes.to_vec();
    // Beside the reading: what the other side echoes fills its buffers else.
    let sent = std::thread::spawn(move || {
        writer.write_all(&bytes)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    stream.read_to_end(&mut reply)?;
    sent.join().map_err(|_| wrong("the writer panicked"))??;
    Ok(reply)
}

/// A message with its length before it, both ways (RFC 1035 4.2.2).
fn dns_tcp(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = u16::try_from(bytes.len()).map_err(|_| wrong("too long"))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}
