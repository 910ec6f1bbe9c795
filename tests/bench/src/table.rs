//! The table, and what its numbers are made of.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

/// Values of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `share` between 0 and 1; 0 without any sample.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> f64 {
        self.percentile(0.5)
    }

    /// Each sample by the one taken beside it.
    pub(crate) fn by(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

/// The names of the columns.
pub(crate) fn head(names: &[&str]) {
    line("", names.iter().map(|name| (*name).to_owned()));
}

/// A title in between.
pub(crate) fn title(text: &str) {
    println!("\n{text}");
}

/// Values, one a column.
pub(crate) fn values(what: &str, values: impl IntoIterator<Item = f64>) {
    line(what, values.into_iter().map(number));
}

/// Ratios: the median, and in what range the rounds were.
pub(crate) fn ratios(what: &str, ratios: impl IntoIterator<Item = Samples>) {
    let cell = |ratio: Samples| {
        format!(
            "{:.2} ({:.2}-{:.2})",
            ratio.median(),
            ratio.percentile(0.0),
            ratio.percentile(1.0)
        )
    };
    line(what, ratios.into_iter().map(cell));
}

fn number(value: f64) -> String {
    match value {
        v if v >= 1000.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

fn line(what: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!(" {cell:>19}")).collect();
    println!("{what:<44}{cells}");
}
