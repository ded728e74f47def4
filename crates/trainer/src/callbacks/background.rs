//! A callback on its own thread.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    Callback, CallbackError, CheckpointEvent, EpochEvent, EpochSummary, FitReport, Flow, NonFiniteEvent, OnNonFinite,
    RunInfo, StepEvent, ValidationEvent, threads,
};

/// Events wait at most this long before they are handed over. Waking a thread costs more than telling it a dozen steps.
const HAND_OVER_AFTER: Duration = Duration::from_millis(100);
/// ... and at most this many of them.
const HAND_OVER_AT: usize = 512;
/// Hand-overs that may wait for the thread; then the run waits, so that memory stays bounded.
const WAITING: usize = 8;

/// Runs a callback on its own thread, so that its work costs the training loop microseconds.
///
/// For listeners that write: logs. Events are handed over in bundles, at most a tenth of a second late, over a bounded
/// channel. `on_start`, `on_checkpoint` and `on_end` wait until every earlier event is delivered, so a log on disk is
/// never behind a checkpoint. An error of the listener, or its wish to stop the run, comes back with the first event
/// after it; after an error it gets no further event. A listener with [values](Callback::values) is refused: the
/// model stays on the training thread. Where a run fails, dropping this tells the listener what is left.
pub struct Background<C: Callback + 'static> {
    name: String,
    stage: Stage<C>,
    /// The state at the last `on_checkpoint`.
    state: Option<Value>,
}

enum Stage<C> {
    /// Not started, or ended: nothing is under way.
    Here(C),
    /// On its thread.
    There(Worker<C>),
    /// The thread has ended with a panic.
    Lost,
}

struct Worker<C> {
    thread: JoinHandle<C>,
    outbox: SyncSender<Vec<Message>>,
    bundle: Vec<Message>,
    since: Option<Instant>,
    answers: Arc<Answers>,
}

/// The callback's answers to events that the loop does not wait for.
#[derive(Default)]
struct Answers {
    is_any: AtomicBool,
    error: Mutex<Option<CallbackError>>,
    stop: Mutex<Option<String>>,
}

/// The answer to an `on_checkpoint`, which waits for it.
type Reply = (Result<(), CallbackError>, Option<Value>);

enum Message {
    EpochStart(u64),
    Step(StepEvent),
    Validation { step: u64, epoch: u64, values: BTreeMap<String, f64>, best: bool, seconds: f64 },
    Epoch(EpochSummary, bool),
    NonFinite { step: u64, epoch: u64, loss: f64, parameter: Option<String>, action: OnNonFinite },
    Checkpoint(u64, PathBuf, bool, SyncSender<Reply>),
    State(Value, SyncSender<Reply>),
    End(Box<FitReport>, SyncSender<Reply>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    fn fail(&self, error: CallbackError) {
        lock(&self.error).get_or_insert(error);
        self.is_any.store(true, Ordering::Release);
    }

    fn stop(&self, reason: String) {
        lock(&self.stop).get_or_insert(reason);
        self.is_any.store(true, Ordering::Release);
    }

    fn take(&self) -> Result<Flow, CallbackError> {
        if !self.is_any.load(Ordering::Acquire) {
            return Ok(Flow::Continue);
        }
        match lock(&self.error).take() {
            Some(error) => Err(error),
            None => Ok(lock(&self.stop).take().map_or(Flow::Continue, Flow::Stop)),
        }
    }
}

/// The thread: passes events to the callback, bundle by bundle, until the channel closes, and returns the callback.
fn work<C: Callback>(mut listener: C, inbox: &Receiver<Vec<Message>>, answers: &Answers) -> C {
    let mut is_broken = false;
    for message in inbox.iter().flatten() {
        if let Err(error) = tell(&mut listener, message, answers, is_broken) {
            is_broken = true;
            answers.fail(error);
        }
    }
    listener
}

fn tell<C: Callback>(
    listener: &mut C,
    message: Message,
    answers: &Answers,
    is_broken: bool,
) -> Result<(), CallbackError> {
    // Always answer, in case the loop waits; it may have stopped listening.
    let reply = |to: &SyncSender<Reply>, result, state| drop(to.send((result, state)));
    let flow = match message {
        Message::Checkpoint(_, _, _, to) | Message::End(_, to) | Message::State(_, to) if is_broken => {
            reply(&to, Ok(()), None);
            return Ok(());
        }
        _ if is_broken => return Ok(()),
        Message::EpochStart(epoch) => listener.on_epoch_start(epoch).map(|()| Flow::Continue),
        Message::Step(event) => listener.on_step(&event),
        Message::Validation { step, epoch, values, best, seconds } => {
            listener.on_validation(&ValidationEvent { step, epoch, values: &values, best, seconds })
        }
        Message::Epoch(summary, best) => listener.on_epoch(&EpochEvent { summary: &summary, best }),
        Message::NonFinite { step, epoch, loss, parameter, action } => {
            let parameter = parameter.as_deref();
            let event = NonFiniteEvent { step, epoch, loss, parameter, action };
            listener.on_non_finite(&event).map(|()| Flow::Continue)
        }
        Message::Checkpoint(step, path, in_turn, to) => {
            let result = listener.on_checkpoint(&CheckpointEvent { step, path: &path, in_turn });
            reply(&to, result, listener.state());
            return Ok(());
        }
        Message::State(state, to) => {
            reply(&to, listener.load_state(state), None);
            return Ok(());
        }
        Message::End(report, to) => {
            reply(&to, listener.on_end(&report), listener.state());
            return Ok(());
        }
    };
    if let Flow::Stop(reason) = flow? {
        answers.stop(reason);
    }
    Ok(())
}

impl<C: Callback + 'static> Background<C> {
    /// Nothing starts before the run does.
    pub fn new(listener: C) -> Self {
        Self { name: listener.name().to_owned(), stage: Stage::Here(listener), state: None }
    }

    fn failed(&self, message: impl Into<String>) -> CallbackError {
        CallbackError::new(self.name.clone(), message.into())
    }

    /// Adds an event to the bundle and hands the bundle over where it is time; then says what the listener has answered
    /// in the meantime.
    fn push(&mut self, message: Message) -> Result<Flow, CallbackError> {
        let Stage::There(worker) = &mut self.stage else {
            return Err(self.failed("it has not been started, or its thread is gone"));
        };
        worker.bundle.push(message);
        let since = *worker.since.get_or_insert_with(Instant::now);
        if worker.bundle.len() >= HAND_OVER_AT || since.elapsed() >= HAND_OVER_AFTER {
            self.hand_over()?;
        }
        match &self.stage {
            Stage::There(worker) => worker.answers.take(),
            _ => Ok(Flow::Continue),
        }
    }

    fn hand_over(&mut self) -> Result<(), CallbackError> {
        let Stage::There(worker) = &mut self.stage else { return Ok(()) };
        worker.since = None;
        let bundle = std::mem::take(&mut worker.bundle);
        match worker.outbox.send(bundle) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone()),
        }
    }

    /// Sends all pending events and waits until the callback has had them.
    fn wait_for(&mut self, message: impl FnOnce(SyncSender<Reply>) -> Message) -> Result<(), CallbackError> {
        let Stage::There(worker) = &mut self.stage else { return Ok(()) };
        let (to, from) = sync_channel(1);
        worker.bundle.push(message(to));
        self.hand_over()?;
        let Ok((result, state)) = from.recv() else { return Err(self.gone()) };
        self.state = state;
        if let Stage::There(worker) = &self.stage
            && let Some(earlier) = lock(&worker.answers.error).take()
        {
            return Err(earlier);
        }
        result
    }

    /// Ends the thread and takes the listener back from it.
    fn join(&mut self) -> Result<(), CallbackError> {
        match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::There(worker) => {
                drop(worker.outbox);
                match worker.thread.join() {
                    Ok(listener) => self.stage = Stage::Here(listener),
                    Err(panic) => {
                        return Err(
                            self.failed(format!("its thread panicked: {}", threads::panic_message(panic.as_ref())))
                        );
                    }
                }
            }
            other => self.stage = other,
        }
        Ok(())
    }

    /// The thread does not take or answer anything any more: why.
    fn gone(&mut self) -> CallbackError {
        self.join().err().unwrap_or_else(|| self.failed("its thread has ended"))
    }
}

impl<C: Callback + 'static> Callback for Background<C> {
    fn name(&self) -> &str {
        &self.name
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        self.join()?;
        if let Stage::Here(listener) = &self.stage
            && let Some(value) = listener.values().first()
        {
            return Err(self.failed(format!("it gives `{value}` of the model, which another thread does not see")));
        }
        let Stage::Here(mut listener) = std::mem::replace(&mut self.stage, Stage::Lost) else {
            return Err(self.failed("its thread has ended with a panic"));
        };
        let started = listener.on_start(run);
        if let Err(error) = started {
            self.stage = Stage::Here(listener);
            return Err(error);
        }
        let (outbox, inbox) = sync_channel(WAITING);
        let answers = Arc::new(Answers::default());
        let theirs = Arc::clone(&answers);
        let thread = std::thread::Builder::new()
            .name("anneal-log".to_owned())
            .spawn(move || work(listener, &inbox, &theirs))
            .map_err(|error| self.failed(format!("the system gives no thread for it: {error}")))?;
        self.stage = Stage::There(Worker { thread, outbox, bundle: Vec::new(), since: None, answers });
        Ok(())
    }

    fn on_epoch_start(&mut self, epoch: u64) -> Result<(), CallbackError> {
        self.push(Message::EpochStart(epoch)).map(|_| ())
    }

    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.push(Message::Step(event.clone()))
    }

    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        let ValidationEvent { step, epoch, values, best, seconds } = *event;
        self.push(Message::Validation { step, epoch, values: values.clone(), best, seconds })
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.push(Message::Epoch(event.summary.clone(), event.best))
    }

    fn on_checkpoint(&mut self, event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        self.wait_for(|to| Message::Checkpoint(event.step, event.path.to_owned(), event.in_turn, to))
    }

    fn on_non_finite(&mut self, event: &NonFiniteEvent<'_>) -> Result<(), CallbackError> {
        let NonFiniteEvent { step, epoch, loss, parameter, action } = *event;
        self.push(Message::NonFinite { step, epoch, loss, parameter: parameter.map(str::to_owned), action }).map(|_| ())
    }

    fn on_end(&mut self, report: &FitReport) -> Result<(), CallbackError> {
        let told = self.wait_for(|to| Message::End(Box::new(report.clone()), to));
        let joined = self.join();
        told.and(joined)
    }

    fn state(&self) -> Option<Value> {
        match &self.stage {
            Stage::Here(listener) => listener.state(),
            _ => self.state.clone(),
        }
    }

    fn load_state(&mut self, state: Value) -> Result<(), CallbackError> {
        match &mut self.stage {
            Stage::Here(listener) => listener.load_state(state),
            _ => self.wait_for(|to| Message::State(state, to)),
        }
    }
}

impl<C: Callback + 'static> Drop for Background<C> {
    fn drop(&mut self) {
        // A run that failed: its error is the one that counts, and the log holds what came before it.
        let _ = self.hand_over();
        let _ = self.join();
    }
}
