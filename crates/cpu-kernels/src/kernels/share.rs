//! Work on several threads, the caller's own among them.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::{self, Thread};

/// Calls `work` with every item, on this thread and, where `worth`, on helpers, in no order that is known. With the
/// helpers there are as many threads as rayon has here.
///
/// The threads are not rayon's: its loops put the caller to sleep and wake two or more of the pool's, which takes tens of
/// microseconds for each operation, and those that find no work take turns with those that do. A helper waits awake for
/// the next operation for a while, and sleeps then. Where the helpers work for another thread, this one works alone.
pub(crate) fn share<T: Send>(items: impl Iterator<Item = T> + Send, worth: bool, work: impl Fn(T) + Sync) {
    let wanted = if worth { rayon::current_num_threads().saturating_sub(1) } else { 0 };
    let wanted = wanted.min(items.size_hint().1.unwrap_or(usize::MAX).saturating_sub(1));
    if wanted == 0 {
        return items.for_each(work);
    }
    let items = Mutex::new(items);
    together(wanted, &|| {
        loop {
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            match next {
                Some(item) => work(item),
                None => return,
            }
        }
    });
}

/// Does `job` on this thread and on so many helpers, where they are free.
fn together(wanted: usize, job: &(dyn Fn() + Sync)) {
    let mut crew = match CREW.try_lock() {
        Ok(crew) => crew,
        Err(TryLockError::Poisoned(crew)) => crew.into_inner(),
        Err(TryLockError::WouldBlock) => return job(),
    };
    while crew.len() < wanted
        && let Some(helper) = Helper::new()
    {
        crew.push(helper);
    }
    let helpers = Helpers::begin(crew.get(..wanted).unwrap_or(&crew), job);
    job();
    drop(helpers);
    let mut panicked: Vec<_> = crew.iter().filter_map(Helper::panicked).collect();
    drop(crew);
    if let Some(payload) = panicked.pop() {
        resume_unwind(payload);
    }
}

/// Those who help; locked by whom they help.
static CREW: Mutex<Vec<Helper>> = Mutex::new(Vec::new());

/// A thread that helps.
struct Helper {
    desk: Arc<Desk>,
    thread: Thread,
}

/// Where a helper finds its work.
struct Desk {
    state: AtomicU8,
    /// Written by the caller in the state `IDLE`, read by the helper in `BUSY`.
    job: UnsafeCell<Option<Job>>,
    /// What a job panicked with.
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

/// It lives until its helpers are done: see [`Helpers`].
type Job = &'static (dyn Fn() + Sync);

/// There is nothing to do; the job is there, and may be taken back; the helper is at it.
const IDLE: u8 = 0;
const GIVEN: u8 = 1;
const BUSY: u8 = 2;

// SAFETY: `state` says who may touch `job`, which may be called by several threads.
unsafe impl Sync for Desk {}

/// How often a thread looks before it lets others have the processor, and how often more before it sleeps: a tenth of a
/// millisecond or two, which is longer than what a network does between two of these operations.
const LOOKS: usize = if cfg!(miri) { 8 } else { 8_000 };
const YIELDS: usize = 50;

impl Helper {
    fn new() -> Option<Self> {
        let desk =
            Arc::new(Desk { state: AtomicU8::new(IDLE), job: UnsafeCell::new(None), panicked: Mutex::new(None) });
        let its_desk = Arc::clone(&desk);
        let thread = thread::Builder::new().name("cpu-kernels".to_owned()).spawn(move || its_desk.serve()).ok()?;
        Some(Self { desk, thread: thread.thread().clone() })
    }
}

impl Helper {
    /// What its last job panicked with, once.
    fn panicked(&self) -> Option<Box<dyn Any + Send>> {
        self.desk.panicked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Desk {
    fn serve(&self) {
        let mut looks = 0;
        loop {
            if self.state.compare_exchange(GIVEN, BUSY, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                looks += 1;
                match looks {
                    ..=LOOKS => std::hint::spin_loop(),
                    _ if looks <= LOOKS + YIELDS => thread::yield_now(),
                    _ => thread::park(),
                }
                continue;
            }
            looks = 0;
            // SAFETY: in this state the job is the helper's to read.
            let job = unsafe { *self.job.get() };
            let done = catch_unwind(AssertUnwindSafe(|| {
                if let Some(job) = job {
                    job();
                }
            }));
            if let (Err(payload), Ok(mut panicked)) = (done, self.panicked.lock()) {
                *panicked = Some(payload);
            }
            self.state.store(IDLE, Ordering::Release);
        }
    }
}

/// Helpers at work; when it is dropped they are done, also where the caller panics.
struct Helpers<'a>(&'a [Helper]);

impl<'a> Helpers<'a> {
    fn begin(helpers: &'a [Helper], job: &'a (dyn Fn() + Sync + 'a)) -> Self {
        let begun = Self(helpers);
        // SAFETY: only the lifetime changes; nobody calls it beyond this value, which lives no longer than the job.
        let job = unsafe { std::mem::transmute::<&'a (dyn Fn() + Sync + 'a), Job>(job) };
        for helper in helpers {
            // Of a job before this one whose caller panicked too.
            drop(helper.panicked());
            let Helper { desk, thread } = helper;
            // SAFETY: the state is `IDLE`: the last caller has waited for it, and `CREW` is locked.
            unsafe { *desk.job.get() = Some(job) };
            desk.state.store(GIVEN, Ordering::Release);
            thread.unpark();
        }
        begun
    }
}

impl Drop for Helpers<'_> {
    fn drop(&mut self) {
        for Helper { desk, .. } in self.0 {
            // Who has not woken yet need not.
            if desk.state.compare_exchange(GIVEN, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                continue;
            }
            let mut looks = 0;
            while desk.state.load(Ordering::Acquire) != IDLE {
                looks += 1;
                if looks < LOOKS { std::hint::spin_loop() } else { thread::yield_now() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use super::*;

    /// Every thread that takes part panics; the next call has nothing of it.
    #[test]
    fn panics_reach_their_own_caller_alone() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
        pool.install(|| {
            for _ in 0..3 {
                let here = AtomicUsize::new(0);
                let failed = catch_unwind(AssertUnwindSafe(|| {
                    share(0..3, true, |item| {
                        here.fetch_add(1, Ordering::Relaxed);
                        // Until the others are here too; not for good, for they may help another test.
                        let began = Instant::now();
                        while here.load(Ordering::Relaxed) < 3 && began.elapsed().as_millis() < 500 {
                            thread::yield_now();
                        }
                        assert!(item > 3, "item {item}");
                    });
                }));
                assert!(failed.is_err());
                let sum = AtomicUsize::new(0);
                share(0..100, true, |item| {
                    sum.fetch_add(item, Ordering::Relaxed);
                });
                assert_eq!(sum.into_inner(), 4_950);
            }
        });
    }
}
