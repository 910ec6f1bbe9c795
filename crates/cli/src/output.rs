//! Standard output and standard error.

use std::io::{self, Write};

/// A line for whoever or whatever reads the result.
pub(crate) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// A remark that is not part of the result.
pub(crate) fn remark(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}

/// An error with all its causes.
pub(crate) fn complain(error: &anyhow::Error) -> io::Result<()> {
    remark(format_args!("error: {error:#}"))
}

/// Columns, each as wide as its widest entry.
pub(crate) fn table(rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|text| text.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        line(cells.collect::<Vec<_>>().join("   ").trim_end())?;
    }
    Ok(())
}
