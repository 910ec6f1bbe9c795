//! `kubectl port-forward`.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::devbox::Devbox;

/// What kubectl and the pod have for each step.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a pod's port 80 answers through `kubectl port-forward` of the bearer of a token, or of the cluster's administrator.
///
/// # Errors
/// What kubectl printed, or what became of the connection.
pub async fn get(devbox: &Devbox, token: Option<&str>, namespace: &str, pod: &str) -> Result<String> {
    let kubeconfig = token.map(|token| devbox.kubeconfig_of(token)).transpose()?;
    let mut command = devbox.kubectl_command(&["-n", namespace, "port-forward", "--address=127.0.0.1", pod, ":80"]);
    if let Some(file) = &kubeconfig {
        command.env("KUBECONFIG", file.path());
    }
    let mut kubectl = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let output = kubectl.stdout.take().context("no standard output")?;
    let mut lines = BufReader::new(output).lines();
    let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await?? else {
        let output = tokio::time::timeout(PATIENCE, kubectl.wait_with_output()).await??;
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    };
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port(&line)?)).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}

/// The port in "Forwarding from 127.0.0.1:PORT -> 80".
fn port(line: &str) -> Result<u16> {
    let (from, _) = line
        .split_once(" -> ")
        .with_context(|| format!("no port in {line:?}"))?;
    let (_, port) = from.rsplit_once(':').with_context(|| format!("no port in {line:?}"))?;
    Ok(port.parse()?)
}
