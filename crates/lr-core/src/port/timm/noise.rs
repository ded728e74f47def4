//! timm's noise on the rate, number by number: the Mersenne Twister and the normal deviates of torch's CPU generator.

use std::f64::consts::PI;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strict_config::{ConfigError, by_value, check, from_value};
use toml::Value;

use crate::port::in_order;
use crate::schedule::reacts_as;
use crate::{Clock, Duration, Schedule, ScheduleMark};

/// How noise is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseType {
    /// Normally, drawn again until it is smaller than `noise_pct`.
    #[default]
    Normal,
    /// Evenly between `-noise_pct` and `noise_pct`.
    Uniform,
}

/// When noise is added: from a tick on, `40`, or between two, `[20, 40]` (the latter no more).
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseRange {
    /// The first tick.
    pub from: Duration,
    /// The first tick without noise again; none: never.
    pub to: Option<Duration>,
}

impl Serialize for NoiseRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.to {
            None => self.from.serialize(serializer),
            Some(to) => [self.from, to].serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for NoiseRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_value(deserializer, "a tick, or two: [20, 40]", |value| match value {
            Value::Integer(_) | Value::String(_) => {
                Some(Duration::parse(value, "").map(|from| Self { from, to: None }))
            }
            Value::Array(ends) if ends.len() == 2 => {
                Some(from_value(value).map(|(from, to)| Self { from, to: Some(to) }))
            }
            _ => None,
        })
    }
}

/// Noise on a rate: `lr(t) = rate(t) (1 + n(t))` for ticks in `range_t`.
///
/// `n(t)` is drawn by a separate generator, seeded with `seed + t`, so that it is a function of time like everything
/// else; it is torch's `randn` (or `rand`) of that seed on a CPU, as timm computes it. A tick with noise costs
/// about two microseconds, however many groups there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// When; none: never.
    pub range_t: Option<NoiseRange>,
    /// How it is distributed.
    pub kind: NoiseType,
    /// The largest noise, as a part of the rate: above 0 and at most 1, and at least a hundredth of `std`.
    pub pct: f64,
    /// The standard deviation of normal noise, at least 0.
    pub std: f64,
    /// The seed.
    pub seed: u64,
}

impl Noise {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check::non_negative("noise_std", self.std)?;
        // Above 1 the rate could become negative; far below the deviation almost every draw would be rejected.
        let least = self.std / 100.0;
        let allowed = format!("above 0, at most 1, at least a hundredth of `noise_std`: {least}");
        check::number("noise_pct", self.pct, &allowed, |pct| pct > 0.0 && pct <= 1.0 && pct >= least)
    }

    pub(super) fn on(&self, clock: &Clock) -> Result<Option<NoiseAt>, ConfigError> {
        let Some(NoiseRange { from, to }) = &self.range_t else { return Ok(None) };
        let (from, to) = match to {
            None => (from.ticks("noise_range_t", 0, clock)?, u64::MAX),
            Some(to) => {
                let from = from.ticks("noise_range_t[0]", 0, clock)?;
                let to = to.ticks("noise_range_t[1]", 0, clock)?;
                in_order("noise_range_t[1]", from, to)?;
                (from, to)
            }
        };
        Ok(Some(NoiseAt { from, to, noise: self.clone() }))
    }
}

/// [`Noise`] in ticks.
#[derive(Debug, Clone)]
pub(super) struct NoiseAt {
    from: u64,
    to: u64,
    noise: Noise,
}

impl NoiseAt {
    fn factor(&self, tick: u64) -> f64 {
        if tick < self.from || tick >= self.to {
            return 0.0;
        }
        let Noise { kind, pct, std, seed, .. } = self.noise;
        // torch's Mersenne Twister takes the low 32 bits of the seed.
        let mut generator = MersenneTwister::new(seed.wrapping_add(tick) as u32);
        match kind {
            NoiseType::Uniform => 2.0 * (generator.uniform_f32() - 0.5) * pct,
            NoiseType::Normal => loop {
                let [first, second] = generator.normals().map(|deviate| deviate * std);
                if first.abs() < pct {
                    return first;
                }
                if second.abs() < pct {
                    return second;
                }
            },
        }
    }
}

/// A schedule with noise from its tick `from` on.
#[derive(Debug, Clone)]
pub(super) struct Noisy<S> {
    pub(super) noise: NoiseAt,
    pub(super) inner: S,
    pub(super) from: u64,
}

impl<S: Schedule + Clone + 'static> Schedule for Noisy<S> {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        let rate = self.inner.lr(base_lr, tick);
        if tick < self.from { rate } else { rate + rate * self.noise.factor(tick) }
    }

    fn marks(&self) -> Vec<ScheduleMark> {
        self.inner.marks()
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        let (low, high) = self.inner.bounds(base_lr)?;
        let pct = self.noise.noise.pct;
        Some((low * (1.0 - pct), high * (1.0 + pct)))
    }

    reacts_as!(inner);

    fn observe(&mut self, tick: u64, from: u64, metric: f64) {
        self.inner.observe(tick, from, metric);
    }
}

/// MT19937 (Matsumoto and Nishimura, 1998), and numbers made of it the way torch makes them.
struct MersenneTwister {
    state: [u32; Self::SIZE],
    next: usize,
}

impl MersenneTwister {
    const SIZE: usize = 624;

    fn new(seed: u32) -> Self {
        let mut state = [seed; Self::SIZE];
        for i in 1..Self::SIZE {
            let before = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: Self::SIZE }
    }

    fn twist(&mut self) {
        for i in 0..Self::SIZE {
            let joined = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % Self::SIZE] & 0x7fff_ffff);
            let odd = if joined & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + 397) % Self::SIZE] ^ (joined >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next == Self::SIZE {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Even in `[0, 1)`, with the 24 bits of an `f32`.
    fn uniform_f32(&mut self) -> f64 {
        f64::from(self.word() & 0x00ff_ffff) / f64::from(1 << 24)
    }

    /// Even in `[0, 1)`, with 53 bits.
    fn uniform(&mut self) -> f64 {
        let bits = (u64::from(self.word()) << 32) | u64::from(self.word());
        (bits & ((1 << 53) - 1)) as f64 / (1_u64 << 53) as f64
    }

    /// Two normal deviates (Box and Muller, 1958), rounded to `f32` as `randn` gives them.
    fn normals(&mut self) -> [f64; 2] {
        let angle = 2.0 * PI * self.uniform();
        let radius = (-2.0 * (-self.uniform()).ln_1p()).sqrt();
        [radius * angle.cos(), radius * angle.sin()].map(|deviate| f64::from(deviate as f32))
    }
}
