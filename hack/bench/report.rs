//! What was measured, as a table and as JSON.

use serde::Serialize;
use std::fmt::Write as _;

/// The unit of a measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Mebibytes.
    #[serde(rename = "MiB")]
    Mebibytes,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// How many in a second.
    #[serde(rename = "/s")]
    PerSecond,
}

/// Which number of a measurement a target is for.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Statistic {
    /// The one in the middle.
    Median,
    /// The one that 95 of 100 do not exceed.
    P95,
}

/// In the unit of the measurement.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, number: f64) -> bool {
        match self {
            Self::AtMost(most) => number <= most,
            Self::AtLeast(least) => number >= least,
        }
    }

    const fn parts(self) -> (&'static str, f64) {
        match self {
            Self::AtMost(most) => ("<=", most),
            Self::AtLeast(least) => (">=", least),
        }
    }
}

/// What a number should be.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Target {
    /// Which number.
    pub(crate) of: Statistic,
    /// How large it should be.
    #[serde(flatten)]
    pub(crate) bound: Bound,
}

impl Target {
    /// For the median.
    pub(crate) const fn median(at_most: f64) -> Self {
        Self { of: Statistic::Median, bound: Bound::AtMost(at_most) }
    }

    /// For the median of what should be large.
    pub(crate) const fn at_least(least: f64) -> Self {
        Self { of: Statistic::Median, bound: Bound::AtLeast(least) }
    }

    /// For the 95th percentile.
    pub(crate) const fn p95(at_most: f64) -> Self {
        Self { of: Statistic::P95, bound: Bound::AtMost(at_most) }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    what: String,
    unit: Unit,
    samples: usize,
    median: f64,
    p95: f64,
    min: f64,
    max: f64,
    target: Option<Target>,
    met: Option<bool>,
    /// How often the calibration's median goes into this one.
    ratio: Option<f64>,
}

impl Measurement {
    /// Sums up `samples`, of which there is at least one.
    pub(crate) fn new(what: impl Into<String>, unit: Unit, mut samples: Vec<f64>, target: Option<Target>) -> Self {
        samples.sort_by(f64::total_cmp);
        let rank = |share: usize| samples[(samples.len() * share).div_ceil(100).max(1) - 1];
        let (median, p95) = (rank(50), rank(95));
        let met = target.map(|target| match target.of {
            Statistic::Median => target.bound.holds(median),
            Statistic::P95 => target.bound.holds(p95),
        });
        let (min, max) = (samples[0], samples[samples.len() - 1]);
        Self { what: what.into(), unit, samples: samples.len(), median, p95, min, max, target, met, ratio: None }
    }

    /// The same, with how much longer it takes than `calibration`.
    pub(crate) fn compared_with(mut self, calibration: &Self) -> Self {
        self.ratio = Some(self.median / calibration.median);
        self
    }

    fn number(&self, number: f64) -> String {
        match self.unit {
            Unit::Seconds => format!("{number:.3} s"),
            Unit::Mebibytes => format!("{number:.1} MiB"),
            Unit::Microseconds => format!("{number:.0} us"),
            Unit::PerSecond => format!("{number:.0} /s"),
        }
    }

    fn cells(&self) -> [String; 9] {
        let target = self.target.map_or_else(String::new, |target| {
            let of = if matches!(target.of, Statistic::P95) { "p95 " } else { "" };
            let (sign, bound) = target.bound.parts();
            format!("{of}{sign} {bound} {}", self.number(0.0).split(' ').nth(1).unwrap_or_default())
        });
        [
            self.what.clone(),
            self.samples.to_string(),
            self.number(self.median),
            self.number(self.p95),
            self.number(self.min),
            self.number(self.max),
            target,
            self.met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
            self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}x")),
        ]
    }
}

/// A table for people.
pub(crate) fn table(measurements: &[Measurement]) -> String {
    let head = ["what", "n", "median", "p95", "min", "max", "target", "met", "calibration"].map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(head).chain(measurements.iter().map(Measurement::cells)).collect();
    let widths: Vec<usize> = (0..9).map(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0)).collect();
    let mut table = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        // Writing to a string cannot fail.
        writeln!(table, "| {} |", cells.join(" | ")).ok();
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            writeln!(table, "| {} |", rule.join(" | ")).ok();
        }
    }
    table
}
