//! The measurements themselves, by the usual tools; each from a pod.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::lab::{Lab, Namespace, Process, run};
use crate::objects::{DNS, TENANT, address};
use crate::site::{SERVER, Site};
use crate::table::Samples;

/// Seconds of one sockperf or iperf3 run.
const TRAFFIC: &str = "2";
/// How often and how soon iperf3 is asked again.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// Seconds of one dnsperf run.
const QUERIES: &str = "4";
/// Queries a second while their latency is taken: the same load for every server.
const PACE: &str = "2000";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What answers in the server's pod.
pub(crate) fn servers(lab: &Lab, site: &Site) -> Result<[Process; 2]> {
    let listener = site.server.within(|| Ok(TcpListener::bind((SERVER, 8080))?))?;
    site.server.background(move || {
        for stream in listener.incoming() {
            drop(stream?);
        }
        Ok(())
    });
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rtt = words(&format!("server --tcp -i {SERVER} -p 11111"));
    Ok([
        lab.start(&site.server, Path::new("sockperf"), &rtt)?,
        lab.start(&site.server, Path::new("iperf3"), &words(&format!("-s -B {SERVER}")))?,
    ])
}

/// TCP round trips a second of one connection.
pub(crate) fn round_trips(pod: &Namespace, to: &str) -> Result<f64> {
    let output = run(pod
        .command("sockperf")
        .args(["ping-pong", "--tcp", "-i", to, "-p", "11111", "-t", TRAFFIC]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("[Total Run]"));
    let after = |key: &str| -> Result<f64> {
        let (_, rest) = line
            .and_then(|line| line.split_once(key))
            .context("sockperf says nothing")?;
        let number: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        Ok(number.parse()?)
    };
    Ok(after("ReceivedMessages=")? / after("RunTime=")?)
}

/// Throughput of one TCP connection in Gbit/s.
pub(crate) fn throughput(pod: &Namespace, to: &str) -> Result<f64> {
    let mut problem = Value::Null;
    for _ in 0..TRIES {
        let mut command = pod.command("iperf3");
        let output = command.args(["-J", "-c", to, "-p", "5201", "-t", TRAFFIC]).output()?;
        let mut report: Value = serde_json::from_slice(&output.stdout).context("iperf3 says nothing")?;
        let bits = report.pointer("/end/sum_received/bits_per_second");
        if let Some(bits) = bits.and_then(Value::as_f64) {
            return Ok(bits / 1e9);
        }
        // The server takes one test at a time, and may not have put the last one away yet.
        problem = report["error"].take();
        std::thread::sleep(PAUSE);
    }
    anyhow::bail!("iperf3: {problem}")
}

/// Whether a connection comes about.
pub(crate) fn reaches(pod: &Namespace, to: &str, port: u16) -> bool {
    connects(pod, std::iter::once((to.to_owned(), port))).is_ok()
}

/// Times in microseconds until connections are made, one after the other, to Services spread over all `count` of them: a first packet each, and
/// its answer.
pub(crate) fn first_packets(pod: &Namespace, count: usize, tries: usize) -> Result<Samples> {
    connects(pod, (0..tries).map(|n| (address(n * 7919 % count), 80)))
}

/// The same to the pod itself.
pub(crate) fn first_packets_direct(pod: &Namespace, tries: usize) -> Result<Samples> {
    connects(pod, (0..tries).map(|_| (SERVER.to_string(), 8080)))
}

fn connects(pod: &Namespace, targets: impl Iterator<Item = (String, u16)> + Send) -> Result<Samples> {
    pod.within(|| {
        let mut times = Samples::default();
        for (to, port) in targets {
            let target = SocketAddr::V4(SocketAddrV4::new(to.parse::<Ipv4Addr>()?, port));
            let began = Instant::now();
            let stream = TcpStream::connect_timeout(&target, CONNECT_TIMEOUT)?;
            times.add(began.elapsed().as_secs_f64() * 1e6);
            drop(stream);
        }
        Ok(times)
    })
}

/// Writes what pods ask for: of four names three are Services, one comes of the search path and does not exist.
pub(crate) fn write_queries(path: &Path, services: usize) -> Result<()> {
    let line = |n: usize| match n % 4 {
        3 => format!("www{n}.example.com.{TENANT}.svc.cluster.local A\n"),
        _ => format!("service-{}.{TENANT}.svc.cluster.local A\n", n * 7919 % services),
    };
    Ok(std::fs::write(path, (0..20_000).map(line).collect::<String>())?)
}

/// DNS queries a second, with 64 under way.
pub(crate) fn queries_per_second(pod: &Namespace, queries: &Path) -> Result<f64> {
    let text = dnsperf(pod, queries, &["-q", "64"])?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Queries per second:"));
    Ok(line.context("dnsperf says nothing")?.trim().parse()?)
}

/// Times in microseconds until answers came, at [`PACE`].
pub(crate) fn query_times(pod: &Namespace, queries: &Path) -> Result<Samples> {
    let text = dnsperf(pod, queries, &["-v", "-Q", PACE])?;
    let mut times = Samples::default();
    for line in text.lines().filter(|line| line.starts_with("> ")) {
        let seconds: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
        times.add(seconds * 1e6);
    }
    Ok(times)
}

fn dnsperf(pod: &Namespace, queries: &Path, options: &[&str]) -> Result<String> {
    let server: IpAddr = DNS.parse()?;
    let mut command = pod.command("dnsperf");
    command.args(["-s", &server.to_string(), "-c", "8", "-T", "1", "-l", QUERIES, "-d"]);
    let output = run(command.arg(queries).args(options))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lost = text.lines().find_map(|line| line.trim().strip_prefix("Queries lost:"));
    let lost = lost.context("dnsperf says nothing")?.trim();
    anyhow::ensure!(lost.starts_with("0 "), "queries were lost: {lost}");
    Ok(text)
}
