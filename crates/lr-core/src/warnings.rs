//! What is legal in a schedule and surely not meant, found by looking at the rates of a whole run.

use std::fmt;

use crate::strategies::END_OF_COSINE;
use crate::strategies::Fixed;
use crate::{Horizon, Interval, Scheduler, Strategy};

/// The most ticks that are looked at: of a longer run, every so many.
const MOST_LOOKS: u64 = 1 << 20;

/// A tick after any warm-up.
const FAR: u64 = 1 << 40;

/// A run whose highest rate is below this trains next to nothing.
const TINY: f64 = 1e-6;

/// What a schedule does in a run that is legal and surely not meant; it reads as one line, with the numbers.
///
/// Ticks, epochs and steps are counted from 1, as in "epoch 1 of 20".
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScheduleWarning {
    /// The run is too long to look at each tick, so that the numbers of the warnings after this one are rounded.
    Sampled {
        /// One tick in so many was looked at.
        every: u64,
        /// The ticks of the run.
        of: u64,
        /// What a tick is.
        interval: Interval,
    },
    /// The rate is 0 all along.
    NeverTrains,
    /// The rate is the same all along, and the schedule is not `fixed`: its first change comes after the run, or never.
    NeverChanges {
        /// The ticks of the run.
        of: u64,
        /// What a tick is.
        interval: Interval,
        /// The rate.
        rate: f64,
    },
    /// The rate is 0 for whole epochs.
    ZeroEpochs {
        /// The first of them.
        first: u64,
        /// How many.
        count: u64,
        /// Epochs of the run.
        of: u64,
    },
    /// The highest rate of the run is below 1e-6.
    Tiny {
        /// The highest rate.
        highest: f64,
    },
    /// The rate is below a thousandth of its highest for more than half of the run.
    MostlyLow {
        /// The ticks at which it is so low.
        ticks: u64,
        /// The ticks of the run.
        of: u64,
        /// What a tick is.
        interval: Interval,
        /// The highest rate.
        highest: f64,
    },
    /// The rate changes for the last time in the first half of the run, and stays at a tenth of its highest or less.
    EndsEarly {
        /// The first tick of the rate that stays.
        tick: u64,
        /// The ticks of the run.
        of: u64,
        /// What a tick is.
        interval: Interval,
        /// The rate that stays.
        rate: f64,
        /// The highest rate.
        highest: f64,
    },
    /// The rate still rises when the run ends.
    PeakNotReached {
        /// The highest rate of the run.
        highest: f64,
        /// The schedule's.
        peak: f64,
    },
    /// Half a cosine ends before the run does, and the rate goes up again.
    RisesAgain {
        /// The tick of the lowest rate.
        tick: u64,
        /// The ticks of the run.
        of: u64,
        /// What a tick is.
        interval: Interval,
        /// The rate there.
        lowest: f64,
        /// The highest rate after it.
        back_to: f64,
    },
    /// A warm-up of one tick without a start factor, which has the full rate at once.
    IdleWarmUp {
        /// What that tick is.
        interval: Interval,
    },
    /// The schedule of a resumed run gives another rate for the last step done, by a factor of ten or more.
    Jump {
        /// The last step done.
        step: u64,
        /// The rate that it was trained at.
        before: f64,
        /// The rate that the schedule gives for it now.
        now: f64,
    },
}

impl fmt::Display for ScheduleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Sampled { every, of, interval } => write!(
                f,
                "of the {of} {interval}s one in {every} was looked at: the numbers of the warnings that follow are rounded"
            ),
            Self::NeverTrains => f.write_str("the learning rate is 0 in the whole run: nothing is trained"),
            Self::NeverChanges { of, interval, rate } => write!(
                f,
                "the schedule changes nothing in this run: the learning rate is {rate:.2e} in all of its {of} {interval}s"
            ),
            Self::ZeroEpochs { first, count: 1, of } => {
                write!(f, "the learning rate is 0 for the whole of epoch {first} of {of}: that epoch trains nothing")
            }
            Self::ZeroEpochs { first, count, of } => write!(
                f,
                "the learning rate is 0 for {count} whole epochs of {of}, the first of them epoch {first}: they train \
                 nothing"
            ),
            Self::Tiny { highest } => {
                write!(f, "the highest learning rate of the run is {highest:.2e}: next to nothing is trained")
            }
            Self::MostlyLow { ticks, of, interval, highest } => write!(
                f,
                "the learning rate is below a thousandth of its highest, {highest:.2e}, in {ticks} of {of} {interval}s"
            ),
            Self::EndsEarly { tick, of, interval, rate, highest } => write!(
                f,
                "the schedule ends early: from {interval} {tick} of {of} on the learning rate stays at {rate:.2e}, and its \
                 highest was {highest:.2e}"
            ),
            Self::PeakNotReached { highest, peak } => write!(
                f,
                "the learning rate still rises when the run ends: it gets to {highest:.2e}, and the schedule's peak is \
                 {peak:.2e}"
            ),
            Self::RisesAgain { tick, of, interval, lowest, back_to } => write!(
                f,
                "the learning rate rises again: `t_max` ends at {interval} {tick} of {of}, where it is {lowest:.2e}, and \
                 after that it gets back to {back_to:.2e}; t_max = \"rest\" is the length of the run"
            ),
            Self::IdleWarmUp { interval } => write!(
                f,
                "a warm-up of one {interval} changes nothing: without a `start_factor` that {interval} is at the full rate"
            ),
            Self::Jump { step, before, now } => write!(
                f,
                "the learning rate jumps at the resume: step {step} was trained at {before:.2e}, and the schedule gives \
                 {now:.2e} for it now that the run has another length"
            ),
        }
    }
}

impl ScheduleWarning {
    /// That of a resume after step `step` (from 1), which was trained at the rate `before` and for which the schedule gives
    /// `now`; `None` where they are less than tenfold apart.
    pub fn of_resume(step: u64, before: f64, now: f64) -> Option<Self> {
        let (low, high) = if before < now { (before, now) } else { (now, before) };
        (high >= 10.0 * low && high > 0.0).then_some(Self::Jump { step, before, now })
    }
}

impl Scheduler {
    /// What of this schedule is surely not meant, in a run of this length; nothing where the length is not known. It looks
    /// at the rates of the first parameter group. A reactive schedule is looked at as if no metric ever changed it.
    ///
    /// ```
    /// use lr_core::{Horizon, ScheduleConfig, Scheduler};
    /// let run = Horizon::run(21, 210);
    /// let config = ScheduleConfig::from_toml_str(
    ///     "type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = { duration = 2, start_factor = 0 }",
    /// )?;
    /// let warnings = Scheduler::from_config(&config, &run, vec![0.1])?.warnings(&run);
    /// let text = "the learning rate is 0 for the whole of epoch 1 of 10: that epoch trains nothing";
    /// assert_eq!(warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [text]);
    /// # Ok::<(), lr_core::ConfigError>(())
    /// ```
    pub fn warnings(&self, run: &Horizon) -> Vec<ScheduleWarning> {
        let interval = self.interval();
        let Some(of) = run.total_ticks(interval) else { return Vec::new() };
        let looks = Looks::new(self, of);
        let mut warnings = self.of_rates(run, &looks, of);
        if looks.every > 1 && !warnings.is_empty() {
            warnings.insert(0, ScheduleWarning::Sampled { every: looks.every, of, interval });
        }
        if self.idle_warmup && !warnings.contains(&ScheduleWarning::NeverTrains) {
            warnings.insert(0, ScheduleWarning::IdleWarmUp { interval });
        }
        warnings
    }

    /// Those that the rates of the run tell.
    fn of_rates(&self, run: &Horizon, looks: &Looks, of: u64) -> Vec<ScheduleWarning> {
        let (interval, highest) = (self.interval(), looks.highest());
        if highest == 0.0 {
            return vec![ScheduleWarning::NeverTrains];
        }
        let mut warnings = Vec::new();
        if highest < TINY {
            warnings.push(ScheduleWarning::Tiny { highest });
        }
        let last = looks.last;
        let is_same = looks.rates.iter().chain([&last]).all(|rate| *rate == highest);
        if is_same && of > 1 && !self.is_reactive() && self.name() != Fixed::NAME {
            warnings.push(ScheduleWarning::NeverChanges { of, interval, rate: highest });
        }
        // Without a metric only a warm-up changes the rate of a reactive schedule.
        let bounds = if self.is_reactive() { None } else { self.bounds() };
        let unchanged = if self.is_reactive() { self.lr_at_tick(0, FAR) } else { highest };
        let peak = bounds.map_or(unchanged, |(_, peak)| peak).min(f64::MAX);
        let after = self.lr_at_tick(0, of).max(last);
        if last == highest && after < peak * (1.0 - 1e-9) {
            warnings.push(ScheduleWarning::PeakNotReached { highest, peak });
        }
        let rises = self.rises_again(looks, of, highest);
        let tells_a_zero = matches!(rises, Some(ScheduleWarning::RisesAgain { lowest: 0.0, .. }));
        warnings.extend(rises);
        let stays = looks.last_change();
        if stays > 0 && 2 * stays < of && last <= highest / 10.0 {
            warnings.push(ScheduleWarning::EndsEarly { tick: stays + 1, of, interval, rate: last, highest });
            return warnings;
        }
        let per_epoch = match interval {
            Interval::Epoch => Some(1),
            Interval::Step => run.steps_per_epoch(),
        };
        let zero = per_epoch.map_or_else(Vec::new, |ticks| looks.zero_epochs(ticks));
        if let Some(first) = zero.first().filter(|_| !(tells_a_zero && zero.len() == 1)) {
            let per_epoch = per_epoch.unwrap_or(1);
            // One look may stand for several epochs.
            let (of, each) = (of.div_ceil(per_epoch), (looks.every / per_epoch).max(1));
            let count = (zero.len() as u64).saturating_mul(each).min(of - first);
            warnings.push(ScheduleWarning::ZeroEpochs { first: first + 1, count, of });
        }
        let low = looks.rates.iter().filter(|rate| **rate < highest / 1000.0).count() as u64 * looks.every;
        if 2 * low > of {
            warnings.push(ScheduleWarning::MostlyLow { ticks: low.min(of), of, interval, highest });
        }
        warnings
    }

    /// That of half a cosine after which nothing else begins, where the rate gets back by a hundredth of its highest.
    fn rises_again(&self, looks: &Looks, of: u64, highest: f64) -> Option<ScheduleWarning> {
        let marks = self.marks();
        let tick = marks.iter().filter(|mark| mark.label == END_OF_COSINE).map(|mark| mark.tick).max()?;
        let is_last = marks.iter().all(|mark| mark.tick <= tick && (mark.tick < tick || mark.label == END_OF_COSINE));
        let lowest = self.lr_at_tick(0, tick);
        let back_to = looks.highest_from(tick);
        (is_last && tick < of && back_to > lowest + highest / 100.0).then(|| ScheduleWarning::RisesAgain {
            tick: tick + 1,
            of,
            interval: self.interval(),
            lowest,
            back_to,
        })
    }

    /// The lowest and highest rate that the first group can ever get, where that is known.
    fn bounds(&self) -> Option<(f64, f64)> {
        self.schedule().bounds(*self.base_lrs().first()?)
    }
}

/// The rates of a run, at every tick or every so many.
struct Looks {
    every: u64,
    rates: Vec<f64>,
    /// That of the run's last tick.
    last: f64,
    ticks: u64,
}

impl Looks {
    fn new(scheduler: &Scheduler, ticks: u64) -> Self {
        let every = ticks.div_ceil(MOST_LOOKS).max(1);
        let rates = (0..ticks.div_ceil(every)).map(|look| scheduler.lr_at_tick(0, look * every)).collect();
        Self { every, rates, last: scheduler.lr_at_tick(0, ticks.saturating_sub(1)), ticks }
    }

    fn highest(&self) -> f64 {
        self.rates.iter().copied().fold(self.last, f64::max)
    }

    /// That of the ticks from this one on.
    fn highest_from(&self, tick: u64) -> f64 {
        let before = usize::try_from(tick.div_ceil(self.every)).unwrap_or(usize::MAX);
        self.rates.iter().skip(before).copied().fold(self.last, f64::max)
    }

    /// The first tick of those at the end that have the same rate.
    fn last_change(&self) -> u64 {
        let same = self.rates.iter().rev().take_while(|rate| **rate == self.last).count();
        ((self.rates.len() - same) as u64 * self.every).min(self.ticks)
    }

    /// The epochs of so many ticks, from 0, that are at rate 0 from their first tick to their last.
    fn zero_epochs(&self, ticks: u64) -> Vec<u64> {
        let mut epochs: Vec<(u64, bool)> = Vec::new();
        for (look, rate) in (0..).zip(&self.rates) {
            let epoch = look * self.every / ticks.max(1);
            match epochs.last_mut() {
                Some((last, is_zero)) if *last == epoch => *is_zero &= *rate == 0.0,
                _ => epochs.push((epoch, *rate == 0.0)),
            }
        }
        epochs.into_iter().filter(|(_, is_zero)| *is_zero).map(|(epoch, _)| epoch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScheduleConfig;

    /// What is said of a schedule at base rate 0.1, in a run of 20 epochs of 21 steps.
    fn said(text: &str) -> Vec<String> {
        said_of(text, 0.1, &Horizon::run(21, 420))
    }

    fn said_of(text: &str, base_lr: f64, run: &Horizon) -> Vec<String> {
        let config = ScheduleConfig::from_toml_str(text).expect(text);
        let scheduler = Scheduler::from_config(&config, run, vec![base_lr]).expect(text);
        scheduler.warnings(run).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_surely_not_meant_is_said() {
        let cases = [
            ("type = 'fixed'\nwarmup = { duration = 2, start_factor = 0 }", "the whole of epoch 1 of 20"),
            (
                "type = 'linear'\nend_factor = 0\nstart_factor = 1\ntotal_iters = 12",
                "for 8 whole epochs of 20, the first of them epoch 13",
            ),
            ("type = 'expression'\ninterval = 'step'\nexpression = 'if(t < 21, 0, 1)'", "the whole of epoch 1 of 20"),
            (
                "type = 'step'\ninterval = 'step'\nstep_size = 3",
                "below a thousandth of its highest, 1.00e-1, in 408 of 420 steps",
            ),
            ("type = 'exponential'\ngamma = 0.1", "below a thousandth of its highest, 1.00e-1, in 16 of 20 epochs"),
            (
                "type = 'one_cycle'\nmax_lr = 0.1\ntotal_steps = 5",
                "ends early: from step 5 of 420 on the learning rate stays at 4.00e-7, and its highest was 9.50e-2",
            ),
            (
                "type = 'polynomial'\ntotal_iters = 5",
                "ends early: from epoch 6 of 20 on the learning rate stays at 0.00e0",
            ),
            (
                "type = 'cyclic'\nbase_lr = 0.01\nmax_lr = 0.1\ncycle_momentum = false",
                "still rises when the run ends: it gets to 2.89e-2, and the schedule's peak is 1.00e-1",
            ),
            ("type = 'fixed'\nwarmup = 30", "still rises when the run ends: it gets to 6.67e-2"),
            (
                "type = 'cosine_annealing'\nt_max = 10",
                "`t_max` ends at epoch 11 of 20, where it is 0.00e0, and after that it gets back to 9.76e-2",
            ),
            (
                "type = 'cosine_annealing'\nt_max = 8\neta_min = 0.01\nwarmup = 4",
                "`t_max` ends at epoch 13 of 20, where it is 1.00e-2, and after that it gets back to 9.66e-2",
            ),
            (
                "type = 'reduce_on_plateau'\nwarmup = 40",
                "still rises when the run ends: it gets to 5.00e-2, and the schedule's peak is 1.00e-1",
            ),
            (
                "type = 'step'\nstep_size = 30",
                "changes nothing in this run: the learning rate is 1.00e-1 in all of its 20 epochs",
            ),
            ("type = 'multi_step'\nmilestones = [30, 60]", "changes nothing in this run"),
            ("type = 'cosine_annealing_warm_restarts'\nt_0 = 1", "changes nothing in this run"),
            ("type = 'fixed'\nwarmup = 1", "a warm-up of one epoch changes nothing"),
            ("type = 'fixed'\nwarmup = '1ep'", "a warm-up of one epoch changes nothing"),
        ];
        for (text, expected) in cases {
            let said = said(text);
            assert!(said.len() == 1 && said[0].contains(expected), "{text}: {said:#?}");
        }
        let zero = said_of("type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = 3", 0.0, &Horizon::run(21, 420));
        assert_eq!(zero, ["the learning rate is 0 in the whole run: nothing is trained"]);
        let noam = said_of("type = 'noam'", 1e-3, &Horizon::run(21, 40));
        assert_eq!(noam.len(), 2, "{noam:#?}");
        assert!(noam[0].starts_with("the highest learning rate of the run is 6.99e-9"), "{noam:#?}");
        assert!(noam[1].ends_with("it gets to 6.99e-9, and the schedule's peak is 6.99e-7"), "{noam:#?}");
    }

    #[test]
    fn what_is_usual_is_not() {
        for text in [
            "type = 'fixed'",
            "type = 'fixed'\nwarmup = 20",
            "type = 'fixed'\nwarmup = { duration = 1, start_factor = 0.1 }",
            "type = 'cosine_annealing'\nt_max = 'rest'\nwarmup = '10%'",
            "type = 'cosine_annealing'\nt_max = 'rest'\ninterval = 'step'\nwarmup = { duration = '5%', start_factor = 0 }",
            "type = 'cosine_annealing'\nt_max = 19\neta_min = 1e-4",
            "type = 'cosine_annealing'\nt_max = 30",
            "type = 'sequential'\nmilestones = [10]\nschedules = [{ type = 'cosine_annealing', t_max = 10 }, { type = 'constant', factor = 0.1, total_iters = 10 }]",
            "type = 'multi_step'\nmilestones = [10, 15]",
            "type = 'step'\nstep_size = 7",
            "type = 'constant'",
            "type = 'linear'",
            "type = 'linear'\nstart_factor = 1\nend_factor = 0\ntotal_iters = 'rest'",
            "type = 'linear'\nstart_factor = 0.1\ntotal_iters = 'rest'",
            "type = 'one_cycle'\nmax_lr = 0.1",
            "type = 'cosine_annealing_warm_restarts'\nt_0 = 5",
            "type = 'cyclic'\nbase_lr = 0.01\nmax_lr = 0.1\nstep_size_up = 100\ncycle_momentum = false",
            "type = 'reduce_on_plateau'",
            "type = 'transformers/greedy'",
            "type = 'transformers/cosine'\nnum_warmup_steps = '5%'",
            "type = 'timm/CosineLRScheduler'\nt_initial = 20\nwarmup_t = 3\nwarmup_lr_init = 1e-4",
        ] {
            assert_eq!(said(text), [""; 0], "{text}");
        }
        let unknown = Horizon::unknown();
        assert_eq!(
            said_of("type = 'exponential'\ngamma = 1e-9", 0.1, &unknown),
            [""; 0],
            "nothing is known of the run"
        );
    }

    #[test]
    fn a_long_run_is_looked_at_here_and_there_and_says_so() {
        let said = said_of("type = 'step'\ninterval = 'step'\nstep_size = 30", 0.1, &Horizon::run(1_000, 1 << 40));
        assert_eq!(said.len(), 2, "{said:#?}");
        assert_eq!(
            said[0],
            "of the 1099511627776 steps one in 1048576 was looked at: the numbers of the warnings that follow are rounded"
        );
        // Eight of twenty parts at rate 0, told as so many epochs and not as so many looks.
        let long = Horizon::run(1, 10_000_000_000);
        let said = said_of("type = 'linear'\nend_factor = 0\nstart_factor = 1\ntotal_iters = 6000000000", 0.1, &long);
        assert_eq!(said.len(), 2, "{said:#?}");
        let count: u64 =
            said[1].split(' ').find_map(|word| word.parse().ok().filter(|count| *count > 0)).expect(&said[1]);
        assert!(count.abs_diff(4_000_000_000) < 20_000, "{said:#?}");
        // Nothing is said of how it was looked at where there is nothing to say.
        assert_eq!(said_of("type = 'one_cycle'\nmax_lr = 0.1", 0.1, &long), [""; 0]);
    }

    #[test]
    fn a_jump_is_tenfold_or_more() {
        let jump = |before, now| ScheduleWarning::of_resume(7, before, now).is_some();
        assert_eq!([jump(0.1, 0.1), jump(0.1, 0.9), jump(0.9, 0.1), jump(0.0, 0.0)], [false; 4]);
        assert_eq!([jump(2e-8, 2.9e-3), jump(0.1, 0.001), jump(0.0, 0.1), jump(0.1, 0.0)], [true; 4]);
    }
}
