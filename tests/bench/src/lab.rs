//! What the measurements run in: network namespaces, processes and a scratch directory, all of which go however this process ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio, id};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Longest wait for anything to come up: ten thousand objects on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Ends with this process's input, so also when it is killed; nobody else's namespaces have the prefix.
const KEEPER: &str = "trap '' INT TERM HUP; cat > /dev/null
for name in $(ls /run/netns | grep \"^$1\"); do ip netns del \"$name\"; done
umount --lazy \"$0/bpf\" \"$0/etcd\"; rm --recursive --force --one-file-system \"$0\"";

/// The scratch directory, with a bpffs and a tmpfs in it, and who takes everything down.
pub(crate) struct Lab {
    scratch: PathBuf,
    prefix: String,
    keeper: Child,
}

impl Lab {
    pub(crate) fn new() -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("skbench-").tempdir()?.keep();
        let prefix = format!("skbench-{}-", id());
        let keeper = Command::new("sh")
            .args(["-c", KEEPER])
            .arg(&scratch)
            .arg(&prefix)
            .stdin(Stdio::piped())
            .spawn()?;
        for (directory, kind) in [("bpf", "bpf"), ("etcd", "tmpfs")] {
            let path = scratch.join(directory);
            std::fs::create_dir(&path)?;
            mount(kind, &path, kind, MountFlags::empty(), None)
                .context("run as root: it mounts and makes namespaces")?;
        }
        Ok(Self {
            scratch,
            prefix,
            keeper,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub(crate) fn namespace(&self, what: &str) -> Result<Namespace> {
        let name = format!("{}{what}", self.prefix);
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let made = Namespace { name };
        made.ip("link set lo up")?;
        Ok(made)
    }

    /// Starts a program in a namespace, with its output in a file. It dies with this process: call it from the main thread.
    pub(crate) fn start(&self, namespace: &Namespace, program: &Path, arguments: &[String]) -> Result<Process> {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let log = self.path(&format!("{name}-{}.log", namespace.name));
        let file = File::create(&log)?;
        let child = namespace
            .command("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        Ok(Process { child, log })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ended = self.keeper.wait();
    }
}

/// A network namespace, taken down by the keeper.
#[derive(Clone)]
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    /// `ip` in this namespace, a command a line.
    pub(crate) fn ip(&self, commands: &str) -> Result<()> {
        for command in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words = command.split_whitespace();
            run(Command::new("ip").args(["-n", &self.name]).args(words))?;
        }
        Ok(())
    }

    /// A program inside; unlike `ip netns exec` this leaves the mounts alone.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg(program);
        command
    }

    /// Moves the calling thread here.
    pub(crate) fn enter(&self) -> Result<()> {
        let file = File::open(format!("/run/netns/{}", self.name))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }

    /// Runs a closure in a thread inside and waits for it.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter()?;
                work()
            });
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread in {} panicked", self.name))?
        })
    }

    /// Starts a thread inside that goes on until the process ends.
    pub(crate) fn background(&self, work: impl FnOnce() -> Result<()> + Send + 'static) {
        let namespace = self.clone();
        std::thread::spawn(move || namespace.enter().and_then(|()| work()));
    }
}

/// A running program, killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|rest| rest.split_whitespace().next())
            .context("the process has ended")?
            .parse()?;
        Ok(kib / 1024.0)
    }

    /// The last of what it said.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
        format!("{}:\n{}", self.log.display(), tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// Asks until the answer is yes; `process` tells why it is not.
pub(crate) async fn until(what: &str, process: &Process, mut ask: impl AsyncFnMut() -> bool) -> Result<Duration> {
    let began = Instant::now();
    while !ask().await {
        ensure!(
            began.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}. {}",
            process.last_words()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(began.elapsed())
}
