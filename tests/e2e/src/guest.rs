//! The program `guest` in a pod, which asks, serves, sends and watches there ([its commands](../src/bin/guest/main.rs)).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::{devbox::Devbox, pods};

/// A pod with the program in it.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a client has nothing to show")]
pub struct Guest<'a> {
    devbox: &'a Devbox,
    namespace: String,
    pod: String,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes; none when only a connection was asked for.
    Reply(Vec<u8>),
    /// Refused at once: a TCP reset, or ICMP of a port.
    Refused,
    /// A connection that was reset after it had begun.
    Reset,
    /// Refused by ICMP of a host or a rule; or nobody has the address.
    Unreachable,
    /// Not within three seconds.
    Nothing,
    /// Said to be larger than what the way takes.
    TooLarge,
}

/// A question to an address and port, by TCP (no bytes: only a connection) or UDP.
pub fn question(protocol: &str, to: &str, bytes: &[u8]) -> String {
    format!("{protocol} {to} {}", hex(bytes))
}

/// Bytes as hex digits; none at all are `-`.
pub fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digits = text.trim_start_matches('-').as_bytes();
    digits
        .chunks(2)
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}

impl<'a> Guest<'a> {
    /// Copies the program at `path` into a running pod that has a shell.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn bring(devbox: &'a Devbox, path: &str, namespace: &str, pod: &str) -> Self {
        let target = format!("{namespace}/{pod}:/tmp/guest");
        devbox
            .kubectl(&["cp", path, &target], "")
            .await
            .expect("a program should be copied into a pod");
        Self {
            devbox,
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
        }
    }

    /// Runs a command of the program to its end.
    ///
    /// # Errors
    /// What it says.
    pub async fn run(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        let exec = ["-n", &self.namespace, "exec", "-i", &self.pod, "--", "/tmp/guest"];
        self.devbox.kubectl(&[&exec, arguments].concat(), stdin).await
    }

    /// Asks all of them side by side; an answer for each.
    ///
    /// # Panics
    /// When a question cannot be sent.
    pub async fn ask(&self, questions: &[String]) -> Vec<Answer> {
        let lines = self.run(&["ask"], &questions.join("\n")).await;
        let lines = lines.expect("the program should run in the pod");
        let answers: Result<Vec<_>> = lines.lines().map(Answer::read).collect();
        let answers = answers.expect("a pod should be able to ask");
        assert_eq!(answers.len(), questions.len(), "an answer for each question");
        answers
    }

    /// Sends frames from a device of the pod, in their order.
    ///
    /// # Panics
    /// When the pod may not.
    pub async fn send(&self, device: &str, frames: &[Vec<u8>]) {
        let lines: Vec<_> = frames.iter().map(|frame| hex(frame)).collect();
        let sent = self.run(&["send", device], &lines.join("\n")).await;
        let sent = sent.expect("the pod should be able to send frames");
        assert_eq!(sent.trim(), format!("sent {}", frames.len()));
    }

    /// Starts a command that says one word when it has begun.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(&self, arguments: &[&str], stdin: &str) -> Running {
        let exec = ["-n", &self.namespace, "exec", "-i", &self.pod, "--", "/tmp/guest"];
        let mut kubectl = self
            .devbox
            .kubectl_command(&[&exec, arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl should start");
        let mut input = kubectl.stdin.take().expect("standard input");
        input.write_all(stdin.as_bytes()).await.expect("kubectl should read");
        drop(input);
        let output = kubectl.stdout.take().expect("standard output");
        let mut lines = BufReader::new(output).lines();
        let begun = lines.next_line().await.expect("standard output should be text");
        assert!(begun.is_some(), "{arguments:?} ended before it began");
        Running {
            _kubectl: kubectl,
            lines,
        }
    }

    /// Starts the server on a port, which goes with the pod.
    ///
    /// # Panics
    /// When the pod's shell does not work.
    pub async fn serve(&self, port: u16) {
        let script = format!("/tmp/guest serve {port} </dev/null >/dev/null 2>&1 &");
        pods::exec(self.devbox, &self.namespace, &self.pod, &script)
            .await
            .expect("the pod's shell should work");
    }

    /// Ends all commands of the program in the pod.
    ///
    /// # Panics
    /// When the pod's shell does not work.
    pub async fn end(&self) {
        pods::exec(self.devbox, &self.namespace, &self.pod, "killall guest")
            .await
            .expect("the program should run");
    }

    /// MAC address of the pod's device.
    ///
    /// # Panics
    /// When it has none.
    pub async fn mac(&self) -> [u8; 6] {
        let text = self.shell("cat /sys/class/net/eth0/address").await;
        mac(text.trim()).expect("a MAC address")
    }

    /// The router's addresses, as the pod knows them.
    ///
    /// # Panics
    /// When it has none, or does not know the MAC address.
    pub async fn gateway(&self) -> (Ipv4Addr, [u8; 6]) {
        let route = self.shell("ip route show default").await;
        let address = route.split_whitespace().nth(2).expect("a default route").to_owned();
        self.shell(&format!("ping -c 1 -W 3 {address}")).await;
        let address = address.parse().expect("an address");
        let known = self.known().await;
        (address, *known.get(&address).expect("the router's MAC address"))
    }

    /// The neighbours that the pod's network stack has learnt of.
    ///
    /// # Panics
    /// When the table cannot be read.
    pub async fn known(&self) -> BTreeMap<Ipv4Addr, [u8; 6]> {
        let table = self.shell("cat /proc/net/arp").await;
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, _, flags, of, ..] = words[..] else {
                return None;
            };
            // Without flags it waits for an answer.
            (flags != "0x0").then_some((address.parse().ok()?, mac(of)?))
        };
        table.lines().skip(1).filter_map(row).collect()
    }

    /// What a shell command in the pod prints.
    ///
    /// # Panics
    /// When it fails.
    pub async fn shell(&self, script: &str) -> String {
        pods::exec(self.devbox, &self.namespace, &self.pod, script)
            .await
            .expect("the pod's shell should work")
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Result<Vec<u8>, _> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes.ok()?.try_into().ok()
}

impl Answer {
    fn read(line: &str) -> Result<Self> {
        Ok(match line.split_once(' ') {
            Some(("reply", bytes)) => Self::Reply(unhex(bytes)?),
            None if line == "refused" => Self::Refused,
            None if line == "reset" => Self::Reset,
            None if line == "unreachable" => Self::Unreachable,
            None if line == "nothing" => Self::Nothing,
            None if line == "too-large" => Self::TooLarge,
            _ => bail!("{line}"),
        })
    }
}

fn frame(line: &str) -> Result<(String, Vec<u8>)> {
    let (name, bytes) = line.split_once(' ').context("a frame without a name")?;
    Ok((name.to_owned(), unhex(bytes)?))
}

/// A command that has begun; dropping it leaves the command to itself.
#[derive(Debug)]
pub struct Running {
    _kubectl: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// What it says until it ends.
    ///
    /// # Errors
    /// When its output ends early.
    pub async fn rest(mut self) -> Result<Vec<String>> {
        let mut all = vec![];
        while let Some(line) = self.lines.next_line().await? {
            all.push(line);
        }
        Ok(all)
    }

    /// The next frame that a watcher sees, by name.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn frame(&mut self) -> Result<(String, Vec<u8>)> {
        let line = self.lines.next_line().await?.context("no frame came")?;
        frame(&line)
    }

    /// The frames that a watcher saw, by name.
    ///
    /// # Errors
    /// When it did not come to the last one.
    pub async fn frames(self) -> Result<Vec<(String, Vec<u8>)>> {
        let lines = self.rest().await?;
        let frames: Result<Vec<_>> = lines.iter().map(|line| frame(line)).collect();
        let frames = frames?;
        ensure!(
            frames.last().is_some_and(|(name, _)| name == "end"),
            "the last frame did not come: {lines:?}"
        );
        Ok(frames)
    }
}
