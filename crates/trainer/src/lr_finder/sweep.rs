//! The ramp of rates and the rule that ends it: pure bookkeeping, fed with one loss per rate.

use super::StopReason;

/// How the rate rises from `start_lr` to `end_lr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ramp {
    /// `start * (end / start)^(i / num_it)`: equal ratios.
    #[default]
    Exponential,
    /// `start + (end - start) * i / num_it`: equal differences.
    Linear,
}

/// Settings of a sweep.
///
/// The defaults are the finder's contract in the configuration: 1e-7 to 10, exponential, 100 steps up the ramp,
/// smoothing 0.98, stop at 4 times the best smoothed loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LrFinderConfig {
    /// First rate. Default 1e-7.
    pub start_lr: f64,
    /// Last rate. Default 10.
    pub end_lr: f64,
    /// Steps up the ramp: `num_it + 1` points, of which the first is `start_lr` and the last `end_lr`. Default 100.
    pub num_it: usize,
    /// The ramp. Default exponential.
    pub mode: Ramp,
    /// Decay of the bias-corrected moving average of the loss, from 0 (raw) to below 1. Default 0.98.
    pub smoothing: f64,
    /// The sweep ends where the smoothed loss exceeds this many times the best one; infinite never stops. Default 4.
    pub diverge_factor: f64,
    /// Starts the data over where an epoch is shorter than the sweep; otherwise the sweep ends with it. Default true.
    pub recycle: bool,
    /// Batches averaged into one point. Default 1.
    pub accumulate: usize,
}

impl Default for LrFinderConfig {
    fn default() -> Self {
        Self {
            start_lr: 1e-7,
            end_lr: 10.0,
            num_it: 100,
            mode: Ramp::Exponential,
            smoothing: 0.98,
            diverge_factor: 4.0,
            recycle: true,
            accumulate: 1,
        }
    }
}

/// A setting of the sweep that cannot work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {value} is not allowed here; allowed: {allowed}")]
pub struct SweepError {
    /// Which.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// What would be right.
    pub allowed: &'static str,
}

impl LrFinderConfig {
    /// The finder of the textbooks: raw loss, no recycling, stop at 4 times the best.
    pub fn simple(start_lr: f64, end_lr: f64, num_it: usize) -> Self {
        Self { start_lr, end_lr, num_it, smoothing: 0.0, recycle: false, ..Self::default() }
    }

    /// The rate of point `i` of the ramp.
    pub fn lr(&self, i: usize) -> f64 {
        if i >= self.num_it {
            return self.end_lr;
        }
        let part = i as f64 / self.num_it as f64;
        match self.mode {
            Ramp::Exponential => self.start_lr * (self.end_lr / self.start_lr).powf(part),
            Ramp::Linear => self.start_lr + (self.end_lr - self.start_lr) * part,
        }
    }

    /// Refuses settings that cannot work.
    pub fn check(&self) -> Result<(), SweepError> {
        let refuse = |field, value, allowed| Err(SweepError { field, value, allowed });
        if !(self.start_lr > 0.0 && self.start_lr.is_finite()) {
            return refuse("start_lr", self.start_lr, "a finite rate above 0");
        }
        if !(self.end_lr > self.start_lr && self.end_lr.is_finite()) {
            return refuse("end_lr", self.end_lr, "a finite rate above start_lr");
        }
        if self.num_it == 0 {
            return refuse("num_it", 0.0, "at least 1");
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return refuse("smoothing", self.smoothing, "from 0 (raw) to below 1");
        }
        if self.diverge_factor.is_nan() || self.diverge_factor <= 1.0 {
            return refuse("diverge_factor", self.diverge_factor, "above 1");
        }
        if self.accumulate == 0 {
            return refuse("accumulate", 0.0, "at least 1");
        }
        Ok(())
    }
}

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
/// # Ok::<(), trainer::lr_finder::SweepError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sweep {
    config: LrFinderConfig,
    lrs: Vec<f64>,
    losses: Vec<f64>,
    smoothed: Vec<f64>,
    average: f64,
    best: f64,
    worst: f64,
    stopped: Option<StopReason>,
}

impl Sweep {
    /// A sweep about to start.
    pub fn new(config: LrFinderConfig) -> Result<Self, SweepError> {
        config.check()?;
        let points = config.num_it + 1;
        Ok(Self {
            config,
            lrs: Vec::with_capacity(points),
            losses: Vec::with_capacity(points),
            smoothed: Vec::with_capacity(points),
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

    /// Takes the loss at that rate, and decides whether the sweep goes on.
    ///
    /// With `b` the smoothing, the average is `a = b a + (1 - b) loss` and the smoothed loss `a / (1 - b^(i+1))`. A
    /// loss that is no finite number is recorded and ends the sweep. Otherwise it ends where
    /// `smoothed > best + (diverge_factor - 1) * scale`, with `scale = |best|`, which for positive losses is
    /// `diverge_factor * best`; where the best loss is negligible beside the spread of losses so far (below 1 % of it) or
    /// negative, `scale` is at least 1 % of that spread, or the loss would "diverge" by noise around zero.
    pub fn record(&mut self, loss: f64) {
        let Some(lr) = self.next_lr() else { return };
        self.lrs.push(lr);
        self.losses.push(loss);
        let beta = self.config.smoothing;
        self.average = beta * self.average + (1.0 - beta) * loss;
        let smoothed = if beta == 0.0 { loss } else { self.average / (1.0 - beta.powi(self.losses.len() as i32)) };
        self.smoothed.push(smoothed);
        if !loss.is_finite() {
            self.stopped = Some(StopReason::NonFinite);
            return;
        }
        self.best = self.best.min(smoothed);
        self.worst = self.worst.max(smoothed);
        let scale = self.best.abs().max(0.01 * (self.worst - self.best));
        if smoothed > self.best + (self.config.diverge_factor - 1.0) * scale {
            self.stopped = Some(StopReason::Diverged);
        } else if self.losses.len() > self.config.num_it {
            self.stopped = Some(StopReason::Completed);
        }
    }

    /// Ends the sweep because the data has.
    pub fn out_of_data(&mut self) {
        self.stopped.get_or_insert(StopReason::OutOfData);
    }

    /// The rates so far.
    pub fn lrs(&self) -> &[f64] {
        &self.lrs
    }

    /// The curve so far.
    pub fn into_curve(self) -> super::LrCurve {
        let stopped = self.stopped.unwrap_or(StopReason::OutOfData);
        super::LrCurve::new(self.lrs, self.losses, self.smoothed, stopped, self.config.num_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: LrFinderConfig, losses: &[f64]) -> (Vec<f64>, Option<StopReason>) {
        let mut sweep = Sweep::new(config).expect("a good config");
        for &loss in losses {
            sweep.record(loss);
        }
        (sweep.losses.clone(), sweep.stopped)
    }

    #[test]
    fn the_ramp_starts_and_ends_exactly() {
        for mode in [Ramp::Exponential, Ramp::Linear] {
            let config = LrFinderConfig { mode, ..LrFinderConfig::default() };
            assert_eq!((config.lr(0), config.lr(100)), (1e-7, 10.0));
            assert!((0..100).all(|i| config.lr(i) < config.lr(i + 1)));
        }
        let ratio = LrFinderConfig::default().lr(51) / LrFinderConfig::default().lr(50);
        assert!((ratio - 1e8_f64.powf(0.01)).abs() < 1e-12);
    }

    /// Name, settings, losses, points recorded, why it ended.
    type Case = (&'static str, LrFinderConfig, &'static [f64], usize, Option<StopReason>);

    #[test]
    fn what_ends_a_sweep() {
        let raw = |factor| LrFinderConfig { diverge_factor: factor, ..LrFinderConfig::simple(1e-3, 1.0, 4) };
        let cases: [Case; 7] = [
            ("the end of the ramp", raw(4.0), &[3., 2., 1., 2., 3., 9.], 5, Some(StopReason::Completed)),
            ("above four times the best", raw(4.0), &[1., 4., 4.1, 1.], 3, Some(StopReason::Diverged)),
            ("exactly four times the best is borne", raw(4.0), &[1., 4., 4.], 3, None),
            ("no number", raw(4.0), &[1., f64::NAN, 1.], 2, Some(StopReason::NonFinite)),
            ("infinite", raw(f64::INFINITY), &[1., f64::INFINITY], 2, Some(StopReason::NonFinite)),
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
    fn bad_settings_are_named() {
        let default = LrFinderConfig::default;
        let cases = [
            ("start_lr", LrFinderConfig { start_lr: 0.0, ..default() }),
            ("end_lr", LrFinderConfig { end_lr: 1e-8, ..default() }),
            ("num_it", LrFinderConfig { num_it: 0, ..default() }),
            ("smoothing", LrFinderConfig { smoothing: 1.0, ..default() }),
            ("diverge_factor", LrFinderConfig { diverge_factor: 1.0, ..default() }),
            ("accumulate", LrFinderConfig { accumulate: 0, ..default() }),
        ];
        for (field, config) in cases {
            assert_eq!(config.check().expect_err("a refusal").field, field);
        }
    }
}
