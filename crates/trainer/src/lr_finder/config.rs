//! The settings of a sweep, and its grid of rates.

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
///
/// The grid has `num_it + 1` points, `lr(0) = start_lr` and `lr(num_it) = end_lr` exactly. The grids of other finders
/// for their own `n` are settings or parts of it (a test compares the reference traces):
///
/// | finder | its `n` points | here |
/// |---|---|---|
/// | torch-lr-finder | both ends, `(end/start)^(i/(n-1))` | `num_it = n - 1` |
/// | fastai | `(end/start)^(i/n)`, the end is not reached | `num_it = n`, without the last point |
/// | Lightning | the start, then `(end/start)^((i+1)/n)` | `num_it = n`, without the second point |
/// | ignite | `(end/start)^((i+1)/n)`, one point past the end | `num_it = n`, without the first point |
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
    /// Points there must be before the sweep may end by divergence; a loss that is not finite ends it at once. Default
    /// 10, so that one lucky batch at the start does not make the next ordinary one a divergence.
    pub min_points: usize,
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
            min_points: 10,
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
    /// The finder of the textbooks: raw loss, no recycling, stop at 4 times the best from the first point on.
    pub fn simple(start_lr: f64, end_lr: f64, num_it: usize) -> Self {
        Self { start_lr, end_lr, num_it, smoothing: 0.0, recycle: false, min_points: 0, ..Self::default() }
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

    /// The points of a whole sweep.
    pub fn points(&self) -> usize {
        self.num_it.saturating_add(1)
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// Names the field, its value and what is allowed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_starts_and_ends_exactly() {
        for mode in [Ramp::Exponential, Ramp::Linear] {
            let config = LrFinderConfig { mode, ..LrFinderConfig::default() };
            assert_eq!((config.lr(0), config.lr(100)), (1e-7, 10.0));
            assert!((0..100).all(|i| config.lr(i) < config.lr(i + 1)));
        }
        let ratio = LrFinderConfig::default().lr(51) / LrFinderConfig::default().lr(50);
        assert!((ratio - 1e8_f64.powf(0.01)).abs() < 1e-12);
        let linear = LrFinderConfig { mode: Ramp::Linear, start_lr: 1.0, end_lr: 3.0, num_it: 4, ..Default::default() };
        assert_eq!((0..=4).map(|i| linear.lr(i)).collect::<Vec<_>>(), [1.0, 1.5, 2.0, 2.5, 3.0]);
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
