//! `greedy`.

use std::collections::VecDeque;

use strict_config::{ConfigError, check, settings};

use super::check_steps;
use crate::groups::{GroupRate, find, group_rates};
use crate::strategies::check_metric;
use crate::{Clock, Duration, Interval, Mode, Schedule, StateError, StateReader, StateWriter, Strategy, ThresholdMode};

/// The longest smoothing window: all of it is part of a checkpoint.
const LONGEST_WINDOW: u64 = 4096;

settings! {
    /// transformers' `greedy`: the rate rises while a metric improves and falls while it does not ("GreedyLR",
    /// arXiv 2512.14527).
    ///
    /// After each observation (smoothed over the last `window_size` ones with `smooth`) that is better than the best so
    /// far by the threshold, the good ones in a row count one more, otherwise the bad ones. More than `patience` good
    /// ones divide every rate by `factor`, not above `max_lr`; more than `patience` bad ones multiply it, not below
    /// `min_lr`; changes of no more than `eps` are left out, and a rate already outside is left where it is. After a
    /// rise, `warmup` observations are not counted, after a fall `cooldown`. `reset_start` falls with all groups at the
    /// bottom reset everything to the start.
    ///
    /// It is reactive and looks at all parameter groups together, so it must be given their base rates
    /// ([`Clock::with_base_lrs`], which [`Scheduler::from_config`](crate::Scheduler::from_config) does); a base rate that it
    /// was not given stays as it is.
    ///
    /// ```
    /// use lr_core::{Horizon, ScheduleConfig, Scheduler, port::transformers::Greedy};
    /// let greedy = ScheduleConfig::new(Greedy { patience: 1, factor: 0.5, ..Greedy::default() });
    /// let mut s = Scheduler::from_config(&greedy, &Horizon::unknown(), vec![0.1])?;
    /// let mut seen = Vec::new();
    /// for (step, loss) in [3.0, 2.0, 1.0, 1.0, 1.0, 1.0].into_iter().enumerate() {
    ///     seen.push(s.lr(0, step as u64));
    ///     s.observe(step as u64, loss);
    /// }
    /// assert_eq!(seen, [0.1, 0.1, 0.2, 0.2, 0.2, 0.1]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub struct Greedy {
        /// Ignored, as by `get_scheduler`; default 0.
        pub num_warmup_steps: Duration = Duration::default(),
        /// Ignored, as by `get_scheduler`; default the run.
        pub num_training_steps: Duration = Duration::Rest,
        /// Which metrics are better; default lower ones.
        pub mode: Mode = Mode::default(),
        /// The factor of a fall, and one over that of a rise: above 0 and below 1; default 0.95.
        pub factor: f64 = 0.95,
        /// How many observations in a row change nothing yet; default 10.
        pub patience: u64 = 10,
        /// How much better is better, at least 0; default 1e-6.
        pub threshold: f64 = 1e-6,
        /// What the threshold means; default a difference.
        pub threshold_mode: ThresholdMode = ThresholdMode::Abs,
        /// Observations after a fall that are not counted; default 0.
        pub cooldown: u64 = 0,
        /// Observations after a rise that are not counted; default 0. A number here is this argument; a table is the
        /// warm-up that every schedule may have.
        #[serde(skip_serializing_if = "is_zero")]
        pub warmup: u64 = 0,
        /// The lowest rate that a fall leads to, at least 0; default 1e-3.
        pub min_lr: f64 = 1e-3,
        /// The highest rate that a rise leads to, at least `min_lr`; default 1.
        pub max_lr: f64 = 1.0,
        /// Changes by no more than this are left out, at least 0; default 1e-8.
        pub eps: f64 = 1e-8,
        /// Whether metrics are averaged over a window first; default no.
        pub smooth: bool = false,
        /// Observations in that window, 1 to 4096; default 50.
        pub window_size: u64 = 50,
        /// Falls at the bottom before everything starts again; default 500.
        pub reset_start: u64 = 500,
        /// The metric to watch; default `valid.loss`.
        pub monitor: String = "valid.loss".to_owned(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Strategy for Greedy {
    const NAME: &'static str = "transformers/greedy";
    const SUMMARY: &'static str = "transformers: up while a metric improves, down while it does not";
    const EXAMPLE: &'static str = "type = 'transformers/greedy'\npatience = 5\nfactor = 0.9\nmin_lr = 1e-4";
    const INTERVAL: Interval = Interval::Step;

    fn check(&self) -> Result<(), ConfigError> {
        check_steps(&self.num_warmup_steps, &self.num_training_steps)?;
        check::number("factor", self.factor, "above 0 and below 1", |f| f > 0.0 && f < 1.0)?;
        check::non_negative("threshold", self.threshold)?;
        check::non_negative("min_lr", self.min_lr)?;
        let allowed = format!("a finite rate of at least `min_lr`, {}", self.min_lr);
        check::number("max_lr", self.max_lr, &allowed, |max| max >= self.min_lr)?;
        check::non_negative("eps", self.eps)?;
        if !(1..=LONGEST_WINDOW).contains(&self.window_size) {
            let allowed = format!("1 to {LONGEST_WINDOW} observations");
            return Err(ConfigError::not_allowed("window_size", self.window_size, allowed));
        }
        check_metric("monitor", &self.monitor)
    }

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        Ok(Box::new(GreedySchedule {
            groups: group_rates(clock),
            since: 0,
            best: self.mode.worst(),
            good: 0,
            bad: 0,
            cooldown: 0,
            warmup: 0,
            reset_left: self.reset_start,
            window: Window::default(),
            config: self.clone(),
        }))
    }

    fn monitor(&self) -> Option<&str> {
        Some(&self.monitor)
    }
}

/// The last observations and their sum, added up in the reference's order.
#[derive(Debug, Clone, Default)]
struct Window {
    values: VecDeque<f64>,
    sum: f64,
}

impl Window {
    fn average(&mut self, value: f64, size: usize) -> f64 {
        self.values.push_back(value);
        self.sum += value;
        if self.values.len() > size
            && let Some(oldest) = self.values.pop_front()
        {
            self.sum -= oldest;
            // A NaN or infinity would never leave a running sum; here it leaves with its observation.
            if !self.sum.is_finite() {
                self.sum = self.values.iter().sum();
            }
        }
        self.sum / self.values.len() as f64
    }
}

#[derive(Debug, Clone)]
struct GreedySchedule {
    config: Greedy,
    groups: Vec<GroupRate>,
    /// From which tick on the groups' rates of now hold.
    since: u64,
    best: f64,
    good: u64,
    bad: u64,
    cooldown: u64,
    warmup: u64,
    reset_left: u64,
    window: Window,
}

impl GreedySchedule {
    fn change(&mut self, from: u64, rate: impl Fn(f64) -> f64) {
        for group in &mut self.groups {
            group.before = group.now;
            group.now = rate(group.now);
        }
        self.since = from;
    }

    fn rise(&mut self, from: u64) {
        let Greedy { factor, max_lr, eps, reset_start, .. } = self.config;
        self.change(from, |rate| {
            let next = (rate / factor).min(max_lr);
            if next - rate > eps { next } else { rate }
        });
        self.reset_left = reset_start;
    }

    fn fall(&mut self, from: u64) {
        let Greedy { factor, min_lr, eps, .. } = self.config;
        self.change(from, |rate| {
            let next = (rate * factor).max(min_lr);
            if rate - next > eps { next } else { rate }
        });
        if !self.groups.is_empty() && self.groups.iter().all(|group| group.now <= min_lr) {
            self.reset_left = self.reset_left.saturating_sub(1);
            if self.reset_left == 0 {
                self.reset();
            }
        }
    }

    fn reset(&mut self) {
        for group in &mut self.groups {
            group.now = group.base_lr;
        }
        self.best = self.config.mode.worst();
        self.good = 0;
        self.bad = 0;
        self.cooldown = 0;
        self.warmup = 0;
        self.reset_left = self.config.reset_start;
        self.window = Window::default();
    }
}

impl Schedule for GreedySchedule {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        match find(&self.groups, base_lr) {
            Some(group) if tick < self.since => group.before,
            Some(group) => group.now,
            None => base_lr,
        }
    }

    fn bounds(&self, base_lr: f64) -> Option<(f64, f64)> {
        Some((base_lr.min(self.config.min_lr), base_lr.max(self.config.max_lr)))
    }

    fn is_reactive(&self) -> bool {
        true
    }

    fn observe(&mut self, _tick: u64, from: u64, metric: f64) {
        let size = self.config.window_size as usize;
        let metric = if self.config.smooth { self.window.average(metric, size) } else { metric };
        if self.cooldown > 0 || self.warmup > 0 {
            if self.cooldown > 0 {
                self.cooldown -= 1;
            } else {
                self.warmup -= 1;
            }
            self.good = 0;
            self.bad = 0;
            return;
        }
        let Greedy { mode, threshold, threshold_mode, .. } = self.config;
        if threshold_mode.is_better(mode, threshold, metric, self.best) {
            self.best = metric;
            self.bad = 0;
            self.good += 1;
        } else {
            self.bad += 1;
            self.good = 0;
        }
        if self.good > self.config.patience {
            self.rise(from);
            self.warmup = self.config.warmup;
            self.good = 0;
        } else if self.bad > self.config.patience {
            self.fall(from);
            self.cooldown = self.config.cooldown;
            self.bad = 0;
        }
    }

    fn save(&self, state: &mut StateWriter<'_>) {
        for (i, group) in self.groups.iter().enumerate() {
            let mut state = state.part(format!("group{i}"));
            state.put("rate", group.now);
            state.put("before", group.before);
        }
        state.put("since", self.since);
        state.put("best", self.best);
        state.put("num_good_epochs", self.good);
        state.put("num_bad_epochs", self.bad);
        state.put("cooldown_counter", self.cooldown);
        state.put("warmup_counter", self.warmup);
        state.put("reset_start", self.reset_left);
        if self.config.smooth {
            // Every slot is written, so that the names do not depend on how much has been observed.
            let mut state = state.part("window");
            state.put("filled", self.window.values.len() as u64);
            state.put("sum", self.window.sum);
            for i in 0..self.config.window_size {
                state.put(&i.to_string(), self.window.values.get(i as usize).copied().unwrap_or(0.0));
            }
        }
    }

    fn load(&mut self, state: &StateReader<'_>) -> Result<(), StateError> {
        for (i, group) in self.groups.iter_mut().enumerate() {
            let state = state.part(format!("group{i}"));
            for (key, value) in [("rate", &mut group.now), ("before", &mut group.before)] {
                let rate = state.float(key)?;
                if !(rate.is_finite() && rate >= 0.0) {
                    return Err(state.invalid(key, rate, "a finite rate of at least 0"));
                }
                *value = rate;
            }
        }
        self.since = state.count("since")?;
        self.best = state.float("best")?;
        self.good = state.count("num_good_epochs")?;
        self.bad = state.count("num_bad_epochs")?;
        self.cooldown = state.count("cooldown_counter")?;
        self.warmup = state.count("warmup_counter")?;
        self.reset_left = state.count("reset_start")?;
        if self.config.smooth {
            let state = state.part("window");
            let filled = state.count("filled")?;
            if filled > self.config.window_size {
                return Err(state.invalid("filled", filled, "at most the size of the window"));
            }
            self.window.sum = state.float("sum")?;
            self.window.values = (0..filled).map(|i| state.float(&i.to_string())).collect::<Result<_, _>>()?;
        }
        Ok(())
    }
}
