//! Equality of decimal numbers of any size, without rounding.

/// Whether two decimal numbers have the same value: `1.50`, `15e-1` and `1.5` do.
///
/// What is no decimal number, such as `.inf` or `1_000.5`, equals nothing but itself.
pub(super) fn same_number(a: &str, b: &str) -> bool {
    a == b || Decimal::read(a).is_some_and(|number| Some(number) == Decimal::read(b))
}

/// `0.digits` times ten to the power of `exponent`, in the one way in which that can be written.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // Of every zero there is only one.
        let Some(first) = all.iter().position(|&digit| digit != b'0') else {
            return Some(Self { negative: false, digits: Vec::new(), exponent: 0 });
        };
        let last = all.iter().rposition(|&digit| digit != b'0').unwrap_or(first);
        // Both lengths are those of a text in memory.
        let exponent = i64::from(exponent) + whole.len() as i64 - first as i64;
        Some(Self { negative, digits: all[first..=last].to_vec(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_compared_by_their_exact_value() {
        for (a, b) in [
            ("1", "1.0"),
            ("1.50", "15e-1"),
            ("-0.5", "-.5"),
            ("1e400", "10E+399"),
            ("0", "-0.000e7"),
            ("+7", "7"),
            ("100", "1e2"),
            ("18446744073709551616", "18446744073709551616.0"),
            (".inf", ".inf"),
            ("0012", "12"),
        ] {
            assert!(same_number(a, b) && same_number(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("1", "-1"),
            ("1", "10"),
            ("0.1", "0.01"),
            ("18446744073709551616", "18446744073709551617"),
            ("1e400", "1e401"),
            ("0.30000000000000004", "0.3"),
            (".inf", "-.inf"),
            ("1_000.5", "1000.5"),
            ("", "0"),
            (".", "0"),
            ("1e99999999999", "1e99999999998"),
            ("0x10", "16"),
        ] {
            assert!(!same_number(a, b) && !same_number(b, a), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn moving_the_point_changes_nothing(digits in "[0-9]{1,30}", scale in 0..40i32, other in "[0-9]{1,30}") {
            let moved = format!("{digits}{}e-{scale}", "0".repeat(scale as usize));
            prop_assert!(same_number(&digits, &moved), "{} {}", digits, moved);
            let equal = digits.trim_start_matches('0') == other.trim_start_matches('0');
            prop_assert_eq!(same_number(&digits, &other), equal);
        }
    }
}
