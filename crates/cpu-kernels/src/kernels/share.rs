//! Work on all threads of the pool, the caller's own among them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often a thread that has finished looks whether the others have, before it sleeps: some tens of microseconds. To
/// be woken takes longer than most operations' last piece.
const LOOKS: usize = 2000;

/// Calls `work` with every item, on this thread and, where `worth`, on those of the pool, in no order that is known.
///
/// rayon's own loops would put this thread to sleep and wake two of the pool's: tens of microseconds for each operation.
pub(crate) fn share<T: Send>(items: impl Iterator<Item = T> + Send, worth: bool, work: impl Fn(T) + Sync) {
    let helpers = if worth { rayon::current_num_threads().saturating_sub(1) } else { 0 };
    if helpers == 0 {
        return items.for_each(work);
    }
    let items = Mutex::new(items);
    let finished = AtomicUsize::new(0);
    let take_turns = || {
        loop {
            // Who panics with an item in hand leaves the others as they were.
            let next = items.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
            match next {
                Some(item) => work(item),
                None => return,
            }
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| {
                take_turns();
                finished.fetch_add(1, Ordering::Release);
            });
        }
        take_turns();
        for _ in 0..LOOKS {
            if finished.load(Ordering::Acquire) == helpers {
                return;
            }
            std::hint::spin_loop();
        }
    });
}
