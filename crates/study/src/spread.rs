//! Statistics of a few values: one for each seed.

use serde::Serialize;

/// The values of several seeds, with mean and standard deviation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The sample standard deviation (n - 1 in the denominator); `None` for one value.
    pub std: Option<f64>,
    /// The values, in the order of the seeds.
    pub values: Vec<f64>,
}

impl Spread {
    /// Mean and sample standard deviation; `None` without values.
    pub fn of(values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Some(Self { mean, std, values })
    }
}

/// The median of times. `None` is an event that never happened and counts as later than all others; the result is `None`
/// where the median is such an event.
pub(crate) fn median(times: &[Option<f64>]) -> Option<f64> {
    let mut times: Vec<f64> = times.iter().map(|time| time.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    let (low, high) = (times.get(times.len().checked_sub(1)? / 2)?, times.get(times.len() / 2)?);
    Some(f64::midpoint(*low, *high)).filter(|median| median.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_standard_deviation() {
        // 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26, over n - 1 = 2: 13.
        let spread = Spread::of(vec![2.0, 4.0, 9.0]).expect("values");
        assert_eq!((spread.mean, spread.std), (5.0, Some(13.0_f64.sqrt())));
        let one = Spread::of(vec![97.5]).expect("a value");
        assert_eq!((one.mean, one.std), (97.5, None), "no spread is known of one");
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![3.0, 3.0]).and_then(|spread| spread.std), Some(0.0));
    }

    #[test]
    fn the_median_counts_what_never_happens() {
        let cases: [(&[Option<f64>], Option<f64>); 7] = [
            (&[Some(30.0), Some(10.0), Some(20.0)], Some(20.0)),
            (&[Some(30.0), Some(10.0)], Some(20.0)),
            (&[None, Some(10.0), Some(20.0)], Some(20.0)),
            (&[None, None, Some(20.0)], None),
            (&[None, Some(20.0)], None),
            (&[Some(1.0), Some(2.0), None, Some(4.0)], Some(3.0)),
            (&[], None),
        ];
        for (times, expected) in cases {
            assert_eq!(median(times), expected, "{times:?}");
        }
    }
}
