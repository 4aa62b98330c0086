//! Durations as people write them in a spec: `500ms`, `1s`, `1m30s`.

use serde_json::{Value, json};
use std::time::Duration;

/// How many characters a duration in a spec may have.
pub(super) const LONGEST_TEXT: usize = 20;

/// What the API server checks of a duration in a spec. Numbers are so short that none is too large for it to read.
pub(super) fn checks(shortest: &str, longest: &str, examples: &str) -> Value {
    let form = "self.matches('^([0-9]{1,6}([.][0-9]+)?(ms|s|m|h))+$')";
    let range = format!("duration(self) >= duration('{shortest}') && duration(self) <= duration('{longest}')");
    let message = format!("must be a duration from {shortest} to {longest}, such as {examples}");
    json!([{"rule": format!("{form} && {range}"), "message": message}])
}

/// A text that is no duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no duration; write it like 500ms, 30s or 1m30s")]
pub struct InvalidDuration(String);

/// Reads one or more decimal numbers, each with its unit `ms`, `s`, `m` or `h`. What is finer than a nanosecond
/// is dropped.
///
/// # Errors
/// When `text` has another form, or is longer than [`Duration`] can hold.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.chars().take(40).collect());
    if text.is_empty() || text.len() > 40 {
        return Err(invalid());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number_ends = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, tail) = rest.split_at(number_ends);
        let unit_ends = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_ends);
        let part = nanoseconds(number, unit).and_then(|nanos| u64::try_from(nanos).ok()).ok_or_else(invalid)?;
        total = total.checked_add(Duration::from_nanos(part)).ok_or_else(invalid)?;
        rest = tail;
    }
    Ok(total)
}

fn nanoseconds(number: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    let whole = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    let Some(fraction) = fraction else { return Some(whole) };
    let digits = u32::try_from(fraction.len()).ok()?;
    let fraction = fraction.parse::<u128>().ok()?.checked_mul(scale)? / 10_u128.checked_pow(digits)?;
    whole.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read() {
        let table = [
            ("500ms", 500),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1.5s", 1_500),
            ("0s", 0),
            ("0.25m", 15_000),
            ("1h1m1s1ms", 3_661_001),
        ];
        for (text, milliseconds) in table {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "1",
            "s",
            "1 s",
            "-1s",
            "+1s",
            "1d",
            "1us",
            "1.s",
            ".5s",
            "1..5s",
            "1.2.3s",
            "1s2",
            "1e3s",
            "99999999999999999999h",
            "١s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,50}") {
            drop(parse(&text));
        }
    }
}
