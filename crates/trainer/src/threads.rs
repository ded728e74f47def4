//! Threads: their priority, and the message of a panic that ended one.

use std::any::Any;

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

/// Lowers the priority of this thread below the training's, so that checksums and writes use the processor when training
/// leaves it idle instead of delaying the next steps.
#[cfg(target_os = "linux")]
pub(crate) fn yield_to_training() {
    /// A tenth of the share of a thread of ordinary priority: enough to finish on a machine that is never idle.
    const STEPS: libc::c_int = 10;
    // SAFETY: the calls read and set a number of the calling thread (0), and touch no memory of ours. On Linux that
    // number is each thread's own.
    unsafe {
        let now = libc::getpriority(libc::PRIO_PROCESS, 0);
        // A failure leaves the priority as it is.
        let _ = libc::setpriority(libc::PRIO_PROCESS, 0, now.saturating_add(STEPS));
    }
}

/// Elsewhere a priority belongs to the process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn yield_to_training() {}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    /// The nice value of the thread that asks.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread has one");
        // The name, in parentheses, may hold anything; of what follows it, nice is the 17th.
        let (_, after) = stat.rsplit_once(')').expect("a name");
        after.split_whitespace().nth(16).expect("a nice value").parse().expect("a number")
    }

    #[test]
    fn the_thread_alone_gets_another_priority() {
        let before = niceness();
        let writer = std::thread::spawn(|| {
            yield_to_training();
            niceness()
        });
        assert_eq!(writer.join().expect("no panic"), (before + 10).min(19));
        assert_eq!(niceness(), before);
    }
}
