//! The largest magnitude of each channel of a tensor.

/// For each place along `axis` of an array of `dims`, row by row, the largest magnitude of an element; NaN where
/// one is NaN. `None` when there is no such axis.
pub fn magnitudes(dims: &[usize], elements: &[f32], axis: usize) -> Option<Vec<f32>> {
    let extent = *dims.get(axis)?;
    let inner: usize = dims[axis + 1..].iter().product();
    let mut largest = vec![0f32; extent];
    for (i, row) in elements.chunks(inner.max(1)).enumerate() {
        let channel = &mut largest[i % extent.max(1)];
        for x in row {
            // A NaN stays.
            *channel = if x.abs() > *channel || x.is_nan() { x.abs() } else { *channel };
        }
    }
    Some(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_on_their_axis() {
        let elements = [1.0, -5.0, 2.0, 0.0, 3.0, 1.0, -4.0, 1.0];
        let found = |axis| magnitudes(&[2, 2, 2], &elements, axis);
        assert_eq!(found(1), Some(vec![5.0, 4.0]));
        assert_eq!(found(2), Some(vec![4.0, 5.0]));
        assert_eq!(found(3), None);
        let odd = magnitudes(&[2, 2], &[1.0, f32::NAN, -2.0, 0.0], 1);
        assert!(odd.is_some_and(|found| found[0] == 2.0 && found[1].is_nan()));
    }
}
