//! A closure as a schedule: torch's `LambdaLR`, in Rust.

use std::fmt;
use std::sync::Arc;

use crate::Schedule;
use crate::math::scaled;

/// A factor on the base rate, given by a closure: `lr(t) = base * f(t)`.
///
/// The closure must be a pure function of the tick. It has no name in a config; [`Expression`](crate::Expression) is
/// its counterpart there. A negative or undefined factor counts as 0. The name tells one closure from another in
/// saved states.
///
/// ```
/// use lr_core::{Lambda, Schedule};
/// let s = Lambda::new("halves", |t| 0.5_f64.powi(t as i32));
/// assert_eq!([0, 1, 2].map(|t| s.lr(0.8, t)), [0.8, 0.4, 0.2]);
/// ```
#[derive(Clone)]
pub struct Lambda {
    name: String,
    factor: Arc<dyn Fn(u64) -> f64 + Send + Sync>,
}

impl Lambda {
    /// The closure `factor`, called `name`.
    pub fn new(name: &str, factor: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), factor: Arc::new(factor) }
    }
}

impl fmt::Debug for Lambda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lambda").field(&self.name).finish()
    }
}

impl Schedule for Lambda {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, (self.factor)(tick).max(0.0))
    }
}
