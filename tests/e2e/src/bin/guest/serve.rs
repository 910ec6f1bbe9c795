//! A server that tells who it is, and echoes.

use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::wrong;

const WHO: &[u8] = b"who";
/// What a datagram begins with that is not answered.
pub(crate) const HUSH: &[u8] = b"hush";
/// How many connections may wait until this program gets to run. With std's 128, and as many that begin at once on a busy machine, the kernel
/// turns to SYN cookies, and resets those whose FIN it takes for a bad one.
const WAITING: i32 = 4096;

/// Answers TCP and UDP on a port until it is ended.
pub(crate) fn forever(port: &str) -> Result<()> {
    let port: u16 = port.parse().map_err(|_| wrong("no port"))?;
    let name = std::fs::read("/etc/hostname")?.trim_ascii().to_vec();
    let listener = listen(port)?;
    let datagrams = UdpSocket::bind(("0.0.0.0", port))?;
    let own = name.clone();
    std::thread::spawn(move || answer(&datagrams, &own));
    for stream in listener.incoming() {
        let (stream, name) = (stream?, name.clone());
        std::thread::spawn(move || echo(stream, &name));
    }
    Ok(())
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.listen(WAITING)?;
    Ok(socket.into())
}

fn answer(socket: &UdpSocket, name: &[u8]) -> Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        // An ICMP error about an earlier answer is no reason to end.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let got = &buffer[..length];
        if got.starts_with(HUSH) {
            continue;
        }
        let _ = socket.send_to(if got == WHO { name } else { got }, from);
    }
}

fn echo(mut stream: TcpStream, name: &[u8]) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut buffer = vec![0; 65_535];
    loop {
        let length = stream.read(&mut buffer)?;
        match &buffer[..length] {
            [] => return Ok(()),
            WHO => stream.write_all(name)?,
            got => stream.write_all(got)?,
        }
    }
}
