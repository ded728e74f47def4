//! What a schedule will do, without training: one row per tick, or per so many of a long run.

use std::rc::Rc;

use lr_core::{Horizon, Interval, ScheduleConfig, ScheduleMark, Scheduler};
use report::{Chart, ScheduleCurve, schedule_chart};
use serde::Serialize;

use crate::error::Error;

/// The length of the run that is previewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PreviewLength {
    /// Optimizer steps of the run.
    pub steps: Option<u64>,
    /// Epochs of the run.
    pub epochs: Option<u64>,
    /// Optimizer steps in an epoch.
    pub steps_per_epoch: Option<u64>,
}

impl PreviewLength {
    /// What is known of the run, and how many rows a schedule of this interval has.
    ///
    /// # Errors
    /// Too little, or too much, to know the number of rows; the message says what is missing.
    pub(crate) fn resolve(self, interval: Interval) -> Result<(Horizon, u64), Error> {
        let usage = |message: &str| Err(Error::Usage(message.to_owned()));
        if [self.steps, self.epochs, self.steps_per_epoch].contains(&Some(0)) {
            return usage("--steps, --epochs and --steps-per-epoch are at least 1");
        }
        let total = match (self.steps, self.epochs) {
            (Some(_), Some(_)) => return usage("either --steps or --epochs, not both"),
            (Some(steps), None) => Some(steps),
            (None, epochs) => epochs.zip(self.steps_per_epoch).map(|(epochs, steps)| epochs.saturating_mul(steps)),
        };
        let horizon = match (total, self.steps_per_epoch, self.epochs) {
            (Some(total), Some(steps), _) => Horizon::run(steps, total),
            (Some(total), None, _) => Horizon::steps(total),
            (None, _, Some(epochs)) => Horizon::epochs(epochs),
            (None, ..) => Horizon::unknown(),
        };
        match (horizon.total_ticks(interval), interval) {
            (Some(rows), _) => Ok((horizon, rows)),
            (None, Interval::Epoch) if self.steps.is_some() => usage(
                "this schedule changes once per epoch, so --steps alone does not say how many rows there are: add \
                 --steps-per-epoch K, or say --epochs E --steps-per-epoch K instead",
            ),
            (None, Interval::Epoch) => {
                usage("how far? This schedule changes once per epoch: say --epochs E (and --steps-per-epoch K)")
            }
            (None, Interval::Step) if self.epochs.is_some() => {
                usage("this schedule changes at each step: --epochs needs --steps-per-epoch K as well")
            }
            (None, Interval::Step) => usage("how far? Say --steps N, or --epochs E --steps-per-epoch K"),
        }
    }
}

/// One tick: the rate (and momentum, where the strategy cycles it) of each group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Tick, from 0.
    pub tick: u64,
    /// One rate per group.
    pub lr: Vec<f64>,
    /// One momentum per group.
    pub momentum: Option<Vec<f64>>,
}

/// The most rows that are held, for a chart or a table. Of a longer run every so many ticks are.
const MOST_ROWS: u64 = 1 << 18;

/// One column: a scheduler, its group there, and the optimizer steps in a row where its ticks are not the rows'.
#[derive(Debug)]
struct Column {
    scheduler: Rc<Scheduler>,
    group: usize,
    steps_per_row: Option<u64>,
}

/// What a schedule does, tick by tick.
#[derive(Debug)]
pub(crate) struct Preview {
    /// Its name in a legend.
    pub label: String,
    /// What a tick is.
    pub interval: Interval,
    /// Optimizer steps in an epoch, where they are known.
    pub steps_per_epoch: Option<u64>,
    /// Ticks of the run.
    pub ticks: u64,
    /// One for each tick, or for every so many: see [`is_whole`](Self::is_whole).
    pub rows: Vec<Row>,
    columns: Vec<Column>,
    /// Where the schedule's phases begin.
    pub marks: Vec<ScheduleMark>,
    /// What of it is surely not meant.
    pub warnings: Vec<String>,
}

impl Column {
    fn lr(&self, tick: u64) -> f64 {
        match self.steps_per_row {
            None => self.scheduler.lr_at_tick(self.group, tick),
            Some(steps) => self.scheduler.lr(self.group, tick.saturating_mul(steps)),
        }
    }
}

impl Preview {
    /// Computes the rows of a schedule for groups with these base rates. `metrics` feed a reactive schedule: metric `i` after tick
    /// `i`.
    ///
    /// # Errors
    /// A schedule that cannot be built for this length; metrics that are missing or too few.
    pub(crate) fn new(
        label: &str,
        config: &ScheduleConfig,
        path: &str,
        base_lrs: Vec<f64>,
        length: PreviewLength,
        metrics: Option<&[f64]>,
    ) -> Result<Self, Error> {
        let (horizon, rows) = length.resolve(config.interval())?;
        let (groups, name) = (base_lrs.len(), config.type_name());
        let mut scheduler = Scheduler::from_config(config, &horizon, base_lrs).map_err(|error| error.within(path))?;
        let metrics = match (scheduler.is_reactive(), metrics) {
            (false, _) => &[],
            (true, None) => {
                return Err(Error::Usage(format!(
                    "`{name}` reacts to a metric: give one number per line and tick with --metrics FILE"
                )));
            }
            // The last row shows what the metrics before it did, so the last metric is not needed.
            (true, Some(metrics)) if (metrics.len() as u64) + 1 < rows => {
                return Err(Error::Usage(format!(
                    "--metrics has {} numbers, and {rows} rows of `{name}` need at least {}",
                    metrics.len(),
                    rows - 1
                )));
            }
            (true, Some(metrics)) => metrics,
        };
        let every = rows.div_ceil(MOST_ROWS).max(1);
        if every > 1 && scheduler.is_reactive() {
            return Err(Error::Usage(format!(
                "{rows} rows: of `{name}`, which reacts to a metric, at most {MOST_ROWS}"
            )));
        }
        let warnings = scheduler.warnings(&horizon).into_iter().map(|warning| format!("{label}: {warning}")).collect();
        let marks = scheduler.marks_within(rows);
        let ticks = rows;
        let rows = (0..ticks.div_ceil(every))
            .map(|row| {
                let tick = row * every;
                let row = Row {
                    tick,
                    lr: (0..groups).map(|group| scheduler.lr_at_tick(group, tick)).collect(),
                    momentum: scheduler.momentum_at_tick(tick).map(|momentum| vec![momentum; groups]),
                };
                if let Some(metric) = metrics.get(tick as usize) {
                    scheduler.observe_tick(tick, *metric);
                }
                row
            })
            .collect::<Vec<_>>();
        let scheduler = Rc::new(scheduler);
        let column = |group| Column { scheduler: Rc::clone(&scheduler), group, steps_per_row: None };
        let mut preview = Self {
            label: label.to_owned(),
            interval: config.interval(),
            steps_per_epoch: horizon.steps_per_epoch(),
            ticks,
            rows,
            columns: (0..groups).map(column).collect(),
            marks,
            warnings,
        };
        // The run's end is in the picture.
        if let Some(last) = ticks.checked_sub(1).filter(|_| every > 1) {
            preview.rows.push(preview.row(last));
        }
        Ok(preview)
    }

    /// Whether there is a row for each tick.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows.len() as u64 == self.ticks
    }

    /// Every row, one after the other: those of a run that is too long to be held are computed as they are asked for.
    pub(crate) fn each_row(&self) -> impl Iterator<Item = Row> + '_ {
        (0..self.ticks).map(|tick| match self.rows.get(tick as usize) {
            Some(row) if self.is_whole() => row.clone(),
            _ => self.row(tick),
        })
    }

    /// The row of a tick of a schedule that is a function of time.
    fn row(&self, tick: u64) -> Row {
        let lr = self.columns.iter().map(|column| column.lr(tick)).collect::<Vec<_>>();
        let momentum = self.columns.first().and_then(|column| column.scheduler.momentum_at_tick(tick));
        Row { tick, momentum: momentum.map(|momentum| vec![momentum; lr.len()]), lr }
    }

    /// Adds a column: a parameter group with its own schedule, at the ticks of the rows. `length` is that of
    /// the rows.
    ///
    /// # Errors
    /// A schedule that cannot be built; a reactive one; another interval where the steps per epoch are not known.
    pub(crate) fn add_group(
        &mut self,
        config: &ScheduleConfig,
        path: &str,
        base_lr: f64,
        length: PreviewLength,
    ) -> Result<(), Error> {
        let (horizon, _) = length.resolve(self.interval)?;
        let scheduler = Scheduler::from_config(config, &horizon, vec![base_lr]).map_err(|error| error.within(path))?;
        if scheduler.is_reactive() {
            return Err(Error::Usage(format!(
                "{path}: a group under a reactive schedule cannot be shown beside others"
            )));
        }
        let steps_per_row = match (self.interval, config.interval(), horizon.steps_per_epoch()) {
            (own, other, _) if own == other => None,
            (Interval::Epoch, _, Some(steps)) => Some(steps),
            (Interval::Step, _, Some(_)) => Some(1),
            (.., None) => {
                let message = format!("{path}: another interval than the base schedule's: say --steps-per-epoch K");
                return Err(Error::Usage(message));
            }
        };
        let warnings = scheduler.warnings(&horizon).into_iter();
        self.warnings.extend(warnings.map(|warning| format!("{}: {path}: {warning}", self.label)));
        let column = Column { scheduler: Rc::new(scheduler), group: 0, steps_per_row };
        for row in &mut self.rows {
            row.lr.push(column.lr(row.tick));
            if let Some(momenta) = &mut row.momentum {
                momenta.extend(momenta.first().copied());
            }
        }
        self.columns.push(column);
        Ok(())
    }

    /// One curve per group; `scale` is how many units of the x axis a tick is long. The axis tells how many have passed.
    fn curves(&self, scale: u64) -> Vec<ScheduleCurve> {
        let ticks: Vec<f64> = self.rows.iter().map(|row| row.tick as f64 * scale as f64).collect();
        let groups = self.rows.first().map_or(0, |row| row.lr.len());
        (0..groups)
            .map(|group| {
                let label = if groups == 1 { self.label.clone() } else { format!("{} [{group}]", self.label) };
                let lrs: Vec<f64> = self.rows.iter().filter_map(|row| row.lr.get(group).copied()).collect();
                let curve = ScheduleCurve::new(label, &ticks, lrs);
                let momenta: Option<Vec<f64>> =
                    self.rows.iter().map(|row| row.momentum.as_ref()?.get(group).copied()).collect();
                // Groups share the momentum, so one curve is enough.
                match momenta.filter(|momenta| group == 0 && !momenta.is_empty()) {
                    Some(momenta) => curve.with_momenta(momenta),
                    None => curve,
                }
            })
            .collect()
    }

    /// A chart of one or more schedules; phases are marked where there is one schedule. Where some change per epoch and
    /// others per step, the x axis counts steps.
    ///
    /// # Errors
    /// Schedules of both kinds, and one per epoch whose steps in an epoch are not known: no axis fits both.
    pub(crate) fn chart(previews: &[Self]) -> Result<Chart, Error> {
        let is_mixed = previews.windows(2).any(|pair| pair[0].interval != pair[1].interval);
        let mut curves = Vec::new();
        for preview in previews {
            let scale = match (is_mixed, preview.interval, preview.steps_per_epoch) {
                (false, ..) | (true, Interval::Step, _) => 1,
                (true, Interval::Epoch, Some(steps)) => steps,
                (true, Interval::Epoch, None) => {
                    return Err(Error::Usage(format!(
                        "`{}` changes once per epoch and another schedule at each step, so no axis fits both: say \
                         --steps-per-epoch K, and epochs are drawn as steps",
                        preview.label
                    )));
                }
            };
            curves.extend(preview.curves(scale));
        }
        let (title, marks) = match previews {
            [one] => (one.label.clone(), one.marks.iter().map(|mark| (mark.tick as f64, mark.label.clone())).collect()),
            _ => ("schedules".to_owned(), Vec::new()),
        };
        let unit = if is_mixed { Interval::Step } else { previews.first().map_or(Interval::Step, |one| one.interval) };
        Ok(schedule_chart(title, &curves, &marks).x(unit.name()))
    }
}
