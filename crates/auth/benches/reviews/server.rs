//! The webhook in a process of its own: this program again, with an environment that says so.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertifiedIssuer, KeyPair};
use rustix::thread::{CpuSet, sched_setaffinity};
use stackube_auth::{Limits, serve};
use wiremock::MockServer;

use crate::support::{self, Tokens};

const KEYSTONE: &str = "STACKUBE_BENCH_KEYSTONE";
const CERTIFICATES: &str = "STACKUBE_BENCH_CERTIFICATES";
const MEMORY: &str = "STACKUBE_BENCH_CACHE_SECONDS";
/// Unit of the times in /proc/PID/stat (USER_HZ, fixed in Linux's ABI).
const TICK: Duration = Duration::from_millis(10);

/// What the process is told.
pub(crate) struct Arguments {
    keystone: String,
    certificates: PathBuf,
    cache_ttl: Duration,
}

impl Arguments {
    pub(crate) fn of_process() -> Option<Self> {
        Some(Self {
            keystone: std::env::var(KEYSTONE).ok()?,
            certificates: std::env::var_os(CERTIFICATES)?.into(),
            cache_ttl: Duration::from_secs(std::env::var(MEMORY).ok()?.parse().ok()?),
        })
    }
}

/// Serves until it is killed; prints its address first. Threads and limits are those of the real program, but for how long it remembers.
pub(crate) fn run(arguments: &Arguments) {
    let mut one = CpuSet::new();
    one.set(0);
    sched_setaffinity(None, &one).unwrap();
    let limits = Limits {
        cache_ttl: arguments.cache_ttl,
        ..Limits::default()
    };
    let (service, metrics) = support::service(&arguments.keystone, limits);
    let files = support::files(&arguments.certificates);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let serving = serve(
        listener,
        files.load().unwrap(),
        Duration::from_secs(10),
        service,
        metrics,
        axum_server::Handle::new(),
    );
    runtime.block_on(serving).unwrap();
}

/// The process, and a fake Keystone for it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
    pub(crate) tokens: Tokens,
    process: Child,
    _keystone: MockServer,
    _certificates: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts one that remembers good tokens for `cache_ttl`, in whole seconds.
    pub(crate) async fn start(cache_ttl: Duration) -> Self {
        let tokens = Tokens::default();
        let keystone = support::keystone(&tokens, Duration::ZERO).await;
        let (authority, certificates) = (support::authority(), tempfile::tempdir().unwrap());
        support::write_server(certificates.path(), &authority);
        let mut process = Command::new(std::env::current_exe().unwrap())
            .env(KEYSTONE, keystone.uri())
            .env(CERTIFICATES, certificates.path())
            .env(MEMORY, cache_ttl.as_secs().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut address).unwrap();
        Self {
            address: address.trim().parse().unwrap(),
            authority,
            tokens,
            process,
            _keystone: keystone,
            _certificates: certificates,
        }
    }

    /// Time on the processor since it began.
    pub(crate) fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // Fields 14 and 15 of proc_pid_stat(5); the second is a name in parentheses that may hold blanks.
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
        TICK * ticks
    }

    /// Resident memory at its highest, in MB.
    pub(crate) fn memory(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024.0 / 1e6
    }
}
