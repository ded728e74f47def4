//! The loader: order by (seed, epoch), batches assembled ahead on threads and delivered in order.

use std::sync::{
    Arc,
    mpsc::{Receiver, sync_channel},
};

use super::{Batch, Batches, Order, Source, SourceError};

/// What turns the indices of one batch, in epoch `epoch`, into the model's input.
type Assemble<B> = dyn Fn(&[usize], u64) -> B + Send + Sync;

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
    workers: usize,
    content: String,
    assemble: Arc<Assemble<B>>,
}

impl<B: Send + 'static> Loader<B> {
    /// A sequential loader without workers; `assemble(indices, epoch)` makes one batch. A batch size of 0 is taken as 1.
    pub fn new(items: usize, batch_size: usize, assemble: impl Fn(&[usize], u64) -> B + Send + Sync + 'static) -> Self {
        Self {
            items,
            batch_size: batch_size.max(1),
            order: Order::Sequential,
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

    fn assemble_ahead(&self, batches: Vec<Vec<usize>>, epoch: u64) -> Batches<'static, B> {
        let batches = Arc::new(batches);
        let ahead: Vec<Receiver<Batch<B>>> = (0..self.workers)
            .map(|worker| {
                let (ready, receiver) = sync_channel(READY);
                let (batches, assemble, workers) = (Arc::clone(&batches), Arc::clone(&self.assemble), self.workers);
                std::thread::spawn(move || {
                    for indices in batches.iter().skip(worker).step_by(workers) {
                        let batch = Batch { input: assemble(indices, epoch), items: indices.len() };
                        // The receiver is gone once the epoch has been left early.
                        if ready.send(batch).is_err() {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        let count = batches.len();
        Box::new((0..count).map(move |batch| {
            // A worker hangs up before its last batch only when assembling panicked.
            ahead[batch % ahead.len()].recv().map_err(|_| SourceError {
                epoch,
                batch,
                message: "the worker that assembles it has panicked".to_owned(),
            })
        }))
    }
}

impl<B: Send + 'static> Source<B> for Loader<B> {
    fn items(&self) -> usize {
        self.items
    }

    fn batches(&self) -> usize {
        self.items.div_ceil(self.batch_size)
    }

    fn epoch(&self, epoch: u64, first: usize) -> Batches<'_, B> {
        let order = self.order.indices(self.items, epoch);
        let batches: Vec<Vec<usize>> = order.chunks(self.batch_size).skip(first).map(<[usize]>::to_vec).collect();
        if self.workers > 0 {
            return self.assemble_ahead(batches, epoch);
        }
        Box::new(
            batches
                .into_iter()
                .map(move |indices| Ok(Batch { input: (self.assemble)(&indices, epoch), items: indices.len() })),
        )
    }

    fn fingerprint(&self) -> String {
        format!("{} items, batch size {}, {:?}, content {}", self.items, self.batch_size, self.order, self.content)
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
        for workers in 1..5 {
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
    fn a_panic_in_a_worker_is_an_error_of_its_batch() {
        let loader = Loader::new(4, 1, |indices, _| assert!(indices[0] != 2, "on purpose")).workers(1);
        let results: Vec<bool> = loader.epoch(0, 0).map(|batch| batch.is_ok()).collect();
        assert_eq!(results, [true, true, false, false]);
    }
}
