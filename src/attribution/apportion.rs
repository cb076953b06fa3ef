//! The exact integer split: largest remainder, ties by position.

use crate::units::Microjoules;

/// Splits `total` over `weights`: each share is `total x weight / sum` rounded down, and the microjoules left
/// over go one by one to the largest remainders, the earlier position first. The shares add up to `total`
/// exactly. `None` where no weight is above zero: then nobody can be told apart.
pub fn apportion(total: Microjoules, weights: &[u64]) -> Option<Vec<Microjoules>> {
    let sum: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    if sum == 0 {
        return None;
    }
    let whole = u128::from(total.get());
    let mut shares = Vec::with_capacity(weights.len());
    let mut remainders: Vec<(u128, usize)> = Vec::new();
    let mut given = 0_u64;
    for (position, &weight) in weights.iter().enumerate() {
        if weight == 0 {
            shares.push(Microjoules::ZERO);
            continue;
        }
        let product = whole * u128::from(weight);
        // A share is at most `total`, so it fits.
        let share = u64::try_from(product / sum).unwrap_or(u64::MAX);
        given = given.saturating_add(share);
        shares.push(Microjoules::new(share));
        remainders.push((product % sum, position));
    }
    let left = usize::try_from(total.get().saturating_sub(given)).unwrap_or(usize::MAX);
    if left > 0 && left < remainders.len() {
        remainders.select_nth_unstable_by(left, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    for &(_, position) in remainders.iter().take(left) {
        if let Some(share) = shares.get_mut(position) {
            *share += Microjoules::new(1);
        }
    }
    Some(shares)
}

/// The part of `whole` that `part` units of `of` stand for, rounded down; never more than `whole`.
pub fn fraction(whole: Microjoules, part: u64, of: u64) -> Microjoules {
    if of == 0 {
        return Microjoules::ZERO;
    }
    let share = u128::from(whole.get()) * u128::from(part.min(of)) / u128::from(of);
    Microjoules::new(u64::try_from(share).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(total: u64, weights: &[u64]) -> Option<Vec<u64>> {
        apportion(Microjoules::new(total), weights)
            .map(|shares| shares.iter().map(|share| share.get()).collect())
    }

    #[test]
    fn what_is_left_goes_to_the_largest_remainders() {
        assert_eq!(split(10, &[1, 1, 1]), Some(vec![4, 3, 3]));
        assert_eq!(split(7, &[3, 0, 4]), Some(vec![3, 0, 4]));
        assert_eq!(split(1, &[5, 6]), Some(vec![0, 1]));
        assert_eq!(split(0, &[5, 6]), Some(vec![0, 0]));
        assert_eq!(split(5, &[0, 0]), None);
        assert_eq!(split(5, &[]), None);
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        assert_eq!(split(u64::MAX, &[u64::MAX, u64::MAX]), Some(vec![u64::MAX / 2 + 1, u64::MAX / 2]));
    }

    #[test]
    fn a_fraction_never_exceeds_the_whole() {
        assert_eq!(fraction(Microjoules::new(10), 1, 3), Microjoules::new(3));
        assert_eq!(fraction(Microjoules::new(10), 9, 3), Microjoules::new(10));
        assert_eq!(fraction(Microjoules::new(10), 9, 0), Microjoules::ZERO);
    }

    proptest! {
        #[test]
        fn shares_add_up_and_are_fair(total: u64, weights in proptest::collection::vec(any::<u64>(), 1..60)) {
            prop_assume!(weights.iter().any(|&weight| weight > 0));
            let shares = split(total, &weights).unwrap();
            let sum: u128 = shares.iter().map(|&share| u128::from(share)).sum();
            prop_assert_eq!(sum, u128::from(total));
            let all: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
            for (&share, &weight) in shares.iter().zip(&weights) {
                let exact = u128::from(total) * u128::from(weight) / all;
                prop_assert!(u128::from(share) == exact || u128::from(share) == exact + 1);
                prop_assert!(weight > 0 || share == 0);
            }
        }
    }
}
