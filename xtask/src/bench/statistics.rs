//! The one statistic that a busy machine does not spoil at once.

/// The median; of an even number of values, the mean of the two in the middle.
/// `None` of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    if values.len().is_multiple_of(2) {
        let lower = values.get(middle.checked_sub(1)?)?;
        return Some(f64::midpoint(*lower, *upper));
    }
    Some(*upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_in_any_order() {
        assert_eq!(median([]), None);
        assert_eq!(median([5.0]), Some(5.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([1000.0, 1.0, 2.0, 4.0]), Some(3.0));
    }
}
