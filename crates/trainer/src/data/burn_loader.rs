//! burn's own data loaders as a [`Source`].

use std::sync::{Arc, mpsc::sync_channel};

use burn::data::dataloader::{DataLoader, DataLoaderIterator};

use super::{Batch, Batches, Source, SourceError};

/// Batches that may be ready before they are asked for.
const READY: usize = 2;

/// What gives the loader of an epoch.
type OfEpoch<B> = dyn Fn(u64) -> Arc<dyn DataLoader<B>> + Send + Sync;

/// Any burn [`DataLoader`].
///
/// What a single loader ([`new`](Self::new)) cannot promise: its shuffle continues from wherever it is, so a resumed
/// run sees other batches than an uninterrupted one, and a learning-rate finder before a run moves the run's order.
/// [`by_epoch`](Self::by_epoch) makes the order a function of the epoch. In both, burn's loader with workers delivers in
/// the order of thread timing, and starting at batch `first` reads and drops those before it; for exact resume at no
/// cost take [`Loader`](super::Loader).
pub struct BurnSource<B> {
    loaders: Loaders<B>,
    items: usize,
    batches: usize,
}

enum Loaders<B> {
    One(Arc<dyn DataLoader<B>>),
    ByEpoch(Box<OfEpoch<B>>),
}

impl<B: Send + 'static> BurnSource<B> {
    /// Wraps `loader`, which delivers batches of `batch_size` items (burn's loaders do not tell it).
    pub fn new(loader: Arc<dyn DataLoader<B>>, batch_size: usize) -> Self {
        let items = loader.num_items();
        Self { loaders: Loaders::One(loader), items, batches: items.div_ceil(batch_size.max(1)) }
    }

    /// A fresh loader for each epoch: `loader(epoch)` builds it, its shuffle seeded with a function of the epoch
    /// (`.shuffle(seed + epoch)`), so that the order is one too.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use burn::data::{dataloader::{DataLoaderBuilder, batcher::Batcher}, dataset::InMemDataset};
    /// use burn::tensor::Device;
    /// use trainer::data::{BurnSource, Source};
    ///
    /// #[derive(Clone)]
    /// struct Numbers;
    /// impl Batcher<u32, Vec<u32>> for Numbers {
    ///     fn batch(&self, items: Vec<u32>, _device: &Device) -> Vec<u32> { items }
    /// }
    /// let source = BurnSource::by_epoch(
    ///     |epoch| DataLoaderBuilder::new(Numbers).batch_size(4).shuffle(7 + epoch).build(InMemDataset::new((0..10).collect())),
    ///     4,
    /// );
    /// let order = |epoch| source.epoch(epoch, 0).flat_map(|batch| batch.unwrap().input).collect::<Vec<_>>();
    /// assert_eq!(order(3), order(3));
    /// assert_ne!(order(3), order(4));
    /// ```
    pub fn by_epoch(loader: impl Fn(u64) -> Arc<dyn DataLoader<B>> + Send + Sync + 'static, batch_size: usize) -> Self {
        let items = loader(0).num_items();
        Self { loaders: Loaders::ByEpoch(Box::new(loader)), items, batches: items.div_ceil(batch_size.max(1)) }
    }
}

/// The batches of one pass over a loader.
fn pass<B>(
    mut iterator: Box<dyn DataLoaderIterator<B> + '_>,
    epoch: u64,
) -> impl Iterator<Item = Result<Batch<B>, SourceError>> {
    let mut batch = 0;
    std::iter::from_fn(move || {
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
    })
}

impl<B: Send + 'static> Source<B> for BurnSource<B> {
    fn items(&self) -> usize {
        self.items
    }

    fn batches(&self) -> usize {
        self.batches
    }

    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, B> {
        match &self.loaders {
            Loaders::One(loader) => Box::new(pass(loader.iter(), epoch).skip(first)),
            // burn's iterators borrow their loader; this one lives on its own thread for one epoch.
            Loaders::ByEpoch(of_epoch) => {
                let loader = of_epoch(epoch);
                let (ready, receiver) = sync_channel(READY);
                let spawned = std::thread::Builder::new().spawn(move || {
                    for batch in pass(loader.iter(), epoch).skip(first) {
                        // The receiver is gone once the epoch has been left early.
                        if ready.send(batch).is_err() {
                            break;
                        }
                    }
                });
                match spawned {
                    Ok(_) => Box::new(receiver.into_iter()),
                    Err(error) => SourceError::no_thread(epoch, &error),
                }
            }
        }
    }
}
