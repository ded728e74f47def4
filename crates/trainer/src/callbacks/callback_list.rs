//! Several listeners as one: for [`Background`](super::Background), which gives them one thread.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Callback, CallbackError, CheckpointEvent, EpochEvent, FitReport, Flow, ModelEvent, NonFiniteEvent, RunInfo,
    StepEvent, ValidationEvent,
};

/// Several listeners as one. Each gets every event, in the order they were added, also where one before it failed;
/// the first error is the answer.
pub struct CallbackList {
    name: String,
    members: Vec<Box<dyn Callback>>,
}

impl CallbackList {
    /// No listener yet, under this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), members: Vec::new() }
    }

    /// Adds a listener.
    #[must_use]
    pub fn with(mut self, member: impl Callback + 'static) -> Self {
        self.members.push(Box::new(member));
        self
    }

    fn tell<T>(
        &mut self,
        initial: T,
        tell: impl Fn(&mut dyn Callback) -> Result<T, CallbackError>,
        join: impl Fn(T, T) -> T,
    ) -> Result<T, CallbackError> {
        let mut sum = Ok(initial);
        for member in &mut self.members {
            sum = match (sum, tell(member.as_mut())) {
                (Ok(sum), Ok(one)) => Ok(join(sum, one)),
                (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            };
        }
        sum
    }

    fn ask(&mut self, tell: impl Fn(&mut dyn Callback) -> Result<Flow, CallbackError>) -> Result<Flow, CallbackError> {
        self.tell(Flow::Continue, tell, |sum, one| if sum == Flow::Continue { one } else { sum })
    }

    fn all(&mut self, tell: impl Fn(&mut dyn Callback) -> Result<(), CallbackError>) -> Result<(), CallbackError> {
        self.tell((), tell, |(), ()| ())
    }
}

impl Callback for CallbackList {
    fn name(&self) -> &str {
        &self.name
    }

    fn on_start(&mut self, run: &RunInfo) -> Result<(), CallbackError> {
        self.all(|member| member.on_start(run))
    }

    fn on_epoch_start(&mut self, epoch: u64) -> Result<(), CallbackError> {
        self.all(|member| member.on_epoch_start(epoch))
    }

    fn values(&self) -> Vec<String> {
        self.members.iter().flat_map(|member| member.values()).collect()
    }

    fn on_model(&mut self, event: &ModelEvent<'_>) -> Result<BTreeMap<String, f64>, CallbackError> {
        self.tell(
            BTreeMap::new(),
            |member| member.on_model(event),
            |mut sum, one| {
                sum.extend(one);
                sum
            },
        )
    }

    fn on_step(&mut self, event: &StepEvent) -> Result<Flow, CallbackError> {
        self.ask(|member| member.on_step(event))
    }

    fn on_validation(&mut self, event: &ValidationEvent<'_>) -> Result<Flow, CallbackError> {
        self.ask(|member| member.on_validation(event))
    }

    fn on_epoch(&mut self, event: &EpochEvent<'_>) -> Result<Flow, CallbackError> {
        self.ask(|member| member.on_epoch(event))
    }

    fn on_checkpoint(&mut self, event: &CheckpointEvent<'_>) -> Result<(), CallbackError> {
        self.all(|member| member.on_checkpoint(event))
    }

    fn on_non_finite(&mut self, event: &NonFiniteEvent<'_>) -> Result<(), CallbackError> {
        self.all(|member| member.on_non_finite(event))
    }

    fn on_end(&mut self, report: &FitReport) -> Result<(), CallbackError> {
        self.all(|member| member.on_end(report))
    }

    /// The members' states by their names; `None` where no member has one.
    fn state(&self) -> Option<Value> {
        let states: Map<String, Value> =
            self.members.iter().filter_map(|member| Some((member.name().to_owned(), member.state()?))).collect();
        if states.is_empty() { None } else { Some(Value::Object(states)) }
    }

    fn load_state(&mut self, state: Value) -> Result<(), CallbackError> {
        let Value::Object(mut states) = state else {
            return Err(CallbackError::new(self.name.clone(), "its saved state is no table of its members' states"));
        };
        for member in &mut self.members {
            if let Some(state) = states.remove(member.name()) {
                member.load_state(state)?;
            }
        }
        Ok(())
    }
}
