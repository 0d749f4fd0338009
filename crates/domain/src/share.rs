//! Sharing an amount out by weights, exactly.
//!
//! A party's part of anything (principal, interest, fees, losses, recoveries) is never rounded
//! payment by payment. It is the part of the *cumulative* total, and what a payment brings is the
//! difference to the part before. So parts always sum to the whole, no party is ever one minor
//! unit or more away from its exact part, and the same total gives the same parts whatever way
//! led to it: order of payments, reversal and back-dating leave no trace.

use crate::money::Amount;

/// The most parties that can share one loan.
pub const MAX_SHARES: usize = 8;

/// One number for each party that shares, in the agreement's order; unused places are zero.
pub type Parts = [Amount; MAX_SHARES];

/// Shares `total` in proportion to `weights` by largest remainder.
///
/// Every party first gets its exact part rounded down; the units that are left over go, one
/// each, to the largest remainders, and equal remainders in the order of `weights`, which is the
/// order that the agreement writes. A negative total gives the negative parts of its magnitude.
///
/// Weights are not negative, and unless the total is zero at least one is positive.
pub fn allocate<W: Copy + Into<i128>>(total: Amount, weights: &[W]) -> Parts {
    debug_assert!(weights.len() <= MAX_SHARES);
    debug_assert!(weights.iter().all(|&weight| weight.into() >= 0));
    if total.is_zero() {
        return Parts::default();
    }
    let sum = weights
        .iter()
        .fold(0, |sum: i128, &weight| sum + weight.into());
    assert!(sum > 0, "an amount cannot be shared among nobody");
    let magnitude = total.0.unsigned_abs();
    let narrow = u64::try_from(sum).ok();
    let parts = match narrow.filter(|&sum| magnitude.checked_mul(sum).is_some()) {
        // 64-bit division is several times faster. No weight is more than their sum.
        Some(sum) => by_remainder(magnitude, weights, |weight| {
            let product = magnitude * weight as u64;
            (product / sum, product % sum)
        }),
        None => by_remainder(magnitude, weights, |weight| {
            let (product, sum) = (u128::from(magnitude) * weight, sum as u128);
            let quotient = product / sum;
            // It is a part of the product, which is cheaper to know than to check.
            let remainder = product.wrapping_sub(quotient.wrapping_mul(sum));
            (quotient as u64, remainder)
        }),
    };
    match total.0 < 0 {
        true => parts.map(|part| -part),
        false => parts,
    }
}

/// Shares a magnitude by what `divide` gives for each weight: its exact part, rounded down, and
/// what remains.
fn by_remainder<W: Copy + Into<i128>, R: Copy + Default + Ord>(
    magnitude: u64,
    weights: &[W],
    divide: impl Fn(u128) -> (u64, R),
) -> Parts {
    let mut parts = Parts::default();
    let mut remainders = [R::default(); MAX_SHARES];
    let remainders = &mut remainders[..weights.len()];
    let mut left = magnitude;
    for (index, &weight) in weights.iter().enumerate() {
        let (quotient, remainder) = divide(weight.into() as u128);
        remainders[index] = remainder;
        parts[index] = Amount(quotient as i64);
        left -= quotient;
    }
    for _ in 0..left {
        // Remainders sum to as many wholes as are left, so the largest is never nothing.
        let mut largest = 0;
        for (index, &remainder) in remainders.iter().enumerate() {
            if remainder > remainders[largest] {
                largest = index;
            }
        }
        parts[largest] += Amount(1);
        remainders[largest] = R::default();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(total: i64, weights: &[i128]) -> Vec<i64> {
        allocate(Amount(total), weights)[..weights.len()]
            .iter()
            .map(|part| part.0)
            .collect()
    }

    #[test]
    fn leftover_units_go_to_the_largest_remainder_then_in_order() {
        assert_eq!(shares(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(shares(101, &[1, 1, 1]), [34, 34, 33]);
        assert_eq!(shares(10, &[70, 25, 5]), [7, 3, 0]);
        assert_eq!(shares(-10, &[70, 25, 5]), [-7, -3, 0]);
        assert_eq!(shares(0, &[0, 0]), [0, 0]);
    }

    #[test]
    fn a_part_can_fall_by_one_unit_when_the_total_rises() {
        // The Alabama paradox, the price of parts that depend on the total alone. It moves a
        // unit between parties and never takes one a whole unit from its exact part.
        let weights = [6, 6, 2];
        assert_eq!(shares(10, &weights), [4, 4, 2]);
        assert_eq!(shares(11, &weights), [5, 5, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn narrow_arithmetic_gives_what_wide_arithmetic_gives(
            total in -1_000_000_000i64..1_000_000_000,
            weights in prop::collection::vec(0i128..1_000_000, 1..=MAX_SHARES),
        ) {
            prop_assume!(weights.iter().sum::<i128>() > 0);
            let wide: Vec<_> = weights.iter().map(|weight| weight << 60).collect();
            prop_assert_eq!(shares(total, &weights), shares(total, &wide));
        }

        #[test]
        fn parts_sum_to_the_total_and_stay_within_one_unit(
            total in -1_000_000_000_000i64..1_000_000_000_000,
            weights in prop::collection::vec(0i128..1_000_000_000_000_000_000, 1..=MAX_SHARES),
        ) {
            prop_assume!(weights.iter().sum::<i128>() > 0);
            let parts = shares(total, &weights);
            let sum: i128 = weights.iter().sum();
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            for (part, weight) in parts.iter().zip(&weights) {
                let distance = i128::from(*part) * sum - i128::from(total) * weight;
                prop_assert!(distance.abs() < sum);
            }
        }
    }
}
