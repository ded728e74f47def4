//! A part of a source: the first batches of each epoch, or of one epoch again and again.

use super::{Batches, Source};

/// The first batches of another source.
pub(crate) struct Limited<'a, B> {
    source: &'a dyn Source<B>,
    batches: Option<usize>,
    same_epoch: bool,
}

impl<'a, B> Limited<'a, B> {
    /// `source` as it is where `batches` is `None`; with `same_epoch` every epoch is epoch 0.
    pub(crate) fn new(source: &'a dyn Source<B>, batches: Option<usize>, same_epoch: bool) -> Self {
        Self { source, batches, same_epoch }
    }

    fn limit(&self) -> usize {
        self.batches.unwrap_or(usize::MAX)
    }
}

impl<B> Source<B> for Limited<'_, B> {
    /// A source does not tell the size of its batches: the items of a part are worked out from their mean.
    fn items(&self) -> usize {
        let (items, batches) = (self.source.items(), self.source.batches());
        if self.batches() == batches { items } else { (items * self.batches()).div_ceil(batches.max(1)) }
    }

    fn batches(&self) -> usize {
        self.source.batches().min(self.limit())
    }

    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, B> {
        let epoch = if self.same_epoch { 0 } else { epoch };
        Box::new(self.source.epoch(epoch, first).take(self.limit().saturating_sub(first)))
    }

    fn pick<'a>(&'a self, epoch: u64, mut batches: Vec<usize>) -> Batches<'a, B>
    where
        B: 'a,
    {
        let epoch = if self.same_epoch { 0 } else { epoch };
        batches.retain(|batch| *batch < self.limit());
        self.source.pick(epoch, batches)
    }

    fn fingerprint(&self) -> String {
        let whole = self.source.fingerprint();
        match self.batches {
            None => whole,
            Some(batches) if self.same_epoch => format!("{whole}, the same {batches} batches in every epoch"),
            Some(batches) => format!("{whole}, the first {batches} batches of each epoch"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Loader;

    #[test]
    fn a_part_is_the_beginning() {
        let loader = Loader::new(50, 10, |indices, _| indices.to_vec()).shuffled(1);
        let of = |source: &dyn Source<Vec<usize>>, epoch, first| -> Vec<Vec<usize>> {
            source.epoch(epoch, first).map(|batch| batch.expect("a batch").input).collect()
        };
        let part = Limited::new(&loader, Some(2), false);
        assert_eq!((part.batches(), part.items()), (2, 20));
        assert_eq!(of(&part, 3, 0), of(&loader, 3, 0)[..2]);
        assert_eq!(of(&part, 3, 1), of(&loader, 3, 0)[1..2], "a resumed part continues inside");
        let same = Limited::new(&loader, Some(2), true);
        assert_eq!(of(&same, 7, 0), of(&loader, 0, 0)[..2]);
        let whole = Limited::new(&loader, None, false);
        assert_eq!(of(&whole, 2, 0), of(&loader, 2, 0));
        assert_eq!(whole.fingerprint(), loader.fingerprint());
        assert_ne!(part.fingerprint(), same.fingerprint());
    }
}
