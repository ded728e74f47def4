//! Where batches come from: the [`Source`] trait, our own [`Loader`], an adapter for burn's loaders, and the order of
//! the items.

mod burn_loader;
mod limited;
mod loader;
mod order;

pub use burn_loader::BurnSource;
pub(crate) use limited::Limited;
pub use loader::Loader;
pub use order::{ItemWeightsError, Order, Weights, split};

/// One batch and how many items it holds; the count weighs it in means over an epoch.
#[derive(Debug, Clone)]
pub struct Batch<B> {
    /// What the model's step takes.
    pub input: B,
    /// The number of items in it.
    pub items: usize,
}

/// A batch could not be produced.
#[derive(Debug, thiserror::Error)]
#[error("batch {} of epoch {} could not be produced: {message}", batch + 1, epoch + 1)]
pub struct SourceError {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Batch within the epoch, from 0.
    pub batch: usize,
    /// What the source said.
    pub message: String,
}

impl SourceError {
    /// The error of an epoch for which the system gives no thread, as the batches of that epoch.
    fn no_thread<B: 'static>(epoch: u64, error: &std::io::Error) -> Batches<'static, B> {
        let message = format!("the system gives no thread to assemble it on ({error})");
        Box::new(std::iter::once(Err(Self { epoch, batch: 0, message })))
    }
}

/// The batches of one epoch, in order.
pub type Batches<'a, B> = Box<dyn Iterator<Item = Result<Batch<B>, SourceError>> + 'a>;

/// A supply of batches, epoch by epoch.
///
/// A source that keeps the trainer's promise of exact resume delivers, for a given `epoch`, the same batches in the
/// same order every time, and starts at batch `first` without producing those before it. [`Loader`] does.
pub trait Source<B> {
    /// Items in an epoch.
    fn items(&self) -> usize;

    /// Batches in an epoch.
    fn batches(&self) -> usize;

    /// The batches of epoch `epoch`, from batch `first` on.
    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, B>;

    /// Of epoch `epoch` the batches of these numbers, which rise: the share of one of several processes. By default the others
    /// are produced too, and dropped.
    fn pick<'a>(&'a self, epoch: u64, batches: Vec<usize>) -> Batches<'a, B>
    where
        B: 'a,
    {
        let Some(first) = batches.first().copied() else { return Box::new(std::iter::empty()) };
        let mut all = self.epoch(epoch, first).zip(first..);
        let mut wanted = batches.into_iter();
        Box::new(std::iter::from_fn(move || {
            let wanted = wanted.next()?;
            all.find(|(batch, number)| *number == wanted || batch.is_err()).map(|(batch, _)| batch)
        }))
    }

    /// What identifies the data and its order, so that a resume on something else is refused: number of items, batch
    /// size, seed, a checksum of the content where there is one.
    fn fingerprint(&self) -> String {
        format!("{} items in {} batches", self.items(), self.batches())
    }
}
