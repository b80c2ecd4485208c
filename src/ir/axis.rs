//! Axis numbers of ONNX, of which negative ones count from the end.

/// The position that an axis number means among `rank` axes; `None` when there is no such axis.
pub fn position(number: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let position = if number < 0 { number.checked_add(rank)? } else { number };
    usize::try_from(position).ok().filter(|_| position < rank)
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn negative_numbers_count_from_the_end() {
        assert_eq!(
            [0, 2, -1, -3].map(|number| position(number, 3)),
            [Some(0), Some(2), Some(2), Some(0)]
        );
        assert!([3, -4, i64::MIN, i64::MAX].iter().all(|&number| position(number, 3).is_none()));
        assert_eq!(position(0, 0), None);
    }
}
