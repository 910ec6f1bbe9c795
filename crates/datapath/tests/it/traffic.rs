//! Real traffic between namespaces, in both modes: XDP with checksums made by the sender, tcx with all offloads on.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::DirEntryExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use stackube_datapath::abi::LAYOUT;
use stackube_datapath::{Identities, Mode, Programs, Service};

use crate::lab::kernel::{backends, service_key};
use crate::lab::namespace::Namespace;
use crate::lab::node::{FAR, MTU, NARROW, Node, PODS};

const PATIENCE: Duration = Duration::from_secs(20);
/// What the second pod listens on.
const SOCKET: SocketAddr = SocketAddr::V4(SocketAddrV4::new(PODS[1], 8080));

/// Accepts connections and sends back what comes, until the namespace's test ends.
fn echo_tcp(namespace: &Namespace, address: SocketAddrV4) {
    let listener = namespace.within(move || TcpListener::bind(address).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
}

/// Sends datagrams back.
fn echo_udp(namespace: &Namespace, address: SocketAddrV4) {
    let socket = namespace.within(move || UdpSocket::bind(address).unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _unreachable = socket.send_to(&buffer[..length], from);
        }
    });
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends so many bytes through an echo, and compares what comes back.
fn exchange(stream: TcpStream, length: usize) {
    let sent: Vec<u8> = (0..length)
        .map(|i| u8::try_from(i.wrapping_mul(31) % 251).unwrap())
        .collect();
    let copy = sent.clone();
    let mut writer = stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&copy).unwrap());
    let mut received = vec![0; length];
    let mut reader = stream;
    reader.read_exact(&mut received).unwrap();
    sender.join().unwrap();
    assert!(sent == received, "what came back differs");
}

fn udp_exchange(address: &'static str, length: usize) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let sent = vec![7; length];
    socket.send(&sent).unwrap();
    let mut buffer = vec![0; 65_536];
    let received = socket.recv(&mut buffer).unwrap();
    assert!(buffer[..received] == sent[..]);
}

/// How long it took to be refused.
fn refused(namespace: &Namespace, address: &'static str) -> Duration {
    namespace.within(move || {
        let begin = Instant::now();
        assert_eq!(
            connect(address).unwrap_err().kind(),
            ErrorKind::ConnectionRefused,
            "{address}"
        );
        begin.elapsed()
    })
}

fn node_with_echo(mode: Mode) -> Node {
    let node = Node::new(mode);
    echo_tcp(&node.pods[1], SocketAddrV4::new(PODS[1], 8080));
    echo_udp(&node.pods[1], SocketAddrV4::new(PODS[1], 8080));
    node.serve("tcp 10.96.0.7:80", &backends(&["10.244.0.6:8080"]));
    node.serve("udp 10.96.0.7:80", &backends(&["10.244.0.6:8080"]));
    node
}

fn everything(mode: Mode) {
    let mut node = node_with_echo(mode);
    service(&node);
    resize(&node);
    refusals(&node);
    hairpin(&node);
    affinity(&node);
    narrow_path(&node);
    host_link(&node);
    restart(&mut node);
    another_layout(&mut node);
    assert_eq!(node.checksum_errors(), 0);
    taken_down(&mut node);
}

fn service(node: &Node) {
    node.pods[0].within(|| {
        exchange(connect("10.96.0.7:80").unwrap(), 8_000_000);
        // At the MTU, one less, one more, and what needs many fragments; a datagram's headers are 28 bytes.
        for length in [1, 28, MTU - 29, MTU - 28, MTU - 27, 9000] {
            udp_exchange("10.96.0.7:80", length as usize);
        }
    });
    assert_eq!(node.checksum_errors(), 0);
}

/// A service has one backend and ten by turns, so that slots come and go under those who choose one: no segment and no datagram is lost.
fn resize(node: &Node) {
    let ten: Vec<SocketAddrV4> = (8101..=8110).map(|port| SocketAddrV4::new(PODS[1], port)).collect();
    for address in &ten {
        echo_tcp(&node.pods[1], *address);
        echo_udp(&node.pods[1], *address);
    }
    let of = |backends: &[SocketAddrV4]| Service {
        backends: backends.to_vec(),
        ..Service::default()
    };
    // The last one stays, each time another: it moves into the first slot, and is the first of ten then.
    let sizes = [of(&ten), of(&ten[9..]), of(&ten), of(&ten[8..9])];
    let keys = ["tcp 10.96.0.12:80", "udp 10.96.0.12:80"].map(|key| service_key("demo", key));
    let mut services = node.services();
    let mut resize = |turn: usize| keys.map(|key| services.upsert(key, &sizes[turn % 4]).unwrap());
    resize(0);
    let before = lost(node);
    let clients = node.pods[0].spawn(|| {
        for _ in 0..400 {
            connect("10.96.0.12:80").unwrap();
            // What is lost here nobody sends again.
            udp_exchange("10.96.0.12:80", 1);
        }
    });
    let turns = (1..).take_while(|turn| {
        resize(*turn);
        !clients.is_finished()
    });
    assert!(turns.count() > 100);
    clients.join().unwrap();
    assert_eq!(
        lost(node),
        before,
        "segments that began a connection anew, packets that found no slot"
    );
}

/// How often the first pod has sent the first segment of a connection again, and how often the programs dropped a packet since what they
/// read was being changed. (How long something takes says less: all share a few processors.)
fn lost(node: &Node) -> (u64, u64) {
    let counters = stackube_datapath::counters(&node.root()).unwrap();
    let raced = counters.iter().find(|(name, _)| *name == "dropped_race").unwrap().1;
    (node.pods[0].counted("netstat", &["TCPSynRetrans"]), raced)
}

fn refusals(node: &Node) {
    node.serve("tcp 10.96.0.8:80", &backends(&[]));
    node.programs
        .as_ref()
        .unwrap()
        .set_infrastructure(&["10.77.0.0/24".parse().unwrap()])
        .unwrap();
    for address in ["10.96.0.8:80", "10.96.0.99:80", "10.77.0.21:10250", "169.254.77.1:22"] {
        let time = refused(&node.pods[0], address);
        assert!(
            time < Duration::from_millis(900),
            "{address}: before the first segment would be repeated, {time:?}"
        );
    }
    node.pods[0].within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("10.96.0.99:53").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send(b"x").unwrap();
        assert_eq!(
            socket.recv(&mut [0; 10]).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

/// A pod behind a service asks it, by its cluster IP and by a load balancer's address, which is in no range of services.
fn hairpin(node: &Node) {
    echo_tcp(&node.pods[0], SocketAddrV4::new(PODS[0], 9090));
    for address in ["10.96.0.9:80", "198.51.100.7:80"] {
        node.serve(&format!("tcp {address}"), &backends(&["10.244.0.5:9090"]));
        node.pods[0].within(|| exchange(connect(address).unwrap(), 1_000_000));
    }
    hairpin_errors(node);
}

/// What the pod's kernel says of a closed port, the pod's other socket hears, though each knows the other by another address: a client of
/// nobody, and a server whose client went before it answered.
fn hairpin_errors(node: &Node) {
    node.serve("udp 10.96.0.13:80", &backends(&["10.244.0.5:9191"]));
    let bound = |address: &str| {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let heard = |socket: &UdpSocket| socket.recv(&mut [0; 10]).unwrap_err().kind();
    node.pods[0].within(move || {
        let client = bound("0.0.0.0:0");
        client.connect("10.96.0.13:80").unwrap();
        client.send(b"?").unwrap();
        assert_eq!(heard(&client), ErrorKind::ConnectionRefused);
        let server = bound("0.0.0.0:9191");
        client.send(b"?").unwrap();
        let (_, from) = server.recv_from(&mut [0; 10]).unwrap();
        assert_eq!(from.ip(), Ipv4Addr::new(169, 254, 77, 2));
        // It is the client's no more. (Closed, it would stay open as long as a program that another test starts has not begun.)
        client.connect("10.96.0.99:9").unwrap();
        server.connect(from).unwrap();
        server.send(b"!").unwrap();
        assert_eq!(heard(&server), ErrorKind::ConnectionRefused);
    });
}

/// A client stays with its backend for the service's time, and not for ever.
fn affinity(node: &Node) {
    const STAY: Duration = Duration::from_secs(1);
    let listen = |port| node.pods[1].within(move || TcpListener::bind(SocketAddrV4::new(PODS[1], port)).unwrap());
    let servers: Vec<TcpListener> = (8201..=8210).map(listen).collect();
    let service = Service {
        backends: (8201..=8210).map(|port| SocketAddrV4::new(PODS[1], port)).collect(),
        affinity: Some(STAY),
        ..Service::default()
    };
    node.serve("tcp 10.96.0.14:80", &service);
    for server in &servers {
        server.set_nonblocking(true).unwrap();
    }
    let choose = || {
        let _client = node.pods[0].within(|| connect("10.96.0.14:80").unwrap());
        let accepts = || servers.iter().position(|server| server.accept().is_ok());
        std::iter::repeat_with(accepts).flatten().next().unwrap()
    };
    let mut begun = Instant::now();
    let first = choose();
    for _ in 0..50 {
        let before = Instant::now();
        if choose() != first {
            // Unless the machine stood still for as long.
            assert!(begun.elapsed() >= STAY, "another one within the time");
            return;
        }
        begun = before;
    }
    let deadline = Instant::now() + PATIENCE;
    while choose() == first {
        assert!(Instant::now() < deadline, "it is the same one long after the time");
        std::thread::sleep(STAY + STAY / 10); // each connection begins the time anew
    }
}

/// A backend behind a link that is narrower than the pod's: the router's ICMP messages must find their way to what the pod addressed. (TCP
/// alone would not show it, since the backend announces what it can take.)
fn narrow_path(node: &Node) {
    for protocol in ["tcp", "udp"] {
        node.serve(&format!("{protocol} 10.96.0.11:80"), &backends(&["10.250.0.2:8080"]));
    }
    echo_tcp(&node.far, SocketAddrV4::new(FAR, 8080));
    echo_udp(&node.far, SocketAddrV4::new(FAR, 8080));
    node.pods[0].within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("10.96.0.11:80").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (begin, sent) = (Instant::now(), vec![9; 1400]);
        loop {
            // The first is too big for the way, which the router says; a later one goes in pieces.
            socket.send(&sent).unwrap();
            let mut buffer = [0; 2000];
            match socket.recv(&mut buffer) {
                Ok(length) => return assert!(buffer[..length] == sent[..]),
                Err(error) => assert!(begin.elapsed() < PATIENCE, "{error}"),
            }
        }
    });
    let route = crate::lab::namespace::run(&format!("ip -n {} route get 10.96.0.11", node.pods[0].name));
    assert!(route.contains(&format!("mtu {NARROW}")), "{route}");
    node.pods[0].within(|| exchange(connect("10.96.0.11:80").unwrap(), 1_000_000));
}

fn host_link(node: &Node) {
    let dns = SocketAddrV4::new(Ipv4Addr::new(169, 254, 77, 1), 53);
    echo_tcp(node.node(), dns);
    echo_udp(node.node(), dns);
    for protocol in ["tcp", "udp"] {
        node.serve(
            &format!("{protocol} 10.96.0.10:53"),
            &Service {
                host: true,
                ..backends(&["169.254.77.1:53"])
            },
        );
    }
    for pod in &node.pods {
        pod.within(|| {
            exchange(connect("10.96.0.10:53").unwrap(), 3_000_000);
            for length in [1, 500, MTU - 28] {
                udp_exchange("10.96.0.10:53", length as usize);
            }
        });
    }
    probes(node);
}

/// Only what has kubelet's mark reaches a pod from the node: here a shell in a cgroup of its own, as kubelet is.
fn probes(node: &Node) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let unified = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields[2] == "cgroup2")
        .unwrap()[1]
        .to_owned();
    let cgroup = std::path::Path::new(&unified).join(format!("skdatapath-{}-{:?}", std::process::id(), node.mode));
    std::fs::create_dir(&cgroup).unwrap();
    let programs = node.programs.as_ref().unwrap();
    programs.mark_kubelet(&cgroup).unwrap();
    programs.mark_kubelet(&cgroup).unwrap();
    let pins = || -> Vec<_> {
        let pins = std::fs::read_dir(node.root().join(LAYOUT).join("links")).unwrap();
        let names = pins.map(|pin| pin.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("cgroup-")).collect()
    };
    let first = pins();
    // As after a restart of kubelet's unit.
    std::fs::remove_dir(&cgroup).unwrap();
    std::fs::create_dir(&cgroup).unwrap();
    programs.mark_kubelet(&cgroup).unwrap();
    assert_eq!((first.len(), pins().len()), (1, 1));
    assert_ne!(first, pins());
    let script = "exec 3<>/dev/tcp/10.244.0.6/8080 && echo alive >&3 && head -1 <&3";
    let probe = |join: &str| {
        let script = format!(
            "{join} exec nsenter --net=/run/netns/{} timeout 10 bash -c '{script}'",
            node.node().name
        );
        Command::new("bash").args(["-c", &script]).output().unwrap()
    };
    let join = format!("echo $$ > {}/cgroup.procs;", cgroup.display());
    let (inside, outside) = (probe(&join), probe(""));
    // The processes have ended, but the kernel may not have taken the last one off the cgroup yet.
    let begin = Instant::now();
    while std::fs::remove_dir(&cgroup).is_err() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(
        String::from_utf8_lossy(&inside.stdout),
        "alive\n",
        "{}",
        String::from_utf8_lossy(&inside.stderr)
    );
    assert!(
        !outside.status.success(),
        "unmarked, so that the route of table 77 is not taken"
    );
    // Neither does the link's address as a source help.
    let from_link = node.node().within(|| {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(169, 254, 77, 1), 0)).unwrap();
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(Duration::from_millis(300))).unwrap();
        connect(&socket, &SocketAddrV4::new(PODS[1], 8080))
    });
    assert!(from_link.is_err());
}

/// A new process takes over under a connection that is in use.
fn restart(node: &mut Node) {
    let stream = node.pods[0].within(|| connect("10.96.0.7:80").unwrap());
    let keep = stream.try_clone().unwrap();
    let busy = std::thread::spawn(move || exchange(stream, 8_000_000));
    for _ in 0..2 {
        drop(node.programs.take());
        node.programs = Some(Programs::load_or_open(&node.root(), node.mode).unwrap());
    }
    busy.join().unwrap();
    exchange(keep, 1000);
}

/// A new process with another layout of the maps takes over, and the pods stay where they are.
fn another_layout(node: &mut Node) {
    let known = node.programs.as_ref().unwrap().attached().unwrap();
    let (ours, theirs) = (node.root().join(LAYOUT), node.root().join("v0"));
    let links = || -> BTreeMap<_, _> {
        let pins = std::fs::read_dir(ours.join("links")).unwrap().map(Result::unwrap);
        pins.map(|pin| (pin.file_name(), pin.ino())).collect()
    };
    let before = links();
    let old = Identities::open(&node.root()).unwrap();
    assert!(old.by_alias(known[0].alias).unwrap().is_some());
    drop(node.programs.take());
    std::fs::rename(&ours, &theirs).unwrap();
    node.load();
    // A link that was made anew would have another pin, and its device would have had no program meanwhile.
    assert_eq!(links(), before);
    assert!(before.len() >= 5 && !theirs.exists(), "{before:?}");
    let programs = node.programs.as_ref().unwrap();
    assert_eq!(programs.attached().unwrap(), [], "nobody is known yet");
    for identity in &known {
        let found = old.by_alias(identity.alias).unwrap();
        assert_eq!(found, None, "an alias may be another pod's now");
    }
    let dial = || node.pods[0].within(|| TcpStream::connect_timeout(&SOCKET, Duration::from_millis(300)));
    assert_eq!(dial().unwrap_err().kind(), ErrorKind::TimedOut, "nothing passes");
    known.iter().for_each(|identity| programs.attach(identity).unwrap());
    node.sync();
    node.serve("tcp 10.96.0.7:80", &backends(&["10.244.0.6:8080"]));
    node.pods[0].within(|| exchange(connect("10.96.0.7:80").unwrap(), 1_000_000));
    assert_eq!(links(), before);
}

fn taken_down(node: &mut Node) {
    let programs = node.programs.as_ref().unwrap();
    let attached = programs.attached().unwrap();
    assert_eq!(attached.len(), 2);
    for identity in attached {
        programs.detach(identity.ifindex).unwrap();
        programs.detach(identity.ifindex).unwrap();
    }
    assert_eq!(programs.pinned().unwrap(), []);
    assert!(programs.sweep().unwrap().removed > 0);
    assert_eq!(
        programs.sweep().unwrap(),
        stackube_datapath::Swept { live: 0, removed: 0 }
    );
}

#[test]
fn pods_of_a_userspace_switch_use_services_the_link_and_nothing_else() {
    everything(Mode::Xdp);
}

#[test]
fn pods_of_a_kernel_switch_use_services_the_link_and_nothing_else() {
    everything(Mode::Tcx);
}
