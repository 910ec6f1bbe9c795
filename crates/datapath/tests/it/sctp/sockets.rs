//! Associations of the kernel's own sockets, by services.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept, bind, connect, ipproto, listen, socket_with, sockopt,
};
use stackube_datapath::Mode;

use crate::lab::kernel::backends;
use crate::lab::namespace::Namespace;
use crate::lab::node::{FAR, Node, PODS};

const PATIENCE: Duration = Duration::from_secs(20);
/// One byte, what fits into a packet of every link, and what takes many packets, larger than the narrow link takes.
const LENGTHS: [usize; 3] = [1, 1000, 60_000];

fn socket() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::SCTP))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    Ok(socket)
}

/// Sends back what comes. A socket of one association reads and writes as one of TCP does.
fn echo(namespace: &Namespace, address: SocketAddrV4) {
    let listener = namespace.within(move || {
        let listener = socket().expect("a kernel with SCTP");
        sockopt::set_socket_timeout(&listener, sockopt::Timeout::Recv, None).unwrap();
        bind(&listener, &address).unwrap();
        listen(&listener, 8).unwrap();
        listener
    });
    std::thread::spawn(move || {
        while let Ok(peer) = accept(&listener) {
            let mut stream = TcpStream::from(peer);
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
}

fn open(address: &str) -> std::io::Result<TcpStream> {
    let socket = socket()?;
    connect(&socket, &address.parse::<SocketAddr>().unwrap())?;
    Ok(TcpStream::from(socket))
}

fn exchange(address: &str) {
    let mut stream = open(address).unwrap();
    for length in LENGTHS {
        let sent: Vec<u8> = (0..length).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect();
        stream.write_all(&sent).unwrap();
        let mut back = vec![0; length];
        stream.read_exact(&mut back).unwrap();
        assert!(sent == back, "{address}: what came back of {length} bytes differs");
    }
}

fn associations(mode: Mode) {
    let node = Node::new(mode);
    echo(&node.pods[0], SocketAddrV4::new(PODS[0], 9090));
    echo(&node.pods[1], SocketAddrV4::new(PODS[1], 8080));
    echo(&node.far, SocketAddrV4::new(FAR, 8080));
    node.serve("sctp 10.96.0.7:80", &backends(&["10.244.0.6:8080"]));
    node.serve("sctp 10.96.0.8:8080", &backends(&["10.250.0.2:8080"]));
    node.serve("sctp 10.96.0.9:80", &backends(&["10.244.0.5:9090"]));
    node.serve("sctp 10.96.0.10:80", &backends(&["10.244.0.6:9"]));
    node.pods[0].within(|| {
        exchange("10.96.0.7:80");
        // Beyond a narrower link, of which errors tell.
        exchange("10.96.0.8:8080");
        // Itself.
        exchange("10.96.0.9:80");
        assert_eq!(
            open("10.96.0.10:80").unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "a port on which nobody listens"
        );
    });
    for namespace in [&node.pods[0], &node.pods[1], &node.far] {
        let counted = namespace.within(|| std::fs::read_to_string("/proc/net/sctp/snmp").unwrap());
        let errors = counted.lines().find(|line| line.starts_with("SctpChecksumErrors"));
        let errors = errors.and_then(|line| line.split_whitespace().last());
        assert_eq!(errors, Some("0"), "{}", namespace.name);
    }
}

#[test]
#[ignore = "takes a kernel with SCTP: tests/vm.sh runs it"]
fn pods_of_a_userspace_switch_exchange_messages() {
    associations(Mode::Xdp);
}

#[test]
#[ignore = "takes a kernel with SCTP: tests/vm.sh runs it"]
fn pods_of_a_kernel_switch_exchange_messages() {
    associations(Mode::Tcx);
}
