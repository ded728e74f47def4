//! burn's own data loaders as a [`Source`].

use std::sync::Arc;

use burn::data::dataloader::DataLoader;

use super::{Batch, Batches, Source, SourceError};

/// Any burn [`DataLoader`].
///
/// What it cannot promise: burn's loader with workers delivers in the order of thread timing, and its shuffle starts
/// again from its seed when a process does, so a resumed run sees other batches than an uninterrupted one. Starting at
/// batch `first` reads and drops those before it. For exact resume take [`Loader`](super::Loader).
pub struct BurnSource<B> {
    loader: Arc<dyn DataLoader<B>>,
    batches: usize,
}

impl<B> BurnSource<B> {
    /// Wraps `loader`, which delivers batches of `batch_size` items (burn's loaders do not tell it).
    pub fn new(loader: Arc<dyn DataLoader<B>>, batch_size: usize) -> Self {
        let batches = loader.num_items().div_ceil(batch_size.max(1));
        Self { loader, batches }
    }
}

impl<B> Source<B> for BurnSource<B> {
    fn items(&self) -> usize {
        self.loader.num_items()
    }

    fn batches(&self) -> usize {
        self.batches
    }

    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, B> {
        let mut iterator = self.loader.iter();
        let mut batch = 0;
        let batches = std::iter::from_fn(move || {
            let before = iterator.progress().items_processed;
            let input = iterator.next()?;
            let items = iterator.progress().items_processed.saturating_sub(before);
            let result = input.map(|input| Batch { input, items }).map_err(|error| SourceError {
                epoch,
                batch,
                message: error.to_string(),
            });
            batch += 1;
            Some(result)
        });
        Box::new(batches.skip(first))
    }
}
