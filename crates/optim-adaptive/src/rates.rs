//! The learning rates of one step.

/// The learning rate of a step, and those of the parameter groups that have their own.
///
/// A plain number is one rate for all: `optimizer.step(0.1, model, grads)`. A group's `lr_scale` is not in these; the
/// optimizer multiplies by it.
///
/// ```
/// use optim_adaptive::StepRates;
/// let rates = StepRates::from(0.1).with_group(1, 0.02);
/// assert_eq!([None, Some(0), Some(1)].map(|group| rates.of(group)), [0.1, 0.1, 0.02]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StepRates {
    base: f64,
    /// By index of the group.
    groups: Vec<(usize, f64)>,
}

impl From<f64> for StepRates {
    fn from(base: f64) -> Self {
        Self { base, groups: Vec::new() }
    }
}

impl StepRates {
    /// With another rate for the group of this index.
    #[must_use]
    pub fn with_group(mut self, group: usize, lr: f64) -> Self {
        self.groups.push((group, lr));
        self
    }

    /// The rate of every parameter without its own.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The rates of the groups that have their own, in the order in which they were given.
    pub fn groups(&self) -> impl Iterator<Item = f64> {
        self.groups.iter().map(|(_, lr)| *lr)
    }

    /// The rate of a parameter in the group of this index; `None` is a parameter in no group.
    pub fn of(&self, group: Option<usize>) -> f64 {
        self.groups.iter().rfind(|(index, _)| Some(*index) == group).map_or(self.base, |(_, lr)| *lr)
    }
}
