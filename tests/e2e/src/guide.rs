//! Guides that run: the `console` blocks of a Markdown file, each command shown with what it prints.
//!
//! The notation is trycmd's (<https://docs.rs/trycmd>): `$ ` starts a command, `> ` continues it, the lines after it are
//! the expected output, in which `[..]` stands for anything in a line and `...` for any lines. `? N` is an expected exit
//! status other than 0.

use std::fmt;

/// One command of a guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Line of the guide, from 1.
    pub line: usize,
    /// Heading above it.
    pub section: String,
    /// Shell text.
    pub command: String,
    /// Expected output with wildcards.
    pub expected: String,
    /// Expected exit status.
    pub status: i32,
}

/// Why a step is not as the guide says.
#[derive(Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Another exit status.
    Status {
        /// As the guide says.
        expected: i32,
        /// As seen; `None` when ended by a signal or the time limit.
        actual: Option<i32>,
    },
    /// Another output; the text as it should have been.
    Output(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status {
                expected,
                actual: Some(actual),
            } => write!(f, "exit status {actual}, expected {expected}"),
            Self::Status { expected, actual: None } => write!(f, "ended by force, expected exit status {expected}"),
            Self::Output(expected) => write!(f, "expected this output:\n{expected}"),
        }
    }
}

/// Reads the steps of a guide.
pub fn parse(markdown: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let mut section = String::new();
    let mut in_console = false;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_console = !in_console && line.trim() == "```console";
            continue;
        }
        if !in_console {
            if let Some(heading) = line.strip_prefix('#') {
                section = heading.trim_start_matches('#').trim().to_owned();
            }
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            let (section, command) = (section.clone(), command.to_owned());
            steps.push(Step {
                line: index + 1,
                section,
                command,
                expected: String::new(),
                status: 0,
            });
            continue;
        }
        let Some(step) = steps.last_mut() else { continue };
        if let Some(more) = line.strip_prefix("> ").filter(|_| step.expected.is_empty()) {
            step.command.push('\n');
            step.command.push_str(more);
        } else if let Some(status) = line.strip_prefix("? ").and_then(|text| text.trim().parse().ok()) {
            step.status = status;
        } else {
            step.expected.push_str(line);
            step.expected.push('\n');
        }
    }
    for step in &mut steps {
        step.expected.truncate(step.expected.trim_end().len());
    }
    steps
}

impl Step {
    /// Compares what the command did with what the guide says.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, output: &str, status: Option<i32>) -> Result<(), Mismatch> {
        use snapbox::{IntoData, filter::NormalizeToExpected};
        if status != Some(self.status) {
            return Err(Mismatch::Status {
                expected: self.status,
                actual: status,
            });
        }
        let expected = self.expected.clone().into_data();
        let said: Vec<&str> = output.lines().filter(|line| !is_log(line)).collect();
        let normalized = NormalizeToExpected::new()
            .redact()
            .normalize(said.join("\n").trim_end().into_data(), &expected);
        if normalized.render().as_deref().map(str::trim_end) == Some(self.expected.trim_end()) {
            Ok(())
        } else {
            Err(Mismatch::Output(self.expected.clone()))
        }
    }
}

/// Whether a line is of the log that kubectl keeps for its developers, such as a watch that ended (klog's header).
fn is_log(line: &str) -> bool {
    let mut header = line.chars();
    matches!(header.next(), Some('I' | 'W' | 'E' | 'F'))
        && header.by_ref().take(4).all(|c| c.is_ascii_digit())
        && header.next() == Some(' ')
        && line.contains(".go:")
}
