//! Whether this machine can hold what a configuration asks for: judged before any work, in one place.
//!
//! What is judged is the least that the run takes. A run that passes may still not fit; one that is refused cannot.

use std::io;

use strict_config::ConfigError;
use toml::Value;

use crate::{config::Config, error::Error, task::Size};

/// Bytes of a number.
const FLOAT: u128 = 4;

/// What is held against a device whose memory nothing tells: more than any has.
const ANY_DEVICE: u64 = 1 << 42;

/// Threads that assemble batches, for each core at most, and at least so many in all.
const WORKERS_PER_CORE: usize = 16;
const WORKERS: usize = 64;

/// Batches that a worker has in hand.
const BATCHES_PER_WORKER: u128 = 3;

/// The least memory, in bytes, that anything begins with: the data of the embedded example, threads, a small model.
const LEAST: u64 = 48 << 20;

/// Refuses to begin where the process may hardly allocate or start a thread: later that ends the process without an error.
///
/// # Errors
/// With what there is, or what the system said.
pub(super) fn check_start() -> Result<(), Error> {
    if let Some(left) = trainer::available_memory().filter(|left| *left < LEAST) {
        let (left, least) = (bytes(left.into()), bytes(LEAST.into()));
        return Err(Error::Machine(format!(
            "{left} of memory are left to this process; the least that it takes is {least}"
        )));
    }
    // burn's threads, which it starts when it first needs them, and cannot do without.
    match rayon::ThreadPoolBuilder::new().build_global() {
        Err(error)
            if std::error::Error::source(&error).is_some_and(<dyn std::error::Error + 'static>::is::<io::Error>) =>
        {
            Err(Error::Machine(format!("the system gives no threads to compute on: {error}")))
        }
        // Or they run already.
        _ => Ok(()),
    }
}

/// Refuses, with the estimate, a model, a batch or a number of threads that this machine cannot hold. `size` is the
/// network's, where it is known, `items` are those that are trained on.
///
/// # Errors
/// At the field that asks for the most.
pub(super) fn check(config: &Config, size: Option<Size>, items: usize) -> Result<(), ConfigError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = WORKERS.max(WORKERS_PER_CORE * cores);
    if config.data.workers > most {
        let allowed = format!("at most {most} threads on this machine of {cores} cores");
        return Err(ConfigError::not_allowed("data.workers", config.data.workers, allowed));
    }
    let Some(size) = size else { return Ok(()) };
    let host = trainer::available_memory();
    let left = if config.run.device.is_gpu() { Some(ANY_DEVICE) } else { host };
    Need::of(config, size, items).check(config, left.unwrap_or(ANY_DEVICE))
}

/// The least that a run takes.
struct Need {
    parameters: usize,
    /// Numbers held for each parameter: the weight, its gradient, the optimizer's state, an average of the weights.
    per_parameter: usize,
    /// Items in a batch.
    batch: usize,
    /// Bytes of a batch, and of what the layers make of it and keep for the backward pass.
    batch_bytes: u128,
    workers: usize,
}

impl Need {
    fn of(config: &Config, size: Size, items: usize) -> Self {
        let batch = config.data.batch_size.min(items.max(1));
        let ahead = 1 + BATCHES_PER_WORKER * config.data.workers as u128;
        let numbers = size.made as u128 + size.item as u128 * ahead;
        let averages = usize::from(config.train.ema.is_some()) + usize::from(config.train.swa.is_some());
        Self {
            parameters: size.parameters,
            per_parameter: 2 + config.optimizer.state_per_parameter() + averages,
            batch,
            batch_bytes: numbers.saturating_mul(batch as u128).saturating_mul(FLOAT),
            workers: config.data.workers,
        }
    }

    /// Bytes of all that belongs to the parameters.
    fn model_bytes(&self) -> u128 {
        self.parameters as u128 * FLOAT * self.per_parameter as u128
    }

    fn check(&self, config: &Config, left: u64) -> Result<(), ConfigError> {
        let (model, batch) = (self.model_bytes(), self.batch_bytes);
        if model.saturating_add(batch) <= u128::from(left) {
            return Ok(());
        }
        let field =
            if model >= batch || model > u128::from(left) { largest(config) } else { "data.batch_size".to_owned() };
        let Self { parameters, per_parameter, workers, .. } = self;
        Err(ConfigError::conflict(
            field,
            format!(
                "the run takes at least {}, and this machine has {} left: {} for {parameters} parameters x 4 bytes x \
                 {per_parameter} (weights, gradients, what `{}` keeps), {} for a batch of {} \
                 with data.workers = {workers}",
                bytes(model.saturating_add(batch)),
                bytes(u128::from(left)),
                bytes(model),
                config.optimizer.type_name(),
                bytes(batch),
                self.batch,
            ),
        ))
    }
}

/// The field of the model with the largest number in it, which is the width that asks for the most.
fn largest(config: &Config) -> String {
    fn number(value: &Value) -> Option<i64> {
        match value {
            Value::Integer(number) => Some(*number),
            Value::Array(items) => items.iter().filter_map(number).max(),
            _ => None,
        }
    }
    let table = config.to_table();
    let model = table.get("model").and_then(Value::as_table);
    let widths = model.into_iter().flatten().filter_map(|(field, value)| Some((number(value)?, field)));
    widths.max().map_or_else(|| "model".to_owned(), |(_, field)| format!("model.{field}"))
}

/// As a person reads it: `12.5 GB`.
fn bytes(bytes: u128) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut shown, mut unit) = (bytes as f64, 0);
    while shown >= 1000.0 && unit + 1 < UNITS.len() {
        (shown, unit) = (shown / 1000.0, unit + 1);
    }
    match (unit, shown < 1e6) {
        (0, _) => format!("{bytes} bytes"),
        (_, true) => format!("{shown:.1} {}", UNITS[unit]),
        (_, false) => format!("{shown:.1e} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use vision::ImageShape;

    use super::*;
    use crate::{
        config::Catalog,
        device::DeviceName,
        task::{ImageClassification, size_of},
    };

    fn config(text: &str) -> Config {
        let table = format!("[optimizer]\ntype = 'adam'\nlr = 1e-3\n{text}").parse().expect("TOML");
        Config::from_table(&table, Catalog::standard()).expect("a configuration")
    }

    fn judged(text: &str, left: u64) -> Result<(), String> {
        let config = config(text);
        let device = DeviceName::CPU.open().expect("a CPU");
        let shape = ImageShape::new(1, 8, 8);
        let model = &config.task.settings::<ImageClassification>().expect("images").model;
        let layers = model.settings.layers(shape, 10, &device).expect("layers");
        Need::of(&config, size_of(&layers, shape), 1437).check(&config, left).map_err(|error| error.to_string())
    }

    /// 64 x 10^6 and 10^6 x 10 weights, with their biases, four numbers of each: 1.2 GB, and 256 MB for the batch.
    #[test]
    fn the_estimate_is_in_the_message_with_its_field() {
        let text = "[model]\ntype = 'mlp'\nhidden = [1000000]";
        let error = judged(text, 1_000_000_000).expect_err("too little");
        assert_eq!(
            error,
            "model.hidden: the run takes at least 1.5 GB, and this machine has 1.0 GB left: 1.2 GB for 75000010 parameters \
             x 4 bytes x 4 (weights, gradients, what `adam` keeps), 256.1 MB for a batch of 64 with data.workers = 1"
        );
        assert_eq!(judged(text, 1_500_000_000), Ok(()));
    }

    #[test]
    fn what_no_machine_holds_is_refused_whatever_the_field() {
        for (text, field) in [
            ("[model]\ntype = 'mlp'\nhidden = [1000000000]", "model.hidden: "),
            ("[model]\ntype = 'mlp'\nhidden = [9223372036854775807, 9223372036854775807]", "model.hidden: "),
            ("[model]\ntype = 'convnet'\nchannels = [1000000000]", "model.channels: "),
            ("[model]\ntype = 'convnet'\nchannels = [9223372036854775807]\nresidual = true", "model.channels: "),
            ("[model]\ntype = 'airbench'\nwidths = [64, 9223372036854775807]", "model.widths: "),
        ] {
            let error = judged(text, 24_000_000_000).expect_err(text);
            assert!(error.starts_with(field), "{text}: {error}");
        }
        // A batch is never larger than the data set.
        assert_eq!(judged("[data]\nbatch_size = 9223372036854775807", 24_000_000_000), Ok(()));
        let error = judged("[data]\nbatch_size = 1437", 4_000_000).expect_err("too little");
        assert!(error.starts_with("data.batch_size: "), "{error}");
    }
}
