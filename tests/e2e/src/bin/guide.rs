//! `guide FILE.md`: runs a guide on the devbox, showing each command as it runs, and ends with a table.

#![expect(clippy::print_stdout, reason = "this program talks to a person")]

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use stackube_e2e::guide::{Step, parse};
use tokio::process::Command;

/// No command of a guide takes longer, seconds.
const LIMIT: Duration = Duration::from_secs(240);

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    seconds: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let file = PathBuf::from(std::env::args_os().nth(1).context("usage: guide FILE.md")?);
    let state = std::env::var_os("STACKUBE_DEVBOX").map_or_else(|| PathBuf::from(".devbox"), PathBuf::from);
    let state = state
        .canonicalize()
        .context("no devbox is running: run `make devbox`")?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let folder = tempfile::tempdir()?;
    let mut sections: Vec<String> = vec![];
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for step in parse(&text) {
        if !tallies.contains_key(&step.section) {
            println!("\n\x1b[1m{}\x1b[0m", step.section);
            sections.push(step.section.clone());
        }
        let start = Instant::now();
        let passed = run(&step, &state, folder.path()).await?;
        let tally = tallies.entry(step.section.clone()).or_default();
        tally.seconds += start.elapsed().as_secs_f64();
        if passed { tally.passed += 1 } else { tally.failed += 1 }
    }
    Ok(table(&sections, &tallies))
}

async fn run(step: &Step, state: &Path, folder: &Path) -> Result<bool> {
    println!("$ {}", step.command.replace('\n', "\n> "));
    let path = format!(
        "{}:{}",
        state.join("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let script = format!("exec 2>&1\n{}", step.command);
    let child = Command::new("bash")
        .args(["-uo", "pipefail", "-c", &script])
        .current_dir(folder)
        .env("PATH", path)
        .env("KUBECONFIG", state.join("kubeconfig"))
        .env("OS_CLIENT_CONFIG_FILE", state.join("clouds.yaml"))
        .env("OS_CLOUD", "devbox")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let (output, status) = match tokio::time::timeout(LIMIT, child).await {
        Ok(done) => {
            let done = done?;
            (String::from_utf8_lossy(&done.stdout).into_owned(), done.status.code())
        }
        Err(_) => (format!("(not done after {} s)", LIMIT.as_secs()), None),
    };
    print!("{output}");
    std::io::stdout().flush()?;
    match step.check(&output, status) {
        Ok(()) => Ok(true),
        Err(mismatch) => {
            println!("\x1b[31mnot as in the guide (line {}): {mismatch}\x1b[0m", step.line);
            Ok(false)
        }
    }
}

fn table(sections: &[String], tallies: &BTreeMap<String, Tally>) -> ExitCode {
    println!("\n{:<58} {:>6} {:>6} {:>8}", "section", "passed", "failed", "seconds");
    let mut failed = 0;
    for section in sections {
        let Some(tally) = tallies.get(section) else { continue };
        failed += tally.failed;
        println!(
            "{section:<58} {:>6} {:>6} {:>8.1}",
            tally.passed, tally.failed, tally.seconds
        );
    }
    for section in sections {
        let ok = tallies.get(section).is_some_and(|t| t.failed == 0);
        println!("{} - guide: {section}", if ok { "ok" } else { "not ok" });
    }
    if failed == 0 && !sections.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
