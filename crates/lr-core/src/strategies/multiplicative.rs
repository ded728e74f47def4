//! A running product of a formula: torch's `MultiplicativeLR`.

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use strict_config::ConfigError;

use crate::formula::{self, Formula, FormulaClock};
use crate::math::scaled;
use crate::{Clock, Schedule, Strategy};

/// A running product: `lr(t) = base * f(1) * f(2) * ... * f(t)`, with a [formula](Formula) `f`.
///
/// torch's `MultiplicativeLR`. The products already formed are remembered, so that going on by a tick costs one
/// multiplication; the result does not depend on what was asked before.
///
/// ```
/// use lr_core::{Clock, Multiplicative, Strategy};
/// let s = Multiplicative::new("if(t % 2 == 0, 0.5, 1)")?.build(&Clock::unknown())?;
/// assert_eq!([0, 1, 2, 3, 4].map(|t| s.lr(0.8, t)), [0.8, 0.8, 0.4, 0.4, 0.2]);
/// # Ok::<(), lr_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Multiplicative {
    /// The factor that tick `t` (from 1 on) applies to the rate of the tick before.
    #[serde(deserialize_with = "formula::of_time")]
    pub expression: Formula,
}

impl Multiplicative {
    /// The product of the formula `text`.
    ///
    /// # Errors
    /// A formula that cannot be read, with the column.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        Ok(Self { expression: Formula::of_time(text, "expression")? })
    }
}

impl Strategy for Multiplicative {
    const NAME: &'static str = "multiplicative";
    const SUMMARY: &'static str = "the running product of a formula (torch MultiplicativeLR)";
    const EXAMPLE: &'static str = "type = 'multiplicative'\nexpression = 'if(t % 10 == 0, 0.5, 1)'";

    fn assemble(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError> {
        let formula = FormulaClock::new(&self.expression, "expression", clock)?;
        formula.check_at("expression", 1)?;
        if let Some(total) = clock.total().filter(|total| *total > MOST) {
            let message =
                format!("a running product of {total} ticks: at most {MOST} are formed; `expression` needs none");
            return Err(ConfigError::conflict("expression", message));
        }
        Ok(Box::new(Product { per_group: self.expression.uses_lr(), formula, memory: Arc::default() }))
    }
}

/// The most ticks that are multiplied: a rate far ahead takes every factor on the way. Later ticks keep that rate.
const MOST: u64 = 1 << 24;

/// Every so many ticks a product is kept for good.
const KEPT_EVERY: u64 = 256;

/// Products formed for one base rate (or for all, where the formula does not use it).
#[derive(Debug)]
struct Record {
    base_bits: u64,
    /// The products at ticks 0, 256, 512, ...
    kept: Vec<f64>,
    /// The tick asked for last, and its product.
    last: (u64, f64),
}

/// The memory is only a shortcut: a product is formed by the same multiplications whether it is asked for once or
/// step by step, so copies may share it.
#[derive(Debug, Clone)]
struct Product {
    formula: FormulaClock,
    per_group: bool,
    memory: Arc<Mutex<Vec<Record>>>,
}

impl Product {
    fn factor(&self, base_lr: f64, tick: u64) -> f64 {
        let tick = tick.min(MOST);
        let base_bits = if self.per_group { base_lr.to_bits() } else { 0 };
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let known = memory.iter().position(|record| record.base_bits == base_bits);
        let index = known.unwrap_or_else(|| {
            memory.push(Record { base_bits, kept: vec![1.0], last: (0, 1.0) });
            memory.len() - 1
        });
        let record = &mut memory[index];
        let (mut at, mut product) = record.last;
        if at > tick {
            let nearest = (tick / KEPT_EVERY).min(record.kept.len() as u64 - 1);
            (at, product) = (nearest * KEPT_EVERY, record.kept[nearest as usize]);
        }
        while at < tick {
            at += 1;
            product = (product * self.formula.factor(base_lr, at)).min(f64::MAX);
            if at == record.kept.len() as u64 * KEPT_EVERY {
                record.kept.push(product);
            }
        }
        record.last = (at, product);
        product
    }
}

impl Schedule for Product {
    fn lr(&self, base_lr: f64, tick: u64) -> f64 {
        scaled(base_lr, self.factor(base_lr, tick))
    }
}
