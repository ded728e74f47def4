//! Which group a base rate belongs to, for schedules that keep something for each.

/// The distinct base rates that a schedule was bound to. Groups of the same base rate go the same way.
#[derive(Debug, Clone, Default)]
pub(crate) struct BaseRates {
    /// In order.
    distinct: Vec<f64>,
    /// For each group, the place of its base rate among the distinct ones.
    of_group: Vec<usize>,
}

impl BaseRates {
    pub(crate) fn new(base_lrs: &[f64]) -> Self {
        let mut distinct = base_lrs.to_vec();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let mut rates = Self { distinct, of_group: Vec::new() };
        rates.of_group = base_lrs.iter().filter_map(|base_lr| rates.find(*base_lr)).collect();
        rates
    }

    /// The distinct ones, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> {
        self.distinct.iter().copied()
    }

    /// The place of a base rate among the distinct ones.
    #[inline]
    pub(crate) fn find(&self, base_lr: f64) -> Option<usize> {
        match self.distinct.as_slice() {
            [only] => (*only == base_lr).then_some(0),
            several => several.binary_search_by(|known| known.total_cmp(&base_lr)).ok(),
        }
    }

    /// The same for the base rate that is asked for as group `group`: no search, if it is that group's.
    #[inline]
    pub(crate) fn find_as(&self, group: usize, base_lr: f64) -> Option<usize> {
        self.of_group.get(group).copied().filter(|i| self.distinct[*i] == base_lr).or_else(|| self.find(base_lr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_finds_its_base_rate() {
        let base_lrs = [0.3, 0.1, 0.3, 0.2];
        let rates = BaseRates::new(&base_lrs);
        assert_eq!(rates.iter().collect::<Vec<_>>(), [0.1, 0.2, 0.3]);
        assert_eq!(base_lrs.map(|base_lr| rates.find(base_lr)), [Some(2), Some(0), Some(2), Some(1)]);
        for (group, base_lr) in base_lrs.into_iter().enumerate() {
            assert_eq!(rates.find_as(group, base_lr), rates.find(base_lr));
            assert_eq!(rates.find_as(group + 1, base_lr), rates.find(base_lr), "asked for as another group");
        }
        assert_eq!([rates.find(0.15), rates.find_as(0, 0.15)], [None, None]);
        assert_eq!(BaseRates::default().find(0.1), None);
    }
}
