//! A sweep under way: the rule that ends it. Pure bookkeeping, fed with one loss per rate.

use strict_config::{ConfigError, Settings};

use super::{LrCurve, LrFinderConfig, SweepEnd};

/// A sweep under way.
///
/// ```
/// use trainer::lr_finder::{LrFinderConfig, Sweep};
/// let mut sweep = Sweep::new(LrFinderConfig::simple(1e-3, 1.0, 3))?;
/// let mut losses = [2.0, 1.0, 1.5, 9.0].into_iter();
/// while let Some(lr) = sweep.next_lr() {
///     sweep.record(losses.next().unwrap_or(f64::NAN));
/// }
/// assert_eq!(sweep.lrs().len(), 4);
/// # Ok::<(), strict_config::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sweep {
    config: LrFinderConfig,
    lrs: Vec<f64>,
    losses: Vec<f64>,
    smoothed: Vec<f64>,
    valid: Vec<f64>,
    average: f64,
    best: f64,
    worst: f64,
    stopped: Option<SweepEnd>,
}

impl Sweep {
    /// A sweep about to start.
    ///
    /// # Errors
    /// What [`LrFinderConfig`]'s check refuses.
    pub fn new(config: LrFinderConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            lrs: Vec::new(),
            losses: Vec::new(),
            smoothed: Vec::new(),
            valid: Vec::new(),
            average: 0.0,
            best: f64::INFINITY,
            worst: f64::NEG_INFINITY,
            stopped: None,
        })
    }

    /// The rate of the next point; `None` once the sweep has ended.
    pub fn next_lr(&self) -> Option<f64> {
        (self.stopped.is_none()).then(|| self.config.lr(self.losses.len()))
    }

    /// Takes the loss at that rate, and decides whether the sweep continues.
    ///
    /// With `b` the smoothing, the average is `a = b a + (1 - b) loss` and the smoothed loss `a / (1 - b^(i+1))`. A
    /// loss that is not a finite number is recorded and ends the sweep. Otherwise, from point `min_points` on, it ends
    /// where `smoothed > best + (diverge_factor - 1) * scale`, with `scale = |best|`, which for positive losses is
    /// `diverge_factor * best`; where the best loss is negligible beside the spread of losses so far (below 1 % of it)
    /// or negative, `scale` is at least 1 % of that spread, or the loss would "diverge" by noise around zero.
    pub fn record(&mut self, loss: f64) {
        let Some(lr) = self.next_lr() else { return };
        self.lrs.push(lr);
        self.losses.push(loss);
        let beta = self.config.smoothing;
        self.average = beta * self.average + (1.0 - beta) * loss;
        let smoothed = if beta == 0.0 { loss } else { self.average / (1.0 - beta.powi(self.losses.len() as i32)) };
        self.smoothed.push(smoothed);
        if !loss.is_finite() {
            self.stopped = Some(SweepEnd::NonFinite);
            return;
        }
        self.best = self.best.min(smoothed);
        self.worst = self.worst.max(smoothed);
        let scale = self.best.abs().max(0.01 * (self.worst - self.best));
        let diverged = smoothed > self.best + (self.config.diverge_factor - 1.0) * scale;
        if diverged && self.losses.len() >= self.config.min_points {
            self.stopped = Some(SweepEnd::Diverged);
        } else if self.losses.len() > self.config.num_it {
            self.stopped = Some(SweepEnd::Completed);
        }
    }

    /// Takes the training loss at the next rate and the validation loss beside it. One that is not a finite number ends
    /// the sweep as a training loss does; divergence is judged by the training loss.
    pub fn record_with_valid(&mut self, loss: f64, valid: f64) {
        if self.stopped.is_some() {
            return;
        }
        self.record(loss);
        self.valid.push(valid);
        if !valid.is_finite() {
            self.stopped = Some(SweepEnd::NonFinite);
        }
    }

    /// Ends the sweep because the data has.
    pub fn out_of_data(&mut self) {
        self.stopped.get_or_insert(SweepEnd::OutOfData);
    }

    /// Ends the sweep because the last point's gradient is not a finite number, although its loss is.
    pub fn non_finite(&mut self) {
        self.stopped.get_or_insert(SweepEnd::NonFinite);
    }

    /// The rates so far.
    pub fn lrs(&self) -> &[f64] {
        &self.lrs
    }

    /// The curve so far.
    pub fn into_curve(self) -> LrCurve {
        let stopped = self.stopped.unwrap_or(SweepEnd::OutOfData);
        let curve = LrCurve::new(self.lrs, self.losses, self.smoothed, stopped, self.config.num_it);
        if self.valid.is_empty() { curve } else { curve.with_valid(self.valid) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: LrFinderConfig, losses: &[f64]) -> (Vec<f64>, Option<SweepEnd>) {
        let mut sweep = Sweep::new(config).expect("a good config");
        for &loss in losses {
            sweep.record(loss);
        }
        (sweep.losses.clone(), sweep.stopped)
    }

    /// Name, settings, losses, points recorded, why it ended.
    type Case = (&'static str, LrFinderConfig, &'static [f64], usize, Option<SweepEnd>);

    #[test]
    fn what_ends_a_sweep() {
        let raw = |factor| LrFinderConfig { diverge_factor: factor, ..LrFinderConfig::simple(1e-3, 1.0, 4) };
        let from = |min_points| LrFinderConfig { min_points, ..raw(4.0) };
        let cases: [Case; 10] = [
            ("the end of the ramp", raw(4.0), &[3., 2., 1., 2., 3., 9.], 5, Some(SweepEnd::Completed)),
            ("above four times the best", raw(4.0), &[1., 4., 4.1, 1.], 3, Some(SweepEnd::Diverged)),
            ("exactly four times the best is accepted", raw(4.0), &[1., 4., 4.], 3, None),
            ("not before min_points", from(4), &[1., 9., 9., 9.], 4, Some(SweepEnd::Diverged)),
            ("nor if it is low again by then", from(4), &[1., 9., 9., 2., 1.], 5, Some(SweepEnd::Completed)),
            ("a loss that is no number, before min_points too", from(4), &[1., f64::NAN], 2, Some(SweepEnd::NonFinite)),
            ("no number", raw(4.0), &[1., f64::NAN, 1.], 2, Some(SweepEnd::NonFinite)),
            ("infinite", raw(f64::INFINITY), &[1., f64::INFINITY], 2, Some(SweepEnd::NonFinite)),
            ("a negative loss may fall and wobble", raw(4.0), &[1., -1., -2., -1.5], 4, None),
            ("a loss near zero may wobble", raw(4.0), &[1., 1e-9, 1e-3, 2e-2], 4, None),
        ];
        for (name, config, losses, points, stopped) in cases {
            let (recorded, reason) = run(config, losses);
            assert_eq!((recorded.len(), reason), (points, stopped), "{name}");
        }
    }

    #[test]
    fn smoothing_is_bias_corrected() {
        let config = LrFinderConfig { smoothing: 0.9, ..LrFinderConfig::default() };
        let mut sweep = Sweep::new(config).expect("a good config");
        for _ in 0..5 {
            sweep.record(2.5);
        }
        assert!(sweep.smoothed.iter().all(|loss| (loss - 2.5).abs() < 1e-12), "{:?}", sweep.smoothed);
    }

    #[test]
    fn validation_losses_stand_beside_the_training_losses() {
        let mut sweep = Sweep::new(LrFinderConfig::simple(1e-3, 1.0, 4)).expect("a good config");
        for (loss, valid) in [(2.0, 2.1), (1.0, 9.0), (1.0, f64::NAN), (1.0, 1.0)] {
            sweep.record_with_valid(loss, valid);
        }
        let curve = sweep.into_curve();
        assert_eq!((curve.losses.len(), curve.stopped), (3, SweepEnd::NonFinite));
        let valid = curve.valid.expect("measured");
        assert_eq!(valid[..2], [2.1, 9.0], "a high validation loss is no divergence");
        assert!(valid[2].is_nan());
    }
}
