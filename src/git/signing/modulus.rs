//! The remainder of a division of large numbers: what the file of an RSA key leaves out of what signing needs.

use std::cmp::Ordering;

/// `number` modulo `divisor - 1`, all big-endian, without leading zeros; `None` unless the divisor is odd and above 1.
pub(super) fn modulo_less_one(number: &[u8], divisor: &[u8]) -> Option<Vec<u8>> {
    let mut divisor = trimmed(divisor).to_vec();
    let last = divisor.last_mut()?;
    if *last & 1 == 0 {
        return None;
    }
    *last -= 1;
    if trimmed(&divisor).is_empty() {
        return None;
    }
    // One byte more than the divisor has, for the bit that is shifted out before it is subtracted.
    let width = divisor.len() + 1;
    let divisor: Vec<u8> = std::iter::once(0).chain(divisor).collect();
    let mut rest = vec![0; width];
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)) {
        shift_in(&mut rest, bit);
        if rest.cmp(&divisor) != Ordering::Less {
            subtract(&mut rest, &divisor);
        }
    }
    Some(trimmed(&rest).to_vec())
}

/// Without leading zeros.
pub(super) fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn shift_in(number: &mut [u8], bit: u8) {
    let mut carry = bit;
    for byte in number.iter_mut().rev() {
        let next = *byte >> 7;
        *byte = *byte << 1 | carry;
        carry = next;
    }
}

fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = false;
    for (byte, minus) in number.iter_mut().zip(other).rev() {
        let (step, under) = byte.overflowing_sub(*minus);
        let (step, under_again) = step.overflowing_sub(u8::from(borrow));
        *byte = step;
        borrow = under || under_again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_remainder(number: u128, divisor in 2_u64..) {
            let divisor = divisor | 1;
            let expected = (number % u128::from(divisor - 1)).to_be_bytes();
            let found = modulo_less_one(&number.to_be_bytes(), &divisor.to_be_bytes()).unwrap();
            prop_assert_eq!(found, trimmed(&expected));
        }
    }

    #[test]
    fn what_cannot_be_a_prime_is_refused() {
        for divisor in [&[][..], &[0], &[1], &[0, 1], &[4]] {
            assert_eq!(modulo_less_one(&[9], divisor), None, "{divisor:?}");
        }
    }
}
