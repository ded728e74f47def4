//! A measured curve and what is read off it.

/// Steps and the values there.
pub type Curve = (Vec<f64>, Vec<f64>);

/// The highest value and its step; of equal values the first.
pub(crate) fn highest(curve: &Curve) -> Option<(u64, f64)> {
    best(curve, |value, so_far| value > so_far)
}

/// The lowest value and its step; of equal values the first.
pub(crate) fn lowest(curve: &Curve) -> Option<(u64, f64)> {
    best(curve, |value, so_far| value < so_far)
}

fn best((steps, values): &Curve, is_better: fn(f64, f64) -> bool) -> Option<(u64, f64)> {
    let points = steps.iter().map(|step| *step as u64).zip(values.iter().copied());
    points.reduce(|best, point| if is_better(point.1, best.1) { point } else { best })
}

/// Seconds of training until a step was done, validations and checkpoints before it included, from the seconds that were
/// logged with some steps: between two of them in proportion, after the last its own.
///
/// The clock of a run that was resumed starts at 0 again: where the seconds fall, a new process began. The processes'
/// seconds are added; work that an interruption lost is in none of them.
pub(crate) fn seconds_at((steps, seconds): &Curve, step: u64) -> Option<f64> {
    // Seconds of the processes before; the last point's step, its own seconds, and its seconds in all.
    let mut before = 0.0;
    let mut last: Option<(u64, f64, f64)> = None;
    for (at, seconds) in steps.iter().map(|step| *step as u64).zip(seconds.iter().copied()) {
        if let Some((_, own, total)) = last
            && seconds < own
        {
            before = total;
        }
        let total = before + seconds;
        if at >= step {
            let (from, since) = last.map_or((0, 0.0), |(from, _, since)| (from, since));
            let part = if at > from { step.saturating_sub(from) as f64 / (at - from) as f64 } else { 1.0 };
            return Some(since + part * (total - since));
        }
        last = Some((at, seconds, total));
    }
    last.map(|(_, _, total)| total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_equal_ones() {
        let curve = (vec![10.0, 20.0, 30.0, 40.0], vec![90.0, 95.0, 90.0, 95.0]);
        assert_eq!((highest(&curve), lowest(&curve)), (Some((20, 95.0)), Some((10, 90.0))));
        assert_eq!(highest(&Curve::default()), None);
    }

    #[test]
    fn seconds_lie_between_those_of_the_logged_steps() {
        let log = (vec![10.0, 20.0, 30.0], vec![1.0, 3.0, 4.0]);
        // Resumed after step 20, with a clock that starts at 0.
        let resumed = (vec![10.0, 20.0, 30.0, 40.0], vec![1.0, 3.0, 0.5, 2.0]);
        let cases = [
            (&log, 20, Some(3.0)),
            (&log, 15, Some(2.0)),
            (&log, 5, Some(0.5)),
            (&log, 35, Some(4.0)),
            (&resumed, 30, Some(3.5)),
            (&resumed, 25, Some(3.25)),
            (&resumed, 40, Some(5.0)),
            (&Curve::default(), 10, None),
        ];
        for (log, step, expected) in cases {
            assert_eq!(seconds_at(log, step), expected, "{log:?} at {step}");
        }
    }
}
