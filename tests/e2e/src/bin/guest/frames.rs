//! Frames as they are, past everything that the pod's own network stack would do to them.

use std::io::{Read, Result};
use std::net::UdpSocket;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{hex, say, unhex, wrong};

/// What tests put into frames to know them by, with a name up to the next dot.
const MARK: &[u8] = b"stackube-frame:";
/// All protocols (ETH_P_ALL of `linux/if_ether.h`), in network order.
const ALL: u16 = 0x0003_u16.to_be();
/// How long a watcher waits for the next frame.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the source port is in an untagged frame whose IPv4 header has no options.
const SOURCE_PORT: std::ops::Range<usize> = 34..36;

fn socket() -> Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(ALL))))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The next frame, and the kernel's address of its device.
fn receive(socket: &mut Socket) -> Result<(SockAddr, Vec<u8>)> {
    let device = socket.peek_sender()?;
    let mut frame = vec![0; 65_536];
    let length = socket.read(&mut frame)?;
    frame.truncate(length);
    Ok((device, frame))
}

fn contains(frame: &[u8], text: &[u8]) -> bool {
    frame.windows(text.len()).any(|window| window == text)
}

/// The kernel's address of a device, from a frame that it sends: such an address cannot be made without unsafe code.
fn address_of(socket: &mut Socket, device: &str) -> Result<SockAddr> {
    let text = format!("which device, {}?", std::process::id());
    let probe = UdpSocket::bind(("0.0.0.0", 0))?;
    probe.set_broadcast(true)?;
    let probe = Socket::from(probe);
    probe.bind_device(Some(device.as_bytes()))?;
    let everybody = if device == "lo" { [127, 0, 0, 1] } else { [255; 4] };
    probe.send_to(
        text.as_bytes(),
        &SockAddr::from(std::net::SocketAddr::from((everybody, 9))),
    )?;
    loop {
        let (address, frame) = receive(socket)?;
        if contains(&frame, text.as_bytes()) {
            return Ok(address);
        }
    }
}

/// Sends the frames that standard input has, one after the other.
pub(crate) fn send(device: &str) -> Result<()> {
    let mut socket = socket()?;
    let device = address_of(&mut socket, device)?;
    let input = std::io::read_to_string(std::io::stdin())?;
    for line in input.lines() {
        socket.send_to(&unhex(line)?, &device)?;
    }
    say(&format!("sent {}", input.lines().count()))
}

/// Where the lower half of TCP's sequence number is in such a frame, and IPv4's protocol.
const SEQUENCE: std::ops::Range<usize> = 40..42;
const PROTOCOL: usize = 23;
const TCP: u8 = 6;

/// Sends one frame as fast as it can, each time from another port. In TCP the sequence number makes up for the port, so that the
/// checksum stays right.
pub(crate) fn flood(device: &str) -> Result<()> {
    let mut socket = socket()?;
    let device = address_of(&mut socket, device)?;
    drop(socket);
    // Protocol 0 receives nothing, and so costs nothing.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    let mut frame = unhex(&std::io::read_to_string(std::io::stdin())?)?;
    say("flooding")?;
    for port in (1024..=u16::MAX).cycle() {
        let place = frame
            .get_mut(SOURCE_PORT)
            .ok_or_else(|| wrong("a frame that is too short"))?;
        place.copy_from_slice(&port.to_be_bytes());
        if frame.get(PROTOCOL) == Some(&TCP)
            && let Some(place) = frame.get_mut(SEQUENCE)
        {
            place.copy_from_slice(&(!port).to_be_bytes());
        }
        // A full queue is what a flood comes to.
        let _ = socket.send_to(&frame, &device);
    }
    Ok(())
}

/// Prints the name and the bytes of every marked frame that comes or goes, until one is called `end`.
pub(crate) fn watch() -> Result<()> {
    let mut socket = socket()?;
    say("watching")?;
    loop {
        let (_, frame) = receive(&mut socket)?;
        let Some(start) = frame.windows(MARK.len()).position(|window| window == MARK) else {
            continue;
        };
        let rest = &frame[start + MARK.len()..];
        let name = rest.split(|byte| *byte == b'.').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        say(&format!("{name} {}", hex(&frame)))?;
        if name == "end" {
            return Ok(());
        }
    }
}
