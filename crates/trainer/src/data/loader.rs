//! The loader: order by (seed, epoch), batches assembled ahead on threads and delivered in order.

use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
};

use super::{Batch, Batches, ItemWeightsError, Order, Source, SourceError, Weights};

/// What turns the indices of one batch, in epoch `epoch`, into the model's input, or says why it cannot.
type Assemble<B> = dyn Fn(&[usize], u64) -> Result<B, String> + Send + Sync;

/// Batches each worker may have ready before the trainer asks for them.
const READY: usize = 2;

/// A loader over `items` indexed items.
///
/// The batches are a function of (order, epoch): worker `w` of `n` assembles batches `w`, `w + n`, `w + 2n`, ... and the
/// trainer takes them in turn, so the timing of threads changes nothing. Starting at batch `first` assembles none of
/// those before it.
pub struct Loader<B> {
    items: usize,
    batch_size: usize,
    order: Order,
    drops_last: bool,
    workers: usize,
    content: String,
    assemble: Arc<Assemble<B>>,
}

impl<B: Send + 'static> Loader<B> {
    /// A sequential loader without workers; `assemble(indices, epoch)` makes one batch. A batch size of 0 is taken as 1.
    pub fn new(items: usize, batch_size: usize, assemble: impl Fn(&[usize], u64) -> B + Send + Sync + 'static) -> Self {
        Self::try_new(items, batch_size, move |indices, epoch| Ok::<_, Infallible>(assemble(indices, epoch)))
    }

    /// The same, of batches that cannot always be made: of files, say. An error ends the run with its text.
    pub fn try_new<E: fmt::Display>(
        items: usize,
        batch_size: usize,
        assemble: impl Fn(&[usize], u64) -> Result<B, E> + Send + Sync + 'static,
    ) -> Self {
        let assemble = move |indices: &[usize], epoch| assemble(indices, epoch).map_err(|error| error.to_string());
        Self {
            items,
            batch_size: batch_size.max(1),
            order: Order::Sequential,
            drops_last: false,
            workers: 0,
            content: String::new(),
            assemble: Arc::new(assemble),
        }
    }

    /// Shuffles each epoch differently, by `seed`.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.order = Order::Shuffled { seed };
        self
    }

    /// Draws each epoch's items by these weights, one per item, with replacement: [`Order::Weighted`]. An epoch is as long as
    /// before. To draw each class alike, weigh each item by one over the size of its class.
    ///
    /// # Errors
    /// Another number of weights than of items; what [`Weights::new`] refuses.
    pub fn weighted(mut self, seed: u64, weights: &[f64]) -> Result<Self, ItemWeightsError> {
        if weights.len() != self.items {
            return Err(ItemWeightsError::Count { items: self.items, weights: weights.len() });
        }
        self.order = Order::Weighted { seed, weights: Weights::new(weights)? };
        Ok(self)
    }

    /// Leaves out the last batch of an epoch where it would be smaller than the others.
    #[must_use]
    pub fn drop_last(mut self) -> Self {
        self.drops_last = true;
        self
    }

    /// Assembles batches ahead on this many threads; 0 (the default) assembles each when it is asked for.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// A checksum or name of the content, which goes into the [fingerprint](Source::fingerprint).
    #[must_use]
    pub fn content(mut self, content: impl Into<String>) -> Self {
        self.content = content.into();
        self
    }

    /// Batches with their numbers.
    fn assemble_ahead(&self, batches: Vec<(usize, Vec<usize>)>, epoch: u64) -> Batches<'static, B> {
        let batches = Arc::new(batches);
        // More workers than batches would have nothing to do.
        let workers = self.workers.min(batches.len().max(1));
        let ahead: std::io::Result<Vec<Receiver<_>>> = (0..workers)
            .map(|worker| {
                let (ready, receiver) = sync_channel(READY);
                let (batches, assemble) = (Arc::clone(&batches), Arc::clone(&self.assemble));
                let spawned = std::thread::Builder::new().spawn(move || {
                    for (_, indices) in batches.iter().skip(worker).step_by(workers) {
                        let batch = assemble(indices, epoch).map(|input| Batch { input, items: indices.len() });
                        // The receiver is gone once the epoch has been left early.
                        if ready.send(batch).is_err() {
                            break;
                        }
                    }
                });
                spawned.map(|_| receiver)
            })
            .collect();
        let ahead = match ahead {
            Ok(ahead) => ahead,
            Err(error) => return SourceError::no_thread(epoch, &error),
        };
        Box::new((0..batches.len()).map(move |at| {
            // A worker hangs up before its last batch only when assembling panicked.
            let panicked = || Err("the worker that assembles it has panicked".to_owned());
            let made = ahead[at % ahead.len()].recv().unwrap_or_else(|_| panicked());
            made.map_err(|message| SourceError { epoch, batch: batches[at].0, message })
        }))
    }
}

impl<B: Send + 'static> Source<B> for Loader<B> {
    fn items(&self) -> usize {
        if self.drops_last { self.batches() * self.batch_size } else { self.items }
    }

    fn batches(&self) -> usize {
        if self.drops_last { self.items / self.batch_size } else { self.items.div_ceil(self.batch_size) }
    }

    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, B> {
        self.pick(epoch, (first..self.batches()).collect())
    }

    fn pick<'a>(&'a self, epoch: u64, batches: Vec<usize>) -> Batches<'a, B>
    where
        B: 'a,
    {
        let order = self.order.indices(self.items, epoch);
        let of_batch = |batch: usize| order.chunks(self.batch_size).nth(batch).map(|items| (batch, items.to_vec()));
        let batches = batches.into_iter().filter(|batch| *batch < self.batches());
        let batches: Vec<(usize, Vec<usize>)> = batches.filter_map(of_batch).collect();
        if self.workers > 0 {
            return self.assemble_ahead(batches, epoch);
        }
        Box::new(batches.into_iter().map(move |(batch, indices)| {
            let made = (self.assemble)(&indices, epoch);
            made.map(|input| Batch { input, items: indices.len() }).map_err(|message| SourceError {
                epoch,
                batch,
                message,
            })
        }))
    }

    fn fingerprint(&self) -> String {
        let last = if self.drops_last { ", the last partial batch left out" } else { "" };
        format!(
            "{} items, batch size {}{last}, {:?}, content {}",
            self.items, self.batch_size, self.order, self.content
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(loader: &Loader<Vec<usize>>, epoch: u64, first: usize) -> Vec<Vec<usize>> {
        loader.epoch(epoch, first).map(|batch| batch.expect("a batch").input).collect()
    }

    fn loader() -> Loader<Vec<usize>> {
        Loader::new(103, 10, |indices, _| indices.to_vec()).shuffled(9)
    }

    #[test]
    fn workers_change_nothing() {
        let alone = all(&loader(), 2, 0);
        assert_eq!(alone.len(), 11);
        assert_eq!(alone[10].len(), 3, "the last batch is partial");
        // More than there are batches is as many as there are.
        for workers in (1..5).chain([usize::MAX]) {
            assert_eq!(all(&loader().workers(workers), 2, 0), alone, "{workers} workers");
        }
    }

    #[test]
    fn starting_late_is_the_tail_of_starting_early() {
        for workers in [0, 1, 3] {
            let loader = loader().workers(workers);
            assert_eq!(all(&loader, 5, 4), all(&loader, 5, 0)[4..], "{workers} workers");
            assert!(all(&loader, 5, 11).is_empty());
        }
    }

    #[test]
    fn what_is_picked_is_what_it_is_in_the_epoch() {
        /// A source that has nothing but the default.
        struct Plain(Loader<Vec<usize>>);
        impl Source<Vec<usize>> for Plain {
            fn items(&self) -> usize {
                self.0.items()
            }
            fn batches(&self) -> usize {
                self.0.batches()
            }
            fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, Vec<usize>> {
                self.0.epoch(epoch, first)
            }
        }
        let picked = |source: &dyn Source<Vec<usize>>, batches: &[usize]| -> Vec<Vec<usize>> {
            source.pick(5, batches.to_vec()).map(|batch| batch.expect("a batch").input).collect()
        };
        let all = all(&loader(), 5, 0);
        for batches in [&[][..], &[0], &[2, 3, 7, 10], &[10], &[4, 11, 12]] {
            let expected: Vec<_> = batches.iter().filter_map(|batch| all.get(*batch).cloned()).collect();
            for workers in [0, 2] {
                assert_eq!(picked(&loader().workers(workers), batches), expected, "{batches:?}");
            }
            assert_eq!(picked(&Plain(loader()), batches), expected, "{batches:?}");
        }
    }

    #[test]
    fn a_partial_batch_may_be_left_out() {
        for (items, batches) in [(103, 10), (100, 10), (9, 0), (0, 0)] {
            let whole = Loader::new(items, 10, |indices, _| indices.to_vec()).shuffled(9);
            let cut = Loader::new(items, 10, |indices, _| indices.to_vec()).shuffled(9).drop_last();
            assert_eq!((cut.batches(), cut.items()), (batches, batches * 10), "{items} items");
            assert_eq!(all(&cut, 3, 0), all(&whole, 3, 0)[..batches], "{items} items");
            assert_eq!(all(&cut.workers(2), 3, batches.min(4)), all(&whole, 3, 0)[batches.min(4)..batches]);
            assert_ne!(whole.fingerprint(), Loader::new(items, 10, |_, _| ()).shuffled(9).drop_last().fingerprint());
        }
    }

    #[test]
    fn drawn_batches_resume_and_are_told_apart() {
        let drawn = |weights: &[f64]| loader().weighted(4, weights).expect("weights");
        let rising: Vec<f64> = (0..103).map(f64::from).collect();
        for workers in [0, 2] {
            let loader = drawn(&rising).workers(workers);
            assert_eq!(all(&loader, 5, 4), all(&loader, 5, 0)[4..]);
            assert_eq!(all(&loader, 5, 0), all(&drawn(&rising), 5, 0));
            assert_eq!((loader.batches(), loader.items()), (11, 103));
        }
        assert_eq!(drawn(&rising).fingerprint(), drawn(&rising).fingerprint());
        assert_ne!(drawn(&rising).fingerprint(), drawn(&[1.0; 103]).fingerprint());
        let refused = loader().weighted(4, &[1.0]).err().map(|error| error.to_string());
        assert_eq!(refused.as_deref(), Some("there are 103 items and 1 weights; each item needs one"));
    }

    #[test]
    fn a_batch_that_cannot_be_made_is_an_error_with_its_place() {
        for workers in [0, 1, 3] {
            let loader = Loader::try_new(8, 2, |indices, epoch| {
                if indices.contains(&5) { Err(format!("no item 5 in epoch {epoch}")) } else { Ok(indices.to_vec()) }
            });
            let loader = loader.workers(workers);
            let results: Vec<_> = loader.epoch(4, 1).map(|batch| batch.map(|batch| batch.input)).collect();
            assert_eq!(results.len(), 3, "{workers} workers");
            let error = results[1].as_ref().expect_err("the batch of 4 and 5").to_string();
            assert_eq!(error, "batch 3 of epoch 5 could not be produced: no item 5 in epoch 4");
            assert_eq!((results[0].as_ref().ok(), results[2].as_ref().ok()), (Some(&vec![2, 3]), Some(&vec![6, 7])));
        }
    }

    #[test]
    fn a_panic_in_a_worker_is_an_error_of_its_batch() {
        let loader = Loader::new(4, 1, |indices, _| assert!(indices[0] != 2, "on purpose")).workers(1);
        let results: Vec<bool> = loader.epoch(0, 0).map(|batch| batch.is_ok()).collect();
        assert_eq!(results, [true, true, false, false]);
    }
}
